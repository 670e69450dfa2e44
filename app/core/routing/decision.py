"""The decision: rules in order, the first that fires decides, all are recorded."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from msgspec import Struct, structs

from app.core.routing.document import Route
from app.core.routing.draw import Chance
from app.core.routing.monitors import Seen
from app.core.routing.on_drift import UNCHANGED, Stricter, reason_of, stricter
from app.core.routing.policy import DEFAULT, NO_POLICY, Policy, Rule
from app.core.routing.prediction import Signals, Unfamiliar
from app.core.routing.rules.base import (
    ERROR,
    FIRED,
    MISSING,
    NOT_APPLICABLE,
    PASSED,
    Finding,
    Look,
    Observed,
)

UNROUTED = "unrouted"
AUDIT = b"audit"
PRIORITY = 50


class Outcome(Struct, frozen=True, gc=False):
    """What was decided, and what a later reader needs to check it.

    Attributes:
        states: of the policy's rules, in their order, and then of its drift responses.
        observed: what each of them saw.
        queue: where a human is asked; None when nobody is.
        audit_probability: None for a review, which needs no audit.
        audit_draw: audited when it is below the probability.
        inclusion_probability: the chance that a human sees this decision: 1 for a forced review,
            less for one by chance, the audit probability otherwise, 0 for a shadow prediction.
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
    segment: dict[str, str] | None
    shadow: bool
    unfamiliar: Unfamiliar | None
    monitors: tuple[Seen, ...]
    outcome: Outcome
    policy_id: uuid.UUID | None
    item: Asked | None
    resolution: Answer | None
    decided_at: datetime


def decision_of(
    decision_id: uuid.UUID,
    signals: Signals,
    outcome: Outcome,
    *,
    policy_id: uuid.UUID | None,
    item: Asked | None,
    decided_at: datetime,
) -> Decision:
    """What is recorded of a prediction that was just decided; no human has answered yet."""
    prediction = signals.prediction
    return Decision(
        id=decision_id,
        request_key=prediction.request_key,
        model=prediction.model,
        model_version=prediction.model_version,
        label=signals.label,
        confidence=signals.confidence,
        segment=prediction.segment,
        shadow=prediction.shadow,
        unfamiliar=signals.unfamiliar,
        monitors=signals.monitors,
        outcome=outcome,
        policy_id=policy_id,
        item=item,
        resolution=None,
        decided_at=decided_at,
    )


def decide(policy: Policy | None, signals: Signals, chance: Chance) -> Outcome:
    """Decide one prediction.

    The same arguments give the same outcome, audit draw included.

    Args:
        policy: the active version for the prediction's model; None when there is none.
        signals: read off the prediction.
        chance: the draws of the decision's id.
    """
    shadow = signals.prediction.shadow
    if policy is None:
        return _review(NO_POLICY, NO_POLICY, UNROUTED, shadow=shadow)
    drift = stricter(policy.on_drift, signals.monitors) if policy.on_drift else UNCHANGED
    rules = _raised(policy.rules, drift.confidence) if drift.confidence else policy.rules
    states: list[int] = []
    observed: list[Observed] = []
    decider: Rule | None = None
    decider_state = PASSED
    for rule in rules:
        state, seen = rule.look(signals, chance)
        states.append(state)
        observed.append(seen)
        # a rule that passed, nearly always, is told apart by the truth of its state
        if state and decider is None and _fires(rule, state):
            decider, decider_state = rule, state
    queue, priority = UNROUTED, PRIORITY
    if decider is None:
        route, reason = policy.default, DEFAULT
    else:
        route, reason, priority = decider.route, decider.id, decider.priority
        # a rule that accepts or rejects names no queue, and may do neither when it cannot judge
        queue = decider.queue or UNROUTED
        if decider_state != FIRED:
            route = "review"
    if drift is not UNCHANGED:
        states += drift.states
        observed += drift.observed
        instead = drift.review
        if instead is not None and route == "accept":
            route, reason = "review", reason_of(instead.monitor)
            queue = instead.queue or UNROUTED
            priority = PRIORITY if instead.priority is None else instead.priority
    if route == "review":
        return _review(
            policy.reference,
            reason,
            queue,
            priority=priority,
            states=states,
            observed=observed,
            probability=_chance_of_review(policy, states, signals, drift) if policy.draws else 1.0,
            shadow=shadow,
        )
    probability = policy.audit_probability(route, signals.label)
    # not `max`, which costs more than the comparison
    if probability < drift.audit:  # noqa: PLR1730
        probability = drift.audit
    return _unreviewed(
        policy, route, reason, states, observed, probability, chance.draw(AUDIT), shadow=shadow
    )


