"""Krippendorff's alpha: agreement of any number of reviewers, with verdicts missing.

numpy pays here, because the interval recomputes alpha a thousand times. For the worker and the
demo: that is too slow for a request.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Floats = NDArray[np.float64]

UNITS_FOR_INTERVAL_MIN = 10
"""Fewer units make resamples too alike, and the interval too narrow."""

UNDEFINED_RESAMPLES_MAX = 0.05
"""A larger share of resamples with one category only would be left out of the interval's tails."""


@dataclass(frozen=True, slots=True)
class Alpha:
    """Alpha (1: full agreement, 0: chance, negative: systematic disagreement) with its interval.

    `reason` says why something is None: with `no_pairs` and `one_category` all three are, with the
    other reasons only `low` and `high`.
    """

    value: float | None
    low: float | None
    high: float | None
    units: int
    """Units with two verdicts or more: a single verdict can agree with nobody."""
    reason: (
        Literal["no_pairs", "one_category", "not_asked", "too_few_units", "category_too_rare"]
        | None
    )


def krippendorff_alpha(
    units: Iterable[Iterable[str | float | None]],
    level: Level = "nominal",
    *,
    rng: np.random.Generator | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Alpha:
    """Alpha of the verdicts on each unit (Krippendorff 2011); None is a missing verdict.

    Who gave a verdict, and the order of units and verdicts, do not matter. `level` says what a
    distance between labels means; all but `nominal` need finite numbers, `ratio` none below 0.

    alpha = 1 - observed / expected disagreement. Each unit with m >= 2 verdicts gives each ordered
    pair of them the weight 1 / (m - 1); expected is the disagreement of all pairable verdicts
    paired at random.

    With `rng` the interval is the percentile bootstrap over units, `resamples` times.
    """
    pairable = [verdicts for unit in units if len(verdicts := _given(unit)) > 1]
    if not pairable:
        return Alpha(None, None, None, 0, "no_pairs")
    labels = _categories(pairable, level)
    if len(labels) == 1:
        return Alpha(None, None, None, len(pairable), "one_category")
    counts = _count(pairable, labels)
    value = _alpha(counts, np.ones(len(counts)), labels, level)
    if rng is None:
        return Alpha(value, None, None, len(counts), "not_asked")
    if len(counts) < UNITS_FOR_INTERVAL_MIN:
        return Alpha(value, None, None, len(counts), "too_few_units")
    values = _bootstrap(counts, labels, level, rng, resamples)
    if np.isnan(values).mean() > UNDEFINED_RESAMPLES_MAX:
        return Alpha(value, None, None, len(counts), "category_too_rare")
    tail = (1 - confidence) / 2
    low, high = (float(end) for end in np.nanquantile(values, [tail, 1 - tail]))
    return Alpha(value, low, high, len(counts), None)


def _given(unit: Iterable[str | float | None]) -> list[str | float]:
    return [verdict for verdict in unit if verdict is not None]


def _categories(units: Sequence[Sequence[str | float]], level: Level) -> list[str | float]:
    labels = {verdict for unit in units for verdict in unit}
    if level == "nominal":
        return sorted(labels, key=lambda label: (isinstance(label, str), label))
    return [*sorted(_numbers(labels, level))]


def _numbers(labels: Iterable[str | float], level: Level) -> list[float]:
    numbers = []
    for label in labels:
        if isinstance(label, str) or not isfinite(label) or (level == "ratio" and label < 0):
            raise ValueError(f"{label!r} has no place on a scale of level {level}")
        numbers.append(float(label))
    return numbers


def _count(units: Sequence[Sequence[str | float]], labels: Sequence[str | float]) -> Floats:
    """How often each unit (row) got each label (column)."""
    column = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(units), len(labels)))
    for row, unit in enumerate(units):
        for verdict in unit:
            counts[row, column[verdict]] += 1
    return counts


def _alpha(counts: Floats, times: Floats, labels: Sequence[str | float], level: Level) -> float:
    """Alpha of the units, the i-th taken `times[i]` times; NaN when only one label is left."""
    weights = times / (counts.sum(axis=1) - 1)
    coincidences = counts.T @ (counts * weights[:, None]) - np.diag(weights @ counts)
    margins = coincidences.sum(axis=0)
    if np.count_nonzero(margins) == 1:
        return float("nan")
    distance = _squared_distance(labels, margins, level)
    observed = (coincidences * distance).sum()
    expected = margins @ distance @ margins / (margins.sum() - 1)
    return float(1 - observed / expected)


def _squared_distance(labels: Sequence[str | float], margins: Floats, level: Level) -> Floats:
    match level:
        case "nominal":
            return 1 - np.eye(len(labels))
        case "ordinal":
            # Ranks in the middle of each category: the distance counts the verdicts in between.
            ranks = np.cumsum(margins) - margins / 2
            return np.subtract.outer(ranks, ranks) ** 2
        case "interval":
            points = np.array(labels, dtype=np.float64)
            return np.subtract.outer(points, points) ** 2
        case "ratio":
            points = np.array(labels, dtype=np.float64)
            sums = np.add.outer(points, points)
            # 0 is at no distance from itself; the quotient would be 0 / 0.
            return (np.subtract.outer(points, points) / np.where(sums == 0, 1.0, sums)) ** 2
        case _:
            assert_never(level)


def _bootstrap(
    counts: Floats,
    labels: Sequence[str | float],
    level: Level,
    rng: np.random.Generator,
    resamples: int,
) -> Floats:
    units = len(counts)
    even = np.full(units, 1 / units)
    draws = (rng.multinomial(units, even).astype(np.float64) for _ in range(resamples))
    return np.array([_alpha(counts, times, labels, level) for times in draws])
