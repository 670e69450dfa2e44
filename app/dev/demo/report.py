"""What the demo found: one column per domain for people, one document for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share from 0 to 1 with its interval; None where there is nothing to estimate from."""

    value: float | None
    low: float | None
    high: float | None

    def covers(self, truth: float | None) -> bool | None:
        """Whether the truth lies in the interval; None when either is unknown."""
        if truth is None or self.low is None or self.high is None:
            return None
        return self.low <= truth <= self.high


@dataclass(frozen=True, slots=True)
class DomainResult:
    """What happened to the texts of one domain; shares run from 0 to 1, None is "no such text".

    Attributes:
        reviewer_model_agreement: share of the reviews whose label is the model's.
        reviewer_panel_agreement: share of the reviews whose label is that of all raters' plurality.
        raters_alpha: Krippendorff's alpha between all who rated the reviewed texts.
    """

    name: str
    predictions: int
    accepted: int
    reviewed: int
    audited: int
    mean_confidence: float | None
    model_accuracy: float | None
    accepted_error_true: float | None
    accepted_error_estimate: Estimate
    reviewer_model_agreement: float | None
    reviewer_panel_agreement: float | None
    raters_alpha: float | None
    throughput_per_s: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything that the demo found."""

    domains: tuple[DomainResult, ...]
    throughput_per_s: float
    verdicts: int
    verdicts_per_s: float


def document(result: DemoResult) -> dict[str, Any]:
    """The demo's findings for a program, ready to be written as JSON."""
    return {
        "domains": [_domain_document(domain) for domain in result.domains],
        "throughput_per_s": round(result.throughput_per_s, 1),
    }


def _domain_document(domain: DomainResult) -> dict[str, Any]:
    estimate = domain.accepted_error_estimate
    return {
        "name": domain.name,
        "predictions": domain.predictions,
        "accepted": domain.accepted,
        "reviewed": domain.reviewed,
        "audited": domain.audited,
        "model_accuracy": domain.model_accuracy,
        "accepted_error_true": domain.accepted_error_true,
        "accepted_error_estimate": {
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
        },
    }


def table(domains: Sequence[DomainResult]) -> Table:
    """One column per domain."""
    grid = Table(title="What happened, domain by domain", box=box.SIMPLE)
    grid.add_column("", no_wrap=True)
    for domain in domains:
        grid.add_column(domain.name, justify="right")
    for title, cell in _ROWS:
        grid.add_row(title, *(cell(domain) for domain in domains))
    return grid


def closing_words(result: DemoResult, seconds_spent: int) -> str:
    """How to read the table: what is real in it, and what is assumed."""
    return f"""\
{result.verdicts:,} verdicts were answered through the API, {result.verdicts_per_s:,.0f} a second.

How to read it: the model was trained on tweets, and one policy with one set of
thresholds met all four kinds of text. What the thresholds let through is wrong
far more often away from tweets, and nothing in the predictions says how often.
The audits say it: a tenth of what was accepted, drawn by chance and judged by
people. The service was never told the true labels.

"reviewer" is the one person who was asked, "panel" the label that most of all
the people who rated that text chose. Alpha is how far those people agree with
each other: 1 is fully, 0 is as if by chance.

Real: the texts, every rating by a person, the model and its probabilities.
Assumed: who reviewed which text and when (they rated it years ago, elsewhere);
that a verdict takes {seconds_spent} seconds; that the panel is right."""


def percent(share: float | None) -> str:
    """A share from 0 to 1 for people."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"{100 * estimate.low:.1f}-{100 * estimate.high:.1f}"


def _coverage(domain: DomainResult) -> str:
    match domain.accepted_error_estimate.covers(domain.accepted_error_true):
        case None:
            return "-"
        case covered:
            return "yes" if covered else "NO"


# Measures run down and domains across, so that the table fits a terminal of 80 columns.
_ROWS: tuple[tuple[str, Callable[[DomainResult], str]], ...] = (
    ("predictions", lambda d: f"{d.predictions:,}"),
    ("accepted", lambda d: f"{d.accepted:,}"),
    ("sent to review", lambda d: f"{d.reviewed:,}"),
    ("accepted and audited", lambda d: f"{d.audited:,}"),
    ("model's mean confidence", lambda d: percent(d.mean_confidence)),
    ("model's true accuracy", lambda d: percent(d.model_accuracy)),
    ("true error of accepted", lambda d: percent(d.accepted_error_true)),
    ("  estimated from audits", lambda d: percent(d.accepted_error_estimate.value)),
    ("  95 % interval, in %", lambda d: _interval(d.accepted_error_estimate)),
    ("  covers the truth", _coverage),
    ("reviewer = model", lambda d: percent(d.reviewer_model_agreement)),
    ("reviewer = panel", lambda d: percent(d.reviewer_panel_agreement)),
    ("raters' alpha", lambda d: "-" if d.raters_alpha is None else f"{d.raters_alpha:.2f}"),
    ("predictions per second", lambda d: f"{d.throughput_per_s:,.0f}"),
)
