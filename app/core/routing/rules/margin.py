"""`margin: {below: 0.15}`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.prediction import Prediction, Signals
from app.core.routing.rules.base import FIRED, MISSING, NOT_APPLICABLE, PASSED, Bound, Finding


class Margin(Bound, frozen=True, forbid_unknown_fields=True):
    """The two highest probabilities are closer than a threshold."""

    kind: ClassVar[str] = "margin"

    below: Annotated[float, Meta(ge=0, le=1)]

    def check(self, labels: frozenset[str] | None) -> str | None:  # noqa: ARG002
        """Nothing beyond the range."""
        return None

    def look(self, prediction: Prediction, signals: Signals) -> Finding:  # noqa: ARG002
        """Compare; scores that are no probabilities have no margin."""
        scores = signals.scores
        if signals.scores_are == "independent":
            return NOT_APPLICABLE, None
        if scores is None:
            return MISSING, None
        margin = _margin(scores)
        if margin is None:
            return MISSING, None
        return (FIRED if margin < self.below else PASSED), margin

    def threshold(self, signals: Signals) -> float:  # noqa: ARG002
        """The same for every label."""
        return self.below

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
        return first if first >= 1.0 else None
    return first - second
