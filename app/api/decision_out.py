"""A decision as it is shown, wherever it is shown."""

import uuid
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from app.core.routing.decision import Answer, Asked, Decision
from app.core.routing.policy import Policy, TraceEntry, trace_of
from app.core.routing.prediction import Signals
from app.flows.predict import Answered


class PolicyRef(Struct, frozen=True, gc=False):
    """The policy version that decided."""

    name: str
    version: int


class AuditOut(Struct, frozen=True, gc=False):
    """The random audit: drawn or not, and with what probability (null for a review)."""

    selected: bool
    probability: float | None


class DecisionOut(Struct, frozen=True, gc=False):
    """The immutable answer for one prediction, with the human answer once it is there."""

    id: uuid.UUID
    request_key: str
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    route: Literal["accept", "review", "reject"]
    reason: str
    trace: list[TraceEntry]
    policy: PolicyRef | None
    monitors: list[dict[str, Any]]
    audit: AuditOut
    item: Asked | None
    shadow: bool
    resolution: Answer | None
    decided_at: datetime

    @classmethod
    def of(cls, answered: Answered) -> "DecisionOut":
        """From a decision and the policy version that made it."""
        decision, policy = answered.decision, answered.policy
        return cls(
            id=decision.id,
            request_key=decision.request_key,
            model=decision.model,
            model_version=decision.model_version,
            label=decision.label,
            confidence=decision.confidence,
            route=decision.route,
            reason=decision.reason,
            trace=_trace(policy, decision),
            policy=PolicyRef(policy.name, policy.version) if policy is not None else None,
            monitors=[],
            audit=AuditOut(decision.audited, decision.audit_probability),
            item=decision.item,
            shadow=decision.shadow,
            resolution=decision.resolution,
            decided_at=decision.decided_at,
        )


def _trace(policy: Policy | None, decision: Decision) -> list[TraceEntry]:
    if policy is None:
        return []
    signals = Signals(decision.label, decision.confidence, None, "probabilities")
    return trace_of(policy, decision.states, decision.observed, signals)
