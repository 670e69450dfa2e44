"""What every kind of rule has in common."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from msgspec import Struct

from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals

# stored as numbers; the wire spells them out. Passed is 0, so that a rule that fired, or could not
# be evaluated, is told apart by the truth of its state
PASSED, FIRED, MISSING, ERROR, NOT_APPLICABLE = range(5)
STATE_NAMES = ("passed", "fired", "missing", "error", "not_applicable")

# what a rule saw: a number, a label, or why it could not be evaluated
Observed = float | str | None
# (state, observed): a plain tuple, since six are made for every decision
Finding = tuple[int, Observed]
# the segment of a prediction; empty when it has none
Segment = Mapping[str, str]
# evaluates a rule for one prediction; never raises
Look = Callable[[Signals, Chance], Finding]


def purpose_of(rule_id: str) -> bytes:
    """Names the draws of a rule."""
    return f"rule:{rule_id}".encode()


class Condition(Protocol):
    """When a rule fires.

    A kind is a frozen struct of its specification as written in the policy, decoded and checked
    by msgspec.
    """

    kind: ClassVar[str]
    # whether chance has a part in it
    draws: ClassVar[bool]

    @property
    def varies(self) -> bool:
        """Whether the threshold depends on the label or the segment of a prediction."""

    def check(self, labels: frozenset[str] | None, segments: frozenset[str]) -> str | None:
        """What is wrong with the specification as a whole, as a sentence.

        Args:
            labels: the labels that the policy declares; None when it declares none.
            segments: the keys of segments that it declares.
        """

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:
        """What evaluates the condition, made once per policy version.

        Args:
            rule_id: names the rule's own draws.
            labels: the labels that the policy declares; None when it declares none.
        """

    def probability(self, signals: Signals) -> float:
        """The chance that the condition holds for this prediction: 1 unless it draws."""

    def threshold(self, label: str | None, segment: Segment) -> Any:
        """What the observed value was compared with, for the trace."""

    def covers(self, other: "Condition") -> bool:
        """Whether it holds whenever the other does, so that a rule after it never decides."""

    def sentence(self) -> str:
        """The condition for people: `confidence below 0.85`."""


class Specification(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition as it is written; what most kinds have in common."""

    draws: ClassVar[bool] = False

    @property
    def varies(self) -> bool:
        """The threshold is the same for every prediction."""
        return False

    def check(
        self,
        labels: frozenset[str] | None,  # noqa: ARG002
        segments: frozenset[str],  # noqa: ARG002
    ) -> str | None:
        """Nothing is wrong beyond what the types say."""
        return None

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """Its own `look`, which needs no more than the prediction."""
        return self.look

    def look(self, signals: Signals, chance: Chance) -> Finding:
        """Evaluate the condition; never raises."""
        raise NotImplementedError

    def probability(self, signals: Signals) -> float:  # noqa: ARG002
        """It draws nothing."""
        return 1.0

    def covers(self, other: Condition) -> bool:  # noqa: ARG002
        """It claims nothing."""
        return False
