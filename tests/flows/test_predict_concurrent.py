"""Many predictions at once: gathered into few commits, and each caller hears of its own row only."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from app.core.errors import DatabaseUnavailable, Overloaded, OverruleError
from app.core.routing.prediction import Prediction
from app.flows import gather
from app.flows.context import Context
from app.flows.predict import Answered
from app.settings import Settings
from app.store import engine
from app.store.engine import Database
from tests.flows.tables import counted, sizes
from tests.flows.test_predict import UNSTORABLE, kinds
from tests.scenario import Scenario

Answering = asyncio.Task[list[Answered | OverruleError]]


@pytest.fixture
async def scene(committed_ctx: Context) -> Scenario:
    return await Scenario.start(committed_ctx)


@asynccontextmanager
async def running(db: Database, settings: Settings, **changes: Any) -> AsyncIterator[Scenario]:
    """A service of its own over the same database."""
    ctx = Context.over(db, settings.model_copy(update=changes))
    async with ctx.running():
        yield await Scenario.start(ctx)


@asynccontextmanager
async def commits_held_up(db: Database) -> AsyncIterator[None]:
    """Nobody gets a request key committed within this block."""
    async with db.write() as tx:
        await tx.raw.execute("LOCK TABLE request_keys IN EXCLUSIVE MODE")
        yield


async def until(condition: Callable[[], Any]) -> None:
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    pytest.fail("what the test waits for did not come")


async def being_committed(scene: Scenario, *rows: Prediction) -> Answering:
    """A request that the one lane has taken; for a service with nothing else to do."""
    task = asyncio.create_task(scene.decide(*rows))
    gatherer = scene.ctx.gatherer
    await until(lambda: gatherer._lanes and gatherer._waiting_rows == 0)
    return task


async def waiting(scene: Scenario, *rows: Prediction) -> Answering:
    """A request whose rows wait for the next commit."""
    before = scene.ctx.gatherer._waiting_rows
    task = asyncio.create_task(scene.decide(*rows))
    await until(lambda: scene.ctx.gatherer._waiting_rows == before + len(rows))
    return task


async def test_one_request_key_50_times_at_once_is_one_decision(
    committed_ctx: Context, scene: Scenario
) -> None:
    posted = scene.posted(request_key="req-1")

    answers = await asyncio.gather(*(scene.decide(posted) for _ in range(50)))

    heard = [answer for (answer,) in answers]
    assert Counter(kinds(heard)) == {"first": 1, "again": 49}
    assert len({a.decision.id for a in heard if isinstance(a, Answered)}) == 1
    assert await sizes(committed_ctx, scene.project) == {
        "request_keys": 1, "decisions": 1, "items": 1, "assignments": 1, "inbox": 1,
    }  # fmt: skip
    assert await counted(committed_ctx, scene.project) == {"review": [1, 0]}


async def test_one_request_key_in_single_requests_and_batches_at_once_is_one_decision(
    committed_db: Database, settings: Settings
) -> None:
    # two services, four lanes, no commit large enough to hold everything
    async with (
        running(committed_db, settings, commit_rows_max=7) as here,
        running(committed_db, settings, commit_lanes=4, commit_rows_max=7) as there,
    ):
        there.project = here.project
        posted = here.posted(request_key="req-1")
        requests = [
            (here if n % 2 else there).decide(
                *([here.posted(), posted, here.posted()] if n % 3 else [posted])
            )
            for n in range(50)
        ]

        answers = await asyncio.gather(*requests)

        heard = [a for batch in answers for a in batch if isinstance(a, Answered)]
        of_the_key = [a for a in heard if a.decision.request_key == "req-1"]
        assert Counter(kinds([*of_the_key])) == {"first": 1, "again": 49}
        assert len({a.decision.id for a in of_the_key}) == 1
        decisions = (await sizes(here.ctx, here.project))["decisions"]
        assert decisions == 1 + 2 * 33
        assert await counted(here.ctx, here.project) == {"review": [decisions, 0]}


async def test_batches_with_the_same_keys_in_opposite_order_never_end_in_an_error(
    committed_db: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # there is no deadlock to begin with, so nothing needs to be tried again
    monkeypatch.setattr(engine, "RETRIES_MAX", 1)
    chance = random.Random(5)
    async with running(committed_db, settings) as here, running(committed_db, settings) as there:
        there.project = here.project
        for round_number in range(15):
            batch = [here.posted(request_key=f"req-{round_number}-{n}") for n in range(40)]
            shuffled = chance.sample(batch, len(batch))

            answers = await asyncio.gather(
                here.decide(*batch), there.decide(*reversed(batch)), there.decide(*shuffled)
            )

            heard = Counter(kind for batch_answers in answers for kind in kinds(batch_answers))
            assert heard == {"first": 40, "again": 80}


async def test_one_bad_row_among_gathered_ones_harms_nobody_else(
    committed_db: Database, settings: Settings
) -> None:
    async with running(committed_db, settings, commit_lanes=1) as scene:
        good = [scene.posted() for _ in range(30)]
        bad = scene.posted(request_key="req-bad", context_key=UNSTORABLE)
        async with commits_held_up(committed_db):
            first = await being_committed(scene, scene.posted())
            tasks = [await waiting(scene, row) for row in [*good[:17], bad, *good[17:]]]

        answers = [answer for (answer,) in await asyncio.gather(*tasks)]

        assert kinds(answers) == ["first"] * 17 + ["unstorable"] + ["first"] * 13
        assert isinstance(answers[17], OverruleError)
        assert "PostgreSQL cannot keep" in answers[17].detail
        assert kinds(await first) == ["first"]
        assert (await sizes(scene.ctx, scene.project))["decisions"] == 31
        # the key of the bad one was not used up
        assert kinds(await scene.decide(scene.posted(request_key="req-bad"))) == ["first"]


async def test_client_that_hangs_up_neither_undoes_its_row_nor_disturbs_others(
    committed_db: Database, settings: Settings
) -> None:
    async with running(committed_db, settings, commit_lanes=1) as scene:
        async with commits_held_up(committed_db):
            hung_up = [
                await being_committed(scene, scene.posted()),
                await waiting(scene, scene.posted()),
            ]
            others = [await waiting(scene, scene.posted()) for _ in range(5)]

            for task in hung_up:
                task.cancel()
            ended = await asyncio.gather(*hung_up, return_exceptions=True)
        answers = await asyncio.gather(*others)

        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in ended)
        assert [kinds(answer) for answer in answers] == [["first"]] * 5
        assert (await sizes(scene.ctx, scene.project))["decisions"] == 7


async def test_past_the_limit_of_waiting_rows_a_request_is_refused_whole(
    committed_db: Database, settings: Settings
) -> None:
    async with running(committed_db, settings, waiting_rows_max=5, commit_lanes=1) as scene:
        async with commits_held_up(committed_db):
            taken = [
                await being_committed(scene, scene.posted()),
                await waiting(scene, *(scene.posted() for _ in range(3))),
            ]

            with pytest.raises(Overloaded):
                async with asyncio.timeout(5):
                    await scene.decide(*(scene.posted() for _ in range(3)))

            taken.append(await waiting(scene, *(scene.posted() for _ in range(2))))
        answers = await asyncio.gather(*taken)

        assert [kinds(answer) for answer in answers] == [["first"] * n for n in (1, 3, 2)]
        assert (await sizes(scene.ctx, scene.project))["decisions"] == 6


async def test_who_arrives_while_the_last_lane_ends_is_committed_too(
    committed_db: Database, settings: Settings
) -> None:
    async with running(committed_db, settings, commit_lanes=1) as scene:
        gatherer = scene.ctx.gatherer

        async def at_once(rows: list[Any]) -> list[Any]:
            return [True] * len(rows)

        # with commits that take no time, arrivals fall on every step of a lane's end
        gatherer._commit_or_split = at_once  # type: ignore[method-assign]

        async def arrive(after_steps: int) -> None:
            for _ in range(after_steps):
                await asyncio.sleep(0)
            await gatherer.commit([None])  # type: ignore[list-item]

        async with asyncio.timeout(5):
            await asyncio.gather(*(arrive(steps) for steps in range(12)))


async def test_mistake_of_ours_reaches_its_callers_and_the_next_are_served(
    committed_ctx: Context, scene: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: Any) -> Any:
        raise LookupError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(committed_ctx.gatherer, "_commit", fails)
        answers = await asyncio.gather(
            *(scene.decide(scene.posted()) for _ in range(4)), return_exceptions=True
        )

    assert [type(answer) for answer in answers] == [LookupError] * 4
    assert kinds(await scene.decide(scene.posted())) == ["first"]


async def test_connection_that_is_lost_is_no_fault_of_the_rows(
    committed_db: Database, settings: Settings
) -> None:
    async with running(committed_db, settings, commit_lanes=1) as scene:
        async with committed_db.read() as killer, commits_held_up(committed_db):
            first = await being_committed(scene, scene.posted(), scene.posted())
            other = await waiting(scene, scene.posted())

            for _ in range(1_000):
                if await killer.raw.fetchval(TERMINATE):
                    break
            lost = await first

        assert [type(answer) for answer in lost] == [DatabaseUnavailable] * 2
        assert kinds(await other) == ["first"]
        assert (await sizes(scene.ctx, scene.project))["decisions"] == 1


TERMINATE = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
      AND query LIKE '%INSERT INTO request_keys%'
"""


