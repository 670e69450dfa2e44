"""How often humans agree with the model: two figures that are never pooled.

Blind audits are a random sample, so they speak for all decisions. Routed reviews were picked
because the model seemed unsure, and their reviewers may see its answer: their rate is lower or
higher than that of all decisions, and says only how often reviews confirm the model. The two have
different types.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from app.core.learning.accepted_error import Estimate, Stratum, accepted_error
from app.core.learning.intervals import wilson


@dataclass(frozen=True, slots=True)
class RoutedAgreement:
    """The unweighted share of compared reviews in which human and model gave the same label.

    `value`, `low` and `high` are shares in [0, 1], all None when there is a `reason`.
    """

    value: float | None
    low: float | None
    high: float | None
    compared: int
    reason: Literal["no_reviews"] | None


def audit_agreement(strata: Iterable[Stratum], *, confidence: float = 0.95) -> Estimate:
    """Agreement over all decisions of `strata`, from their blind audits: 1 - `accepted_error`.

    Undecided audits are left out of the value and widen the interval on both sides.
    """
    error = accepted_error(strata, confidence=confidence)
    return Estimate(
        value=_complement(error.value),
        low=_complement(error.high),
        high=_complement(error.low),
        audited=error.audited,
        undecided=error.undecided,
        accepted=error.accepted,
        reason=error.reason,
    )


def routed_agreement(agreed: int, compared: int, *, confidence: float = 0.95) -> RoutedAgreement:
    """Agreement in the reviews that the policy asked for, with Wilson's interval.

    `compared` counts the settled reviews with a label of the human and one of the model.
    """
    if compared == 0:
        return RoutedAgreement(None, None, None, 0, "no_reviews")
    low, high = wilson(agreed, compared, confidence=confidence)
    return RoutedAgreement(agreed / compared, low, high, compared, None)


def _complement(share: float | None) -> float | None:
    return None if share is None else 1 - share
