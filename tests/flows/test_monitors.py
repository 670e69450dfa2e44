"""Monitors and what operators do to them."""

import asyncio
import random
import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.core.drift.watched import TimingAsked
from app.core.drift.windows import Timing
from app.core.errors import (
    Invalid,
    MonitorFixed,
    MonitorInUse,
    MonitorsFull,
    NotFound,
    NothingToAccept,
    TimingFixed,
)
from app.flows import monitor_acts, monitors
from app.flows import predict as predict_flow
from app.flows.context import Context
from app.store.ids import lowest_id_at, utc_now
from tests.scenario import Scenario
from tests.watched_model import HOUR, MIDNIGHT, WatchedModel, document_of, drifted, refer, usual

MINUTE = timedelta(minutes=1)
USUAL = TimingAsked()


def asked(signal: str = "confidence", **changes: Any) -> monitors.Asked:
    values: dict[str, Any] = {
        "model": "sentiment",
        "signal": signal,
        "reference": None,
        "certified_error": None,
        "timing": USUAL,
        **changes,
    }
    return monitors.Asked(**values)


async def logged(scenario: Scenario, target: str) -> list[tuple[str, Any, Any]]:
    async with scenario.ctx.db.read() as tx:
        rows = await tx.raw.fetch(
            "SELECT action, before, after FROM change_log WHERE project_id = $1 AND target = $2 "
            "ORDER BY id",
            scenario.project,
            target,
        )
    return [tuple(row) for row in rows]


async def a_drifting(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, *signals: str, rows: int = 400
) -> WatchedModel:
    """Monitors of `features` and others; a severe shift within the first hour."""
    model = await WatchedModel.start(
        scenario, monkeypatch, "features", *signals, timing=Timing(3600, 900, (1,))
    )
    await model.predicted(MIDNIGHT + MINUTE, rows, drifted)
    await model.evaluate(MIDNIGHT + 2 * HOUR)
    assert await model.states("features") == {1: "drifting"}
    return model


async def test_a_first_monitor_gives_its_model_the_usual_timing(
    ctx: Context, scenario: Scenario
) -> None:
    ctx.db.now = MIDNIGHT + 20 * MINUTE
    reference = await refer(scenario, document_of(usual, 50))

    shown, new = await monitors.put(ctx, scenario.caller, "c", asked(reference=reference.name))

    assert new
    assert shown.monitor.timing == Timing(3600, 900, (1, 24))
    assert (shown.monitor.reference, shown.monitor.reference_version) == (reference.name, 1)
    async with ctx.db.read() as tx:
        first_open = await tx.raw.fetchval("SELECT first_open FROM monitored_models")
    assert first_open == MIDNIGHT.timestamp() // 3600


async def test_of_many_at_once_one_makes_the_monitor(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)
    once = asked("gap")

    made = await asyncio.gather(
        *(monitors.put(committed_ctx, scenario.caller, "g", once) for _ in range(6)),
        *(
            monitors.put(committed_ctx, scenario.caller, "g", asked("gap", model="other"))
            for _ in range(6)
        ),
        return_exceptions=True,
    )

    shown = [one for one in made if not isinstance(one, BaseException)]
    assert [new for _, new in shown].count(True) == 1
    assert len(shown) == 6
    assert len({now.monitor.id for now, _ in shown}) == 1
    refused = [one for one in made if isinstance(one, BaseException)]
    assert all(isinstance(one, MonitorFixed) for one in refused), refused


async def test_the_same_again_changes_nothing(ctx: Context, scenario: Scenario) -> None:
    reference = await refer(scenario, document_of(usual, 50))
    once = asked(reference=reference.name)
    first, _ = await monitors.put(ctx, scenario.caller, "c", once)

    second, new = await monitors.put(ctx, scenario.caller, "c", once)

    assert (new, second.monitor) == (False, first.monitor)
    assert [action for action, *_ in await logged(scenario, "monitor:c")] == ["monitor.put"]


async def test_monitors_of_a_model_share_their_timing(ctx: Context, scenario: Scenario) -> None:
    quick = TimingAsked(60, 5, (10, 1))
    first, _ = await monitors.put(ctx, scenario.caller, "g", asked("gap", timing=quick))

    other, _ = await monitors.put(
        ctx, scenario.caller, "d", asked("concept", certified_error=0.05, timing=TimingAsked(60))
    )
    with pytest.raises(TimingFixed, match="60"):
        await monitors.put(ctx, scenario.caller, "e", asked("gap", timing=TimingAsked(61)))

    assert first.monitor.timing == other.monitor.timing == Timing(60, 5, (1, 10))
    # without monitors there is nothing to share
    for name in ("g", "d"):
        await monitors.remove(ctx, scenario.caller, name)
    again, _ = await monitors.put(ctx, scenario.caller, "e", asked("gap", timing=TimingAsked(61)))
    assert again.monitor.timing == Timing(61, 5, (1, 10))


