"""A model with a reference and monitors, and its predictions at chosen times."""

import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.core.drift.build import Rows
from app.core.drift.reference import Document, Reference, digest_of
from app.core.drift.spec import cell_count
from app.core.drift.streams import NOT_COUNTED, observation_of
from app.core.drift.watched import TimingAsked
from app.core.drift.windows import Timing
from app.core.routing.prediction import Prediction, signals_of
from app.flows import drift, monitors, upkeep
from app.flows import predict as predict_flow
from app.store.evaluations import STALL
from app.store.references import add_reference
from tests.scenario import Scenario

# the beginning of a day, and of its first bucket
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIMING = Timing()

Draw = Callable[[random.Random], dict[str, Any]]
Counts = dict[tuple[uuid.UUID, str, str, int], tuple[int, int, list[int]]]


def usual(chance: random.Random) -> dict[str, Any]:
    """What the model was validated on."""
    return {
        "label": chance.choice(["negative", "positive"]),
        "confidence": chance.betavariate(8, 2),
        "features": {"length": chance.gauss(100, 20), "language": chance.choice(["de", "en"])},
    }


def drifted(chance: random.Random) -> dict[str, Any]:
    """The same with much longer inputs."""
    row = usual(chance)
    return {**row, "features": {**row["features"], "length": chance.gauss(170, 20)}}


def document_of(draw: Draw, rows: int, seed: int = 1) -> Document:
    chance = random.Random(seed)
    made = Rows()
    for n in range(rows):
        posted = {"request_key": str(n), "model": "m", "model_version": "1", **draw(chance)}
        made.add(observation_of(signals_of(msgspec.convert(posted, Prediction))))
    return made.document()


