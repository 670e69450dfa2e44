from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.learning.alpha import Alpha, Level, krippendorff_alpha

SMALL = settings(derandomize=True, max_examples=50, deadline=None)


Units = list[list[str | float | None]]


def known(estimate: Alpha) -> tuple[float, float, float]:
    """The low end, the value and the high end of an estimate that has them."""
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


def units_of(*reviewers: str, read: Callable[[str], str | float] = str) -> Units:
    """One row of characters per reviewer, `.` for a missing verdict, turned into one list per unit."""
    columns = zip(*reviewers, strict=True)
    return [[None if mark == "." else read(mark) for mark in column] for column in columns]


FOUR_REVIEWERS = ("123321412...", "1233224125.3", ".3332342251.", "12332441251.")


@pytest.mark.parametrize(
    ("reviewers", "alpha"),
    [
        pytest.param(("0100000010", "1110010000"), 0.0952, id="two labels"),
        pytest.param(("aabbdcccedda", "babbbccceddd"), 0.6920, id="five labels"),
    ],
)
def test_known_answers_of_two_reviewers(reviewers: tuple[str, str], alpha: float) -> None:
    estimate = krippendorff_alpha(units_of(*reviewers))

    assert estimate.value == pytest.approx(alpha, abs=1e-4)


@pytest.mark.parametrize(
    ("level", "alpha"),
    [("nominal", 0.743421), ("ordinal", 0.815388), ("interval", 0.849107), ("ratio", 0.797403)],
)
def test_known_answers_with_missing_verdicts(level: Level, alpha: float) -> None:
    estimate = krippendorff_alpha(units_of(*FOUR_REVIEWERS, read=int), level)

    assert estimate.value == pytest.approx(alpha, abs=1e-6)
    # The twelfth unit has a single verdict.
    assert estimate.units == 11


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        pytest.param([], "no_pairs", id="no unit"),
        pytest.param([["a"], ["b", None]], "no_pairs", id="nobody to compare with"),
        pytest.param(
            [["a", "a"], ["a", "a", None], ["b"]], "one_category", id="one label in pairs"
        ),
    ],
)
def test_alpha_that_does_not_exist_is_none_with_a_reason(units: Units, reason: str) -> None:
    estimate = krippendorff_alpha(units, rng=np.random.default_rng(1))

    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert estimate.reason == reason


def test_full_agreement_is_one_and_disagreement_throughout_is_negative() -> None:
    full = krippendorff_alpha([["a", "a"], ["b", "b"]])
    none = krippendorff_alpha([["a", "b"], ["b", "a"]])

    assert full.value == 1
    assert none.value == pytest.approx(-0.5)


def test_zero_is_a_label_of_the_ratio_scale() -> None:
    estimate = krippendorff_alpha([[0, 0], [0, 2], [2, 2]], "ratio")

    # Ordered pairs: one unit differs, weight 2, at distance 1; expected 2 * 3 * 3 / 5.
    assert estimate.value == pytest.approx(1 - 2 / 3.6)


@pytest.mark.parametrize(
    ("label", "level"),
    [("many", "ordinal"), (float("nan"), "interval"), (float("inf"), "ratio"), (-1, "ratio")],
)
def test_a_label_without_a_place_on_the_scale_is_refused(label: str | float, level: Level) -> None:
    with pytest.raises(ValueError, match="no place on a scale"):
        krippendorff_alpha([[1, 2], [label, 2]], level)


VERDICTS = st.lists(
    st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=5),
    min_size=1,
    max_size=12,
)


@SMALL
@given(VERDICTS, st.sampled_from(["nominal", "ordinal", "interval", "ratio"]), st.randoms())
def test_the_order_of_units_and_verdicts_does_not_matter(
    units: Units, level: Level, chance: Random
) -> None:
    shuffled = [chance.sample(unit, len(unit)) for unit in chance.sample(units, len(units))]

    one, other = krippendorff_alpha(units, level), krippendorff_alpha(shuffled, level)

    assert one.reason == other.reason
    assert one.value == (None if other.value is None else pytest.approx(other.value, abs=1e-9))
    assert one.value is None or one.value <= 1


def simulated_units(rng: np.random.Generator, count: int, error: float = 0.2) -> Units:
    truth = rng.integers(0, 3, count)
    slips = rng.random((count, 3)) < error
    guesses = rng.integers(0, 3, (count, 3))
    verdicts: Units = np.where(slips, guesses, truth[:, None]).tolist()
    return verdicts


def test_the_interval_holds_the_value_and_repeats_with_its_seed() -> None:
    units = simulated_units(np.random.default_rng(3), 60)

    one, again = (krippendorff_alpha(units, rng=np.random.default_rng(4)) for _ in range(2))

    assert one == again
    assert one.reason is None
    low, value, high = known(one)
    assert low < value < high <= 1


def test_more_units_narrow_the_interval() -> None:
    few, many = (
        krippendorff_alpha(
            simulated_units(np.random.default_rng(5), count), rng=np.random.default_rng(6)
        )
        for count in (30, 480)
    )

    (few_low, _, few_high), (many_low, _, many_high) = known(few), known(many)
    assert many_high - many_low < (few_high - few_low) / 2


def test_the_interval_covers_the_alpha_of_endlessly_many_units() -> None:
    # Slips go to a random label, so a pair agrees beyond chance with (1 - 0.2)**2.
    rng = np.random.default_rng(7)
    truth = 0.8**2

    estimates = [
        krippendorff_alpha(simulated_units(rng, 100), rng=rng, resamples=80) for _ in range(60)
    ]

    covered = sum(low <= truth <= high for low, _, high in map(known, estimates))
    assert covered >= 51


@pytest.mark.parametrize(
    ("units", "reason"),
    [
        pytest.param([["a", "a"], ["b", "a"]] * 4, "too_few_units", id="8 units"),
        pytest.param([["a", "b"], *[["a", "a"]] * 40], "category_too_rare", id="one deviant unit"),
    ],
)
def test_an_interval_that_means_nothing_is_left_out(units: Units, reason: str) -> None:
    estimate = krippendorff_alpha(units, rng=np.random.default_rng(8))

    assert estimate.value is not None
    assert (estimate.low, estimate.high, estimate.reason) == (None, None, reason)
