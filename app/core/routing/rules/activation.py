"""`activation: {Conditions: [{ConditionType: …, ConditionParameters: …}]}`, of Amazon A2I."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from app.core.routing import a2i
from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals
from app.core.routing.rules.base import (
    ERROR,
    FIRED,
    MISSING,
    PASSED,
    Condition,
    Finding,
    Look,
    Segment,
    purpose_of,
)

OBSERVED_MAX = 200

# what it looks like inside is checked by `a2i.read`, which tells more than a schema could
Activations = Annotated[
    dict[str, Any],
    Meta(
        description="Amazon A2I's activation conditions, as they are given there.",
        extra_json_schema={
            "properties": {
                a2i.CONDITIONS: {"type": "array", "minItems": 1, "items": {"type": "object"}}
            },
            "required": [a2i.CONDITIONS],
            "additionalProperties": False,
        },
    ),
]


@dataclass(frozen=True, slots=True)
class Activation:
    """Activation conditions of Amazon A2I hold: checks of scores and samplings, by And and Or.

    Without scores the confidence counts as the score of the predicted label. Scores lie between 0
    and 1, also those that are declared as independent.
    """

    kind: ClassVar[str] = "activation"
    draws: ClassVar[bool] = True

    written: dict[str, Any]
    # read once per policy version; not part of what is written
    conditions: a2i.Group = field(init=False, compare=False)
    checks: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Read the conditions.

        Raises:
            Invalid: they cannot be read; the place is within them.
        """
        conditions = a2i.read(self.written)
        object.__setattr__(self, "conditions", conditions)
        object.__setattr__(self, "checks", bool(_labels_of(conditions)))

    def check(
        self,
        labels: frozenset[str] | None,
        segments: frozenset[str],  # noqa: ARG002
    ) -> str | None:
        """Labels that the policy does not have are mistakes: Amazon's never come true."""
        if labels is None:
            return None
        unknown = sorted(_labels_of(self.conditions) - labels - {a2i.ANY_LABEL})
        return f"The policy does not have the labels {unknown}." if unknown else None

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """Each sampling draws under the rule's id and its own path."""
        purpose, conditions = purpose_of(rule_id), self.conditions

        def look(signals: Signals, chance: Chance) -> Finding:
            scores = _scores_of(signals)
            if scores is None and self.checks:
                return MISSING, None
            if self.checks and (beyond := _beyond(scores or {})) is not None:
                # percentages, as Amazon's own models give them: no check of them means anything
                return ERROR, (
                    f"scores must lie between 0 and 1; {beyond:g} does not: "
                    "divide percentages by 100"
                )
            held: list[str] = []
            true = a2i.holds(
                conditions, scores or {}, lambda path: chance.draw(purpose + path), held
            )
            return (FIRED if true else PASSED), "; ".join(held)[:OBSERVED_MAX] or None

        return look

    def probability(self, signals: Signals) -> float:
        """The chance of its samplings, given the scores."""
        return a2i.probability(self.conditions, _scores_of(signals) or {})

    @property
    def varies(self) -> bool:
        """The conditions are the same for every prediction."""
        return False

    def threshold(self, label: str | None, segment: Segment) -> str:  # noqa: ARG002
        """The conditions, as a formula."""
        return a2i.text_of(self.conditions)

    def covers(self, other: Condition) -> bool:
        """It is the same, and leaves nothing to chance; what others imply is not looked into."""
        return self == other and all(
            isinstance(leaf, a2i.Check) for leaf in a2i.leaves_of(self.conditions)
        )

    def sentence(self) -> str:
        """For people."""
        return f"{a2i.text_of(self.conditions)} (in per cent)"


def _labels_of(conditions: a2i.Group) -> set[str]:
    return {leaf.label for leaf in a2i.leaves_of(conditions) if isinstance(leaf, a2i.Check)}


def _scores_of(signals: Signals) -> Mapping[str, float] | None:
    if signals.scores is not None:
        return signals.scores
    if signals.label is None or signals.confidence is None:
        return None
    return {signals.label: signals.confidence}


def _beyond(scores: Mapping[str, float]) -> float | None:
    """A score that is none, if there is one; float noise was clipped before."""
    return next((score for score in scores.values() if not 0 <= score <= 1), None)
