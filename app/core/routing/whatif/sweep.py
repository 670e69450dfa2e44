"""Every threshold of one rule at once.

The first rule that fires decides. So a decision has one outcome if the swept rule fires and one if
it passes, whatever the threshold, and the observed value tells which of them a threshold gives.
One pass over the decisions counts these pairs per bin between thresholds; the curve follows from
the counts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from app.core.errors import Invalid, Loc
from app.core.routing.decision import Outcome, decide
from app.core.routing.draw import Chance
from app.core.routing.on_drift import stricter
from app.core.routing.policy import Policy, Rule
from app.core.routing.prediction import Signals
from app.core.routing.rules.base import FIRED, PASSED, Condition, Finding
from app.core.routing.rules.confidence import Confidence
from app.core.routing.whatif.tally import Evaluate, Fate, Swept

THRESHOLDS_MAX = 200
# kinds with one number as threshold: its field, and whether the rule fires below it or above
_FIELDS: dict[str, tuple[str, bool]] = {
    "confidence": ("below", True),
    "margin": ("below", True),
    "entropy": ("above", False),
    "risk": ("above", False),
    "disagreement": ("above", False),
}


class Sweep(Struct, frozen=True):
    """The thresholds of one rule, in rising order.

    Attributes:
        position: of the rule in the policy.
        fires_below: it fires below its threshold; otherwise above.
    """

    rule: str
    position: int
    fires_below: bool
    thresholds: tuple[float, ...]

    def bin_of(self, observed: float) -> int:
        """How many thresholds let an observed value pass (those come first), or make it fire.

        A value at the threshold passes: with `fires_below` the first so many thresholds let it
        pass, otherwise they make it fire.
        """
        if self.fires_below:
            return bisect_right(self.thresholds, observed)
        return bisect_left(self.thresholds, observed)

    def fires(self, bin_: int, at: int) -> bool:
        """Whether values of a bin fire at a threshold, named by its index."""
        return at >= bin_ if self.fires_below else at < bin_


def sweep_of(
    policy: Policy, rule_id: str, thresholds: Sequence[float] | None, steps: int | None
) -> Sweep:
    """A sweep over the thresholds that were asked for.

    Args:
        policy: whose rule is swept.
        rule_id: of the rule.
        thresholds: written out; or
        steps: this many equal steps from 0 to 1.

    Raises:
        Invalid: no such rule, one without such a threshold, or thresholds that it cannot have.
    """
    position = next((at for at, rule in enumerate(policy.rules) if rule.id == rule_id), None)
    if position is None:
        raise Invalid(f"The policy has no rule {rule_id!r}.", loc=("sweep", "rule"))
    condition = policy.rules[position].condition
    if condition.kind not in _FIELDS:
        raise Invalid(
            f"The rule {rule_id!r} is of the kind {condition.kind}, which has no threshold to "
            f"sweep; these have: {', '.join(_FIELDS)}.",
            loc=("sweep", "rule"),
        )
    if (thresholds is None) == (steps is None):
        raise Invalid("Give either thresholds or steps.", loc=("sweep", "thresholds"))
    field, fires_below = _FIELDS[condition.kind]
    if thresholds is None:
        assert steps is not None, "one of the two was given"
        thresholds = [step / steps for step in range(steps + 1)]
    for at, threshold in enumerate(thresholds):
        _check(policy, condition, field, threshold, ("sweep", "thresholds", at))
    return Sweep(rule_id, position, fires_below, tuple(sorted(set(thresholds))))


def plain_evaluation(policy: Policy) -> Evaluate:
    """Decides, and sweeps nothing."""
    audits = policy.audit.queue

    def evaluate(signals: Signals, chance: Chance) -> tuple[Outcome, Fate, None]:
        outcome = decide(policy, signals, chance)
        return outcome, fate_of(outcome, audits), None

    return evaluate


def swept_evaluation(policy: Policy, sweep: Sweep) -> Evaluate:
    """Decides, and tells both fates of each decision."""
    audits = policy.audit.queue
    rule = policy.rules[sweep.position]
    never = _with_rule(policy, sweep, msgspec.structs.replace(rule, look=_passes))
    always = msgspec.structs.replace(policy, rules=(msgspec.structs.replace(rule, look=_fires),))
    earlier = frozenset(before.id for before in policy.rules[: sweep.position])
    has_own = _own_thresholds(rule.condition)
    responses = policy.on_drift if rule.is_raised else ()

    def evaluate(signals: Signals, chance: Chance) -> tuple[Outcome, Fate, Swept]:
        state, observed = rule.look(signals, chance)
        if state not in _COMPARED or has_own(signals):
            outcome = decide(policy, signals, chance)
            fate = fate_of(outcome, audits)
            return outcome, fate, (None, fate, fate)
        assert isinstance(observed, float | int), "what was compared with a number is one"
        if responses and observed < stricter(responses, signals.monitors).confidence:
            # monitors raised each threshold above it
            outcome = decide(policy, signals, chance)
            fate = fate_of(outcome, audits)
            return outcome, fate, (None, fate, fate)
        passed = decide(never, signals, chance)
        passed_fate = fate_of(passed, audits)
        if passed.reason in earlier:
            return passed, passed_fate, (None, passed_fate, passed_fate)
        fired = decide(always, signals, chance)
        fired_fate = fate_of(fired, audits)
        swept = sweep.bin_of(observed), fired_fate, passed_fate
        return (fired, fired_fate, swept) if state == FIRED else (passed, passed_fate, swept)

    return evaluate


def fate_of(outcome: Outcome, audits: str) -> Fate:
    """The route, and where a human would be asked with what chance."""
    if outcome.route == "review":
        return outcome.route, outcome.queue, 1.0
    chance = outcome.inclusion_probability
    return outcome.route, audits if chance else None, chance


_COMPARED = (PASSED, FIRED)


def _check(policy: Policy, condition: Condition, field: str, threshold: float, loc: Loc) -> None:
    """Check a threshold as that of a policy document is checked."""
    written = {**msgspec.to_builtins(condition), field: threshold}
    labels = frozenset(policy.labels) if policy.labels is not None else None
    try:
        wrong = msgspec.convert(written, type(condition)).check(labels, frozenset(policy.segments))
    except msgspec.ValidationError as error:
        raise Invalid(f"{str(error).partition(' - at ')[0]}.", loc=loc) from None
    if wrong is not None:
        raise Invalid(wrong, loc=loc)


def _with_rule(policy: Policy, sweep: Sweep, rule: Rule) -> Policy:
    rules = list(policy.rules)
    rules[sweep.position] = rule
    return msgspec.structs.replace(policy, rules=tuple(rules))


def _own_thresholds(condition: Condition) -> Callable[[Signals], bool]:
    """Tells whether a decision's label or segment has a threshold of its own, which stays."""
    if not isinstance(condition, Confidence) or not (condition.per_label or condition.per_segment):
        return lambda _: False
    other = msgspec.structs.replace(condition, below=1.0 if condition.below < 1 else 0.0)

    def has_own(signals: Signals) -> bool:
        of = signals.label, signals.prediction.segment or {}
        return condition.threshold(*of) == other.threshold(*of)

    return has_own


def _passes(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
    return PASSED, None


def _fires(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
    return FIRED, None
