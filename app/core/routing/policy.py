"""A policy version ready to decide: compiled once, used for every prediction."""

from typing import Any

from msgspec import Struct

from app.core.routing.document import Audit, Document, DriftResponse, Route, is_raised, parse
from app.core.routing.monitors import Needed
from app.core.routing.on_drift import KIND, stricter_seeing, trace_name
from app.core.routing.rules.base import STATE_NAMES, Condition, Look, Observed, Segment
from app.core.routing.rules.when import Expression

NO_POLICY = "no-policy"
DEFAULT = "default"


class Rule(Struct, frozen=True, gc=False):
    """One condition with what follows when it fires.

    `passes_when_missing`: a missing signal lets it pass; otherwise it fires, since what cannot be
    judged goes to a human. `threshold` is what every prediction is compared with, unless it varies.
    `is_raised`: while monitors alarm the threshold can be higher.
    """

    id: str
    condition: Condition
    kind: str
    threshold: Any
    varies: bool
    look: Look
    route: Route
    queue: str | None
    priority: int
    passes_when_missing: bool
    is_raised: bool


class Policy(Struct, frozen=True, gc=False):
    """One version of a policy.

    `reference` is its name and number, `sentiment@3`; `draws` says whether a rule leaves anything
    to chance, `is_slow` whether one looks for a pattern, which takes milliseconds. `monitors` are
    those that the responses in `on_drift` and the rules look at.
    """

    reference: str
    name: str
    version: int
    model: str
    rules: tuple[Rule, ...]
    draws: bool
    is_slow: bool
    audit: Audit
    on_drift: tuple[DriftResponse, ...]
    default: Route
    labels: tuple[str, ...] | None
    segments: tuple[str, ...]
    monitors: tuple[Needed, ...]

    def audit_probability(self, route: Route, label: str | None) -> float:
        """The chance that an accepted or rejected decision is audited."""
        if route == "reject":
            return self.audit.rejected_probability
        if label is not None and self.audit.per_label:
            return self.audit.per_label.get(label, self.audit.probability)
        return self.audit.probability

    @property
    def trace_names(self) -> list[str]:
        """What is in a trace, in its order: the rules, then the drift responses."""
        return [
            *(rule.id for rule in self.rules),
            *(trace_name(number) for number in range(len(self.on_drift))),
        ]


class TraceEntry(Struct, frozen=True, gc=False):
    """What one rule or drift response saw, and what it was compared with."""

    rule: str
    kind: str
    state: str
    observed: Observed
    threshold: Any


def compile_policy(document: Any, name: str, version: int) -> Policy:
    """A stored document as a policy.

    Raises:
        Invalid: it is no valid document.
    """
    return policy_of(parse(document), name, version)


def policy_of(document: Document, name: str, version: int) -> Policy:
    """A checked document as a policy."""
    head = document.head
    labels = frozenset(head.labels) if head.labels is not None else None
    return Policy(
        reference=f"{name}@{version}",
        name=name,
        version=version,
        model=head.applies_to.model,
        rules=tuple(
            Rule(
                rule.id,
                condition,
                condition.kind,
                condition.threshold(None, {}),
                condition.varies,
                condition.look_of(rule.id, labels),
                rule.route,
                rule.queue,
                rule.priority,
                rule.if_missing == "pass",
                is_raised(rule, condition),
            )
            for rule, condition in document.rules
        ),
        draws=any(condition.draws for _, condition in document.rules),
        is_slow=any(
            isinstance(condition, Expression) and condition.weight > 0
            for _, condition in document.rules
        ),
        audit=head.audit,
        on_drift=tuple(head.on_drift),
        default=head.default,
        labels=tuple(head.labels) if head.labels is not None else None,
        segments=tuple(head.segments),
        monitors=_needed(document),
    )


def _needed(document: Document) -> tuple[Needed, ...]:
    """The monitors that a policy looks at, each once."""
    by_response = [
        Needed(response.monitor, response.segment) for response in document.head.on_drift
    ]
    by_rule = [
        Needed(monitor)
        for _, condition in document.rules
        if isinstance(condition, Expression)
        for monitor in condition.monitors
    ]
    return tuple(dict.fromkeys(by_response + by_rule))


def trace_of(
    policy: Policy,
    states: list[int],
    observed: list[Observed],
    label: str | None,
    segment: Segment,
) -> list[TraceEntry]:
    """The trace in full: names and thresholds come from the immutable policy version.

    Args:
        policy: the version that decided.
        states: of its rules, in their order, and then of its drift responses.
        observed: what each of them saw, in the same order.
        label: of the prediction, since a threshold can depend on it.
        segment: of the prediction, for the same reason.
    """
    rules, responses = policy.rules, policy.on_drift
    floor = stricter_seeing(responses, observed[len(rules) :]).confidence if responses else 0.0
    trace = [
        TraceEntry(
            rule.id, rule.kind, STATE_NAMES[state], seen, threshold_of(rule, label, segment, floor)
        )
        for rule, state, seen in zip(rules, states, observed, strict=not responses)
    ]
    for number, response in enumerate(responses, start=len(rules)):
        name = trace_name(number - len(rules))
        state, seen = STATE_NAMES[states[number]], observed[number]
        trace.append(TraceEntry(name, KIND, state, seen, response.when))
    return trace


def threshold_of(rule: Rule, label: str | None, segment: Segment, floor: float) -> Any:
    """What a rule compares with, raised to the floor where that means the rule."""
    threshold = rule.condition.threshold(label, segment) if rule.varies else rule.threshold
    return max(threshold, floor) if floor and rule.is_raised else threshold
