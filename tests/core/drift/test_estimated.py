import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.estimated import (
    Confidences,
    Gap,
    confidence_sums,
    error_without_labels,
    gap_between,
    judge_gap,
)
from app.core.drift.monitor import Judged, Track, advance
from app.core.drift.spec import merged
from app.core.learning.accepted_error import Estimate, Stratum, accepted_error

CONFIDENCES = st.lists(st.floats(0, 1))


def estimated(error: float, predictions: int = 10_000):
    return error_without_labels([Confidences(confidence_sums([1 - error] * predictions))])


def audited(wrong: int, audits: int, undecided: int = 0) -> Estimate:
    stratum = Stratum("a", 10_000, audits, wrong, undecided, 0.1)
    return accepted_error([stratum], confidence=0.99)


def test_error_without_labels_is_the_mean_of_what_is_missing_to_certainty() -> None:
    sums = confidence_sums([0.9, 0.8, 1.0, 0.7])

    result = error_without_labels([Confidences(sums)])

    assert result.error == pytest.approx(0.15)
    assert result.predictions == 4
    assert result.assumes == "p(y|x) unchanged"


def test_interval_is_where_chance_puts_the_realised_error() -> None:
    # 400 draws at 0.1: a deviation of 0.015, 2.5758 of them on each side
    result = estimated(0.1, 400)

    assert result.interval == pytest.approx((0.1 - 2.575829 * 0.015, 0.1 + 2.575829 * 0.015))


def test_interval_stays_within_zero_and_one() -> None:
    sure, unsure = estimated(0.001, 10), estimated(0.999, 10)

    assert sure.interval is not None
    assert unsure.interval is not None
    assert (sure.interval.low, unsure.interval.high) == (0, 1)


def test_a_sample_counts_by_its_weight() -> None:
    # 100 predictions at 0.9; 10 of another 300 at 0.6, each for thirty
    groups = [
        Confidences(confidence_sums([0.9] * 100)),
        Confidences(confidence_sums([0.6] * 10), weight=30),
    ]

    result = error_without_labels(groups)

    assert result.error == pytest.approx((100 * 0.1 + 300 * 0.4) / 400)
    assert result.interval is not None
    reach = 2.575829 * (100 * 0.09 + 10 * 900 * 0.24) ** 0.5 / 400
    assert result.interval.high == pytest.approx(result.error + reach)


@pytest.mark.parametrize("groups", [[], [Confidences([0, 0, 0])]])
def test_without_predictions_there_is_no_estimate(groups: list[Any]) -> None:
    result = error_without_labels(groups)

    assert (result.error, result.interval, result.predictions) == (None, None, 0)


@given(CONFIDENCES, CONFIDENCES, st.randoms(use_true_random=False))
def test_sums_merge_to_the_same_whatever_the_order(one, other, seed) -> None:
    together = seed.sample(one + other, len(one + other))

    assert merged(confidence_sums(one), confidence_sums(other)) == confidence_sums(together)


@pytest.mark.parametrize(
    ("wrong", "audits", "expected_error", "direction", "alarm"),
    [
        # 99 % of 20 / 1000: 0.0104 to 0.0344
        pytest.param(20, 1000, 0.02, None, False, id="as expected"),
        pytest.param(20, 1000, 0.0344, None, False, id="inside the interval"),
        pytest.param(20, 1000, 0.006, "worse", False, id="outside by less than a point"),
        pytest.param(60, 1000, 0.02, "worse", True, id="much worse"),
        pytest.param(20, 1000, 0.06, "better", True, id="much better"),
        # few audits prove little
        pytest.param(3, 30, 0.02, None, False, id="too few"),
    ],
)
def test_gap_alarms_when_the_audited_interval_is_a_point_away(
    wrong: int, audits: int, expected_error: float, direction: str | None, alarm: bool
) -> None:
    gap = gap_between(audited(wrong, audits), estimated(expected_error))

    assert gap is not None
    assert (gap.direction, gap.is_alarm) == (direction, alarm)
    assert (gap.at_least == 0) == (direction is None)


def test_overdue_audits_prove_no_gap() -> None:
    answered = gap_between(audited(60, 1000), estimated(0.02))
    overdue = gap_between(audited(20, 960, undecided=40), estimated(0.02))

    assert answered is not None
    assert overdue is not None
    assert (answered.is_alarm, overdue.is_alarm) == (True, False)


@pytest.mark.parametrize(
    ("audits", "predictions"),
    [pytest.param(0, 100, id="no audit"), pytest.param(10, 0, id="no prediction")],
)
def test_without_both_sides_there_is_no_gap(audits: int, predictions: int) -> None:
    gap = gap_between(audited(0, audits), estimated(0.02, predictions))

    assert gap is None
    assert judge_gap(gap) == Judged(None, quiet=False, eased=False)


def test_gap_must_be_seen_twice_and_be_gone_three_times() -> None:
    apart, hint, gone = (
        gap_between(audited(wrong, 1000), estimated(error))
        for wrong, error in ((60, 0.02), (60, 0.035), (20, 0.02))
    )

    track, states = Track(), []
    for gap in (gone, apart, apart, hint, gone, gone, gone):
        track = advance(track, judge_gap(gap))
        states.append(str(track.state))

    assert isinstance(hint, Gap)
    assert 0.005 < hint.at_least < 0.01
    assert states == ["stable", "warning", *["drifting"] * 4, "stable"]


@pytest.mark.slow
def test_model_that_is_as_sure_as_it_is_right_has_no_gap() -> None:
    """Slow: 200 windows of 5000 predictions. A false alarm would need 1 of 100, and a point."""
    chance = random.Random(5)
    alarms = 0

    for _ in range(200):
        confidences = [1 - 0.1 * chance.random() ** 2 for _ in range(5000)]
        audits = [c for c in confidences if chance.random() < 0.1]
        wrong = sum(chance.random() > c for c in audits)
        gap = gap_between(
            accepted_error([Stratum("a", 5000, len(audits), wrong, 0, 0.1)], confidence=0.99),
            error_without_labels([Confidences(confidence_sums(confidences))]),
        )
        assert gap is not None
        alarms += gap.is_alarm

    assert alarms == 0
