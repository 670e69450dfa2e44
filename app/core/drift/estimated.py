"""How good a model is without anybody looking: the mean of its calibrated confidence.

That is right as long as p(label | input) is what it was when the confidence was calibrated; it sees
inputs becoming harder and is blind to their meaning changing. So it is shown beside the audited
figure, never certifies, and a gap between the two is an alarm: then that assumption is wrong.

Sums are kept in millionths, as integers, so that they merge to the same number in any order.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.core.drift.evaluate import Severity
from app.core.drift.monitor import Judged
from app.core.learning.accepted_error import Estimate
from app.core.learning.intervals import Interval

UNIT = 1_000_000
GAP_MIN = 0.01
"""A gap that is no alarm, a share: calibration is itself known no better than that."""
GAP_CONFIDENCE = 0.99
"""Of the audited interval that a gap is judged by."""
Z = 2.5758293035489004
"""The normal quantile of that confidence."""

ASSUMES = "p(y|x) unchanged"


@dataclass(frozen=True, slots=True)
class Confidences:
    """Sums over some predictions, or over a sample of them.

    Attributes:
        sums: as `confidence_sums` gives them.
        weight: how many predictions each stands for: 1, or 1 / probability in a sample.
    """

    sums: Sequence[int]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class WithoutLabels:
    """An error share that nobody has checked, and the interval of the realised share around it.

    All None without predictions. It `assumes` what the module's docstring says.
    """

    error: float | None
    interval: Interval | None
    predictions: int
    assumes: str = ASSUMES


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the audited error is from the estimated one, at least.

    Attributes:
        between: ends of (audited - estimated), from the audited interval.
        at_least: its smallest size, a share; 0 when the interval holds the estimate.
        direction: where the audited error lies; None when `at_least` is 0.
    """

    between: Interval
    at_least: float
    direction: Literal["worse", "better"] | None

    @property
    def is_alarm(self) -> bool:
        """Whether the assumption behind the estimate must be given up."""
        return self.at_least > GAP_MIN


def confidence_sums(calibrated: Iterable[float]) -> list[int]:
    """Number, sum of c and sum of c (1 - c), both in millionths; c is P(right), in [0, 1].

    They merge as histograms do.
    """
    number = total = spread = 0
    for confidence in calibrated:
        number += 1
        total += round(confidence * UNIT)
        spread += round(confidence * (1 - confidence) * UNIT)
    return [number, total, spread]


def error_without_labels(groups: Iterable[Confidences]) -> WithoutLabels:
    """The weighted mean of 1 - c; in the literature confidence-based performance estimation.

    The interval, at 99 %, is where the error of just these predictions falls by chance: they are
    independent draws with chances 1 - c (normal approximation).
    """
    groups = list(groups)
    predictions = sum(group.sums[0] for group in groups)
    weight = math.fsum(group.weight * group.sums[0] for group in groups)
    if not weight:
        return WithoutLabels(None, None, 0)
    right = math.fsum(group.weight * group.sums[1] for group in groups) / UNIT / weight
    variance = math.fsum(group.weight**2 * group.sums[2] for group in groups) / UNIT / weight**2
    error, reach = 1 - right, Z * math.sqrt(variance)
    return WithoutLabels(
        error, Interval(max(0.0, error - reach), min(1.0, error + reach)), predictions
    )


def gap_between(audited: Estimate, estimated: WithoutLabels) -> Gap | None:
    """The gap of one window; None when either side has nothing to say.

    Args:
        audited: the error of the window's accepted decisions, at `GAP_CONFIDENCE`. Each window has
            audits of its own; running totals would be looked at again and again.
        estimated: of the same decisions, all of them.

    If the assumption holds, the audited interval holds the estimate in 99 of 100 windows: it is for
    the share behind the audits, which then is the mean of 1 - c. Undecided audits widen it on both
    sides. So a false alarm needs that hundredth, a gap of a point besides, and (`judge_gap`) the
    same again within three windows.
    """
    if audited.low is None or audited.high is None or estimated.error is None:
        return None
    between = Interval(audited.low - estimated.error, audited.high - estimated.error)
    if between.low > 0:
        return Gap(between, between.low, "worse")
    if between.high < 0:
        return Gap(between, -between.high, "better")
    return Gap(between, 0.0, None)


def judge_gap(gap: Gap | None) -> Judged:
    """A window of the gap's monitor: an alarm is a drift, to be confirmed as any other."""
    if gap is None:
        return Judged(None, quiet=False, eased=False)
    calm = gap.at_least < GAP_MIN / 2
    return Judged(Severity.DRIFT if gap.is_alarm else Severity.NONE, quiet=calm, eased=calm)
