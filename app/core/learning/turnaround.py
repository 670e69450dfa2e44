"""Percentiles of waiting times from counts in fixed buckets, so that parts can be added up.

Bucket edges grow by 4 %. A bucket answers with the harmonic mean of its edges, which is at most
(1.04 - 1) / (1.04 + 1) = 1.97 % away from every time in it. Below a millisecond the answer is 0.

Bucket 0 holds [0, 0.001) s; bucket i >= 1 holds [0.001 * 1.04**(i-1), 0.001 * 1.04**i) s. The
edges must never change: stored counts would mean other times.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import ceil, floor, inf, log

SHORTEST_S = 0.001
GROWTH = 1.04
BUCKET_MAX = 676
"""Holds ten years and all that is longer: a limit on how many counts there can be."""

Histogram = Mapping[int, int]
"""Bucket to number of times in it."""


def bucket_of(seconds: float) -> int:
    """The bucket of a waiting time in seconds.

    A time below 0 counts as 0: two clocks may differ a little about when the wait began.
    """
    if not -inf < seconds < inf:
        raise ValueError(f"a waiting time is a finite number of seconds, not {seconds}")
    if seconds < SHORTEST_S:
        return 0
    return min(BUCKET_MAX, 1 + floor(log(seconds / SHORTEST_S) / log(GROWTH)))


def count_times(times_s: Iterable[float]) -> Histogram:
    """The histogram of waiting times in seconds."""
    return Counter(bucket_of(seconds) for seconds in times_s)


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of everything in `histograms`; their order does not matter."""
    merged: Counter[int] = Counter()
    for histogram in histograms:
        merged.update(histogram)
    return merged


def quantile_s(histogram: Histogram, share: float) -> float | None:
    """The smallest time that at least `share` of the times do not exceed, in s; None if empty.

    At most 2 % off for times from a millisecond to ten years, see the module's docstring.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a quantile is between 0 and 1, not {share}")
    total = sum(histogram.values())
    if total == 0:
        return None
    rank = max(1, ceil(share * total))
    buckets = sorted(histogram)
    seen = list(accumulate(histogram[bucket] for bucket in buckets))
    return _representative_s(buckets[bisect_left(seen, rank)])


def _representative_s(bucket: int) -> float:
    if bucket == 0:
        return 0.0
    low = SHORTEST_S * GROWTH ** (bucket - 1)
    high = low * GROWTH
    return 2 * low * high / (low + high)
