"""`novel_label: {}`."""

from typing import ClassVar

from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals
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


class NovelLabel(Specification, frozen=True, forbid_unknown_fields=True):
    """The predicted label is none of those that the policy declares."""

    kind: ClassVar[str] = "novel_label"

    def check(
        self,
        labels: frozenset[str] | None,
        segments: frozenset[str],  # noqa: ARG002
    ) -> str | None:
        """Somewhere it must say which labels are known."""
        if labels is None:
            return "Declare the policy's `labels`: without them none is novel."
        return None

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """Look the label up among those of the policy."""
        known = labels or frozenset()

        def look(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
            label = signals.label
            if label is None:
                return MISSING, None
            return (PASSED if label in known else FIRED), label

        return look

    def threshold(self, label: str | None, segment: Segment) -> None:
        """There is none: the labels stand in the policy."""

    def covers(self, other: Condition) -> bool:
        """There is only one of its kind."""
        return isinstance(other, NovelLabel)

    def sentence(self) -> str:
        """For people."""
        return "label is none of the policy's"
