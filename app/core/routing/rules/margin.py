"""`margin: {below: 0.15}`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.draw import Chance
from app.core.routing.prediction import SUM_TOLERANCE, Signals
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


class Margin(Specification, frozen=True, forbid_unknown_fields=True):
    """The two highest probabilities are closer than a threshold."""

    kind: ClassVar[str] = "margin"

    below: Annotated[float, Meta(ge=0, le=1)]

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Compare; scores that are no probabilities have no margin."""
        scores = signals.scores
        if signals.prediction.scores_are == "independent":
            return NOT_APPLICABLE, None
        if scores is None:
            return MISSING, None
        margin = _margin(scores)
        if margin is None:
            return MISSING, None
        return (FIRED if margin < self.below else PASSED), margin

    def threshold(self, label: str | None, segment: Segment) -> float:  # noqa: ARG002
        """The same for every label."""
        return self.below

    def covers(self, other: Condition) -> bool:
        """Its threshold is at least as high."""
        return isinstance(other, Margin) and self.below >= other.below

    def sentence(self) -> str:
        """For people."""
        return f"margin between the two best labels below {self.below:g}"


def _margin(scores: dict[str, float]) -> float | None:
    """Highest minus second highest; None when one score of a longer list is all that was sent."""
    first = second = -1.0
    for score in scores.values():
        if score > first:
            first, second = score, first
        elif score > second:
            second = score
    if second < 0:
        # a single probability of 1 leaves nothing to the others; a top-1 list hides them
        return first if first >= 1 - SUM_TOLERANCE else None
    return first - second
