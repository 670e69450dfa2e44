from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from app.core.learning.accepted_error import Estimate, Stratum, accepted_error
from app.core.learning.intervals import clopper_pearson

SMALL = settings(derandomize=True, max_examples=50, deadline=None)

Setting = list[tuple[int, float, int]]
Counts = NDArray[np.int64]


def stratum(
    accepted: int,
    probability: float,
    *,
    audited: int = 0,
    wrong: int = 0,
    undecided: int = 0,
    key: str = "s",
) -> Stratum:
    return Stratum(key, accepted, audited, wrong, undecided, probability)


def known(estimate: Estimate) -> tuple[float, float, float]:
    """The low end, the value and the high end of an estimate that has them."""
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


@st.composite
def several_strata(draw: st.DrawFn, undecided_max: int = 20) -> list[Stratum]:
    probabilities = draw(st.lists(st.sampled_from([0.02, 0.05, 0.1, 0.2]), min_size=1, max_size=6))
    return [draw(one_stratum(f"s-{i}", p, undecided_max)) for i, p in enumerate(probabilities)]


@st.composite
def one_stratum(draw: st.DrawFn, key: str, probability: float, undecided_max: int) -> Stratum:
    audited = draw(st.integers(0, 60))
    undecided = draw(st.integers(0, undecided_max))
    return Stratum(
        key=key,
        accepted=audited + undecided + draw(st.integers(0, 2000)),
        audited=audited,
        wrong=draw(st.integers(0, audited)),
        undecided=undecided,
        probability=probability,
    )


def test_known_answer_of_two_strata_audited_at_different_rates() -> None:
    strata = [
        stratum(950, 0.05, audited=48, wrong=1, key="seldom"),
        stratum(50, 0.5, audited=25, wrong=5, key="often"),
    ]

    estimate = accepted_error(strata)

    assert estimate.value == pytest.approx(0.0297917, abs=1e-6)
    # By hand: the cautious shares are 2/50 and 6/27.
    cautious = 0.95 * 2 / 50 + 0.05 * 6 / 27
    variance = 0.95**2 * 2 / 50 * 48 / 50 / 48 + 0.05**2 * 6 / 27 * 21 / 27 / 25
    size = (
        cautious
        * (1 - cautious)
        / variance
        * (stats.t.isf(0.025, 72) / stats.t.isf(0.025, 71)) ** 2
    )
    hits = 0.0297917 * size
    assert estimate.low == pytest.approx(stats.beta.ppf(0.025, hits, size - hits + 1), abs=1e-6)
    assert estimate.high == pytest.approx(stats.beta.isf(0.025, hits + 1, size - hits), abs=1e-6)
    assert (estimate.audited, estimate.undecided, estimate.accepted) == (73, 0, 1000)
    assert estimate.reason is None


def test_one_stratum_has_the_exact_interval() -> None:
    estimate = accepted_error([stratum(4000, 0.05, audited=200, wrong=3)])

    assert estimate.value == pytest.approx(0.015)
    assert (estimate.low, estimate.high) == pytest.approx(clopper_pearson(3, 200))


def test_no_wrong_audit_still_leaves_room_for_error() -> None:
    estimate = accepted_error([stratum(4000, 0.05, audited=200)])

    assert (estimate.value, estimate.low) == (0, 0)
    assert estimate.high == pytest.approx(0.018275, abs=1e-6)


@pytest.mark.parametrize(
    ("strata", "reason"),
    [
        pytest.param([], "no_accepted", id="nothing at all"),
        pytest.param([stratum(0, 0.1)], "no_accepted", id="an empty stratum"),
        pytest.param([stratum(90, 0.1)], "no_audits", id="nothing audited"),
        pytest.param([stratum(90, 0.1, undecided=4)], "no_audits", id="nothing answered"),
    ],
)
def test_an_impossible_estimate_has_a_reason_and_no_number(
    strata: list[Stratum], reason: str
) -> None:
    estimate = accepted_error(strata)

    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert estimate.reason == reason
    assert estimate.undecided == sum(s.undecided for s in strata)


def test_undecided_audits_are_left_out_of_the_value_and_widen_both_ends() -> None:
    estimate = accepted_error([stratum(1000, 0.1, audited=90, wrong=2, undecided=10)])

    assert estimate.value == pytest.approx(2 / 90)
    assert estimate.low == pytest.approx(clopper_pearson(2, 100).low)
    assert estimate.high == pytest.approx(clopper_pearson(12, 100).high)


