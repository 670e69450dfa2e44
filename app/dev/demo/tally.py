"""Count what happened to the texts of one domain, knowing the truth that the service does not."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from app.core.learning.alpha import krippendorff_alpha
from app.dev.demo.crowd import label_of
from app.dev.demo.report import DomainResult, Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from app.dev.demo.cases import Case
    from app.dev.demo.service import Json


@dataclass(frozen=True, slots=True)
class Streamed:
    """One domain's cases with the decision on each, since when and for how long it was posted."""

    domain: str
    cases: Sequence[Case]
    decisions: Sequence[Json]
    began: datetime
    seconds: float

    @property
    def asked(self) -> int:
        """How many of the decisions wait for a human."""
        return sum(decision["item"] is not None for decision in self.decisions)


def domain_result(
    streamed: Streamed, review_labels: Mapping[str, str], estimate: Estimate
) -> DomainResult:
    """The domain's figures; `review_labels` is what the reviewers said, by text id.

    Audits are not among the review labels: a panel's answer is the truth itself.
    """
    cases = streamed.cases
    decided = list(zip(cases, streamed.decisions, strict=True))
    accepted = [case for case, decision in decided if decision["route"] == "accept"]
    reviewed = [case for case, decision in decided if decision["route"] == "review"]
    answered = [
        (review_labels[case.text.id], case) for case in reviewed if case.text.id in review_labels
    ]
    return DomainResult(
        name=streamed.domain,
        predictions=len(cases),
        accepted=len(accepted),
        reviewed=len(reviewed),
        audited=sum(decision["audit"]["selected"] for decision in streamed.decisions),
        mean_confidence=mean(case.scored.scores[case.scored.label] for case in cases),
        model_accuracy=mean(case.right for case in cases),
        accepted_error_true=mean(not case.right for case in accepted),
        accepted_error_estimate=estimate,
        reviewer_model_agreement=mean(label == case.scored.label for label, case in answered),
        reviewer_panel_agreement=mean(label == case.truth for label, case in answered),
        raters_alpha=_alpha_between_raters(reviewed),
        throughput_per_s=len(cases) / streamed.seconds,
    )


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    found = list(values)
    return fmean(found) if found else None


def _alpha_between_raters(reviewed: Sequence[Case]) -> float | None:
    labels = ([label_of(rating) for rating in case.text.ratings] for case in reviewed)
    return krippendorff_alpha(labels).value
