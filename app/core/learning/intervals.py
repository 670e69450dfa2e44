"""Confidence intervals for a proportion; each is a pair of shares in [0, 1].

scipy is imported inside the two quantile functions: it costs about 0.4 s, which the start of the
API need not pay, and only `scipy.special` is used (`scipy.stats` costs twice as much again).
"""

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """The two ends of a confidence interval, as shares."""

    low: float
    high: float


def clopper_pearson(hits: float, trials: float, *, confidence: float = 0.95) -> Interval:
    """The exact two-sided interval (Clopper and Pearson 1934), from beta quantiles.

    Each side is missed with a chance of at most (1 - confidence) / 2, whatever the true share. The
    counts may be fractions, as an effective sample size is. Without a trial: (0, 1).
    """
    _check_counts(hits, trials)
    tail = (1 - confidence) / 2
    misses = trials - hits
    low = _beta_quantile(tail, hits, misses + 1) if hits > 0 else 0.0
    high = _beta_quantile(1 - tail, hits + 1, misses) if misses > 0 else 1.0
    return Interval(low, high)


def clopper_pearson_upper(hits: float, trials: float, *, confidence: float = 0.95) -> float:
    """The exact upper bound: the true share exceeds it with a chance of 1 - confidence at most.

    299 trials without a hit are the fewest that bound a share by 1 % with 95 % confidence.
    """
    _check_counts(hits, trials)
    misses = trials - hits
    return _beta_quantile(confidence, hits + 1, misses) if misses > 0 else 1.0


def wilson(hits: float, trials: float, *, confidence: float = 0.95) -> Interval:
    """The score interval (Wilson 1927): close to its level on average, narrower than the exact one.

    For display. A claim that something stays below a limit needs `clopper_pearson_upper`.
    """
    _check_counts(hits, trials)
    if trials == 0:
        return Interval(0.0, 1.0)
    share = hits / trials
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    centre = share + z**2 / (2 * trials)
    reach = z * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    # Rounding would otherwise leave 1e-19 at no hit, and 1 - 1e-16 at nothing but hits.
    low = 0.0 if hits == 0 else (centre - reach) / scale
    high = 1.0 if hits == trials else (centre + reach) / scale
    return Interval(low, high)


def korn_graubard(share: float, effective: float, *, confidence: float = 0.95) -> Interval:
    """The interval of a weighted sample (Korn and Graubard 1998).

    `share` is the weighted estimate, `effective` comes from `effective_size`. Clopper and Pearson's
    interval is taken as if `share * effective` hits had been seen in `effective` trials.
    """
    return clopper_pearson(min(share * effective, effective), effective, confidence=confidence)


def effective_size(
    share: float,
    variance: float,
    *,
    size: int,
    degrees_of_freedom: int,
    confidence: float = 0.95,
) -> float:
    """How many trials of a simple random sample would tell as much as this weighted sample.

    n_eff = share (1 - share) / variance, times (t(size - 1) / t(degrees of freedom))**2 with the
    upper (1 - confidence) / 2 quantiles of Student's t, since the variance is itself an estimate
    (Korn and Graubard 1998). Never more than `size`: a sample that seems to know more than its
    number of trials owes that to luck. `variance` is that of the estimate, and must not be 0.
    """
    level = (1 + confidence) / 2
    # Student's t needs one degree of freedom at least, also with a single trial.
    simple = _student_quantile(level, max(size - 1, 1))
    actual = _student_quantile(level, max(degrees_of_freedom, 1))
    return min(float(size), share * (1 - share) / variance * (simple / actual) ** 2)


def _check_counts(hits: float, trials: float) -> None:
    if not 0 <= hits <= trials:
        raise ValueError(f"0 <= hits <= trials is needed, not hits={hits}, trials={trials}")


def _beta_quantile(level: float, a: float, b: float) -> float:
    from scipy.special import betaincinv  # noqa: PLC0415 - slow import, see the module's docstring

    return float(betaincinv(a, b, level))


def _student_quantile(level: float, degrees_of_freedom: int) -> float:
    from scipy.special import stdtrit  # noqa: PLC0415 - slow import, see the module's docstring

    return float(stdtrit(degrees_of_freedom, level))