def test_strata_of_equal_probability_are_pooled_when_they_are_small() -> None:
    small = [
        stratum(40, 0.05, audited=audited, key=f"s-{i}")
        for i, audited in enumerate([0, 2, 4, 1, 3])
    ]

    estimate = accepted_error(small)

    assert (estimate.low, estimate.high) == pytest.approx(clopper_pearson(0, 10))


def test_a_small_rest_joins_the_pool_before_it() -> None:
    # 8 + 8 expected audits make a pool, the last 8 would be thin alone.
    small = [stratum(160, 0.05, audited=8, wrong=1, key=f"s-{i}") for i in range(3)]

    estimate = accepted_error(small)

    assert (estimate.low, estimate.high) == pytest.approx(clopper_pearson(3, 24))


def test_a_stratum_without_audits_counts_like_the_rest_and_may_be_wholly_wrong() -> None:
    audited = stratum(900, 0.1, audited=100, wrong=4, key="a")
    unaudited = stratum(100, 0.02, key="b")

    estimate = accepted_error([audited, unaudited])

    rest = clopper_pearson(4, 100)
    assert estimate.value == pytest.approx(0.04)
    assert estimate.low == pytest.approx(0.9 * rest.low)
    assert estimate.high == pytest.approx(0.9 * rest.high + 0.1)


def test_without_any_well_audited_stratum_the_unaudited_follows_inverse_probabilities() -> None:
    strata = [
        stratum(50, 0.1, audited=5, wrong=1, key="a"),
        stratum(100, 0.02, audited=2, wrong=1, key="b"),
        stratum(50, 0.05, key="c"),
    ]

    estimate = accepted_error(strata)

    elsewhere = (1 / 0.1 + 1 / 0.02) / (5 / 0.1 + 2 / 0.02)
    assert estimate.value == pytest.approx(0.25 / 5 + 0.5 / 2 + 0.25 * elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"wrong": 11}, id="more wrong than audited"),
        pytest.param({"wrong": -1}, id="negative wrong"),
        pytest.param({"undecided": -1}, id="negative undecided"),
        pytest.param({"undecided": 91}, id="more audits than accepted"),
        pytest.param({"probability": 0.0}, id="never audited"),
        pytest.param({"probability": 1.01}, id="more than certain"),
        pytest.param({"probability": float("nan")}, id="no number"),
    ],
)
def test_a_stratum_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    sound = stratum(100, 0.1, audited=10, wrong=1)

    with pytest.raises(ValueError, match="stratum 's'"):
        replace(sound, **change)  # type: ignore[arg-type]


@SMALL
@given(several_strata())
def test_the_interval_holds_the_value_and_is_never_a_point(strata: list[Stratum]) -> None:
    estimate = accepted_error(strata)

    if estimate.reason is None:
        low, value, high = known(estimate)
        assert 0 <= low <= value <= high <= 1
        assert high - low > 1e-4


@SMALL
@given(several_strata())
def test_the_order_of_strata_does_not_matter(strata: list[Stratum]) -> None:
    estimates = {accepted_error(order) for order in list(permutations(strata))[:50]}

    assert len(estimates) == 1


@SMALL
@given(several_strata(undecided_max=0), st.data())
def test_one_more_wrong_audit_raises_the_value(strata: list[Stratum], data: st.DataObject) -> None:
    fallible = [i for i, s in enumerate(strata) if s.wrong < s.audited]
    assume(fallible)
    worse = list(strata)
    at = data.draw(st.sampled_from(fallible))
    worse[at] = replace(strata[at], wrong=strata[at].wrong + 1)

    before, after = accepted_error(strata), accepted_error(worse)

    assert known(before)[1] < known(after)[1]


@SMALL
@given(several_strata(undecided_max=0), st.data())
def test_an_audit_that_stays_undecided_never_narrows_the_interval(
    strata: list[Stratum], data: st.DataObject
) -> None:
    answered = [i for i, s in enumerate(strata) if s.audited > 1]
    assume(answered)
    at = data.draw(st.sampled_from(answered))
    left = strata[at].audited - 1
    slow = list(strata)
    slow[at] = replace(strata[at], audited=left, wrong=min(strata[at].wrong, left), undecided=1)

    before, after = accepted_error(strata), accepted_error(slow)

    assert known(after)[0] <= known(before)[0] + 1e-12
    assert known(after)[2] >= known(before)[2] - 1e-12


