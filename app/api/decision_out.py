"""A decision as it is shown, wherever it is shown."""

import uuid
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from app.core.routing.decision import Answer, Asked, Decision
from app.core.routing.monitors import Seen
from app.core.routing.policy import Policy, TraceEntry, trace_of
from app.core.routing.prediction import Unfamiliar
from app.flows.predict import Answered


class PolicyRef(Struct, frozen=True, gc=False):
    """The policy version that decided."""

    name: str
    version: int


class AuditOut(Struct, frozen=True, gc=False):
    """The random audit: drawn or not, and with what probability (null for a review)."""

    selected: bool
    probability: float | None


class HumanAnswer(Struct, frozen=True, gc=False):
    """What humans settled it with."""

    label: Annotated[str | None, Meta(description="Null where they could not give one.")]
    outcome: Annotated[str, Meta(description="`labeled`, `cannot_tell` or `invalid`.")]
    judge: Annotated[str, Meta(description="Who settled it: `single`, `panel` …")]
    agreed: Annotated[
        bool | None, Meta(description="The model gave the same label; null where one gave none.")
    ]
    resolved_at: datetime

    @classmethod
    def of(cls, answer: Answer) -> "HumanAnswer":
        """From the recorded answer."""
        return cls(answer.label, answer.outcome, answer.judge, answer.agreed, answer.resolved_at)


class DecisionOut(Struct, frozen=True, gc=False):
    """The immutable answer for one prediction, with the human answer once it is there."""

    id: uuid.UUID
    request_key: str
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    route: Annotated[
        Literal["accept", "review", "reject"],
        Meta(
            description="`accept`: the prediction stands; `review`: a human must decide before it "
            "does; `reject`: it must not be used."
        ),
    ]
    reason: Annotated[
        str, Meta(description="Id of the rule that decided, or `default`, or `no-policy`.")
    ]
    trace: Annotated[
        list[TraceEntry], Meta(description="All rules in order, also after the one that fired.")
    ]
    policy: PolicyRef | None
    monitors: Annotated[
        tuple[Seen, ...], Meta(description="The states of monitors that it relied on.")
    ]
    unfamiliar: Annotated[
        Unfamiliar | None, Meta(description="Null where the model had no detector.")
    ]
    audit: AuditOut
    item: Annotated[Asked | None, Meta(description="Null when nobody is asked.")]
    shadow: bool
    resolution: Annotated[HumanAnswer | None, Meta(description="Null until a human settled it.")]
    decided_at: datetime
    dry_run: Annotated[
        bool | UnsetType,
        Meta(description="Only where nothing was stored, and then true: the id finds nothing."),
    ] = UNSET

    @classmethod
    def of(cls, answered: Answered) -> "DecisionOut":
        """From a decision and the policy version that made it."""
        decision, policy = answered.decision, answered.policy
        outcome = decision.outcome
        # by place: with so many fields, names take longer than the rest
        return cls(
            decision.id,
            decision.request_key,
            decision.model,
            decision.model_version,
            decision.label,
            decision.confidence,
            outcome.route,
            outcome.reason,
            _trace(policy, decision),
            PolicyRef(policy.name, policy.version) if policy is not None else None,
            decision.monitors,
            decision.unfamiliar,
            AuditOut(outcome.audited, outcome.audit_probability),
            decision.item,
            decision.shadow,
            HumanAnswer.of(decision.resolution) if decision.resolution is not None else None,
            decision.decided_at,
        )


def dry(decision: DecisionOut) -> DecisionOut:
    """A decision of which nothing was stored."""
    return replace(decision, dry_run=True)


def _trace(policy: Policy | None, decision: Decision) -> list[TraceEntry]:
    if policy is None:
        return []
    outcome = decision.outcome
    return trace_of(
        policy, outcome.states, outcome.observed, decision.label, decision.segment or {}
    )
