"""Draws as they were recorded, where the key that they came from is not shown yet.

Then a draw cannot be made again, but all that follows from it can: a sample of 1 % that fired on
0.3 is found out.
"""

import math

from msgspec import Struct, structs

from app.core.routing.decision import AUDIT
from app.core.routing.draw import Chance, DayKey
from app.core.routing.policy import Policy, Rule
from app.core.routing.prediction import Signals
from app.core.routing.receipt import Decided
from app.core.routing.rules.base import ERROR, STATE_NAMES, Finding, Look, purpose_of
from app.core.routing.rules.sample import Sample


class RecordedDraws(Chance, frozen=True, gc=False):
    """Draws by purpose; one that was not recorded is no number, so that nothing lies below it.

    `missed` takes the purposes of those.
    """

    draws: dict[bytes, float]
    missed: list[bytes]

    @classmethod
    def of(cls, draws: dict[bytes, float]) -> "RecordedDraws":
        """These and no others."""
        return cls(DayKey(b""), b"", draws, [])

    def draw(self, purpose: bytes) -> float:
        """What was recorded."""
        drawn = self.draws.get(purpose)
        if drawn is None:
            self.missed.append(purpose)
            return math.nan
        return drawn


class AsRecorded(Struct, frozen=True):
    """What decides with recorded draws: the policy, whose rules know their own, and the audit's."""

    policy: Policy | None
    chance: Chance

    @classmethod
    def of(cls, policy: Policy | None, recorded: Decided) -> "AsRecorded":
        """From what was recorded of the decision."""
        audit = recorded.audit_draw
        chance = RecordedDraws.of({} if audit is None else {AUDIT: audit})
        if policy is None or len(policy.trace_names) != len(recorded.states):
            return cls(policy, chance)
        findings = zip(recorded.states, recorded.observed, strict=True)
        # after the rules come the drift responses, which leave nothing to chance
        rules = tuple(
            structs.replace(rule, look=_look_of(rule, (STATE_NAMES.index(state), seen)))
            for rule, (state, seen) in zip(policy.rules, findings, strict=False)
        )
        return cls(structs.replace(policy, rules=rules), chance)


def _look_of(rule: Rule, recorded: Finding) -> Look:
    """The rule with its recorded draw; one that draws more than it shows is taken at its word."""
    seen = recorded[1]
    own = {}
    if isinstance(seen, float) and 0 <= seen < 1:
        own[purpose_of(rule.id)] = seen

    def look(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
        draws = RecordedDraws.of(own)
        found = rule.look(signals, draws)
        if not draws.missed:
            return found
        # a sample shows its draw: without a number there is nothing to take
        return (ERROR, "no draw is recorded") if rule.condition.kind == Sample.kind else recorded

    return look
