"""Decisions: the hot insert. `recorded_decisions.py` reads them back."""

import uuid
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from app.core.review.queue import Queue, rank
from app.core.routing.counts import CountKey, count
from app.core.routing.decision import Decision, Outcome
from app.core.routing.prediction import Prediction, float32_bytes
from app.store.engine import Reader, Writer
from app.store.ids import new_id


class NewDecision(Struct, frozen=True, gc=False):
    """A decision that is to be committed, with all that is recorded beside it.

    `queue` is where its item goes; None when nobody is asked. `assignment_id` belongs to that
    item.
    """

    project_id: uuid.UUID
    decision: Decision
    prediction: Prediction
    outcome: Outcome
    digest: bytes
    count_key: CountKey
    queue: Queue | None
    assignment_id: uuid.UUID | None


class RowsRefusedError(Exception):
    """PostgreSQL cannot keep one of the rows; nothing was inserted."""


class PartitionMissingError(Exception):
    """There is no partition for the week of one of the rows; nothing was inserted."""


class Kept(Struct, frozen=True, gc=False):
    """What a request key already stands for."""

    decision_id: uuid.UUID
    digest: bytes


async def insert_decisions(tx: Writer, rows: list[NewDecision]) -> set[uuid.UUID]:
    """Commit decisions with their request keys, items, assignments and counts.

    Two writers can meet at one request key only: `request_keys` decides who is first (the other
    waits for that commit and then inserts nothing). Rows go in the order of (project, request
    key), so two writers with the same keys wait for each other in one direction and never
    deadlock. Everything else is keyed by ids that only this call knows.

    Args:
        tx: the transaction.
        rows: each (project, request key) once.

    Returns:
        Ids of the decisions that are new; the others were there under their request key.

    Raises:
        PartitionMissingError: `ensure_partitions` for the ids' weeks, and try again.
        RowsRefusedError: try without the row that PostgreSQL cannot keep.
    """
    try:
        return await _insert(tx, rows)
    except _ROW_REFUSED as error:
        # the same code as for a violated CHECK, which has a name; the message is in any language
        if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None:
            raise PartitionMissingError(str(error)) from error
        raise RowsRefusedError(str(error)) from error


async def _insert(tx: Writer, rows: list[NewDecision]) -> set[uuid.UUID]:
    ordered = sorted(rows, key=lambda row: (row.project_id.bytes, row.decision.request_key))
    inserted = await tx.raw.fetch(
        _INSERT_KEYS,
        [row.project_id for row in ordered],
        [row.decision.request_key for row in ordered],
        [row.decision.id for row in ordered],
        [row.digest for row in ordered],
    )
    new_ids: set[uuid.UUID] = {row["decision_id"] for row in inserted}
    new = [row for row in ordered if row.decision.id in new_ids]
    if new:
        asked = [row for row in new if row.queue is not None]
        counts = count((row.project_id, row.count_key, row.decision.audited) for row in new)
        await tx.raw.copy_records_to_table(
            "decisions", records=map(_decision_columns, new), columns=_DECISION_COLUMNS
        )
        await tx.raw.execute(
            _INSERT_ITEMS_AND_COUNTS,
            *(zip(*map(_item_columns, asked), strict=True) if asked else _NO_ITEMS),
            list(counts),
            [new_id() for _ in counts],
            [_json(rows) for rows in counts.values()],
            tx.now,
        )
    return new_ids


async def kept_keys(
    tx: Reader, keys: list[tuple[uuid.UUID, str]]
) -> dict[tuple[uuid.UUID, str], Kept]:
    """What request keys already stand for, as far as they are committed."""
    rows = await tx.raw.fetch(
        """
        SELECT k.project_id, k.request_key, k.decision_id, k.digest
        FROM unnest($1::uuid[], $2::text[]) AS asked (project_id, request_key)
        JOIN request_keys k USING (project_id, request_key)
        """,
        [project_id for project_id, _ in keys],
        [request_key for _, request_key in keys],
    )
    return {
        (row["project_id"], row["request_key"]): Kept(row["decision_id"], row["digest"])
        for row in rows
    }


# what speaks against a row and not against the database; the last three are the driver's, for a
# value that it cannot encode
_ROW_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    OverflowError,
    TypeError,
)

_INSERT_KEYS = """
    INSERT INTO request_keys (project_id, request_key, decision_id, digest)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[])
    ON CONFLICT DO NOTHING RETURNING decision_id
"""