def _unreviewed(  # noqa: PLR0917 - by place, which every decision is quicker for
    policy: Policy,
    route: Route,
    reason: str,
    states: list[int],
    observed: list[Observed],
    probability: float,
    u: float,
    *,
    shadow: bool,
) -> Outcome:
    """It stands, or is rejected; audited afterwards where the draw lies below the probability."""
    audited = u < probability and not shadow
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
        inclusion_probability=0.0 if shadow else probability,
        stratum=_stratum(policy.reference, route, probability),
    )


def _raised(rules: Sequence[Rule], floor: float) -> tuple[Rule, ...]:
    """The rules while monitors alarm: no threshold that is meant is below the floor.

    Made anew for each decision, so that the many without an alarm pay nothing for it.
    """
    return tuple(
        structs.replace(rule, look=_raised_look(rule.look, floor)) if rule.is_raised else rule
        for rule in rules
    )


def _raised_look(look: Look, floor: float) -> Look:
    def raised(signals: Signals, chance: Chance) -> Finding:
        state, seen = look(signals, chance)
        if state == PASSED and isinstance(seen, float | int) and seen < floor:
            return FIRED, seen
        return state, seen

    return raised


def _chance_of_review(
    policy: Policy, states: Sequence[int], signals: Signals, drift: Stricter
) -> float:
    """The chance that this prediction is reviewed before it stands, whatever is drawn for it.

    Rules in order: the first that holds decides, and those that draw hold by chance, each by its
    own draw. Two samples of 10 % review 19 %, and a rule that holds in any case makes it 1. Where
    drift sends to review what would be accepted, only what is rejected is not reviewed.
    """
    reviews = {"review"} if drift.review is None else {"review", "accept"}
    undecided, reviewed, rejected = 1.0, 0.0, 0.0
    # the states of drift responses come after those of the rules
    for rule, state in zip(policy.rules, states, strict=False):
        judged = state in _JUDGED
        if judged and rule.condition.draws:
            holds = rule.condition.probability(signals)
        else:
            holds = float(_fires(rule, state))
        if rule.route in reviews or not judged:
            reviewed += undecided * holds
        else:
            rejected += undecided * holds
        undecided *= 1 - holds
    if policy.default not in reviews:
        return reviewed
    # p + (1 - p) need not be 1
    return reviewed + undecided if rejected else 1.0


_JUDGED = (PASSED, FIRED, NOT_APPLICABLE)


def _fires(rule: Rule, state: int) -> bool:
    """Fail safe: what cannot be evaluated fires; only a missing signal can be let pass."""
    return state in _FIRES or (state == MISSING and not rule.passes_when_missing)


_FIRES = (FIRED, ERROR)


def _review(
    reference: str,
    reason: str,
    queue: str,
    *,
    priority: int = PRIORITY,
    states: Sequence[int] = (),
    observed: Sequence[Observed] = (),
    probability: float = 1.0,
    shadow: bool,
) -> Outcome:
    """A human decides before it stands; nobody is asked about a shadow prediction."""
    return Outcome(
        route="review",
        reason=reason,
        states=list(states),
        observed=list(observed),
        queue=None if shadow else queue,
        priority=priority,
        audited=False,
        audit_probability=None,
        audit_draw=None,
        inclusion_probability=0.0 if shadow else probability,
        stratum=_stratum(reference, "review", probability),
    )


@lru_cache(maxsize=1024)
def _stratum(reference: str, route: Route, probability: float) -> str:
    return f"{reference} {route} {probability:g}"
