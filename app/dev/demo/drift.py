"""What the demo watches: the tweets are the reference, and what comes after them is not tweets.

A bucket of the monitors is a second here instead of an hour; nothing else is different. So that a
second has enough texts and not all of them, posting waits for the clock.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from app.core.routing.decision import decide
from app.core.routing.draw import Chance, DayKey
from app.core.routing.policy import compile_policy
from app.core.routing.prediction import Prediction, signals_of
from app.dev.demo.cases import prediction_of
from app.dev.demo.report import percent
from app.dev.demo.tally import mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from app.dev.demo.cases import Case
    from app.dev.demo.classifier import Scored
    from app.dev.demo.service import Json, Service
    from app.dev.demo.tally import Streamed

REFERENCE = "tweets"
BUCKET_S = 1
GRACE_S = 1
WINDOWS = [1, 5]
# the last bucket closes after its grace, and a replica reads its states once a second
SETTLING_S = BUCKET_S + GRACE_S + 3
SIGNALS = {
    "confidence": "confidence",
    "embedding": "embedding",
    "unknown-words": "feature:oov_share",
}
RAISED_TO = 0.75
ON_DRIFT = [
    {"monitor": name, "when": "drifting", "raise_confidence_to": RAISED_TO} for name in SIGNALS
]
PICTURED = "confidence"


@dataclass(frozen=True, slots=True)
class Drift:
    """What the monitors saw; errors are shares of what was accepted after the tweets.

    Attributes:
        alarms_before_shift: how often a monitor was drifting while tweets went on.
        monitors_raised: those that were drifting later, in the order in which they were.
        first_raised_in: the domain that was streamed then.
        error_with: with what the monitors changed in routing.
        error_without: of the same texts by the same policy without `on_drift`.
        picture: what the monitor `PICTURED` saw, as SVG.
    """

    alarms_before_shift: int
    monitors_raised: Sequence[str]
    first_raised_in: str | None
    error_with: float | None
    error_without: float | None
    picture: bytes


async def fit_detector(service: Service, model: str, familiar: Iterable[Scored]) -> None:
    """Let the service learn what tweets look like.

    Raises:
        ServiceRefusedError: it could not.
    """
    rows = [{"embedding": scored.embedding, "label": scored.label} for scored in familiar]
    await service.fit_detector("tweets", {"model": model, "rows": rows})


async def watch(service: Service, model: str, reference: Iterable[Json]) -> None:
    """Make the reference of these predictions, and monitors that compare with it.

    Raises:
        ServiceRefusedError: a call was refused.
    """
    rows = [{name: row[name] for name in _LOOKED_AT if name in row} for row in reference]
    await service.put(f"/v1/references/{REFERENCE}", {"model": model, "rows": rows})
    for name, signal in SIGNALS.items():
        monitor = {
            "model": model,
            "signal": signal,
            "reference": REFERENCE,
            "bucket_s": BUCKET_S,
            "grace_s": GRACE_S,
            "windows": WINDOWS,
        }
        await service.put(f"/v1/monitors/{name}", monitor)


_LOOKED_AT = ("label", "scores", "features", "embedding")


async def next_bucket() -> None:
    """Wait for the next bucket, and a little, so that what is posted then lies within it."""
    await asyncio.sleep(BUCKET_S - time.time() % BUCKET_S + 0.05)


async def found(
    service: Service,
    document: Mapping[str, Any],
    streamed: Sequence[Streamed],
    shifted_at: datetime,
) -> Drift:
    """What the monitors saw, and what it was good for.

    Args:
        service: the service.
        document: the policy without `on_drift`.
        streamed: every domain, the tweets first.
        shifted_at: when the tweets ended.
    """
    events = await service.events("monitor.changed")
    picture = await service.picture(f"/v1/monitors/{PICTURED}/plot.svg")
    return summed_up(events, document, streamed, shifted_at, picture)


def summed_up(
    events: Iterable[Json],
    document: Mapping[str, Any],
    streamed: Sequence[Streamed],
    shifted_at: datetime,
    picture: bytes,
) -> Drift:
    """The same, of what the service told."""
    raised = [event["data"] for event in events if event["data"]["to"] == "drifting"]
    ends = [(datetime.fromisoformat(data["window_end"]), data["monitor"]) for data in raised]
    later = sorted((end, name) for end, name in ends if end > shifted_at)
    return Drift(
        alarms_before_shift=len(ends) - len(later),
        monitors_raised=list(dict.fromkeys(name for _, name in later)),
        first_raised_in=_streamed_at(streamed, later[0][0]) if later else None,
        error_with=mean(
            not case.right
            for part in streamed[1:]
            for case, decision in zip(part.cases, part.decisions, strict=True)
            if decision["route"] == "accept"
        ),
        error_without=mean(not case.right for case in _accepted_without(document, streamed[1:])),
        picture=picture,
    )


def words(drift: Drift, picture: Path) -> str:
    """For people."""
    raised = ", ".join(drift.monitors_raised)
    then = f"from the texts of {drift.first_raised_in} on: {raised}" if raised else "none"
    return f"""\
The tweets were taken as the reference, and three monitors compared with them
what came later. Alarms while tweets went on: {drift.alarms_before_shift}. Afterwards,
{then}.
While one is raised, nothing below a confidence of {RAISED_TO} is accepted.

True error of what was accepted after the tweets: {percent(drift.error_with)}; by the same
policy without `on_drift`, over the same texts: {percent(drift.error_without)}.

The picture of the monitor {PICTURED}: {picture}"""


def document_of(drift: Drift, picture: Path) -> dict[str, Any]:
    """For programs."""
    return {
        "alarms_before_shift": drift.alarms_before_shift,
        "monitors_raised": list(drift.monitors_raised),
        "first_raised_in": drift.first_raised_in,
        "accepted_error_true_with": drift.error_with,
        "accepted_error_true_without": drift.error_without,
        "picture": str(picture),
    }


def _streamed_at(streamed: Sequence[Streamed], moment: datetime) -> str:
    """The domain whose texts came last before a moment."""
    begun = [part for part in streamed if part.began < moment]
    return begun[-1].domain


def _accepted_without(document: Mapping[str, Any], streamed: Sequence[Streamed]) -> Iterable[Case]:
    """What the policy accepts when nothing drifts; no rule of it draws."""
    name = str(document["name"])
    policy = compile_policy(dict(document), name, 1)
    for part in streamed:
        for case in part.cases:
            signals = signals_of(msgspec.convert(prediction_of(case), Prediction))
            if decide(policy, signals, _NO_CHANCE).route == "accept":
                yield case


_NO_CHANCE = Chance(DayKey(b""), b"")
