"""A prediction becomes a decision, and all that belongs to it is committed with it."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec import structs

from app.core.errors import Invalid, OverruleError, RequestKeyConflict
from app.core.routing.draw import Chance, DayKey, day_key
from app.core.routing.prediction import Prediction, recorded
from app.flows import predict as flow
from app.flows.context import Context
from app.flows.predict import Answered
from app.store.ids import lowest_id_at, new_id
from app.store.partitions import partitions_until
from tests.flows.tables import counted, rows, sizes
from tests.scenario import Scenario

UNSURE = {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"}
# PostgreSQL's driver cannot encode it: in UTC it lies before the year 1
# the edge refuses it before; PostgreSQL would too
UNSTORABLE = "\x00"


def kinds(answers: list[Answered | OverruleError]) -> list[Any]:
    """`first`, `again`, or the code of the error."""
    return [
        answer.code if isinstance(answer, OverruleError) else "first" if answer.first else "again"
        for answer in answers
    ]


async def test_review_is_committed_with_its_item_and_its_assignment(
    ctx: Context, scenario: Scenario
) -> None:
    policy = await scenario.policy({**UNSURE, "priority": 90})

    answered = await scenario.decided(
        confidence=0.6, risk=0.2, context_key="thread-9", segment={"source": "tweets"}
    )

    (decision,) = await rows(ctx, scenario.project, "decisions")
    (item,) = await rows(ctx, scenario.project, "items")
    (assignment,) = await rows(ctx, scenario.project, "assignments")
    assert answered.decision.item is not None
    assert decision["item_id"] == item["id"] == assignment["item_id"] == answered.decision.item.id
    assert item["decision_id"] == decision["id"] == answered.decision.id
    assert decision["policy_id"] == item["policy_id"] == policy.id
    assert (item["kind"], item["state"], item["blocking"], item["blind"]) == (
        "review",
        "open",
        True,
        False,
    )
    assert (item["priority"], item["inclusion_probability"]) == (90, 1.0)
    for copied in ("model", "model_version", "label", "confidence", "reason", "stratum",
                   "decided_at"):  # fmt: skip
        assert item[copied] == decision[copied], copied
    posted = json.loads(decision["prediction"])
    for copied in ("risk", "context_key", "segment", "subject"):
        assert item[copied] == posted[copied], copied
    assert item["due_at"] - item["queued_at"] == timedelta(days=1)
    assert assignment["queue_id"] == item["queue_id"]
    assert assignment["state"] == "open"


async def test_audit_is_a_blind_item_that_does_not_block(ctx: Context, scenario: Scenario) -> None:
    await scenario.policy(audit={"probability": 1})

    answered = await scenario.decided()

    (item,) = await rows(ctx, scenario.project, "items")
    assert (answered.decision.outcome.route, answered.decision.outcome.audited) == ("accept", True)
    assert (item["kind"], item["blind"], item["blocking"]) == ("audit", True, False)
    assert answered.decision.item is not None
    assert (answered.decision.item.queue, answered.decision.item.blocking) == ("audits", False)


async def test_accepted_prediction_writes_no_item_and_its_draw_can_be_checked(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(audit={"probability": 1e-6})

    answered = await scenario.decided()

    (decision,) = await rows(ctx, scenario.project, "decisions")
    assert await sizes(ctx, scenario.project) == {
        "request_keys": 1, "decisions": 1, "items": 0, "assignments": 0, "inbox": 1,
    }  # fmt: skip
    assert answered.decision.item is None
    async with ctx.db.read() as tx:
        secret = await tx.raw.fetchval(
            "SELECT secret FROM projects WHERE id = $1", scenario.project
        )
    day = datetime.fromtimestamp((decision["id"].int >> 80) / 1000, UTC).date()
    assert decision["audit_draw"] == Chance(
        DayKey(day_key(secret, day)), decision["id"].bytes
    ).draw(b"audit")
    assert decision["inclusion_probability"] == 1e-6


async def test_without_a_policy_it_goes_to_the_builtin_queue(scenario: Scenario) -> None:
    answered = await scenario.decided()

    assert (answered.policy, answered.decision.outcome.reason) == (None, "no-policy")
    assert answered.decision.item is not None
    assert answered.decision.item.queue == "unrouted"


async def test_shadow_prediction_is_recorded_and_asks_nobody(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(UNSURE)

    answered = await scenario.decided(confidence=0.1, shadow=True)

    assert (answered.decision.outcome.route, answered.decision.item) == ("review", None)
    assert await sizes(ctx, scenario.project) == {
        "request_keys": 1, "decisions": 1, "items": 0, "assignments": 0, "inbox": 1,
    }  # fmt: skip
    (decision,) = await rows(ctx, scenario.project, "decisions")
    assert decision["inclusion_probability"] == 0


async def test_everything_that_was_posted_is_kept(ctx: Context, scenario: Scenario) -> None:
    posted = scenario.posted(
        confidence=None,
        scores={"positive": 0.75, "negative": 0.25},
        members=[{"name": "a", "label": "positive"}],
        features={"n_tokens": 12, "lang": "en", "sure": True, "none": None},
        embedding=[0.5, -1.0],
        input_key="i-1",
        output={"boxes": [1, 2]},
        occurred_at="2026-11-23T10:00:00.123456+02:00",
    )

    await scenario.decide(posted)

    (row,) = await rows(ctx, scenario.project, "decisions")
    assert msgspec.json.decode(row["prediction"], type=Prediction) == structs.replace(
        posted, embedding=None
    )
    assert row["embedding"] == b"\x00\x00\x00\x3f\x00\x00\x80\xbf"
    assert row["input_key"] == "i-1"
    assert row["digest"] == recorded(posted).digest
    (key,) = await rows(ctx, scenario.project, "request_keys")
    assert (key["decision_id"], key["digest"]) == (row["id"], row["digest"])


async def test_the_same_again_is_answered_with_the_first_decision(
    ctx: Context, scenario: Scenario
) -> None:
    posted = scenario.posted(confidence=0.5)
    (first,) = await scenario.decide(posted)
    # another policy by now: the first decision stands all the same
    await scenario.policy(audit={"probability": 0.5})
    before = await sizes(ctx, scenario.project)

    (again,) = await scenario.decide(posted)

    assert isinstance(first, Answered)
    assert isinstance(again, Answered)
    assert again.decision == first.decision
    assert (first.first, again.first) == (True, False)
    assert await sizes(ctx, scenario.project) == before


async def test_other_content_under_the_same_key_is_refused_and_changes_nothing(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.decided(request_key="req-1", confidence=0.5)
    before = {table: await rows(ctx, scenario.project, table) for table in ("decisions", "items")}

    (refused,) = await scenario.decide(scenario.posted(request_key="req-1", confidence=0.6))

    assert isinstance(refused, RequestKeyConflict)
    assert refused.places[0][0] == ("request_key",)
    assert before == {table: await rows(ctx, scenario.project, table) for table in before}


async def test_key_of_another_project_is_another_key(ctx: Context, scenario: Scenario) -> None:
    other = await Scenario.start(ctx)
    await scenario.decided(request_key="req-1", confidence=0.5)

    answered = await other.decided(request_key="req-1", confidence=0.6)

    assert answered.first


async def test_rows_of_one_request_are_answered_each_for_itself_and_in_order(
    ctx: Context, scenario: Scenario
) -> None:
    same = scenario.posted(request_key="req-same", confidence=0.5)
    conflicting = scenario.posted(request_key="req-same", confidence=0.6)
    contradictory = scenario.posted(scores={"a": 7.0})
    unstorable = scenario.posted(context_key=UNSTORABLE)

    answers = await scenario.decide(
        scenario.posted(), contradictory, same, unstorable, same, conflicting, scenario.posted()
    )

    assert kinds(answers) == [
        "first", "invalid", "first", "unstorable", "again", "request_key_conflict", "first",
    ]  # fmt: skip
    assert (await sizes(ctx, scenario.project))["decisions"] == 3


async def test_request_of_bad_rows_only_touches_no_table(ctx: Context, scenario: Scenario) -> None:
    answers = await scenario.decide(scenario.posted(scores={"a": 7.0}))

    assert kinds(answers) == ["invalid"]
    assert sum((await sizes(ctx, scenario.project)).values()) == 0


async def test_counts_are_of_the_rows_that_were_inserted_and_retries_are_not_counted_again(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(UNSURE, audit={"probability": 1})
    posted = [
        *(scenario.posted(confidence=0.9) for _ in range(3)),
        *(scenario.posted(confidence=0.1) for _ in range(2)),
    ]
    await scenario.decide(*posted)

    await scenario.decide(*posted, scenario.posted(confidence=0.1))

    assert await counted(ctx, scenario.project) == {"accept": [3, 3], "review": [3, 0]}
    assert (await sizes(ctx, scenario.project))["inbox"] == 2


async def test_dry_run_decides_and_stores_nothing(ctx: Context, scenario: Scenario) -> None:
    await scenario.policy(UNSURE)

    answered = await flow.dry_run(ctx, scenario.project, scenario.posted(confidence=0.5))

    assert (answered.decision.outcome.route, answered.decision.outcome.reason) == (
        "review",
        "unsure",
    )
    assert answered.policy is not None
    assert sum((await sizes(ctx, scenario.project)).values()) == 0


async def test_dry_run_refuses_what_would_be_refused(ctx: Context, scenario: Scenario) -> None:
    with pytest.raises(Invalid, match="logits"):
        await flow.dry_run(ctx, scenario.project, scenario.posted(scores={"a": 7.0}))


async def test_dry_run_without_a_policy_says_so(ctx: Context, scenario: Scenario) -> None:
    answered = await flow.dry_run(ctx, scenario.project, scenario.posted())

    assert (answered.policy, answered.decision.outcome.reason) == (None, "no-policy")


async def test_week_without_a_partition_gets_one_and_the_insert_goes_on(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ctx.db.read() as tx:
        horizon = await partitions_until(tx)
    assert horizon is not None
    far = horizon + timedelta(days=20)

    def minted_in_a_far_week() -> uuid.UUID:
        return uuid.UUID(int=lowest_id_at(far).int | (new_id().int & (2**80 - 1)))

    monkeypatch.setattr(flow, "new_id", minted_in_a_far_week)

    answers = await scenario.decide(scenario.posted(), scenario.posted())

    assert kinds(answers) == ["first", "first"]
    async with ctx.db.read() as tx:
        assert await partitions_until(tx) == week_after(far)
    assert (await sizes(ctx, scenario.project))["decisions"] == 2


def week_after(moment: datetime) -> datetime:
    monday = moment.replace(hour=0, minute=0) - timedelta(days=moment.weekday())
    return monday + timedelta(days=7)


# a pattern takes milliseconds for a row; of quick rows a hundred are decided at a stretch
@pytest.mark.parametrize(
    ("when", "rows", "turns_of_others"),
    [
        pytest.param("prediction.label.matches('^z{2,9}$')", 50, 50, id="slow policy"),
        pytest.param("prediction.label == 'z'", 301, 4, id="quick policy"),
    ],
)
async def test_others_get_their_turn_between_the_rows_of_one_request(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, when: str, rows: int, turns_of_others: int
) -> None:
    await scenario.policy({"id": "odd", "when": when, "route": "reject"})
    turns, decided = 0, flow._decided
    turns_at_row: list[int] = []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def noting(*of: Any) -> Any:
        turns_at_row.append(turns)
        return decided(*of)

    monkeypatch.setattr(flow, "_decided", noting)
    beside = asyncio.create_task(others())
    await scenario.decide(*(scenario.posted() for _ in range(rows)))
    beside.cancel()

    assert len(set(turns_at_row)) == turns_of_others