_DECISION_COLUMNS = (
    "project_id",
    "id",
    "request_key",
    "model",
    "model_version",
    "label",
    "confidence",
    "route",
    "reason",
    "policy_id",
    "trace",
    "audited",
    "audit_probability",
    "audit_draw",
    "inclusion_probability",
    "stratum",
    "item_id",
    "shadow",
    "segment",
    "risk",
    "context_key",
    "input_key",
    "digest",
    "occurred_at",
    "decided_at",
    "scores_are",
    "scores",
    "members",
    "features",
    "embedding",
    "subject",
    "output",
)
# what an item copies of its decision, and what is its own
_ITEM_COLUMNS = [  # name, type of the parameter, cast of the value
    ("project_id", "uuid", ""),
    ("id", "uuid", ""),
    ("kind", "text", ""),
    ("queue_id", "uuid", ""),
    ("decision_id", "uuid", ""),
    ("policy_id", "uuid", ""),
    ("model", "text", ""),
    ("model_version", "text", ""),
    ("label", "text", ""),
    ("confidence", "float8", ""),
    ("scores", "text", "::jsonb"),
    ("features", "text", "::jsonb"),
    ("segment", "text", "::jsonb"),
    ("route", "text", ""),
    ("reason", "text", ""),
    ("inclusion_probability", "float8", ""),
    ("stratum", "text", ""),
    ("priority", "int2", ""),
    ("blind", "bool", ""),
    ("blocking", "bool", ""),
    ("risk", "float8", ""),
    ("context_key", "text", ""),
    ("input_key", "text", ""),
    ("subject", "text", "::jsonb"),
    ("decided_at", "timestamptz", ""),
]
# beside the item's columns: how long until it is due, and its one assignment
_ITEM_EXTRA = [("due_s", "float8"), ("assignment_id", "uuid"), ("rank", "int8")]
_NO_ITEMS: list[list[Any]] = [[] for _ in range(len(_ITEM_COLUMNS) + len(_ITEM_EXTRA))]


def _insert_items_and_counts() -> str:
    first_count = 1 + len(_ITEM_COLUMNS) + len(_ITEM_EXTRA)
    types = [(name, kind) for name, kind, _ in _ITEM_COLUMNS] + _ITEM_EXTRA
    parameters = ", ".join(f"${n}::{kind}[]" for n, (_, kind) in enumerate(types, 1))
    names = ", ".join(name for name, _, _ in _ITEM_COLUMNS)
    now = f"coalesce(${first_count + 3}, statement_timestamp())"
    return f"""
        WITH asked AS (
          SELECT * FROM unnest({parameters}) AS i ({", ".join(name for name, _ in types)})
        ), queued AS (
          INSERT INTO items ({names}, queued_at, due_at)
          SELECT {", ".join(name + cast for name, _, cast in _ITEM_COLUMNS)},
            {now}, {now} + make_interval(secs => due_s)
          FROM asked
        ), assigned AS (
          INSERT INTO assignments (project_id, id, item_id, queue_id, rank)
          SELECT project_id, assignment_id, id, queue_id, rank FROM asked
        )
        INSERT INTO inbox (project_id, id, counts)
        SELECT project_id, id, counts::jsonb
        FROM unnest(${first_count}::uuid[], ${first_count + 1}::uuid[], ${first_count + 2}::text[])
          AS c (project_id, id, counts)
    """


_INSERT_ITEMS_AND_COUNTS = _insert_items_and_counts()


def _decision_columns(row: NewDecision) -> tuple[Any, ...]:
    decision, prediction, outcome = row.decision, row.prediction, row.outcome
    return (
        row.project_id,
        decision.id,
        decision.request_key,
        decision.model,
        decision.model_version,
        decision.label,
        decision.confidence,
        decision.route,
        decision.reason,
        decision.policy_id,
        _json((outcome.states, outcome.observed)),
        decision.audited,
        decision.audit_probability,
        outcome.audit_draw,
        outcome.inclusion_probability,
        outcome.stratum,
        decision.item.id if decision.item is not None else None,
        decision.shadow,
        _maybe(prediction.segment),
        prediction.risk,
        prediction.context_key,
        prediction.input_key,
        row.digest,
        prediction.occurred_at,
        decision.decided_at,
        prediction.scores_are,
        _maybe(prediction.scores),
        _maybe(prediction.members),
        _maybe(prediction.features),
        float32_bytes(prediction.embedding) if prediction.embedding is not None else None,
        _maybe(prediction.subject),
        _maybe(prediction.output),
    )


def _item_columns(row: NewDecision) -> tuple[Any, ...]:
    decision, prediction, outcome, queue = row.decision, row.prediction, row.outcome, row.queue
    assert queue is not None, "only rows with a queue have items"
    assert decision.item is not None, "a decision with a queue has an item"
    queued_at_ms = decision.id.int >> 80
    return (
        row.project_id,
        decision.item.id,
        "audit" if decision.audited else "review",
        queue.id,
        decision.id,
        decision.policy_id,
        decision.model,
        decision.model_version,
        decision.label,
        decision.confidence,
        _maybe(prediction.scores),
        _maybe(prediction.features),
        _maybe(prediction.segment),
        decision.route,
        decision.reason,
        outcome.inclusion_probability,
        outcome.stratum,
        outcome.priority,
        decision.audited or queue.blind,
        decision.item.blocking,
        prediction.risk,
        prediction.context_key,
        prediction.input_key,
        _maybe(prediction.subject),
        decision.decided_at,
        float(queue.due_s),
        row.assignment_id,
        rank(outcome.priority, queued_at_ms),
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _maybe(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
