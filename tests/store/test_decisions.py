"""What the tables themselves refuse about decisions, and how the hot insert decides who is first."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from app.core.routing.decision import Decision
from app.flows.context import Context
from app.flows.predict import Deciding, _decided, _deciding
from app.store.decision_rows import (
    ASKED_COLUMNS,
    DECISION_COLUMNS,
    ITEM_COLUMNS,
    NewDecision,
)
from app.store.decisions import (
    PartitionMissingError,
    RowsRefusedError,
    insert_few,
    insert_many,
    kept_keys,
)
from app.store.engine import Writer
from app.store.ids import lowest_id_at, new_id
from app.store.policies import routing_view
from app.store.recorded_decisions import decisions_by_id
from tests.flows.tables import counted, rows
from tests.scenario import Scenario

Insert = Callable[[Writer, list[NewDecision]], Awaitable[set[uuid.UUID]]]


@pytest.fixture(params=[insert_few, insert_many])
def insert(request: pytest.FixtureRequest) -> Insert:
    """Each way to write the same rows."""
    way: Insert = request.param
    return way


async def new_decision(scenario: Scenario, **changes: Any) -> NewDecision:
    _, row = await decided(scenario, **changes)
    return row


async def decided(scenario: Scenario, **changes: Any) -> tuple[Decision, NewDecision]:
    async with scenario.ctx.db.read() as tx:
        view = await routing_view(tx, scenario.project)
    posted = scenario.posted(**changes)
    answered, row = _decided(scenario.project, view, Deciding.by(None, None), posted, None)
    return answered.decision, row


async def test_only_new_request_keys_are_inserted_and_the_others_say_what_they_stand_for(
    ctx: Context, scenario: Scenario, insert: Insert
) -> None:
    first_decision, first = await decided(scenario, request_key="a")
    repeated = await new_decision(scenario, request_key="a")
    second_decision, new = await decided(scenario, request_key="b")
    async with ctx.db.write() as tx:
        await insert(tx, [first])

    async with ctx.db.write() as tx:
        inserted = await insert(tx, [repeated, new])

    assert inserted == {new.id}
    async with ctx.db.read() as tx:
        kept = await kept_keys(tx, [(scenario.project, key) for key in ("a", "b", "c")])
        found = await decisions_by_id(tx, scenario.project, [first.id, repeated.id, new.id])
    assert {key: entry.decision_id for (_, key), entry in kept.items()} == {
        "a": first.id,
        "b": new.id,
    }
    assert kept[scenario.project, "a"].digest == first.digest
    assert found == {first.id: first_decision, new.id: second_decision}


async def test_decision_of_another_project_is_not_found(
    ctx: Context, scenario: Scenario, insert: Insert
) -> None:
    row = await new_decision(scenario)
    async with ctx.db.write() as tx:
        await insert(tx, [row])

        assert await decisions_by_id(tx, new_id(), [row.id]) == {}
        assert await kept_keys(tx, [(new_id(), row.request_key)]) == {}


async def test_transaction_that_fails_leaves_nothing(
    ctx: Context, scenario: Scenario, insert: Insert
) -> None:
    row = await new_decision(scenario, request_key="a")

    async def inserts_and_fails() -> None:
        async with ctx.db.write() as tx:
            await insert(tx, [row])
            raise LookupError

    with pytest.raises(LookupError):
        await inserts_and_fails()

    async with ctx.db.read() as tx:
        assert await kept_keys(tx, [(scenario.project, "a")]) == {}
        assert await decisions_by_id(tx, scenario.project, [row.id]) == {}


async def test_both_ways_write_the_same_rows_and_count_the_new_ones_only(
    ctx: Context, scenario: Scenario, insert: Insert
) -> None:
    await scenario.policy(audit={"probability": 1.0})
    async with ctx.db.read() as tx:
        view = await routing_view(tx, scenario.project)
    deciding = await _deciding(ctx, scenario.project, view, "sentiment")
    audited, again, plain = (
        _decided(
            scenario.project, view, deciding, scenario.posted(request_key=key, **EVERYTHING), None
        )[1]
        for key in ("a", "a", "b")
    )
    async with ctx.db.write() as tx:
        await insert(tx, [audited])

    async with ctx.db.write() as tx:
        await insert(tx, [again, plain])

    stored = await rows(ctx, scenario.project, "decisions")
    assert {row["id"]: tuple(row[name] for name in DECISION_COLUMNS) for row in stored} == {
        row.id: row.values for row in (audited, plain)
    }
    items = await rows(ctx, scenario.project, "items")
    assert {row["id"]: without_json(row) for row in items} == {
        asked["id"]: without_json(asked)
        for row in (audited, plain)
        if row.asked is not None
        for asked in [dict(zip(ASKED_COLUMNS, row.asked, strict=True))]
    }
    assert {row["item_id"] for row in await rows(ctx, scenario.project, "assignments")} == {
        row["id"] for row in items
    }
    assert await counted(ctx, scenario.project) == {"accept": [2, 2]}


EVERYTHING = {
    "scores": {"positive": 0.75, "negative": 0.25},
    "features": {"n_tokens": 12},
    "segment": {"source": "tweets"},
    "embedding": [0.5],
    "input_key": "i-1",
    "context_key": "c-1",
    "risk": 0.5,
}


def without_json(row: Any) -> dict[str, Any]:
    """What an item copies, but for JSON, which is text on the way in."""
    return {name: row[name] for name, kind in ITEM_COLUMNS.items() if kind != "jsonb"}


INSERT = """
    INSERT INTO decisions (project_id, id, request_key, model, model_version, route, reason, trace,
      audited, inclusion_probability, stratum, shadow, digest, item_id, decided_at, prediction,
      priority)
    VALUES ($1, $2, 'r', 'm', '1', $3, 'default', '', $4, $5, 's', $6, $7, $8, now(), '{}', 50)
