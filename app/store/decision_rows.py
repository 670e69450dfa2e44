"""What is written of a decision: its own row, and what is asked about it, column by column."""

import uuid
from typing import Any

import msgspec
from msgspec import Struct

from app.core.drift.watching import Counted
from app.core.review.queue import Queue, rank
from app.core.routing.counts import CountKey
from app.core.routing.decision import Decision
from app.core.routing.document import Route
from app.core.routing.prediction import Prediction, Recorded, recorded
from app.store.ids import new_id


class Beside(Struct, frozen=True, gc=False):
    """What the shadow policy would have decided."""

    policy_id: uuid.UUID
    route: Route
    reason: str


class NewDecision(Struct, frozen=True, gc=False):
    """A decision that is to be committed, as it will be written.

    It holds nothing else: what it was made of can be let go at once, and a batch of predictions
    then fits into a processor's cache, which makes it a third faster.

    Attributes:
        digest: of the prediction.
        count_key: where it is counted.
        counted: where it counts in streams; None when nothing watches it.
        values: of `DECISION_COLUMNS`.
        asked: the values of `ASKED_COLUMNS`; None when nobody is asked.
    """

    project_id: uuid.UUID
    request_key: str
    id: uuid.UUID
    digest: bytes
    audited: bool
    count_key: CountKey
    counted: Counted | None
    values: tuple[Any, ...]
    asked: tuple[Any, ...] | None

    @property
    def counted_as(self) -> tuple[str, str]:
        """Its model version and declared segment, by which streams are counted apart."""
        _, _, model_version, _, segment, *_ = self.count_key
        return model_version, segment


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
    "monitors": "text",
    "unfamiliar_p": "float8",
    "unfamiliar_score": "float8",
    "detector_id": "uuid",
    "bucket": "int8",
    "late": "bool",
    "watched": "bytea",
    "cells": "bytea",
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

# nothing beside it, and no detector
_NONE = (None, None, None)
_NOT_WATCHED = (None, None, None, None)


def new_decision(
    project_id: uuid.UUID,
    decision: Decision,
    prediction: Prediction,
    count_key: CountKey,
    *,
    counted: Counted | None,
    beside: Beside | None,
    queue: Queue | None,
) -> NewDecision:
    """A decision with all that is recorded beside it, as it will be written.

    Args:
        project_id: its project.
        decision: what was decided.
        prediction: of what.
        count_key: where it is counted.
        counted: where it counts in streams; None when nothing watches it.
        beside: what the shadow policy says; None where the model has none.
        queue: where the decision's item goes; None when it has none.
    """
    kept = recorded(prediction)
    return NewDecision(
        project_id,
        decision.request_key,
        decision.id,
        kept.digest,
        decision.outcome.audited,
        count_key,
        counted,
        _decision_values(project_id, decision, prediction, kept, beside) + _counted_values(counted),
        _asked_values(project_id, decision, prediction, queue) if queue is not None else None,
    )


def _decision_values(
    project_id: uuid.UUID,
    decision: Decision,
    prediction: Prediction,
    kept: Recorded,
    beside: Beside | None,
) -> tuple[Any, ...]:
    """In the order of the first of `DECISION_COLUMNS`."""
    outcome, strange = decision.outcome, decision.unfamiliar
    return (
        project_id,
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
        prediction.input_key,
        kept.digest,
        decision.decided_at,
        kept.text,
        kept.embedding,
        *((beside.policy_id, beside.route, beside.reason) if beside is not None else _NONE),
        json_text(decision.monitors) if decision.monitors else None,
        *((strange.p, strange.score, strange.detector) if strange is not None else _NONE),
    )


def _counted_values(counted: Counted | None) -> tuple[Any, ...]:
    """In the order of the last of `DECISION_COLUMNS`."""
    if counted is None:
        return _NOT_WATCHED
    return counted.bucket, counted.late, counted.watched, counted.cells


def _asked_values(
    project_id: uuid.UUID, decision: Decision, prediction: Prediction, queue: Queue
) -> tuple[Any, ...]:
    """In the order of `ASKED_COLUMNS`."""
    outcome = decision.outcome
    assert decision.item is not None, "a decision with a queue has an item"
    queued_at_ms = decision.id.int >> 80
    return (
        project_id,
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
        new_id(),
        rank(outcome.priority, queued_at_ms),
    )


def json_text(value: Any) -> str:
    """JSON as text, as the driver takes it for any column."""
    return msgspec.json.encode(value).decode()


def _maybe(value: Any) -> str | None:
    return None if value is None else json_text(value)
