"""`confidence: {below: 0.85, per_label: {positive: 0.9}}`."""

from typing import Annotated, ClassVar

from msgspec import Meta, field

from app.core.routing.prediction import LabelText, Prediction, Signals
from app.core.routing.rules.base import FIRED, MISSING, PASSED, Bound, Finding

Threshold = Annotated[float, Meta(ge=0, le=1)]


class Confidence(Bound, frozen=True, forbid_unknown_fields=True):
    """The confidence in the predicted label is below a threshold, of its own for some labels."""

    kind: ClassVar[str] = "confidence"

    below: Threshold
    per_label: dict[LabelText, Threshold] = field(default_factory=dict)

    def check(self, labels: frozenset[str] | None) -> str | None:
        """Thresholds for labels that the policy does not have are mistakes."""
        unknown = sorted(set(self.per_label) - labels) if labels is not None else []
        return (
            f"per_label names labels that the policy does not have: {unknown}." if unknown else None
        )

    def look(self, prediction: Prediction, signals: Signals) -> Finding:  # noqa: ARG002
        """Compare; at the threshold it passes."""
        confidence = signals.confidence
        if confidence is None:
            return MISSING, None
        below = self.threshold(signals)
        return (FIRED if confidence < below else PASSED), confidence

    def threshold(self, signals: Signals) -> float:
        """The threshold of the predicted label."""
        return self.per_label.get(signals.label or "", self.below)

    def sentence(self) -> str:
        """For people."""
        own = ", ".join(f"{below:g} for {label}" for label, below in sorted(self.per_label.items()))
        return f"confidence below {self.below:g}" + (f" ({own})" if own else "")
