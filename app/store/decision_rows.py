"""What is written of a decision: its own row, and what is asked about it, column by column."""

import uuid
from typing import Any

import msgspec
from msgspec import Struct

from app.core.review.queue import Queue, rank
from app.core.routing.counts import CountKey
from app.core.routing.decision import Decision
from app.core.routing.document import Route
from app.core.routing.prediction import Prediction, Recorded


class Beside(Struct, frozen=True, gc=False):
    """What the shadow policy would have decided."""

    policy_id: uuid.UUID
    route: Route
    reason: str


class NewDecision(Struct, frozen=True, gc=False):
    """A decision that is to be committed, with all that is recorded beside it.

    Attributes:
        beside: None where the model has no shadow policy.
        queue: where its item goes; None when nobody is asked.
        assignment_id: belongs to that item.
    """

    project_id: uuid.UUID
    decision: Decision
    prediction: Prediction
    recorded: Recorded
    count_key: CountKey
    beside: Beside | None
    queue: Queue | None
    assignment_id: uuid.UUID | None


# names, and types in SQL; in the order of the values below
DECISION_COLUMNS = {
    "project_id": "uuid",
    "id": "uuid",
    "request_key": "text",
    "model": "text",
    "model_version": "text",
    "label": "text",
    "confidence": "float8",
    "route": "text",
    "reason": "text",
    "queue": "text",
    "priority": "int2",
    "policy_id": "uuid",
    "trace": "text",
    "audited": "bool",
    "audit_probability": "float8",
    "audit_draw": "float8",
    "inclusion_probability": "float8",
    "stratum": "text",
    "item_id": "uuid",
    "shadow": "bool",
    "input_key": "text",
    "digest": "bytea",
    "decided_at": "timestamptz",
    "prediction": "text",
    "embedding": "bytea",
    "beside_policy_id": "uuid",
    "beside_route": "text",
    "beside_reason": "text",
}
# what an item copies of its decision, and what is its own
ITEM_COLUMNS = {
    "project_id": "uuid",
    "id": "uuid",
    "kind": "text",
    "queue_id": "uuid",
    "decision_id": "uuid",
    "policy_id": "uuid",
    "model": "text",
    "model_version": "text",
    "label": "text",
    "confidence": "float8",
    "scores": "jsonb",
    "features": "jsonb",
    "segment": "jsonb",
    "route": "text",
    "reason": "text",
    "inclusion_probability": "float8",
    "stratum": "text",
    "priority": "int2",
    "blind": "bool",
    "blocking": "bool",
    "risk": "float8",
    "context_key": "text",
    "input_key": "text",
    "subject": "jsonb",
    "decided_at": "timestamptz",
}
# beside the item's columns: how long until it is due, and its one assignment
ASKED_COLUMNS = {**ITEM_COLUMNS, "due_s": "float8", "assignment_id": "uuid", "rank": "int8"}

_NOT_BESIDE = (None, None, None)


def decision_row(row: NewDecision) -> tuple[Any, ...]:
    """The values of `DECISION_COLUMNS`."""
    decision = row.decision
    outcome, beside = decision.outcome, row.beside
    return (
        row.project_id,
        decision.id,
        decision.request_key,
        decision.model,
        decision.model_version,
        decision.label,
        decision.confidence,
        outcome.route,
        outcome.reason,
        outcome.queue,
        outcome.priority,
        decision.policy_id,
        json_text((outcome.states, outcome.observed)),
        outcome.audited,
        outcome.audit_probability,
        outcome.audit_draw,
        outcome.inclusion_probability,
        outcome.stratum,
        decision.item.id if decision.item is not None else None,
        decision.shadow,
        row.prediction.input_key,
        row.recorded.digest,
        decision.decided_at,
        row.recorded.text,
        row.recorded.embedding,
        *((beside.policy_id, beside.route, beside.reason) if beside is not None else _NOT_BESIDE),
    )


def asked_row(row: NewDecision) -> tuple[Any, ...]:
    """The values of `ASKED_COLUMNS` of a decision that somebody is asked about."""
    decision, prediction, queue = row.decision, row.prediction, row.queue
    outcome = decision.outcome
    assert queue is not None, "only rows with a queue have items"
    assert decision.item is not None, "a decision with a queue has an item"
    queued_at_ms = decision.id.int >> 80
    return (
        row.project_id,
        decision.item.id,
        "audit" if outcome.audited else "review",
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
        outcome.route,
        outcome.reason,
        outcome.inclusion_probability,
        outcome.stratum,
        outcome.priority,
        outcome.audited or queue.blind,
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


def json_text(value: Any) -> str:
    """JSON as text, as the driver takes it for any column."""
    return msgspec.json.encode(value).decode()


def _maybe(value: Any) -> str | None:
    return None if value is None else json_text(value)
