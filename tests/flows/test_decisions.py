"""Reading decisions back: one, by the caller's own id, many, or a walk through all."""

import asyncio
import uuid
from typing import Any

import pytest

from app.core.errors import NotFound
from app.flows import decisions as flow
from app.flows.context import Context
from app.store import recorded_decisions as store
from app.store.ids import new_id
from app.store.recorded_decisions import Filter
from tests.scenario import Scenario


async def walk(scenario: Scenario, limit: int, **wanted: Any) -> list[str]:
    """Request keys of all pages."""
    seen, after = [], None
    for _ in range(100):
        page, after = await flow.list_decisions(
            scenario.ctx, scenario.project, Filter(**wanted), after, limit
        )
        seen += [one.decision.request_key for one in page]
        if after is None:
            return seen
    pytest.fail("the walk did not end")


async def test_human_answer_is_shown_once_it_is_there(ctx: Context, scenario: Scenario) -> None:
    answered = await scenario.resolved("negative")

    found = await flow.find(ctx, scenario.project, answered.decision.id)

    answer = found.decision.resolution
    assert answer is not None
    assert (answer.label, answer.outcome, answer.judge, answer.agreed) == (
        "negative",
        "labeled",
        "single",
        False,
    )


async def test_decision_reads_back_as_it_was_answered(ctx: Context, scenario: Scenario) -> None:
    await scenario.policy(
        {"id": "odd", "when": "prediction.features.n > 1", "route": "review", "queue": "triage"}
    )
    answered = await scenario.decided()

    found = await flow.find(ctx, scenario.project, answered.decision.id)

    assert found.decision == answered.decision
    assert found.policy == answered.policy


async def test_waiting_reader_hears_of_the_answer_while_it_waits(
    committed_ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = await Scenario.start(committed_ctx)
    answered = await scenario.decided()
    looks = asyncio.Event()
    looked = flow._found

    async def looking(*args: Any) -> Any:
        found = await looked(*args)
        looks.set()
        return found

    monkeypatch.setattr(flow, "_found", looking)
    monkeypatch.setattr("app.flows.waiting.LOOK_AGAIN_S", 0.01)
    waiting = asyncio.create_task(
        flow.find(committed_ctx, scenario.project, answered.decision.id, wait_s=30)
    )
    # it has looked once and found nothing
    await looks.wait()

    lease = await scenario.leased()
    assert not waiting.done()
    await scenario.corrected(lease, "negative")

    found = await waiting
    assert found.decision.resolution is not None
    assert found.decision.resolution.label == "negative"


async def test_reader_does_not_wait_for_what_nobody_was_asked(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(audit={"probability": 1e-6})
    answered = await scenario.decided()

    async with asyncio.timeout(5):
        found = await flow.find(ctx, scenario.project, answered.decision.id, wait_s=30)

    assert found.decision.resolution is None


async def test_reader_gives_up_waiting(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.flows.waiting.LOOK_AGAIN_S", 0.01)
    answered = await scenario.decided()

    found = await flow.find(ctx, scenario.project, answered.decision.id, wait_s=0.05)

    assert found.decision.resolution is None


async def test_decision_that_is_not_there_or_of_another_project_is_not_found(
    ctx: Context, scenario: Scenario
) -> None:
    theirs = await (await Scenario.start(ctx)).decided()

    for unknown in (new_id(), theirs.decision.id):
        with pytest.raises(NotFound):
            await flow.find(ctx, scenario.project, unknown)


async def test_many_are_looked_up_by_ids_and_request_keys(ctx: Context, scenario: Scenario) -> None:
    made = [await scenario.decided(request_key=f"req-{n}") for n in range(4)]
    theirs = await (await Scenario.start(ctx)).decided(request_key="req-theirs")

    found = await flow.lookup(
        ctx,
        scenario.project,
        [made[0].decision.id, made[1].decision.id, theirs.decision.id, uuid.UUID(int=0)],
        ["req-1", "req-2", "req-theirs", "req-nowhere"],
    )

    assert sorted(one.decision.request_key for one in found) == ["req-0", "req-1", "req-2"]


async def test_walk_sees_every_row_once_while_rows_arrive(scenario: Scenario) -> None:
    keys = [f"req-{n:02}" for n in range(25)]
    for key in keys[:15]:
        await scenario.decided(request_key=key)
    seen, after = [], None
    arriving = iter(keys[15:])

    while True:
        page, after = await flow.list_decisions(
            scenario.ctx, scenario.project, Filter(), after, limit=4
        )
        seen += [one.decision.request_key for one in page]
        if after is None:
            break
        for _, key in zip(range(2), arriving, strict=False):
            await scenario.decided(request_key=key)

    assert seen == keys[: len(seen)]
    assert len(seen) >= 15


@pytest.mark.parametrize("limit", [1, 4, 7, 10])
async def test_filtered_walk_that_hits_the_limit_of_scanned_rows_still_ends_with_everything(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(store, "SCANNED_MAX", 5)
    for n in range(21):
        await scenario.decided(request_key=f"req-{n:02}", label="rare" if n % 9 == 8 else "usual")

    rare = await walk(scenario, limit, label="rare")

    assert rare == ["req-08", "req-17"]
    assert len(await walk(scenario, limit)) == 21


async def test_page_that_scanned_its_limit_ends_with_a_cursor(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SCANNED_MAX", 5)
    for _ in range(6):
        await scenario.decided(label="usual")

    page, after = await flow.list_decisions(
        scenario.ctx, scenario.project, Filter(label="rare"), None, limit=10
    )

    assert page == []
    assert after is not None
