"""What every kind of rule has in common."""

from typing import Any, ClassVar, Protocol

from msgspec import Struct

from app.core.routing.prediction import Prediction, Signals

# stored as numbers; the wire spells them out
PASSED, FIRED, MISSING, ERROR, NOT_APPLICABLE = range(5)
STATE_NAMES = ("passed", "fired", "missing", "error", "not_applicable")

# what a rule saw: a number, a label, or why it could not be evaluated
Observed = float | str | None
# (state, observed): a plain tuple, since six are made for every decision
Finding = tuple[int, Observed]


class Condition(Protocol):
    """When a rule fires.

    A kind is a frozen struct of its specification as written in the policy, decoded and checked
    by msgspec.
    """

    kind: ClassVar[str]

    def check(self, labels: frozenset[str] | None) -> str | None:
        """What is wrong with the specification as a whole, as a sentence.

        Args:
            labels: the labels that the policy declares; None when it declares none.
        """

    def look(self, prediction: Prediction, signals: Signals) -> Finding:
        """Evaluate the condition; never raises."""

    def threshold(self, signals: Signals) -> Any:
        """What the observed value was compared with, for the trace."""

    def sentence(self) -> str:
        """The condition for people: `confidence below 0.85`."""


class Bound(Struct, frozen=True, forbid_unknown_fields=True):
    """A struct of a specification; kinds derive from it."""