@dataclass
class WatchedModel:
    """The model `sentiment` of a scenario."""

    scenario: Scenario
    monkeypatch: pytest.MonkeyPatch
    reference: Reference
    monitors: dict[str, uuid.UUID]

    @classmethod
    async def start(
        cls,
        scenario: Scenario,
        monkeypatch: pytest.MonkeyPatch,
        *signals: str,
        at: datetime = MIDNIGHT,
        document: Document | None = None,
        timing: Timing = TIMING,
        **of: Any,
    ) -> "WatchedModel":
        """With a monitor for each signal, made at a time; `of`: what the reference is of."""
        document = document or document_of(usual, 3000)
        model = cls(scenario, monkeypatch, await refer(scenario, document, **of), {})
        model.now(at)
        asked_timing = TimingAsked(timing.bucket_s, timing.grace_s, timing.lengths)
        for signal in signals:
            name = signal.replace(":", "-")
            asked = monitors.Asked("sentiment", signal, model.reference.name, None, asked_timing)
            made, _ = await monitors.put(scenario.ctx, scenario.caller, name, asked)
            model.monitors[name] = made.monitor.id
        return model

    def now(self, at: datetime, *, replica_ahead: timedelta = timedelta()) -> None:
        """Set the database's clock, and that of the replica."""
        self.scenario.ctx.db.now = at
        self.monkeypatch.setattr(predict_flow, "utc_now", lambda: at + replica_ahead)

    async def predicted(
        self, at: datetime, count: int, draw: Draw = usual, seed: int = 0, **changes: Any
    ) -> list[Prediction]:
        """Predictions that are received at a time."""
        self.now(at)
        chance = random.Random(f"{at}{seed}")
        posted = [self.scenario.posted(**{**draw(chance), **changes}) for _ in range(count)]
        await self.scenario.decide(*posted)
        return posted

    async def predicted_now(self, count: int, draw: Draw = usual, seed: int = 0) -> None:
        """Predictions by the clocks as they are, as one request."""
        chance = random.Random(seed)
        await self.scenario.decide(*[self.scenario.posted(**draw(chance)) for _ in range(count)])

    async def fold(self) -> None:
        while await upkeep.fold(self.scenario.ctx):
            pass

    async def evaluate(self, at: datetime) -> int:
        """Let the worker close what is over; steps that it took.

        Transactions of the test or of others are under way, so each wait lasts as long as it may.
        """
        steps = 0
        while True:
            self.now(at)
            done = await drift.evaluate_once(self.scenario.ctx)
            at += STALL
            self.now(at)
            again = await drift.evaluate_once(self.scenario.ctx)
            if not done + again:
                return steps
            steps += done + again

    async def stored(self) -> Counts:
        """`stream_counts`, without how many were moved."""
        rows = await self._rows("SELECT * FROM stream_counts WHERE project_id = $1")
        return {
            (row["reference_id"], row["model_version"], row["segment"], row["bucket"]): (
                row["predictions"],
                row["late"],
                list(row["counts"]),
            )
            for row in rows
        }

    async def moved(self) -> int:
        """How many predictions came when their bucket was closed, of all versions as wholes."""
        rows = await self._rows(
            "SELECT sum(moved)::bigint AS moved FROM stream_counts "
            "WHERE project_id = $1 AND segment = ''"
        )
        return int(rows[0]["moved"] or 0)

    async def recomputed(self, declared: Sequence[str] = ()) -> Counts:
        """What the rows say, read without the code that counts."""
        sums: dict[Any, list[Any]] = defaultdict(lambda: [0, 0, None])
        sizes = [cell_count(one.bins) for one in self.reference.streams]
        for row in await self._rows("SELECT * FROM decisions WHERE project_id = $1"):
            if row["watched"] is None:
                continue
            assert row["watched"] == self.reference.id.bytes
            segment = msgspec.json.decode(row["prediction"]).get("segment", {})
            named = [f"{key}:{segment[key]}" for key in declared if key in segment]
            for name in ("", *named):
                key = self.reference.id, row["model_version"], name, row["bucket"]
                entry = sums[key]
                entry[0] += 1
                entry[1] += row["late"]
                entry[2] = entry[2] or [[0] * size for size in sizes]
                for counts, cell in zip(entry[2], row["cells"], strict=True):
                    if cell != NOT_COUNTED:
                        counts[cell] += 1
        return {
            key: (n, late, [count for stream in counts for count in stream])
            for key, (n, late, counts) in sums.items()
        }

    async def evaluations(self, monitor: str, segment: str = "") -> list[Any]:
        """Of one monitor, oldest first."""
        return await self._rows(
            "SELECT * FROM evaluations WHERE project_id = $1 AND monitor_id = $2 "
            "AND segment = $3 ORDER BY last_bucket, first_bucket DESC",
            self.monitors[monitor],
            segment,
        )

    async def states(self, monitor: str, version: str = "1", segment: str = "") -> dict[int, str]:
        """By length of window."""
        rows = await self._rows(
            "SELECT length, state FROM monitor_states WHERE project_id = $1 AND monitor_id = $2 "
            "AND model_version = $3 AND segment = $4",
            self.monitors[monitor],
            version,
            segment,
        )
        return {row["length"]: row["state"] for row in rows}

    async def events(self) -> list[dict[str, Any]]:
        """What the outbox tells, in order."""
        rows = await self._rows("SELECT data FROM outbox WHERE project_id = $1 ORDER BY id")
        return [row["data"] for row in rows]

    async def _rows(self, query: str, *more: Any) -> list[Any]:
        async with self.scenario.ctx.db.read() as tx:
            return list(await tx.raw.fetch(query, self.scenario.project, *more))


async def refer(scenario: Scenario, document: Document, **of: Any) -> Reference:
    """A stored reference."""
    values = {"model": "sentiment", "model_version": None, "segment": None, **of}
    async with scenario.ctx.db.write() as tx:
        return await add_reference(
            tx,
            scenario.project,
            document=document,
            source={"rows": "uploaded"},
            name=f"ref-{uuid.uuid4().hex[:8]}",
            version=1,
            detector_id=None,
            predictions=sum(document.streams[0].counts),
            digest=digest_of(document, **values, detector=None),
            created_by="test",
            **values,
        )
