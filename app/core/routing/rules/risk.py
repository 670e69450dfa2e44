"""`risk: {above: 0.8}`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.prediction import Prediction, Signals
from app.core.routing.rules.base import FIRED, MISSING, PASSED, Bound, Finding


class Risk(Bound, frozen=True, forbid_unknown_fields=True):
    """The caller's own estimate of what an error would cost is above a threshold."""

    kind: ClassVar[str] = "risk"

    above: Annotated[float, Meta(ge=0, le=1)]

    def check(self, labels: frozenset[str] | None) -> str | None:  # noqa: ARG002
        """Nothing beyond the range."""
        return None

    def look(self, prediction: Prediction, signals: Signals) -> Finding:  # noqa: ARG002
        """Compare; at the threshold it passes."""
        risk = prediction.risk
        if risk is None:
            return MISSING, None
        return (FIRED if risk > self.above else PASSED), risk

    def threshold(self, signals: Signals) -> float:  # noqa: ARG002
        """The same for every prediction."""
        return self.above

    def sentence(self) -> str:
        """For people."""
        return f"risk above {self.above:g}"
