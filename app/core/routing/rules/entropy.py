"""`entropy: {above: 0.7}`."""

import math
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


class Entropy(Specification, frozen=True, forbid_unknown_fields=True):
    """The probabilities are spread out: their entropy, as a share of the highest possible.

    The highest is ln K, with K the number of labels in `scores`, so that 0 is certainty and 1 is
    all labels alike.
    """

    kind: ClassVar[str] = "entropy"

    above: Annotated[float, Meta(ge=0, le=1)]

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Compare; at the threshold it passes.

        Scores that are no probabilities have no entropy, and a list of the best ones does not tell
        how the rest is spread.
        """
        scores = signals.scores
        scores_are = signals.prediction.scores_are
        if scores_are == "independent":
            return NOT_APPLICABLE, None
        if scores is None or scores_are == "top_k":
            return MISSING, None
        entropy = _share_of_highest(scores)
        return (FIRED if entropy > self.above else PASSED), entropy

    def threshold(self, label: str | None, segment: Segment) -> float:  # noqa: ARG002
        """The same for every label."""
        return self.above

    def covers(self, other: Condition) -> bool:
        """Its threshold is at least as low."""
        return isinstance(other, Entropy) and self.above <= other.above

    def sentence(self) -> str:
        """For people."""
        return f"entropy of the scores above {self.above:g} of the highest possible"


def _share_of_highest(probabilities: dict[str, float]) -> float:
    """-Σ p ln p / ln K: 0.811278 for 0.75 and 0.25 (Shannon 1948); 0 for a single label.

    With p = s/T for scores s that sum to T (1, but for float noise) it is ln T - Σ s ln s / T.
    """
    count = len(probabilities)
    if count == 1:
        return 0.0
    log = math.log
    positive = [score for score in probabilities.values() if score > 0]
    # fsum: the order in which scores were sent must not matter, what is kept does not keep it
    total = math.fsum(positive)
    spread = math.fsum([score * log(score) for score in positive])
    return min(1.0, max(0.0, (log(total) - spread / total) / log(count)))