# Each setting: (accepted, audit probability, accepted decisions that are wrong) per stratum.
SETTINGS: dict[str, Setting] = {
    "1 % wrong, one rate": [(20000, 0.05, 200)],
    "0.5 % wrong, 40 audits": [(800, 0.05, 4)],
    "2 % wrong, 20 audits": [(400, 0.05, 8)],
    "two rates 10:1, errors everywhere": [(9500, 0.05, 95), (500, 0.5, 5)],
    "two rates 10:1, errors where seldom audited": [(9500, 0.05, 190), (500, 0.5, 0)],
    "two rates 10:1, errors where often audited": [(9500, 0.05, 0), (500, 0.5, 100)],
    "two rates 10:1, errors in a small stratum": [(500, 0.05, 25), (9500, 0.5, 10)],
    "ten unequal strata, errors in the small": [
        *((5000, 0.02, 25), (2000, 0.02, 20), (1000, 0.05, 10), (500, 0.05, 10), (200, 0.1, 4)),
        *((100, 0.1, 5), (100, 0.2, 5), (50, 0.2, 5), (20, 0.2, 2), (10, 0.2, 2)),
    ],
    "ten unequal strata, errors in the large": [
        *((5000, 0.02, 100), (2000, 0.02, 40), (1000, 0.05, 10), (500, 0.05, 5), (200, 0.1, 0)),
        *((100, 0.1, 0), (100, 0.2, 0), (50, 0.2, 0), (20, 0.2, 0), (10, 0.2, 0)),
    ],
    "15 tiny strata, a third without audits": [*[(20, 0.05, 1)] * 3, *[(20, 0.05, 0)] * 12],
    "unaudited stratum wholly wrong, clean rest": [(30, 0.02, 30), (5000, 0.2, 0)],
    "unaudited stratum wholly wrong, 1 % rest": [(50, 0.02, 50), (5000, 0.2, 50)],
    "few audits everywhere": [(200, 0.03, 4), (100, 0.3, 2)],
    "just enough audits for a pool": [(220, 0.05, 132), (5000, 0.5, 0)],
}


def audits_drawn(setting: Setting, rng: np.random.Generator, times: int) -> tuple[Counts, Counts]:
    """Wrong and right audits, each of shape (times, strata): every decision is drawn by its own."""
    wrong = [rng.binomial(errors, p, times) for _, p, errors in setting]
    right = [rng.binomial(accepted - errors, p, times) for accepted, p, errors in setting]
    return np.stack(wrong, axis=1), np.stack(right, axis=1)


def estimates_of(
    setting: Setting, wrong: Counts, right: Counts, late: Counts | None = None
) -> Iterator[Estimate]:
    late = np.zeros_like(wrong) if late is None else late
    for ks, ns, us in zip(wrong.tolist(), (wrong + right).tolist(), late.tolist(), strict=True):
        yield accepted_error(
            Stratum(f"s-{h}", accepted, ns[h], ks[h], us[h], probability)
            for h, (accepted, probability, _) in enumerate(setting)
        )


def coverage(estimates: Iterable[Estimate], truth: float) -> float:
    """The share of the estimates whose interval holds the truth; those without a value do not count."""
    intervals = [known(estimate) for estimate in estimates if estimate.reason is None]
    held = [low <= truth + 1e-12 and truth <= high + 1e-12 for low, _, high in intervals]
    return sum(held) / len(held)


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_interval_covers_the_true_error(setting: Setting) -> None:
    """Slow on a busy machine: fewer than 2,000 samples could not tell 95 % from 93 %."""
    times = 2000
    truth = sum(errors for *_, errors in setting) / sum(accepted for accepted, *_ in setting)
    wrong, right = audits_drawn(setting, np.random.default_rng(20), times)

    share = coverage(estimates_of(setting, wrong, right), truth)

    assert share >= 0.935


def test_the_interval_covers_the_true_error_when_wrong_audits_are_answered_late() -> None:
    setting = [(9500, 0.05, 190), (500, 0.5, 10)]
    rng = np.random.default_rng(21)
    wrong, right = audits_drawn(setting, rng, 2000)
    late = rng.binomial(wrong, 0.4)

    share = coverage(estimates_of(setting, wrong - late, right, late), 0.02)

    assert share >= 0.935


def test_the_value_is_right_on_average() -> None:
    setting = SETTINGS["two rates 10:1, errors where seldom audited"]
    wrong, right = audits_drawn(setting, np.random.default_rng(22), 2000)

    mean = np.mean([known(e)[1] for e in estimates_of(setting, wrong, right)])

    # Four standard errors of the mean.
    assert mean == pytest.approx(0.019, abs=4 * 0.006 / 2000**0.5)
