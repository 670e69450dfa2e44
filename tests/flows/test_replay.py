"""Recorded decisions are explained, made again, and given out as receipts, from what is stored."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.core.errors import NotFound
from app.core.routing.draw import day_of
from app.core.routing.prediction import Prediction
from app.core.routing.verify import verify
from app.flows import explain as flow
from app.flows.context import Context
from app.flows.predict import Answered
from app.store.ids import new_id
from tests.core.routing.random_decisions import MONITORS, Random
from tests.scenario import Scenario

POLICIES = 5
PREDICTIONS = 40
UNSURE = {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"}
LONG = {"id": "long", "when": "prediction.features.n > 5", "route": "review", "queue": "triage"}


def as_posted(fields: dict[str, Any]) -> Prediction:
    return msgspec.json.decode(msgspec.json.encode(fields), type=Prediction)


def the_next_day(decision_id: uuid.UUID) -> datetime:
    day = day_of(decision_id) + timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


async def change(ctx: Context, decision_id: uuid.UUID, **values: Any) -> None:
    """What no flow ever does to a recorded decision."""
    async with ctx.db.write() as tx:
        for column, value in values.items():
            await tx.raw.execute(
                f"UPDATE decisions SET {column} = $1 WHERE id = $2", value, decision_id
            )


@pytest.mark.slow
async def test_two_hundred_random_decisions_come_out_again_from_the_database(
    ctx: Context, scenario: Scenario
) -> None:
    """Takes a second or two: each is committed, read back, made again and verified offline."""
    made = Random(85)
    for queue in ("triage", "experts"):
        await scenario.queue(queue)
    for monitor in MONITORS:
        await scenario.monitor(monitor, "drifting", version="1")
        await scenario.monitor(monitor, "warning", version="2", segment="source:a")
    made_ids = []

    for version in range(POLICIES):
        document = made.document()
        await scenario.policy(*document.pop("rules"), **document)
        posted = [
            # one in ten is of a model without a policy
            made.prediction(f"req-{version}-{n}", "sentiment" if n % 10 else "toxicity")
            for n in range(PREDICTIONS)
        ]
        for answer in await scenario.decide(*map(as_posted, posted)):
            assert isinstance(answer, Answered), answer
            made_ids.append(answer.decision.id)

    assert len(made_ids) == POLICIES * PREDICTIONS
    for decision_id in made_ids:
        replayed = await flow.replay(ctx, scenario.project, decision_id)
        assert (replayed.differences, replayed.notes) == ([], [])
        receipt = await flow.receipt(ctx, scenario.project, decision_id)
        assert verify(msgspec.json.encode(receipt)).valid
        await flow.explain(ctx, scenario.project, decision_id)


async def test_a_decision_under_a_version_that_is_retired_by_now_comes_out_again(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(UNSURE)
    before = await scenario.decided(confidence=0.8)
    await scenario.policy({**UNSURE, "confidence": {"below": 0.5}})

    replayed = await flow.replay(ctx, scenario.project, before.decision.id)

    assert replayed.differences == []


@pytest.mark.parametrize("shadow", [False, True])
async def test_a_priority_of_its_own_comes_out_again(
    ctx: Context, scenario: Scenario, shadow: bool
) -> None:
    await scenario.policy({**UNSURE, "priority": 90})
    decided = await scenario.decided(confidence=0.1, shadow=shadow)

    receipt = await flow.receipt(ctx, scenario.project, decided.decision.id)
    replayed = await flow.replay(ctx, scenario.project, decided.decision.id)

    assert receipt.decision.priority == 90
    assert replayed.differences == []


async def test_a_decision_that_was_settled_by_a_human_comes_out_again(
    ctx: Context, scenario: Scenario
) -> None:
    settled = await scenario.resolved("negative")

    replayed = await flow.replay(ctx, scenario.project, settled.decision.id)

    assert replayed.differences == []


async def test_a_row_that_was_changed_does_not_come_out_again(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(UNSURE)
    decided = await scenario.decided(confidence=0.9)
    await change(ctx, decided.decision.id, confidence=0.95, audit_draw=0.5)

    replayed = await flow.replay(ctx, scenario.project, decided.decision.id)

    assert [(found.field, found.recorded) for found in replayed.differences] == [
        ("confidence", 0.95),
        ("audit_draw", 0.5),
    ]
    assert replayed.differences[0].recomputed == 0.9


async def test_an_erased_payload_is_said_to_be_so(ctx: Context, scenario: Scenario) -> None:
    await scenario.policy(LONG)
    decided = await scenario.decided(features={"n": 7})
    rest = '{"label":"positive","model":"sentiment","model_version":"1","request_key":"req-1"}'
    await change(ctx, decided.decision.id, prediction=rest)

    replayed = await flow.replay(ctx, scenario.project, decided.decision.id)

    assert "prediction.digest" in {found.field for found in replayed.differences}
    assert "rules.long.state" in {found.field for found in replayed.differences}
    assert "erased in part" in replayed.notes[0]


async def test_a_policy_that_this_release_refuses_stops_neither_receipt_nor_explanation(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(UNSURE)
    decided = await scenario.decided(confidence=0.1)
    async with ctx.db.write() as tx:
        await tx.raw.execute(
            'UPDATE policy_versions SET document = document || \'{"rules": [{"id": "r"}]}\''
        )
    ctx.views._policies.clear()

    replayed = await flow.replay(ctx, scenario.project, decided.decision.id)
    explained = await flow.explain(ctx, scenario.project, decided.decision.id)
    receipt = await flow.receipt(ctx, scenario.project, decided.decision.id)

    assert "policy" in {found.field for found in replayed.differences}
    assert replayed.notes[-1].startswith("This release refuses the policy sentiment@1")
    assert "this release refuses" in explained.explanation.summary
    assert explained.policy is not None
    assert receipt.decision.states == ["fired"]


async def test_the_key_of_a_day_is_given_out_once_it_is_over_by_the_database_clock(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(audit={"probability": 1})
    decided = await scenario.decided()
    over = the_next_day(decided.decision.id)

    ctx.db.now = over - timedelta(microseconds=1)
    early = await flow.receipt(ctx, scenario.project, decided.decision.id)
    ctx.db.now = over
    late = await flow.receipt(ctx, scenario.project, decided.decision.id)

    assert (early.draw.key, early.draw.available_at) == (None, over)
    assert late.draw.key is not None
    assert early.draw.key_sha256 == late.draw.key_sha256
    for receipt in (early, late):
        found = verify(msgspec.json.encode(receipt))
        assert found.valid
        assert bool(found.notes) == (receipt is early)


async def test_another_projects_decision_is_not_there(ctx: Context, scenario: Scenario) -> None:
    theirs = await (await Scenario.start(ctx)).decided()

    for act in (flow.explain, flow.replay, flow.receipt):
        for unknown in (theirs.decision.id, new_id()):
            with pytest.raises(NotFound):
                await act(ctx, scenario.project, unknown)
