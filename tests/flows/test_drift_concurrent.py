"""Counting and closing by many at once, and while transactions are under way."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.core.routing.prediction import Prediction
from app.flows import drift, upkeep
from app.flows.context import Context
from app.flows.gather import Gatherer, Result
from app.flows.predict import predict
from app.store.decision_rows import NewDecision
from app.store.decisions import insert_many
from app.store.evaluations import STALL
from tests.scenario import Scenario
from tests.watched_model import HOUR, MIDNIGHT, WatchedModel, drifted, usual

WRITERS = 8
CLOSED = MIDNIGHT + HOUR + timedelta(minutes=15)


class Keeping(Gatherer):
    """Keeps what it should commit."""

    rows: list[NewDecision]

    async def commit(self, rows: list[NewDecision]) -> list[Result]:
        self.rows = rows
        return [True] * len(rows)


@asynccontextmanager
async def predictions_under_way(model: WatchedModel, count: int) -> AsyncIterator[None]:
    """Predictions whose transaction commits when the block ends."""
    ctx = model.scenario.ctx
    keeping = Keeping(ctx.db, ctx.settings)
    posted = [model.scenario.posted(**usual(random.Random(n))) for n in range(count)]
    await predict(replace(ctx, gatherer=keeping), model.scenario.project, posted, type)
    async with ctx.db.write() as tx:
        await insert_many(tx, keeping.rows)
        yield


async def until_a_step(ctx: Context) -> None:
    """Any other transaction of the server is waited for, too."""
    async with asyncio.timeout(30):
        # what is waited for happens in the server
        while not await drift.evaluate_once(ctx):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_transaction_under_way_delays_the_closing_and_is_counted(
    committed_ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(await Scenario.start(committed_ctx), monkeypatch, "confidence")
    await model.predicted(MIDNIGHT, 150)
    async with predictions_under_way(model, 70):
        model.now(CLOSED)
        assert await drift.evaluate_once(committed_ctx) == 1
        assert await drift.evaluate_once(committed_ctx) == 0
        model.now(CLOSED + STALL - timedelta(seconds=1))
        assert await drift.evaluate_once(committed_ctx) == 0

    await until_a_step(committed_ctx)

    (evaluation,) = await model.evaluations("confidence")
    assert evaluation["results"][0]["n"] == 220
    assert await model.stored() == await model.recomputed()
    assert await model.moved() == 0


async def test_past_the_limit_what_was_under_way_counts_in_the_next_bucket_as_moved(
    committed_ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(await Scenario.start(committed_ctx), monkeypatch, "confidence")
    await model.predicted(MIDNIGHT, 150)
    async with predictions_under_way(model, 70):
        model.now(CLOSED)
        assert await drift.evaluate_once(committed_ctx) == 1
        model.now(CLOSED + STALL)
        assert await drift.evaluate_once(committed_ctx) == 1

    await model.fold()

    (evaluation,) = await model.evaluations("confidence")
    assert evaluation["results"][0]["n"] == 150
    assert [found[0] for _, found in sorted((await model.stored()).items())] == [150, 70]
    assert await model.moved() == 70


async def test_workers_that_close_at_once_evaluate_once(
    committed_ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(
        await Scenario.start(committed_ctx), monkeypatch, "feature:length", "confidence"
    )
    for hour in range(2):
        await model.predicted(MIDNIGHT + hour * HOUR, 200, drifted)
    model.now(CLOSED + HOUR)
    await drift.evaluate_once(committed_ctx)
    model.now(CLOSED + HOUR + STALL)

    steps = await asyncio.gather(
        *(drift.evaluate_once(committed_ctx) for _ in range(WRITERS)),
        *(upkeep.fold(committed_ctx) for _ in range(WRITERS)),
    )

    assert sum(steps[:WRITERS]) == 1
    assert len(await model.evaluations("feature-length")) == 2
    assert [event["to"] for event in await model.events() if "length" in event["monitor"]] == [
        "drifting"
    ]
    assert await model.stored() == await model.recomputed()


async def test_eight_writers_with_retries_count_and_evaluate_as_one(
    committed_ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, many = [
        await WatchedModel.start(
            await Scenario.start(committed_ctx), monkeypatch, "features", "label", "missing"
        )
        for _ in range(2)
    ]
    for model in (one, many):
        await model.scenario.policy(segments=["source"])
    received_at = MIDNIGHT + HOUR
    posted = predictions_around(one, received_at)
    for model in (one, many):
        model.now(received_at)

    for at in range(0, len(posted), 300):
        await one.scenario.decide(*posted[at : at + 300])
    await one.fold()
    await asyncio.gather(
        *(write_some(many, posted, seed) for seed in range(WRITERS)),
        *(fold_now_and_then(many) for _ in range(2)),
    )
    for model in (one, many):
        await model.evaluate(received_at + 2 * HOUR)

    assert await of_counts(one) == await of_counts(many)
    assert await one.stored() == await one.recomputed(["source"])
    assert await of_evaluations(one) == await of_evaluations(many)
    assert "drifting" in {row[-2] for row in await of_evaluations(many)}


def predictions_around(model: WatchedModel, received_at: Any) -> list[Prediction]:
    """In two hours, in time and late, of two versions and two segments."""
    chance = random.Random(4)
    return [
        model.scenario.posted(
            **(usual if chance.random() < 0.7 else drifted)(chance),
            model_version=chance.choice(["1", "2"]),
            segment={"source": chance.choice(["nyt", "tweets"])},
            occurred_at=received_at + timedelta(minutes=chance.uniform(-16, 16)),
        )
        for _ in range(1500)
    ]


async def write_some(model: WatchedModel, posted: list[Prediction], seed: int) -> None:
    """Half of all, shuffled, some of them twice, a few and many at a time."""
    chance = random.Random(seed)
    mine = [one for n, one in enumerate(posted) if (n + seed) % WRITERS < WRITERS // 2]
    mine += chance.sample(mine, len(mine) // 4)
    chance.shuffle(mine)
    while mine:
        size = chance.choice([1, 3, 20, 120])
        await model.scenario.decide(*mine[:size])
        del mine[:size]


async def fold_now_and_then(model: WatchedModel) -> None:
    for _ in range(20):
        await upkeep.fold(model.scenario.ctx)
        await asyncio.sleep(0)


async def of_counts(model: WatchedModel) -> list[Any]:
    async with model.scenario.ctx.db.read() as tx:
        rows = await tx.raw.fetch(
            "SELECT model_version, segment, bucket, predictions, late, moved, counts::text "
            "FROM stream_counts WHERE project_id = $1 ORDER BY 1, 2, 3",
            model.scenario.project,
        )
    return [tuple(row) for row in rows]


async def of_evaluations(model: WatchedModel) -> list[Any]:
    """With the states that they brought about."""
    async with model.scenario.ctx.db.read() as tx:
        rows = await tx.raw.fetch(
            """
            SELECT m.name, e.model_version, e.segment, first_bucket, last_bucket,
              results::text, s.track::text, s.since, e.state, s.state
            FROM evaluations e JOIN monitors m ON m.id = e.monitor_id
            JOIN monitor_states s ON s.monitor_id = m.id AND s.model_version = e.model_version
              AND s.segment = e.segment AND s.length = last_bucket - first_bucket + 1
            WHERE e.project_id = $1 ORDER BY 1, 2, 3, 4, 5
            """,
            model.scenario.project,
        )
    return [tuple(row) for row in rows]