"""
ITEM = uuid.UUID(int=1)
NEVER = datetime(2060, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("constraint", "changes"),
    [
        ("ck_decisions_route", {"route": "maybe"}),
        ("ck_decisions_audit", {"route": "review", "audited": True, "item": ITEM}),
        ("ck_decisions_audit", {"audited": True, "shadow": True}),
        ("ck_decisions_item", {"route": "review", "item": None}),
        ("ck_decisions_item", {"audited": True, "item": None}),
        ("ck_decisions_item", {"item": ITEM}),
        ("ck_decisions_item", {"route": "review", "item": ITEM, "shadow": True}),
        ("ck_decisions_queue", {"route": "review", "item": ITEM}),
        ("ck_decisions_inclusion", {"inclusion": 0.0}),
        ("ck_decisions_inclusion", {"inclusion": 1.5}),
        ("ck_decisions_digest", {"digest": b"short"}),
    ],
)
async def test_table_refuses_a_decision_that_contradicts_itself(
    ctx: Context, constraint: str, changes: dict[str, Any]
) -> None:
    row = {
        "route": "accept",
        "audited": False,
        "inclusion": 0.5,
        "shadow": False,
        "digest": bytes(32),
        "item": None,
        **changes,
    }

    with pytest.raises(asyncpg.CheckViolationError) as refused:
        async with ctx.db.write() as tx:
            await tx.raw.execute(INSERT, new_id(), new_id(), *row.values())

    assert refused.value.constraint_name == constraint


async def test_missing_partition_is_told_from_a_row_that_is_refused(
    ctx: Context, scenario: Scenario, insert: Insert
) -> None:
    good = await new_decision(scenario)
    far = uuid.UUID(int=lowest_id_at(NEVER).int + 1)
    unpartitioned = structs.replace(good, id=far, values=changed(good, id=far))
    contradicting = structs.replace(good, values=changed(good, inclusion_probability=2.0))

    with pytest.raises(PartitionMissingError):
        async with ctx.db.write() as tx:
            await insert(tx, [unpartitioned])
    with pytest.raises(RowsRefusedError):
        async with ctx.db.write() as tx:
            await insert(tx, [contradicting])


def changed(row: NewDecision, **changes: Any) -> tuple[Any, ...]:
    """The values of a row, some of them others."""
    return tuple({**dict(zip(DECISION_COLUMNS, row.values, strict=True)), **changes}.values())
