"""How far a window's counts are from those of the reference.

The test is a minimum-effect G-test. PSI and its like grow with small samples: without any drift
PSI over ten cells exceeds 0.1 in 77 to 86 % of windows of 50. So G is set against its distribution
under a true shift of d0, and the alarm speaks of the smallest shift that the counts still prove.
The other distances are for display.

Each function takes the reference's counts first and the window's second, cell by cell.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from msgspec import Struct

ALPHA = 0.01
"""The chance of an alarm that is accepted where the true shift is exactly the smallest one."""
PSEUDO_COUNT = 0.5
STATISTIC_MAX = 100_000.0
"""A larger G is taken as this, from as many fewer counts of the same shares. The bound is then up
to 1.5 % lower, and the tail's series, whose terms grow with G, stays at 0.3 ms.
"""


@dataclass(frozen=True, slots=True)
class Shift:
    """What G is made of: sizes of reference (m) and window (n), occupied cells, and G itself."""

    m: int
    n: int
    cells: int
    statistic: float

    @property
    def scale(self) -> float:
        """1/m + 1/n; infinite where either is empty."""
        return 1 / self.m + 1 / self.n if self.m and self.n else math.inf

    @property
    def effect(self) -> float:
        """G (1/m + 1/n), called g: about PSI, finite with empty cells, and 0 without counts."""
        return self.statistic * self.scale if self.m and self.n else 0.0

    @property
    def tested(self) -> tuple[float, float]:
        """G and scale as they are tested; their product is the effect in any case."""
        thinned = max(1.0, self.statistic / STATISTIC_MAX)
        return self.statistic / thinned, self.scale * thinned


class Distances(Struct, frozen=True, kw_only=True):
    """Distances for display; all None where the reference or the window is empty.

    `kolmogorov_smirnov` and `wasserstein` are None too where the cells have no order, or nothing
    but missing values; `wasserstein`, in standard deviations of the reference, also where that has
    none.
    """

    psi: float | None = None
    jensen_shannon: float | None = None
    l_infinity: float | None = None
    kolmogorov_smirnov: float | None = None
    wasserstein: float | None = None


def shift_between(reference: Sequence[int], window: Sequence[int]) -> Shift:
    """G of two histograms, 2 sum(r ln(r / E_r) + c ln(c / E_c)), E from the pooled shares.

    Cells that are empty in both are left out: they would only add degrees of freedom. Worked
    example: 100, 200, 300, 250, 150 against 120, 180, 280, 260, 160: G = 4.082332, g = 0.008165.
    """
    m, n = sum(reference), sum(window)
    cells = _occupied(reference, window)
    if not m or not n:
        return Shift(m, n, len(cells), 0.0)
    terms = math.fsum(
        _deviation(r, (r + c) * m / (m + n)) + _deviation(c, (r + c) * n / (m + n))
        for r, c in cells
    )
    # of equal shares rounding would leave -1e-13
    return Shift(m, n, len(cells), max(0.0, 2 * terms))


def p_values(shifts: Sequence[Shift]) -> list[float]:
    """The plain G-test: the chance of such a G without any shift (chi-squared)."""
    from scipy.special import chdtrc  # noqa: PLC0415 - slow import, see the package's docstring

    return [float(chdtrc(s.cells - 1, s.statistic)) if s.cells > 1 else 1.0 for s in shifts]


def p_min(shifts: Sequence[Shift], smallest: float) -> list[float]:
    """The chance of such a G if the true shift were `smallest` (d0), for each.

    The upper tail of the noncentral chi-squared distribution with cells - 1 degrees of freedom and
    noncentrality d0 / (1/m + 1/n). It is asymptotic: 3.1 % was the worst seen at a nominal 1 %.
    """
    from scipy.special import chndtr  # noqa: PLC0415 - slow import, see the package's docstring

    # 1 - cdf is good to 1e-15, which is all that a comparison with 0.01 / streams needs
    def tail(shift: Shift) -> float:
        statistic, scale = shift.tested
        return max(0.0, 1.0 - float(chndtr(statistic, shift.cells - 1, smallest / scale)))

    return [tail(shift) if shift.cells > 1 else 1.0 for shift in shifts]


def g_lcb(shifts: Sequence[Shift]) -> list[float]:
    """The largest shift d0 with p_min(d0) <= 0.01, for each; 0 where there is none.

    A lower bound of the true shift at 99 %, in the unit of `Shift.effect`.
    """
    from scipy.special import chndtrinc  # noqa: PLC0415 - slow import, see the package's docstring

    def bound(shift: Shift) -> float:
        statistic, scale = shift.tested
        return scale * float(chndtrinc(statistic, shift.cells - 1, 1 - ALPHA))

    return [
        bound(shift) if p <= ALPHA else 0.0
        for shift, p in zip(shifts, p_min(shifts, 0.0), strict=True)
    ]


def distances_between(
    reference: Sequence[int], window: Sequence[int], places: Sequence[float] | None
) -> Distances:
    """All distances for display.

    Args:
        reference: counts by cell.
        window: counts by cell.
        places: where the first cells lie on the number line, in rising order; what comes after
            them (missing) is in no order. None: no cell is.
    """
    if not sum(reference) or not sum(window):
        return Distances()
    steps = _cumulative_steps(reference, window, len(places or ()))
    return Distances(
        psi=psi(reference, window),
        jensen_shannon=jensen_shannon(reference, window),
        l_infinity=max(abs(p - q) for p, q in _shares(reference, window)),
        kolmogorov_smirnov=max(steps, default=None),
        wasserstein=_wasserstein(steps, reference, places) if places and steps else None,
    )


def psi(reference: Sequence[int], window: Sequence[int]) -> float:
    """Population stability index, sum((q - p) ln(q / p)), over the occupied cells.

    Each cell gets half a pseudo-count, so that an empty one does not make it infinite.
    """
    filled = [(r + PSEUDO_COUNT, c + PSEUDO_COUNT) for r, c in _occupied(reference, window)]
    m, n = sum(r for r, _ in filled), sum(c for _, c in filled)
    return math.fsum((c / n - r / m) * math.log(c * m / (r * n)) for r, c in filled)


def jensen_shannon(reference: Sequence[int], window: Sequence[int]) -> float:
    """The Jensen-Shannon distance to base 2: the root of the divergence, in [0, 1]."""
    divergence = math.fsum(
        _deviation(p, (p + q) / 2) + _deviation(q, (p + q) / 2)
        for p, q in _shares(reference, window)
    )
    return math.sqrt(max(0.0, divergence / 2 / math.log(2)))


def _occupied(reference: Sequence[int], window: Sequence[int]) -> list[tuple[int, int]]:
    return [(r, c) for r, c in zip(reference, window, strict=True) if r or c]


def _deviation(seen: float, expected: float) -> float:
    return seen * math.log(seen / expected) if seen else 0.0


def _shares(reference: Sequence[int], window: Sequence[int]) -> list[tuple[float, float]]:
    m, n = sum(reference), sum(window)
    return [(r / m, c / n) for r, c in zip(reference, window, strict=True)]


def _cumulative_steps(reference: Sequence[int], window: Sequence[int], ordered: int) -> list[float]:
    """How far the two cumulative distributions are apart after each of the first `ordered` cells.

    Missing values are left out on both sides: they have no place in the order.
    """
    reference, window = reference[:ordered], window[:ordered]
    m, n = sum(reference), sum(window)
    if not m or not n:
        return []
    return [
        abs(r / m - c / n) for r, c in zip(accumulate(reference), accumulate(window), strict=True)
    ]


def _wasserstein(
    steps: Sequence[float], reference: Sequence[int], places: Sequence[float]
) -> float | None:
    """The area between the cumulative distributions, in standard deviations of the reference.

    Distance and deviation both come from the places of the cells, so what the outermost cells hide
    is missing in both.
    """
    area = math.fsum(
        step * (high - low) for step, (low, high) in zip(steps[:-1], pairwise(places), strict=True)
    )
    deviation = _deviation_of(reference[: len(places)], places)
    if not 0 < deviation < math.inf or not math.isfinite(area):
        return None
    return area / deviation


def _deviation_of(counts: Iterable[int], places: Sequence[float]) -> float:
    weighted = list(zip(counts, places, strict=True))
    total = sum(count for count, _ in weighted)
    mean = sum(count / total * place for count, place in weighted)
    return math.hypot(*(math.sqrt(count / total) * (place - mean) for count, place in weighted))
