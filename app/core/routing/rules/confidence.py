"""`confidence: {below: 0.85, per_label: {positive: 0.9}, per_segment: {"source:tweets": 0.95}}`."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, field, structs

from app.core.routing.draw import Chance
from app.core.routing.prediction import LabelText, Signals
from app.core.routing.rules.base import (
    FIRED,
    MISSING,
    PASSED,
    Condition,
    Finding,
    Look,
    Segment,
    Specification,
)

PER_SEGMENT_MAX = 1000

Threshold = Annotated[float, Meta(ge=0, le=1)]
# `source:tweets`; a key that is declared has no colon, whatever comes after the first is the value
SegmentText = Annotated[str, Meta(min_length=3, max_length=513, pattern=r"^[^:]+:[\s\S]")]


class Confidence(Specification, frozen=True, forbid_unknown_fields=True):
    """The confidence in the predicted label is below a threshold.

    A label, or a segment as `key:value`, may have a threshold of its own, which takes the place of
    `below`; where several apply the highest, the safest, counts. On the recalibrated scale the
    confidence is missing as long as the model has no calibration map.
    """

    kind: ClassVar[str] = "confidence"

    below: Threshold
    per_label: dict[LabelText, Threshold] = field(default_factory=dict)
    per_segment: Annotated[dict[SegmentText, Threshold], Meta(max_length=PER_SEGMENT_MAX)] = field(
        default_factory=dict
    )
    scale: Literal["raw", "recalibrated"] = "raw"

    def check(self, labels: frozenset[str] | None, segments: frozenset[str]) -> str | None:
        """Thresholds for labels and segments that the policy does not have are mistakes."""
        unknown = sorted(set(self.per_label) - labels) if labels is not None else []
        if unknown:
            return f"per_label names labels that the policy does not have: {unknown}."
        strange = sorted(
            name for name in self.per_segment if name.partition(":")[0] not in segments
        )
        if strange:
            return f"per_segment names segments that the policy does not declare: {strange}."
        return None

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """The quick way for one threshold, which most rules have."""
        if self.per_label or self.per_segment or self.scale != "raw":
            return self.look
        return _below(self.below)

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Compare; at the threshold it passes."""
        confidence = signals.confidence if self.scale == "raw" else signals.recalibrated
        if confidence is None:
            return MISSING, None
        below = self.threshold(signals.label, signals.prediction.segment or {})
        return (FIRED if confidence < below else PASSED), confidence

    @property
    def varies(self) -> bool:
        """Labels or segments have thresholds of their own."""
        return bool(self.per_label or self.per_segment)

    def threshold(self, label: str | None, segment: Segment) -> float:
        """The highest of those that the label and the segment have, or else `below`."""
        if not self.per_segment:
            return self.per_label.get(label or "", self.below)
        of_segment = None
        for key, value in segment.items():
            below = self.per_segment.get(f"{key}:{value}")
            # `a:b` and `c` are not `a` and `b:c`
            if below is not None and ":" not in key:
                of_segment = below if of_segment is None else max(of_segment, below)
        return self.highest(label, of_segment)

    def highest(self, label: str | None, of_segment: float | None) -> float:
        """The highest of a label's threshold and a segment's, or else `below`."""
        own = self.per_label.get(label or "")
        if own is None:
            return self.below if of_segment is None else of_segment
        return own if of_segment is None else max(own, of_segment)

    def raised(self, floor: float) -> "Confidence":
        """The same with no threshold below the floor."""
        return structs.replace(
            self,
            below=max(self.below, floor),
            per_label={label: max(below, floor) for label, below in self.per_label.items()},
            per_segment={name: max(below, floor) for name, below in self.per_segment.items()},
        )

    def covers(self, other: Condition) -> bool:
        """Its threshold is at least as high for every label and segment.

        Not claimed where both have thresholds of segments that differ: too many combinations to
        look through. Otherwise no segment, the one with the lowest and the one with the highest
        threshold tell, since all others lie between.
        """
        if not isinstance(other, Confidence) or self.scale != other.scale:
            return False
        if self.per_segment and self.per_segment != other.per_segment:
            return False
        extremes: list[float | None] = [None]
        if other.per_segment:
            extremes += [min(other.per_segment.values()), max(other.per_segment.values())]
        return all(
            self.highest(label, extreme if self.per_segment else None)
            >= other.highest(label, extreme)
            for label in (None, *self.per_label, *other.per_label)
            for extreme in extremes
        )

    def sentence(self) -> str:
        """For people."""
        own = ", ".join(
            f"{below:g} for {name}"
            for thresholds in (self.per_label, self.per_segment)
            for name, below in sorted(thresholds.items())
        )
        scale = "" if self.scale == "raw" else "recalibrated "
        return f"{scale}confidence below {self.below:g}" + (f" ({own})" if own else "")


def _below(threshold: float) -> Look:
    def look(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
        confidence = signals.confidence
        if confidence is None:
            return MISSING, None
        return (FIRED if confidence < threshold else PASSED), confidence

    return look
