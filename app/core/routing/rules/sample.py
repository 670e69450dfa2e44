"""`sample: {share: 0.01}`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals
from app.core.routing.rules.base import (
    FIRED,
    PASSED,
    Condition,
    Finding,
    Look,
    Segment,
    Specification,
    purpose_of,
)

# one in a million: less is no sample, and its weight 1/share no number to reckon with
SHARE_MIN = 1e-6


class Sample(Specification, frozen=True, forbid_unknown_fields=True):
    """A share of all predictions, drawn by chance whatever they look like."""

    kind: ClassVar[str] = "sample"
    draws: ClassVar[bool] = True

    share: Annotated[float, Meta(ge=SHARE_MIN, le=1)]

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """The rule's own draw, which no other rule and no audit shares."""
        purpose, share = purpose_of(rule_id), self.share

        def look(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
            u = chance.draw(purpose)
            return (FIRED if u < share else PASSED), u

        return look

    def probability(self, signals: Signals) -> float:  # noqa: ARG002
        """The share."""
        return self.share

    def threshold(self, label: str | None, segment: Segment) -> float:  # noqa: ARG002
        """The share."""
        return self.share

    def covers(self, other: Condition) -> bool:  # noqa: ARG002
        """Draws know nothing of each other; only a sample of all leaves nothing to the rest."""
        return self.share >= 1

    def sentence(self) -> str:
        """For people."""
        return f"drawn by chance, {100 * self.share:g} % of all"
