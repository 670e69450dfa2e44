from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.learning.turnaround import (
    bucket_of,
    count_times,
    merge,
    quantile_s,
)

SMALL = settings(derandomize=True, max_examples=50, deadline=None)

TEN_YEARS_S = 3.1536e8
TIMES = st.lists(st.floats(0.001, TEN_YEARS_S), min_size=1, max_size=60)


@SMALL
@given(TIMES, st.floats(0, 1))
def test_a_quantile_is_at_most_two_percent_off(times: list[float], share: float) -> None:
    estimate = quantile_s(count_times(times), share)

    exact = sorted(times)[max(1, ceil(share * len(times))) - 1]
    assert estimate == pytest.approx(exact, rel=0.02)


@SMALL
@given(st.floats(0.001, TEN_YEARS_S))
def test_one_time_alone_is_at_most_two_percent_off(seconds: float) -> None:
    estimate = quantile_s(count_times([seconds]), 0.5)

    assert estimate == pytest.approx(seconds, rel=0.02)


@SMALL
@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=60))
def test_longer_times_never_have_lower_buckets(times: list[float]) -> None:
    buckets = [bucket_of(seconds) for seconds in sorted(times)]

    assert buckets == sorted(buckets)


@SMALL
@given(st.lists(TIMES, max_size=5), st.randoms())
def test_merged_parts_equal_the_whole_in_any_order(
    parts: list[list[float]], chance: Random
) -> None:
    histograms = [count_times(part) for part in chance.sample(parts, len(parts))]

    merged = merge(histograms)

    assert merged == count_times(seconds for part in parts for seconds in part)


@SMALL
@given(TIMES, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_share_never_has_a_shorter_time(
    times: list[float], one: float, other: float
) -> None:
    histogram = count_times(times)

    low, high = (quantile_s(histogram, share) for share in sorted((one, other)))

    assert low is not None
    assert high is not None
    assert low <= high


# The edges are stored with every count, so they are written down here.
@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(-3.0, 0, id="clocks that differ"),
        pytest.param(0.0, 0, id="at once"),
        pytest.param(0.000999, 0, id="under a millisecond"),
        pytest.param(0.001, 1, id="a millisecond"),
        pytest.param(0.0010399, 1, id="just under the second edge"),
        pytest.param(0.0010401, 2, id="just over the second edge"),
        pytest.param(1.0, 177, id="a second"),
        pytest.param(3600.0, 385, id="an hour"),
        pytest.param(TEN_YEARS_S, 676, id="ten years"),
        pytest.param(1e30, 676, id="for ever"),
    ],
)
def test_buckets_are_fixed(seconds: float, bucket: int) -> None:
    assert bucket_of(seconds) == bucket


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf")])
def test_a_time_that_is_no_number_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        bucket_of(seconds)


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile_s({}, 0.5) is None
    assert quantile_s({7: 0}, 0.5) is None


def test_under_a_millisecond_is_answered_as_zero() -> None:
    assert quantile_s(count_times([0.0004, 0.0009]), 0.9) == 0


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_s({7: 1}, share)
