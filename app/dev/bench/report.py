"""What a case measured, for people and for programs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from app.dev.bench.load import Run


@dataclass(frozen=True, slots=True)
class Round:
    """Ours and the baseline, one right after the other."""

    ours: Run
    baseline: Run

    @property
    def ratio(self) -> float:
        """Ours in parts of the baseline: 1 is as fast."""
        return self.ours.per_s / self.baseline.per_s


@dataclass(frozen=True, slots=True)
class Result:
    """The rounds of one case.

    Attributes:
        unit: what is counted a second.
        baseline: what it is compared with.
    """

    name: str
    unit: str
    baseline: str
    rounds: Sequence[Round]

    @property
    def typical(self) -> Round:
        """The round with the median ratio; its two figures belong together."""
        return sorted(self.rounds, key=lambda one: one.ratio)[len(self.rounds) // 2]

    def latency_ms(self, share: float) -> float:
        """How long a call of ours took at most in this share of all calls (nearest rank)."""
        took = sorted(s for one in self.rounds for s in one.ours.latencies_s)
        return 1000 * took[min(len(took) - 1, int(share * len(took)))]


def note() -> str:
    """How to read the figures."""
    return (
        f"Server, PostgreSQL (fsync on), worker and the load share {os.cpu_count()} cores, and so "
        "do the baselines: compare ratios from machine to machine, not rates. Ours and the "
        "baseline take turns; the round with the median ratio is shown. p50 and p99 are what one "
        "call of ours took: in `batch` 500 rows, in `claim-verdict` a claim with its verdict."
    )


def document(results: Sequence[Result]) -> dict[str, Any]:
    """The figures for a program, ready to be written as JSON."""
    return {"cases": [_case(result) for result in results], "note": note()}


def _case(result: Result) -> dict[str, Any]:
    typical = result.typical
    figures: dict[str, Any] = {
        "name": result.name,
        "unit": result.unit,
        "ours_per_s": round(typical.ours.per_s, 3),
        "baseline": result.baseline,
        "baseline_per_s": round(typical.baseline.per_s, 3),
        "ratio": round(typical.ratio, 3),
        "p50_ms": round(result.latency_ms(0.5), 3),
        "p99_ms": round(result.latency_ms(0.99), 3),
        "ratios": [round(one.ratio, 3) for one in result.rounds],
    }
    if result.unit == "starts":
        figures["seconds"] = round(median(one.ours.elapsed_s for one in result.rounds), 3)
    return figures


def table(results: Sequence[Result]) -> Table:
    """One row per case."""
    grid = Table(title="Ours beside a baseline", box=box.SIMPLE)
    for column in ("", "ours/s", "baseline/s", "ratio", "p50 ms", "p99 ms"):
        grid.add_column(column, justify="right" if column else "left", no_wrap=True)
    for result in results:
        typical = result.typical
        grid.add_row(
            f"{result.name} ({result.unit})",
            _figure(typical.ours.per_s),
            _figure(typical.baseline.per_s),
            f"{typical.ratio:.2f}",
            _figure(result.latency_ms(0.5)),
            _figure(result.latency_ms(0.99)),
        )
    return grid


def closing_words(results: Sequence[Result]) -> str:
    """What each is compared with, and how to read it."""
    return "\n".join([*(f"{one.name}: beside {one.baseline}." for one in results), "", note()])


def _figure(value: float) -> str:
    """Three digits are what a measurement is worth."""
    whole_from = 100
    return f"{value:,.0f}" if value >= whole_from else f"{value:.3g}"