async def test_a_new_timing_forgets_what_was_counted_by_the_old_one(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    await model.predicted(MIDNIGHT + MINUTE, 5)
    await model.fold()
    await monitors.remove(scenario.ctx, scenario.caller, "confidence")

    await monitors.put(
        scenario.ctx, scenario.caller, "g", asked("gap", timing=TimingAsked(60, 5, (1,)))
    )

    assert await model.stored() == {}


async def test_what_a_monitor_watches_cannot_change(ctx: Context, scenario: Scenario) -> None:
    await monitors.put(ctx, scenario.caller, "m", asked("gap"))

    for other in (
        asked("concept", certified_error=0.05),
        asked("gap", model="other"),
    ):
        with pytest.raises(MonitorFixed):
            await monitors.put(ctx, scenario.caller, "m", other)

    assert (await monitors.get(ctx, scenario.project, "m")).monitor.signal == "gap"


async def test_a_reference_must_be_there_and_fit(ctx: Context, scenario: Scenario) -> None:
    ours = await refer(scenario, document_of(usual, 50))
    theirs = await refer(scenario, document_of(usual, 50), model="other")

    for signal, reference, place in (
        ("confidence", "none", "reference"),
        ("confidence", f"{ours.name}@2", "reference"),
        ("confidence", theirs.name, "reference"),
        ("embedding", ours.name, "signal"),
        ("feature:none", ours.name, "signal"),
    ):
        with pytest.raises(Invalid) as refused:
            await monitors.put(ctx, scenario.caller, "c", asked(signal, reference=reference))
        assert [loc for loc, _ in refused.value.places] == [(place,)]


async def test_a_model_has_so_many_monitors_at_most(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitors, "MONITORS_MAX", 2)
    for name in ("a", "b"):
        await monitors.put(ctx, scenario.caller, name, asked("gap"))

    with pytest.raises(MonitorsFull):
        await monitors.put(ctx, scenario.caller, "c", asked("gap"))

    await monitors.put(ctx, scenario.caller, "c", asked("gap", model="other"))


async def test_with_another_reference_a_monitor_starts_again_and_says_so(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await a_drifting(scenario, monkeypatch, "confidence")
    other = await refer(scenario, document_of(drifted, 2000))

    shown, new = await monitors.put(
        scenario.ctx, scenario.caller, "features", asked("features", reference=other.name)
    )

    assert (new, shown.states) == (False, [])
    assert len(await model.evaluations("features")) == 1
    assert await model.states("confidence") == {1: "stable"}
    last = (await model.events())[-1]
    assert (last["monitor"], last["from"], last["to"]) == ("features", "drifting", "collecting")
    assert last["evaluation"] is None
    action, before, after = (await logged(scenario, "monitor:features"))[-1]
    assert (action, before["reference"], after["reference"]) == (
        "monitor.put",
        f"{model.reference.name}@1",
        f"{other.name}@1",
    )


async def test_an_acknowledgement_is_of_what_was_found_before_it(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await a_drifting(scenario, monkeypatch)
    model.now(MIDNIGHT + 3 * HOUR)

    shown = await monitor_acts.acknowledge(scenario.ctx, scenario.caller, "features")

    assert shown.monitor.acknowledged_at == MIDNIGHT + 3 * HOUR
    assert shown.monitor.acknowledged_by == scenario.caller.name
    assert [state.state for state in shown.states] == ["drifting"]
    assert (await logged(scenario, "monitor:features"))[-1][0] == "monitor.acknowledged"


async def test_a_muted_monitor_is_taken_for_stable_until_its_time(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await a_drifting(scenario, monkeypatch)
    now = MIDNIGHT + 3 * HOUR
    model.now(now)

    async def routed() -> str:
        view = await scenario.ctx.views.projects.get(scenario.project)
        state, _ = view.monitors["sentiment"].of["features"]["1", ""]
        return state

    before = await routed()
    await monitor_acts.mute(scenario.ctx, scenario.caller, "features", HOUR)
    muted = await routed()
    model.now(now + HOUR)
    after = await routed()
    await monitor_acts.mute(scenario.ctx, scenario.caller, "features", now + 5 * HOUR)
    await monitor_acts.unmute(scenario.ctx, scenario.caller, "features")

    assert [before, muted, after, await routed()] == ["drifting", "stable", "drifting", "drifting"]
    actions = [action for action, *_ in await logged(scenario, "monitor:features")]
    assert actions[1:] == ["monitor.muted", "monitor.muted", "monitor.unmuted"]


async def test_a_mute_is_no_longer_than_thirty_days(ctx: Context, scenario: Scenario) -> None:
    await monitors.put(ctx, scenario.caller, "g", asked("gap"))

    with pytest.raises(Invalid):
        await monitor_acts.mute(ctx, scenario.caller, "g", timedelta(days=30, seconds=1))


async def test_a_monitor_that_a_policy_names_is_not_removed(
    ctx: Context, scenario: Scenario
) -> None:
    await monitors.put(ctx, scenario.caller, "g", asked("gap"))
    await scenario.queue("rare")
    response = {"monitor": "g", "when": "drifting", "audit_probability": 0.05}
    version = await scenario.policy(on_drift=[response])

    with pytest.raises(MonitorInUse, match=f"sentiment@{version.version}"):
        await monitors.remove(ctx, scenario.caller, "g")
    await scenario.policy()
    await monitors.remove(ctx, scenario.caller, "g")

    with pytest.raises(NotFound):
        await monitors.get(ctx, scenario.project, "g")
    assert [a for a, *_ in await logged(scenario, "monitor:g")] == [
        "monitor.put",
        "monitor.removed",
    ]


async def test_a_removed_monitor_leaves_its_evaluations(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await a_drifting(scenario, monkeypatch)

    await monitors.remove(scenario.ctx, scenario.caller, "features")

    assert len(await model.evaluations("features")) == 1
    assert await model.states("features") == {}


@pytest.fixture
def hour(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The beginning of this hour; ids of decisions are of the time at which these are made.

    References are made of decisions by their ids, and those have partitions around the present.
    """
    chance = random.Random(1)

    def minted() -> uuid.UUID:
        low = lowest_id_at(vars(predict_flow)["utc_now"]()).int
        return uuid.UUID(int=low | 7 << 76 | 2 << 62 | chance.getrandbits(62))

    monkeypatch.setattr(predict_flow, "new_id", minted)
    return utc_now().replace(minute=0, second=0, microsecond=0)


async def test_accepting_makes_the_window_the_reference_of_all_that_compared_with_the_old_one(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, hour: datetime
) -> None:
    timing = Timing(3600, 900, (1,))
    model = await WatchedModel.start(
        scenario, monkeypatch, "features", "confidence", at=hour, timing=timing
    )
    await model.predicted(hour + MINUTE, 1000, drifted)
    # too few to be tested: they bring nothing about
    await model.predicted(hour + HOUR + MINUTE, 50, drifted)
    await model.evaluate(hour + 3 * HOUR)

    accepted = await monitor_acts.accept(scenario.ctx, scenario.caller, "features")

    made = accepted.reference
    assert (made.name, made.version, made.predictions) == (model.reference.name, 2, 1000)
    assert accepted.monitors == ["confidence", "features"]
    for name in accepted.monitors:
        shown = await monitors.get(scenario.ctx, scenario.project, name)
        assert (shown.monitor.reference_version, shown.states) == (2, [])
    # what drifted before is usual now
    await model.predicted(hour + 4 * HOUR, 400, drifted)
    await model.evaluate(hour + 6 * HOUR)
    assert await model.states("features") == {1: "stable"}
    assert (await logged(scenario, "monitor:features"))[-1] == (
        "monitor.accepted",
        {"reference": f"{made.name}@1"},
        {"reference": f"{made.name}@2"},
    )


async def test_a_calm_monitor_has_nothing_to_accept(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(
        scenario, monkeypatch, "features", timing=Timing(3600, 900, (1,))
    )
    await model.predicted(MIDNIGHT + MINUTE, 1000)
    await model.evaluate(MIDNIGHT + 2 * HOUR)

    with pytest.raises(NothingToAccept, match="neither"):
        await monitor_acts.accept(scenario.ctx, scenario.caller, "features")


async def test_a_thin_window_is_no_reference(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await a_drifting(scenario, monkeypatch, rows=999)

    with pytest.raises(NothingToAccept, match="999"):
        await monitor_acts.accept(scenario.ctx, scenario.caller, "features")

    async with scenario.ctx.db.read() as tx:
        references = await tx.raw.fetchval(
            "SELECT count(*) FROM drift_references WHERE project_id = $1", scenario.project
        )
    assert references == 1
    assert await model.states("features") == {1: "drifting"}


async def test_errors_have_no_reference_to_accept(ctx: Context, scenario: Scenario) -> None:
    await monitors.put(ctx, scenario.caller, "g", asked("gap"))

    with pytest.raises(NothingToAccept, match="no reference"):
        await monitor_acts.accept(ctx, scenario.caller, "g")
