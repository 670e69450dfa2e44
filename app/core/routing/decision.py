"""The decision: rules in order, the first that fires decides, all are recorded."""

import uuid
from collections.abc import Sequence
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
        return _review(prediction, version=NO_POLICY, reason=NO_POLICY, queue=UNROUTED)
    states: list[int] = []
    observed: list[Observed] = []
    decider: Rule | None = None
    can_be_judged = True
    for rule in policy.rules:
        state, seen = rule.condition.look(prediction, signals)
        states.append(state)
        observed.append(seen)
        if decider is None and _fires(rule, state):
            decider, can_be_judged = rule, state == FIRED
    version = f"{policy.name}@{policy.version}"
    if decider is not None and (decider.route == "review" or not can_be_judged):
        return _review(
            prediction,
            version=version,
            reason=decider.id,
            # a rule that accepts or rejects names none, and may do neither when it cannot judge
            queue=decider.queue or UNROUTED,
            priority=decider.priority,
            states=states,
            observed=observed,
        )
    route = decider.route if decider is not None else policy.default
    probability = policy.audit_probability(route, signals.label)
    u = draw(key_of_day, AUDIT, decision_id)
    audited = u < probability and not prediction.shadow
    return Outcome(
        route=route,
        reason=decider.id if decider is not None else DEFAULT,
        states=states,
        observed=observed,
        queue=policy.audit.queue if audited else None,
        priority=PRIORITY,
        audited=audited,
        audit_probability=probability,
        audit_draw=u,
        inclusion_probability=0.0 if prediction.shadow else probability,
        stratum=f"{version} {route} {probability:g}",
    )


def _fires(rule: Rule, state: int) -> bool:
    """Fail safe: what cannot be evaluated fires; only a missing signal can be let pass."""
    return state in _FIRES or (state == MISSING and not rule.passes_when_missing)


_FIRES = (FIRED, ERROR)


def _review(
    prediction: Prediction,
    *,
    version: str,
    reason: str,
    queue: str,
    priority: int = PRIORITY,
    states: Sequence[int] = (),
    observed: Sequence[Observed] = (),
) -> Outcome:
    """A human decides before it stands; nobody is asked about a shadow prediction."""
    return Outcome(
        route="review",
        reason=reason,
        states=list(states),
        observed=list(observed),
        queue=None if prediction.shadow else queue,
        priority=priority,
        audited=False,
        audit_probability=None,
        audit_draw=None,
        inclusion_probability=0.0 if prediction.shadow else 1.0,
        stratum=f"{version} review 1",
    )
