"""A policy version ready to decide: compiled once, used for every prediction."""

from typing import Any

from msgspec import Struct

from app.core.routing.document import Audit, Document, Route, parse
from app.core.routing.monitors import Needed
from app.core.routing.rules.base import STATE_NAMES, Condition, Look, Observed, Segment
from app.core.routing.rules.when import Expression

NO_POLICY = "no-policy"
DEFAULT = "default"


class Rule(Struct, frozen=True, gc=False):
    """One condition with what follows when it fires.

    `passes_when_missing`: a missing signal lets it pass; otherwise it fires, since what cannot be
    judged goes to a human. `threshold` is what every prediction is compared with, unless it varies.
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


class Policy(Struct, frozen=True, gc=False):
    """One version of a policy.

    `reference` is its name and number, `sentiment@3`; `draws` says whether a rule leaves anything
    to chance, `is_slow` whether one looks for a pattern, which takes milliseconds.
    """

    reference: str
    name: str
    version: int
    model: str
    rules: tuple[Rule, ...]
    draws: bool
    is_slow: bool
    audit: Audit
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


class TraceEntry(Struct, frozen=True, gc=False):
    """What one rule saw, and what it was compared with."""

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
            )
            for rule, condition in document.rules
        ),
        draws=any(condition.draws for _, condition in document.rules),
        is_slow=any(
            isinstance(condition, Expression) and condition.weight > 0
            for _, condition in document.rules
        ),
        audit=head.audit,
        default=head.default,
        labels=tuple(head.labels) if head.labels is not None else None,
        segments=tuple(head.segments),
        monitors=(),
    )


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
        states: of its rules, in their order.
        observed: what each rule saw, in the same order.
        label: of the prediction, since a threshold can depend on it.
        segment: of the prediction, for the same reason.
    """
    return [
        TraceEntry(
            rule.id,
            rule.kind,
            STATE_NAMES[state],
            seen,
            rule.condition.threshold(label, segment) if rule.varies else rule.threshold,
        )
        for rule, state, seen in zip(policy.rules, states, observed, strict=True)
    ]
