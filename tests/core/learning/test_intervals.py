import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from app.core.learning.intervals import (
    Interval,
    clopper_pearson,
    clopper_pearson_upper,
    effective_size,
    korn_graubard,
    wilson,
)

SMALL = settings(derandomize=True, max_examples=50, deadline=None)

IntervalOf = Callable[[float, float], Interval]


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    trials = draw(st.integers(1, 5000))
    return draw(st.integers(0, trials)), trials


CONFIDENCES = st.sampled_from([0.8, 0.95, 0.99])


@SMALL
@given(counts(), CONFIDENCES)
def test_clopper_pearson_equals_scipy(hits_of_trials: tuple[int, int], confidence: float) -> None:
    hits, trials = hits_of_trials

    interval = clopper_pearson(hits, trials, confidence=confidence)

    oracle = stats.binomtest(hits, trials).proportion_ci(confidence, method="exact")
    assert interval == pytest.approx((oracle.low, oracle.high), abs=1e-9)


@SMALL
@given(counts(), CONFIDENCES)
def test_upper_bound_equals_scipys_one_sided_bound(
    hits_of_trials: tuple[int, int], confidence: float
) -> None:
    hits, trials = hits_of_trials

    upper = clopper_pearson_upper(hits, trials, confidence=confidence)

    oracle = stats.binomtest(hits, trials, alternative="less")
    assert upper == pytest.approx(oracle.proportion_ci(confidence, method="exact").high, abs=1e-9)


@SMALL
@given(counts(), CONFIDENCES)
def test_wilson_equals_scipy(hits_of_trials: tuple[int, int], confidence: float) -> None:
    hits, trials = hits_of_trials

    interval = wilson(hits, trials, confidence=confidence)

    oracle = stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    assert interval == pytest.approx((oracle.low, oracle.high), abs=1e-9)


# Audits and errors that are just enough, or not enough, for "error at most 1 %, 95 % sure".
@pytest.mark.parametrize(
    ("trials", "hits", "enough"),
    [
        (299, 0, True),
        (298, 0, False),
        (473, 1, True),
        (628, 2, True),
        (773, 3, True),
        (1049, 5, True),
        (1693, 10, True),
    ],
)
def test_upper_bound_is_at_most_one_percent_with_enough_audits(
    trials: float, hits: float, enough: bool
) -> None:
    upper = clopper_pearson_upper(hits, trials, confidence=0.95)

    assert (upper <= 0.01) == enough


@SMALL
@given(counts(), st.sampled_from([clopper_pearson, wilson]))
def test_another_hit_moves_both_ends_up(
    hits_of_trials: tuple[int, int], interval_of: IntervalOf
) -> None:
    hits, trials = hits_of_trials

    before, after = interval_of(hits, trials + 1), interval_of(hits + 1, trials + 1)

    assert 0 <= before.low <= before.high <= 1
    assert before.low < after.low
    assert before.high < after.high


@SMALL
@given(counts())
def test_more_confidence_needs_a_wider_interval(hits_of_trials: tuple[int, int]) -> None:
    hits, trials = hits_of_trials

    wide, narrow = (clopper_pearson(hits, trials, confidence=level) for level in (0.99, 0.9))

    assert wide.low <= narrow.low <= hits / trials <= narrow.high <= wide.high


@pytest.mark.parametrize("interval_of", [clopper_pearson, wilson])
def test_without_a_trial_every_share_is_possible(interval_of: IntervalOf) -> None:
    interval = interval_of(0, 0)

    assert interval == (0, 1)


def test_upper_bound_is_one_when_every_trial_hits() -> None:
    upper = clopper_pearson_upper(7, 7)

    assert upper == 1


@pytest.mark.parametrize(("hits", "trials"), [(-1, 5), (6, 5), (float("nan"), 5)])
@pytest.mark.parametrize("bound_of", [clopper_pearson, clopper_pearson_upper, wilson])
def test_impossible_counts_are_refused(
    bound_of: Callable[[float, float], object], hits: float, trials: float
) -> None:
    with pytest.raises(ValueError, match="hits"):
        bound_of(hits, trials)


def test_simple_random_sample_is_worth_its_own_size() -> None:
    share, size = 0.02, 400

    effective = effective_size(
        share, share * (1 - share) / size, size=size, degrees_of_freedom=size - 1
    )

    assert effective == pytest.approx(400)
    assert korn_graubard(share, effective) == pytest.approx(clopper_pearson(8, 400))


def test_effective_size_shrinks_with_the_variance_and_never_exceeds_the_sample() -> None:
    halved, lucky = (
        effective_size(0.1, 0.1 * 0.9 / trials, size=200, degrees_of_freedom=199)
        for trials in (100, 900)
    )

    assert halved == pytest.approx(100)
    assert lucky == 200


def test_few_degrees_of_freedom_shrink_the_effective_size() -> None:
    # Student's t at 97.5 %: 2.262157 with 9 degrees of freedom, 4.302653 with 2.
    effective = effective_size(0.1, 0.1 * 0.9 / 10, size=10, degrees_of_freedom=2)

    assert effective == pytest.approx(10 * (2.262157 / 4.302653) ** 2, rel=1e-5)


def test_a_single_audit_has_an_effective_size() -> None:
    effective = effective_size(1 / 3, 2 / 9, size=1, degrees_of_freedom=0)

    assert effective == pytest.approx(1)


def test_importing_the_module_does_not_import_scipy() -> None:
    code = "import sys, app.core.learning.agreement; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "app.core.learning.intervals" in loaded
    assert not {"scipy", "numpy"} & set(loaded)
