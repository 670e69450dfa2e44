"""What the windows of one model version say that end together.

All of them are one family: with fifty streams, one in a hundred of each would be an alarm every
other window. So p_min is held against Holm's steps at each severity. A stream that Holm rejects
has p_min <= 0.01 there, and with it g_lcb above that severity's threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from app.core.drift.distances import (
    ALPHA,
    Distances,
    Shift,
    distances_between,
    g_lcb,
    p_min,
    p_values,
    shift_between,
)
from app.core.drift.spec import UNSEEN_SHARE_MAX, Bins, cells_to_test, places_of, unseen_count
from app.core.learning.intervals import clopper_pearson

WINDOW_MIN = 100
PER_CELL_MIN = 5
REFERENCE_MIN = 1000

Insufficient = Literal["reference_too_small", "window_too_small", "too_few_for_cells"]


class Severity(StrEnum):
    """How large a shift is at least, from small to large; only `drift` and more change routing."""

    NONE = "none"
    SHIFT = "shift"
    DRIFT = "drift"
    SEVERE = "severe"


THRESHOLDS: Mapping[Severity, float] = {
    Severity.SHIFT: 0.02,
    Severity.DRIFT: 0.10,
    Severity.SEVERE: 0.25,
}
"""What the true shift exceeds, in the unit of g."""


@dataclass(frozen=True, slots=True)
class StreamWindow:
    """One window of one stream, and its reference; `stream` names it within its family."""

    stream: str
    bins: Bins
    reference: Sequence[int]
    window: Sequence[int]


class Level(Struct, frozen=True):
    """One severity's test: p_min at its threshold, and the same adjusted by Holm."""

    severity: Severity
    threshold: float
    p_min: float
    p_holm: float


class Evaluation(Struct, frozen=True, kw_only=True):
    """One stream's window against its reference, with every number.

    Attributes:
        stream: as in `StreamWindow`.
        m: size of the reference.
        n: size of the window.
        cells: those occupied in either (B).
        family: how many tests Holm adjusted for.
        insufficient: why nothing is tested; then `severity`, `p`, `g_lcb` are None, `levels` empty.
        severity: the highest at which Holm rejects, or `shift` for unseen categories alone.
        statistic: G.
        effect: g = G (1/m + 1/n).
        p: of the plain G-test.
        g_lcb: the true shift exceeds it, at 99 %, not adjusted.
        levels: the tests behind the severity.
        unseen: how many had a category that the reference did not have; None where not told.
        unseen_low: 99 % lower bound of their share.
        distances: for display.
    """

    stream: str
    m: int
    n: int
    cells: int
    family: int
    insufficient: Insufficient | None
    severity: Severity | None
    statistic: float
    effect: float
    p: float | None
    g_lcb: float | None
    levels: tuple[Level, ...]
    unseen: int | None
    unseen_low: float | None
    distances: Distances

    @property
    def has_unseen(self) -> bool:
        """Whether unseen categories are too many to be chance."""
        return _are_many(self.unseen_low)


def evaluate(family: Sequence[StreamWindow]) -> list[Evaluation]:
    """Evaluate the windows of one model version that end together, in their order.

    Streams with too few counts are not tested, and do not count in Holm's adjustment. An empty
    window is one of zeros.
    """
    counts = [_tested(one) for one in family]
    shifts = [shift_between(reference, window) for reference, window in counts]
    reasons = [insufficiency(shift) for shift in shifts]
    testable = [s for s, reason in zip(shifts, reasons, strict=True) if reason is None]
    tests = iter(_tests(testable))
    outcomes = [next(tests) if reason is None else _UNTESTED for reason in reasons]
    return [
        _evaluation(one, shift, reason, test, len(testable))
        for one, shift, reason, test in zip(family, shifts, reasons, outcomes, strict=True)
    ]


def insufficiency(shift: Shift) -> Insufficient | None:
    """Why a window cannot be tested: the distribution of G is asymptotic."""
    if shift.m < REFERENCE_MIN:
        return "reference_too_small"
    if shift.n < WINDOW_MIN:
        return "window_too_small"
    if shift.n < PER_CELL_MIN * shift.cells:
        return "too_few_for_cells"
    return None


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values: below 0.01 for any true null with a chance of 0.01."""
    adjusted = [0.0] * len(p)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = highest
    return adjusted


def at_least(severity: Severity | None, floor: Severity) -> bool:
    """Whether a severity is `floor` or more; what was not tested is not."""
    order = list(Severity)
    return severity is not None and order.index(severity) >= order.index(floor)


@dataclass(frozen=True, slots=True)
class _Test:
    p: float | None
    g_lcb: float | None
    levels: tuple[Level, ...]


_UNTESTED = _Test(None, None, ())


def _tested(one: StreamWindow) -> tuple[list[int], list[int]]:
    return cells_to_test(one.bins, one.reference), cells_to_test(one.bins, one.window)


def _tests(shifts: Sequence[Shift]) -> list[_Test]:
    by_severity = []
    for severity, threshold in THRESHOLDS.items():
        p = p_min(shifts, threshold)
        by_severity.append(
            [Level(severity, threshold, *pair) for pair in zip(p, holm(p), strict=True)]
        )
    levels = zip(*by_severity, strict=True)
    return [
        _Test(p, lcb, own)
        for p, lcb, own in zip(p_values(shifts), g_lcb(shifts), levels, strict=True)
    ]


def _evaluation(
    one: StreamWindow,
    shift: Shift,
    insufficient: Insufficient | None,
    test: _Test,
    family: int,
) -> Evaluation:
    unseen = unseen_count(one.bins, one.window)
    unseen_low = None if insufficient or unseen is None else _unseen_low(unseen, shift.n)
    return Evaluation(
        stream=one.stream,
        m=shift.m,
        n=shift.n,
        cells=shift.cells,
        family=family,
        insufficient=insufficient,
        severity=None if insufficient else _severity(test.levels, unseen_low),
        statistic=shift.statistic,
        effect=shift.effect,
        p=test.p,
        g_lcb=test.g_lcb,
        levels=test.levels,
        unseen=unseen,
        unseen_low=unseen_low,
        distances=distances_between(*_tested(one), places_of(one.bins)),
    )


def _unseen_low(unseen: int, n: int) -> float:
    # the bound has one side: it is the lower end of a 98 % interval
    return clopper_pearson(unseen, n, confidence=1 - 2 * ALPHA).low


def _severity(levels: Sequence[Level], unseen_low: float | None) -> Severity:
    rejected = [level.severity for level in levels if level.p_holm <= ALPHA]
    if rejected:
        return rejected[-1]
    # a few new categories are worth a look; what moves routing is the size of the shift
    return Severity.SHIFT if _are_many(unseen_low) else Severity.NONE


def _are_many(unseen_low: float | None) -> bool:
    return unseen_low is not None and unseen_low > UNSEEN_SHARE_MAX
