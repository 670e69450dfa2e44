"""What a case measured, for people and for programs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich import box
from rich.table import Table

from app.dev.bench.load import Run, quantile


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
        by_tail: the case is about p99 in parts of p50: the round with the median of that is shown,
            and its latencies alone.
    """

    name: str
    unit: str
    baseline: str
    rounds: Sequence[Round]
    by_tail: bool = False

    @property
    def typical(self) -> Round:
        """The round with the median ratio, or tail; its figures belong together."""
        ordered = sorted(self.rounds, key=lambda one: one.ours.tail if self.by_tail else one.ratio)
        return ordered[len(ordered) // 2]

    def latency_ms(self, share: float) -> float:
        """How long a call of ours took at most in this share of all calls (nearest rank)."""
        measured = [self.typical] if self.by_tail else self.rounds
        return 1000 * quantile((s for one in measured for s in one.ours.latencies_s), share)


def note() -> str:
    """How to read the figures."""
    return (
        f"Server, PostgreSQL (fsync on), worker and the load share {os.cpu_count()} cores, and so "
        "do the baselines: compare ratios from machine to machine, not rates. Ours and the "
        "baseline take turns, except for growth; the round with the median ratio is shown. p50 and "
        "p99 are what one call of ours took: 500 rows of a batch, 10,000 of NDJSON, a claim with "
        "its verdict, 1,000 decisions of the engine."
    )


def document(results: Sequence[Result], grown: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The figures for a program, ready to be written as JSON.

    Args:
        results: of the cases.
        grown: what the database of the growth cases held, and its settings.
    """
    figures: dict[str, Any] = {"cases": [_case(result) for result in results], "note": note()}
    return figures if grown is None else {**figures, "growth": dict(grown)}


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
    if result.by_tail:
        figures["p99_over_p50"] = round(typical.ours.tail, 3)
        figures["p99_over_p50s"] = [round(one.ours.tail, 3) for one in result.rounds]
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
    return "\n".join([*map(_words, results), "", note()])


def _words(result: Result) -> str:
    words = f"{result.name}: beside {result.baseline}."
    if not result.by_tail:
        return words
    tails = ", ".join(f"{one.ours.tail:.1f}" for one in result.rounds)
    return f"{words} p99 is {result.typical.ours.tail:.1f} times p50, the median of {tails}."


def _figure(value: float) -> str:
    """Three digits are what a measurement is worth."""
    whole_from = 100
    return f"{value:,.0f}" if value >= whole_from else f"{value:.3g}"
