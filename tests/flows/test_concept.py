"""Errors that audits find, day by day."""

import asyncio
import random
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.core.drift.watched import TimingAsked
from app.core.routing.document import DEFAULT_AUDITS
from app.flows import concept, monitors
from app.flows import predict as predict_flow
from app.flows.context import Context
from app.store.ids import lowest_id_at, utc_now
from tests.scenario import Scenario
from tests.store.metric_rows import DAY, CountRow, Rows

ONE_DAY = timedelta(days=1)
TEN_O_CLOCK = timedelta(hours=10)


def asked(signal: str, certified_error: float | None = None) -> monitors.Asked:
    return monitors.Asked("sentiment", signal, None, certified_error, TimingAsked())


async def a_day(rows: Rows, n: int, *, wrong: int, audited: int = 20, **of: Any) -> None:
    """The n-th day: 400 accepted, some of them audited and answered."""
    hour = DAY.start + n * ONE_DAY + TEN_O_CLOCK
    await rows.inbox(CountRow(hour=hour, decisions=20 * audited, audited=audited, **of))
    await rows.audits(audited, wrong=wrong, decided_at=hour, **of)


async def learn(ctx: Context, day: int) -> int:
    """Let the worker look at the beginning of a day's third hour, until nothing is left."""
    ctx.db.now = DAY.start + day * ONE_DAY + timedelta(hours=2)
    days = 0
    while taken := await concept.run_once(ctx):
        days += taken
    return days


async def states(ctx: Context, rows: Rows, name: str = "errors") -> dict[str, str]:
    shown = await monitors.get(ctx, rows.project, name)
    return {state.model_version: state.state for state in shown.states}


async def events(rows: Rows) -> list[tuple[str, str, str]]:
    async with rows.db.read() as tx:
        found = await tx.raw.fetch(
            "SELECT data FROM outbox WHERE project_id = $1 ORDER BY id", rows.project
        )
    return [(e["data"]["model_version"], e["data"]["from"], e["data"]["to"]) for e in found]


async def evaluated(rows: Rows) -> list[Any]:
    async with rows.db.read() as tx:
        return list(
            await tx.raw.fetch(
                "SELECT * FROM evaluations WHERE project_id = $1 ORDER BY model_version, id",
                rows.project,
            )
        )


@pytest.fixture
async def rows(ctx: Context, scenario: Scenario) -> Rows:
    """A monitor of concept drift, made on the first day, in the project of `scenario`."""
    ctx.db.now = DAY.start + timedelta(minutes=1)
    await monitors.put(ctx, scenario.caller, "errors", asked("concept", 0.05))
    return Rows(ctx.db, scenario.project)


async def test_more_errors_than_certified_become_drift_and_fewer_end_it(
    ctx: Context, scenario: Scenario, rows: Rows
) -> None:
    for n in range(3):
        await a_day(rows, n, wrong=1)
    await learn(ctx, 3)
    calm = await states(ctx, rows)
    for n in (3, 4):
        await a_day(rows, n, wrong=8)
    await learn(ctx, 5)
    alarmed = await states(ctx, rows)
    for n in range(5, 20):
        await a_day(rows, n, wrong=0)
    await learn(ctx, 20)

    assert (calm, alarmed) == ({"1": "stable"}, {"1": "drifting"})
    assert await states(ctx, rows) == {"1": "stable"}
    told = await events(rows)
    assert told[0] == ("1", "collecting", "stable")
    assert told[-1][2] == "stable"
    # routing sees it as any other monitor
    view = await ctx.views.projects.get(scenario.project)
    assert view.monitors["sentiment"].of["errors"]["1", ""][0] == "stable"
    found = await evaluated(rows)
    assert len(found) == 20
    assert found[4]["state"] == "drifting"
    (numbers,) = found[4]["results"]
    assert (numbers["audited"], numbers["wrong"], numbers["bound"]) == (20, 8, pytest.approx(0.06))
    assert numbers["evidence"] > numbers["alarm_at"]


async def test_however_often_and_late_it_looks_it_finds_the_same(ctx: Context, rows: Rows) -> None:
    for n in range(9):
        await a_day(rows, n, wrong=2 if n < 6 else 5)
    for n in range(1, 10):
        await learn(ctx, n)
        assert await learn(ctx, n) == 0
    daily = [(r["id"], r["state"], r["results"]) for r in await evaluated(rows)]
    async with ctx.db.write() as tx:
        await tx.raw.execute("DELETE FROM evaluations")
        await tx.raw.execute("DELETE FROM monitor_states")

    taken = await learn(ctx, 9)

    assert taken == 9
    assert [(r["id"], r["state"], r["results"]) for r in await evaluated(rows)] == daily


