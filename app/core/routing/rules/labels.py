"""`labels: [threat]`."""

from typing import Annotated, ClassVar

from msgspec import Meta

from app.core.routing.draw import Chance
from app.core.routing.prediction import LabelText, Signals
from app.core.routing.rules.base import (
    FIRED,
    MISSING,
    PASSED,
    Condition,
    Finding,
    Segment,
    Specification,
)

LabelList = Annotated[list[LabelText], Meta(min_length=1, max_length=1000)]


class Labels(Specification, frozen=True, forbid_unknown_fields=True):
    """The predicted label is one of a list: too costly to be wrong about."""

    kind: ClassVar[str] = "labels"

    labels: LabelList

    def check(
        self,
        labels: frozenset[str] | None,
        segments: frozenset[str],  # noqa: ARG002
    ) -> str | None:
        """Labels that the policy does not have are mistakes."""
        unknown = sorted(set(self.labels) - labels) if labels is not None else []
        return f"The policy does not have the labels {unknown}." if unknown else None

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Look the label up."""
        label = signals.label
        if label is None:
            return MISSING, None
        return (FIRED if label in self.labels else PASSED), label

    def threshold(self, label: str | None, segment: Segment) -> list[str]:  # noqa: ARG002
        """The list."""
        return self.labels

    def covers(self, other: Condition) -> bool:
        """It lists every label of the other."""
        return isinstance(other, Labels) and set(self.labels) >= set(other.labels)

    def sentence(self) -> str:
        """For people."""
        return f"label is one of {', '.join(self.labels)}"
