"""`risk: {above: 0.8}`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals
from app.core.routing.rules.base import (
    FIRED,
    MISSING,
    PASSED,
    Condition,
    Finding,
    Segment,
    Specification,
)


class Risk(Specification, frozen=True, forbid_unknown_fields=True):
    """The caller's own estimate of what an error would cost is above a threshold."""

    kind: ClassVar[str] = "risk"

    above: Annotated[float, Meta(ge=0, le=1)]

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Compare; at the threshold it passes."""
        risk = signals.prediction.risk
        if risk is None:
            return MISSING, None
        return (FIRED if risk > self.above else PASSED), risk

    def threshold(self, label: str | None, segment: Segment) -> float:  # noqa: ARG002
        """The same for every prediction."""
        return self.above

    def covers(self, other: Condition) -> bool:
        """Its threshold is at least as low."""
        return isinstance(other, Risk) and self.above <= other.above

    def sentence(self) -> str:
        """For people."""
        return f"risk above {self.above:g}"