@pytest.mark.parametrize("refused", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
async def test_commit_that_keeps_losing_asks_to_be_sent_again(
    committed_ctx: Context,
    scene: Scenario,
    monkeypatch: pytest.MonkeyPatch,
    refused: type[Exception],
) -> None:
    attempts = []

    async def loses(*_: Any) -> Any:
        attempts.append(refused)
        raise refused("lost again")

    monkeypatch.setattr(gather, "insert_few", loses)

    answers = await scene.decide(scene.posted(), scene.posted())

    assert kinds(answers) == ["unavailable"] * 2
    assert len(attempts) == engine.RETRIES_MAX


async def test_decision_removed_between_two_looks_asks_to_be_sent_again(
    committed_ctx: Context, scene: Scenario
) -> None:
    posted = scene.posted()
    await scene.decide(posted)
    async with committed_ctx.db.write() as tx:
        await tx.raw.execute("DELETE FROM decisions WHERE project_id = $1", scene.project)

    (answer,) = await scene.decide(posted)

    assert kinds([answer]) == ["unavailable"]


async def test_what_was_accepted_is_finished_before_the_service_ends(
    committed_db: Database, settings: Settings
) -> None:
    async with (
        running(committed_db, settings, commit_lanes=1) as scene,
        commits_held_up(committed_db),
    ):
        tasks = [await being_committed(scene, scene.posted())]
        tasks += [await waiting(scene, scene.posted()) for _ in range(5)]

    assert not scene.ctx.gatherer._lanes
    assert (await sizes(scene.ctx, scene.project))["decisions"] == 6
    assert [kinds(answer) for answer in await asyncio.gather(*tasks)] == [["first"]] * 6