async def test_several_workers_take_each_day_once(committed_ctx: Context) -> None:
    ctx = committed_ctx
    ctx.db.now = DAY.start
    scenario = await Scenario.start(ctx)
    await monitors.put(ctx, scenario.caller, "errors", asked("concept", 0.05))
    rows = Rows(ctx.db, scenario.project)
    for n in range(9):
        await a_day(rows, n, wrong=1, audited=5)

    taken = await asyncio.gather(*(learn(ctx, 9) for _ in range(4)))

    assert sum(taken) == 9
    assert [row["last_bucket"] for row in await evaluated(rows)] == [
        (DAY.start + n * ONE_DAY).timestamp() // 86_400 for n in range(9)
    ]


async def test_a_day_waits_for_its_audits_and_holds_up_those_after_it(
    ctx: Context, rows: Rows
) -> None:
    await a_day(rows, 0, wrong=1)
    await a_day(rows, 1, wrong=1)
    await rows.item(
        kind="audit",
        queue=DEFAULT_AUDITS,
        decided_at=DAY.start + ONE_DAY + TEN_O_CLOCK,
        due=3 * ONE_DAY,
    )
    await a_day(rows, 2, wrong=1)

    waiting = await learn(ctx, 4)
    overdue = await learn(ctx, 5)

    assert (waiting, overdue) == (1, 2)
    second = (await evaluated(rows))[1]["results"][0]
    assert (second["audited"], second["undecided"]) == (20, 1)


async def test_versions_are_judged_apart_and_shadows_and_other_models_not_at_all(
    ctx: Context, rows: Rows
) -> None:
    await a_day(rows, 0, wrong=1)
    await a_day(rows, 0, wrong=18, model_version="2")
    hour = DAY.start + TEN_O_CLOCK
    await rows.inbox(
        CountRow(hour=hour, model_version="3", shadow=True, decisions=50),
        CountRow(hour=hour, model="other", decisions=50),
        CountRow(hour=hour, model_version="4", route="review", stratum="sentiment@1 review 1"),
    )

    await learn(ctx, 1)

    assert await states(ctx, rows) == {"1": "stable", "2": "drifting"}


async def test_days_before_the_monitor_are_not_looked_at(ctx: Context, rows: Rows) -> None:
    await a_day(rows, -1, wrong=18)
    await a_day(rows, 0, wrong=1)

    assert await learn(ctx, 1) == 1
    assert await states(ctx, rows) == {"1": "stable"}


async def test_with_another_bound_it_starts_again_with_the_days_to_come(
    ctx: Context, scenario: Scenario, rows: Rows
) -> None:
    await a_day(rows, 0, wrong=15)
    await learn(ctx, 1)
    alarmed = await states(ctx, rows)

    await monitors.put(ctx, scenario.caller, "errors", asked("concept", 0.8))
    anew = await states(ctx, rows)
    await a_day(rows, 1, wrong=15)
    await learn(ctx, 2)

    assert (alarmed, anew) == ({"1": "drifting"}, {})
    assert await states(ctx, rows) == {"1": "stable"}
    assert [row["results"][0]["bound"] for row in await evaluated(rows)] == [
        pytest.approx(0.06),
        pytest.approx(0.81),
    ]


@pytest.fixture
def clock(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the clocks of database and replica, and that of ids."""
    chance = random.Random(1)

    def set_to(at: datetime) -> None:
        ctx.db.now = at
        low = lowest_id_at(at).int
        monkeypatch.setattr(predict_flow, "utc_now", lambda: at)
        monkeypatch.setattr(
            predict_flow,
            "new_id",
            lambda: uuid.UUID(int=low | 7 << 76 | 2 << 62 | chance.getrandbits(62)),
        )

    return set_to


async def test_an_error_that_confidence_does_not_tell_is_a_gap(
    ctx: Context, scenario: Scenario, clock: Any
) -> None:
    today = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
    clock(today)
    await monitors.put(ctx, scenario.caller, "gap", asked("gap"))
    await scenario.policy(audit={"probability": 1.0})
    found = []
    for n in range(2):
        clock(today + n * ONE_DAY + TEN_O_CLOCK)
        for _ in range(12):
            await scenario.resolved(label="negative", confidence=0.98)
        clock(today + (n + 1) * ONE_DAY + timedelta(hours=2))
        await concept.run_once(ctx)
        found.append((await monitors.get(ctx, scenario.project, "gap")).states[0].state)

    assert found == ["warning", "drifting"]
    async with ctx.db.read() as tx:
        results = await tx.raw.fetchval("SELECT results FROM evaluations ORDER BY id LIMIT 1")
    assert results[0]["audited_error"] == 1.0
    assert results[0]["without_labels"] == pytest.approx(0.02)
    assert (results[0]["accepted"], results[0]["direction"]) == (12, "worse")
