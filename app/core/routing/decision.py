"""The decision: rules in order, the first that fires decides, all are recorded."""

import uuid
from datetime import datetime

from msgspec import Struct

from app.core.routing.document import Route
from app.core.routing.draw import draw
from app.core.routing.policy import DEFAULT, NO_POLICY, Policy, Rule
from app.core.routing.prediction import Prediction, Signals
from app.core.routing.rules.base import ERROR, FIRED, MISSING, Observed

UNROUTED = "unrouted"
AUDIT = "audit"
PRIORITY = 50


class Outcome(Struct, frozen=True, gc=False):
    """What was decided, and what a later reader needs to check it.

    Attributes:
        queue: where a human is asked; None when nobody is.
        audit_probability: None for a review, which needs no audit.
        audit_draw: audited when it is below the probability.
        inclusion_probability: the chance that a human sees this decision: 1 for a forced review,
            the audit probability otherwise, 0 for a shadow prediction.
        stratum: decisions that share policy version, route and probability.
    """

    route: Route
    reason: str
    states: list[int]
    observed: list[Observed]
    queue: str | None
    priority: int
    audited: bool
    audit_probability: float | None
    audit_draw: float | None
    inclusion_probability: float
    stratum: str


class Asked(Struct, frozen=True, gc=False):
    """The item of a decision that a human is asked about; blocking when it must not stand yet."""

    id: uuid.UUID
    queue: str
    blocking: bool


class Answer(Struct, frozen=True, gc=False):
    """The human answer to a decision, once it is there.

    `label` is None where the reviewer could not tell or the input was unusable; `agreed` is None
    where there is nothing to compare.
    """

    label: str | None
    outcome: str
    judge: str
    agreed: bool | None
    resolved_at: datetime


class Decision(Struct, frozen=True, gc=False):
    """The immutable answer for one prediction, as it is recorded."""

    id: uuid.UUID
    request_key: str
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    route: Route
    reason: str
    states: list[int]
    observed: list[Observed]
    policy_id: uuid.UUID | None
    audited: bool
    audit_probability: float | None
    shadow: bool
    item: Asked | None
    resolution: Answer | None
    decided_at: datetime


def decide(
    policy: Policy | None,
    prediction: Prediction,
    signals: Signals,
    *,
    decision_id: bytes,
    key_of_day: bytes,
) -> Outcome:
    """Decide one prediction.

    The same arguments give the same outcome, audit draw included.

    Args:
        policy: the active version for the prediction's model; None when there is none.
        prediction: as posted.
        signals: read off it.
        decision_id: the 16 bytes of the decision's id.
        key_of_day: of the draws of the UTC day of that id.
    """
    if policy is None:
        return _unrouted(prediction)
    states: list[int] = []
    observed: list[Observed] = []
    decider: Rule | None = None
    for rule in policy.rules:
        state, seen = rule.condition.look(prediction, signals)
        states.append(state)
        observed.append(seen)
        if decider is None and _fires(rule, state):
            decider = rule
    route = decider.route if decider is not None else policy.default
    reason = decider.id if decider is not None else DEFAULT
    if decider is not None and route == "review":
        return Outcome(
            route=route,
            reason=reason,
            states=states,
            observed=observed,
            queue=None if prediction.shadow else decider.queue,
            priority=decider.priority,
            audited=False,
            audit_probability=None,
            audit_draw=None,
            inclusion_probability=0.0 if prediction.shadow else 1.0,
            stratum=f"{policy.name}@{policy.version} review 1",
        )
    probability = policy.audit_probability(route, signals.label)
    u = draw(key_of_day, AUDIT, decision_id)
    audited = u < probability and not prediction.shadow
    return Outcome(
        route=route,
        reason=reason,
        states=states,
        observed=observed,
        queue=policy.audit.queue if audited else None,
        priority=PRIORITY,
        audited=audited,
        audit_probability=probability,
        audit_draw=u,
        inclusion_probability=0.0 if prediction.shadow else probability,
        stratum=f"{policy.name}@{policy.version} {route} {probability:g}",
    )


def _fires(rule: Rule, state: int) -> bool:
    """Fail safe: what cannot be evaluated fires; only a missing signal can be let pass."""
    if state == FIRED or state == ERROR:
        return True
    return state == MISSING and not rule.passes_when_missing


def _unrouted(prediction: Prediction) -> Outcome:
    """Nobody has said what may stand: a human decides."""
    return Outcome(
        route="review",
        reason=NO_POLICY,
        states=[],
        observed=[],
        queue=None if prediction.shadow else UNROUTED,
        priority=PRIORITY,
        audited=False,
        audit_probability=None,
        audit_draw=None,
        inclusion_probability=0.0 if prediction.shadow else 1.0,
        stratum=f"{NO_POLICY} review 1",
    )
