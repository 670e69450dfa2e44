"""`out_of_distribution: {max_p: 0.01}`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals
from app.core.routing.rules.base import (
    FIRED,
    MISSING,
    NOT_APPLICABLE,
    PASSED,
    Condition,
    Finding,
    Segment,
    Specification,
)


class OutOfDistribution(Specification, frozen=True, forbid_unknown_fields=True):
    """The input is unlike those that the model was validated on.

    Compared is the detector's p-value: the share of familiar inputs that look at least as odd.
    """

    kind: ClassVar[str] = "out_of_distribution"

    max_p: Annotated[float, Meta(gt=0, le=1)]

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Compare; at the threshold it fires. Without a detector there is nothing to miss."""
        unfamiliar = signals.unfamiliar
        if unfamiliar is None:
            return NOT_APPLICABLE, None
        p = unfamiliar.p
        if p is None:
            return MISSING, None
        return (FIRED if p <= self.max_p else PASSED), p

    def threshold(self, label: str | None, segment: Segment) -> float:  # noqa: ARG002
        """The same for every prediction."""
        return self.max_p

    def covers(self, other: Condition) -> bool:
        """Its threshold is at least as high."""
        return isinstance(other, OutOfDistribution) and self.max_p >= other.max_p

    def sentence(self) -> str:
        """For people."""
        return f"input as odd as at most {self.max_p:g} of the familiar ones"
