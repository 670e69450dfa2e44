"""A decision in sentences for people: what each rule saw, what decided, whether it is audited."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from app.core.routing.decision import Decision, Outcome
from app.core.routing.document import DriftResponse, Route
from app.core.routing.on_drift import reason_of
from app.core.routing.policy import DEFAULT, Policy, Rule, TraceEntry, threshold_of, trace_of
from app.core.routing.rules.base import Observed
from app.core.routing.rules.confidence import Confidence

# of a condition within a sentence: a rule may list a thousand labels
CONDITION_MAX = 300


class ExplainedRule(TraceEntry, frozen=True, gc=False):
    """An entry of the trace, in words."""

    sentence: str
    decided: Annotated[bool, Meta(description="It decided: the reason.")]


class ExplainedAudit(Struct, frozen=True, gc=False):
    """The random audit, in words."""

    selected: bool
    probability: Annotated[float | None, Meta(description="Null for a review.")]
    sentence: str


class Explanation(Struct, frozen=True, gc=False):
    """Why a decision is what it is."""

    summary: Annotated[str, Meta(description="What was decided and why, in one sentence.")]
    rules: Annotated[
        list[ExplainedRule],
        Meta(description="In the order of the policy; then its drift responses."),
    ]
    audit: ExplainedAudit


def explain(decision: Decision, policy: Policy | None) -> Explanation:
    """Explain a recorded decision.

    Args:
        decision: as it was recorded.
        policy: the version that decided; None without one, or where this release refuses it.
    """
    rules = _explained(decision, policy) if policy is not None else []
    outcome = decision.outcome
    why = _why(decision, policy, rules)
    asked = "; nobody is asked, since it is a shadow prediction" if decision.shadow else ""
    return Explanation(
        summary=f"{_MEANS[outcome.route]}, because {why}{asked}.",
        rules=rules,
        audit=ExplainedAudit(
            outcome.audited,
            outcome.audit_probability,
            _audit_sentence(decision, policy, rules),
        ),
    )


_MEANS: dict[Route, str] = {
    "accept": "The prediction stands",
    "review": "A human must decide before the prediction stands",
    "reject": "The prediction must not be used",
}


def _explained(decision: Decision, policy: Policy) -> list[ExplainedRule]:
    outcome = decision.outcome
    trace = trace_of(
        policy, outcome.states, outcome.observed, decision.label, decision.segment or {}
    )
    count = len(policy.rules)
    responses = list(zip(policy.on_drift, trace[count:], strict=True))
    diverting = next(
        (entry.rule for response, entry in responses if _diverts(response, entry, outcome.reason)),
        outcome.reason,
    )
    sentences = [
        f"{_rule_sentence(rule, entry)}{_raised(rule, entry, decision, responses)}."
        for rule, entry in zip(policy.rules, trace[:count], strict=True)
    ]
    sentences += [f"{_response_sentence(*of)}." for of in responses]
    return [
        ExplainedRule(
            rule=entry.rule,
            kind=entry.kind,
            state=entry.state,
            observed=entry.observed,
            threshold=entry.threshold,
            sentence=sentence,
            decided=entry.rule == diverting,
        )
        for entry, sentence in zip(trace, sentences, strict=True)
    ]


def _diverts(response: DriftResponse, entry: TraceEntry, reason: str) -> bool:
    return (
        response.route is not None
        and entry.state == "fired"
        and reason == reason_of(response.monitor)
    )


def _raised(
    rule: Rule,
    entry: TraceEntry,
    decision: Decision,
    responses: list[tuple[DriftResponse, TraceEntry]],
) -> str:
    """`, raised from 0.85 while the monitor confidence is drifting`; empty where it was not."""
    own = threshold_of(rule, decision.label, decision.segment or {}, 0.0)
    if own == entry.threshold or entry.state not in _COMPARED:
        return ""
    return next(
        f", raised from {own:g} while the monitor {response.monitor} is {of.observed}"
        for response, of in responses
        if of.state == "fired" and response.raise_confidence_to == entry.threshold
    )


def _response_sentence(response: DriftResponse, entry: TraceEntry) -> str:
    of = f" ({response.segment} of the prediction)" if response.segment is not None else ""
    seen = f"the monitor {response.monitor}{of} is {entry.observed}"
    if entry.state != "fired":
        asked = "neither warning nor drifting" if response.when == "warning" else "not drifting"
        return f"{entry.rule} passed: {seen}, {asked}"
    effects = []
    if response.raise_confidence_to is not None:
        effects.append(f"confidence must be at least {response.raise_confidence_to:g}")
    if response.audit_probability is not None:
        effects.append(f"the audit probability is at least {response.audit_probability:g}")
    if response.route is not None:
        effects.append("what would be accepted is reviewed")
    return f"{entry.rule} fired: {seen}, so {' and '.join(effects)}"


def _why(decision: Decision, policy: Policy | None, rules: list[ExplainedRule]) -> str:
    reason = decision.outcome.reason
    if decision.policy_id is None:
        return (
            f"no policy was active for the model {decision.model!r}; make one with "
            "PUT /v1/policies/{name} and activate it with "
            "POST /v1/policies/{name}/versions/{number}/activate"
        )
    if policy is None:
        return (
            f"the reason was {reason!r}, but this release refuses the policy version that decided, "
            "so its rules cannot be shown"
        )
    if reason == DEFAULT:
        return "no rule of the policy fired, and then its default applies"
    return next(rule.sentence.removesuffix(".") for rule in rules if rule.decided)


def _rule_sentence(rule: Rule, entry: TraceEntry) -> str:
    if entry.state == "missing":
        return _missing_sentence(rule, entry)
    if entry.state == "error":
        return f"{rule.id} could not be evaluated ({entry.observed}), so it fires"
    if entry.state == "not_applicable":
        why = _NOT_APPLICABLE.get(entry.kind, "there is nothing that it could look at")
        return f"{rule.id} does not apply, and passes: {why}"
    fired = entry.state == "fired"
    condition = rule.condition.sentence()
    compared = _compared(condition, entry, fired=fired)
    if compared is not None:
        return f"{rule.id} {entry.state}: {compared}"
    seen = "" if entry.observed is None else f"; seen was {_text(entry.observed)}"
    does = "fired on" if fired else "passed, it fires on"
    return f"{rule.id} {does}: {_cut(condition)}{seen}"


_COMPARED = ("fired", "passed")
_COMPARISON = re.compile(r"(.+?) (below|above) ", re.DOTALL)


def _compared(condition: str, entry: TraceEntry, *, fired: bool) -> str | None:
    """`confidence 0.61 is below 0.85`; None where the rule does not compare two numbers."""
    found = _COMPARISON.match(condition)
    if found is None or not isinstance(entry.observed, float):
        return None
    if not isinstance(entry.threshold, float):
        return None
    observed, threshold = f"{entry.observed:g}", f"{entry.threshold:g}"
    if observed == threshold and entry.observed != entry.threshold:
        # six digits hide the difference that decided
        observed, threshold = repr(entry.observed), repr(entry.threshold)
    verb = "is" if fired else "is not"
    return f"{found[1]} {observed} {verb} {found[2]} {threshold}"


def _missing_sentence(rule: Rule, entry: TraceEntry) -> str:
    condition = rule.condition
    if isinstance(condition, Confidence) and condition.scale == "recalibrated":
        why = "the model has no calibration map"
    elif entry.observed is not None:
        why = f"there is {_text(entry.observed)}"
    else:
        why = _MISSING.get(entry.kind, "what it looks at was not sent")
    then = (
        "and the rule says if_missing: pass, so it passes"
        if rule.passes_when_missing
        else "and the rule does not say if_missing: pass, so it fires"
    )
    return f"{rule.id} could not judge: {why}, {then}"


# by kind of rule
_NO_LABEL = "the prediction has no label"
_MISSING = {
    "activation": "neither scores nor a label with its confidence were sent",
    "confidence": "no confidence was sent",
    "disagreement": "fewer than two members were sent that it can compare",
    "entropy": "the scores of all labels were not sent",
    "labels": _NO_LABEL,
    "margin": "no scores were sent that show the second best label",
    "novel_label": _NO_LABEL,
    "out_of_distribution": "what the detector looks at was not sent",
    "risk": "no risk was sent",
}
_NO_PROBABILITIES = "the scores are independent, no probabilities"
_NOT_APPLICABLE = {
    "disagreement": _NO_PROBABILITIES,
    "entropy": _NO_PROBABILITIES,
    "margin": _NO_PROBABILITIES,
    "out_of_distribution": "no detector is registered",
}


def _audit_sentence(decision: Decision, policy: Policy | None, rules: list[ExplainedRule]) -> str:
    outcome = decision.outcome
    draw, probability = outcome.audit_draw, outcome.audit_probability
    if draw is None or probability is None:
        return "A review needs no audit."
    if decision.shadow:
        return "A shadow prediction is not audited."
    raised = _audit_raised(outcome, policy, rules, decision.label)
    if outcome.audited:
        return (
            f"Drawn for an audit, a human judges it afterwards: the draw {draw!r} is below the "
            f"probability {probability!r}{raised}."
        )
    return (
        f"Not drawn for an audit: the draw {draw!r} is not below the probability "
        f"{probability!r}{raised}."
    )


def _audit_raised(
    outcome: Outcome, policy: Policy | None, rules: list[ExplainedRule], label: str | None
) -> str:
    if policy is None:
        return ""
    own = policy.audit_probability(outcome.route, label)
    if own == outcome.audit_probability:
        return ""
    for response, entry in zip(policy.on_drift, rules[len(policy.rules) :], strict=True):
        if entry.state == "fired" and response.audit_probability == outcome.audit_probability:
            return f", raised from {own!r} while the monitor {response.monitor} is {entry.observed}"
    return ""


def _text(observed: Observed) -> str:
    return f"{observed:g}" if isinstance(observed, float) else str(observed)


def _cut(text: str) -> str:
    return text if len(text) <= CONDITION_MAX else f"{text[:CONDITION_MAX]}…"
