import math
from itertools import product

import msgspec
import numpy as np
import pytest

from app.core.drift.concept import BETS, AuditedDay, Detector, detector, step


def day(audited: int, wrong: int, *, probability: float = 0.02) -> list[AuditedDay]:
    return [AuditedDay(probability, max(audited, 1000), audited, wrong)]


def binomial(n: int, share: float) -> list[float]:
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


def gains(strata: list[AuditedDay], bound: float) -> list[float]:
    """What each bet makes of one in a day."""
    after = step(Detector(bound), strata)
    return [math.expm1(level) for level in after.levels]


def test_bound_is_a_point_above_the_certified_one() -> None:
    assert detector(0.01).bound == pytest.approx(0.02)
    assert detector(0.01).evidence == 0


def test_gain_of_a_day_is_as_the_formula_says() -> None:
    expected = [(1 + bet * 0.98) ** 3 * (1 - bet * 0.02) ** 37 for bet in BETS]

    assert gains(day(40, 3), 0.02) == pytest.approx(expected)


def test_each_day_opens_a_new_bet_beside_those_that_run() -> None:
    (one,), (other,) = day(40, 3), day(30, 0)
    first, second = gains([one], 0.02), gains([other], 0.02)

    after = step(step(Detector(0.02), [one]), [other])

    expected = [(a + 1) * b for a, b in zip(first, second, strict=True)]
    assert [math.expm1(level) for level in after.levels] == pytest.approx(expected)
    assert after.evidence == pytest.approx(sum(expected) / len(BETS))
    assert after.days == 2


@pytest.mark.parametrize("bound", [0.01, 0.05, 0.3, 0.9])
def test_bets_are_fair_at_the_bound_and_lose_below_it(bound: float) -> None:
    def mean(error: float) -> list[float]:
        chances = binomial(20, error)
        outcomes = [gains(day(20, wrong), bound) for wrong in range(21)]
        return [
            sum(c * gain for c, gain in zip(chances, column, strict=True))
            for column in zip(*outcomes, strict=True)
        ]

    assert mean(bound) == pytest.approx([1.0] * len(BETS))
    assert max(mean(0.8 * bound)) < 1


@pytest.mark.parametrize(
    ("errors", "fair"),
    [
        # the same error in both strata
        pytest.param((0.05, 0.05), True, id="at the bound"),
        # 0.05 over both, all of it where audits are rare
        pytest.param((0.0625, 0.0), False, id="where audits are rare"),
        pytest.param((0.0, 0.25), False, id="where audits are frequent"),
    ],
)
def test_bets_over_unequal_audits_gain_nothing_while_the_whole_is_at_the_bound(
    errors: tuple[float, float], fair: bool
) -> None:
    sizes, probabilities = (8, 2), (0.1, 0.5)
    mean = [0.0] * len(BETS)

    for wrong in product(range(9), range(3)):
        chance = math.prod(
            binomial(n, p * error)[k]
            for n, p, error, k in zip(sizes, probabilities, errors, wrong, strict=True)
        )
        strata = [
            # how many audits were right does not matter here, only that there was one
            AuditedDay(p, n, max(k, 1), k)
            for n, p, k in zip(sizes, probabilities, wrong, strict=True)
        ]
        mean = [m + chance * gain for m, gain in zip(mean, gains(strata, 0.05), strict=True)]

    assert mean == pytest.approx([1.0] * len(BETS)) if fair else max(mean) < 1


def test_stake_over_unequal_audits_is_capped() -> None:
    strata = [AuditedDay(0.1, 1000, 100, 1), AuditedDay(0.5, 100, 50, 0)]
    cap = 0.75 / (1 / 0.1 - 0.05)
    stakes = [min(bet * 0.1, cap) for bet in BETS]

    expected = [(1 + stake * 9.95) * (1 - stake * 0.05) ** 1099 for stake in stakes]

    assert gains(strata, 0.05) == pytest.approx(expected)
    assert stakes[-2:] == [cap, cap]


def test_no_right_answer_costs_a_bet_more_than_three_quarters() -> None:
    # four times the bound is more than everything here
    assert gains(day(1, 0), 0.3)[-2:] == pytest.approx([1 - 2 * 0.3, 0.25])


@pytest.mark.parametrize(
    "strata", [pytest.param([], id="no decision"), pytest.param(day(0, 0), id="no audit")]
)
def test_day_without_an_audit_changes_nothing(strata: list[AuditedDay]) -> None:
    before = step(Detector(0.02), day(40, 3))

    assert step(before, strata) == before


def test_years_of_errors_do_not_overflow() -> None:
    state = Detector(0.02)

    for _ in range(100):
        state = step(state, day(1000, 1000))

    assert state.is_alarmed
    assert math.isfinite(state.evidence)
    assert msgspec.json.decode(msgspec.json.encode(state), type=Detector) == state


@pytest.mark.slow
def test_model_as_good_as_certified_is_not_accused_in_a_hundred_years() -> None:
    """Slow: 36,500 days. At the certified error a run of 800 years had one alarm."""
    chance = np.random.default_rng(11)
    wrong = chance.binomial(40, 0.02, size=(100, 365)).tolist()

    accused = 0
    for year in wrong:
        state = detector(0.02)
        for count in year:
            state = step(state, day(40, count))
            accused += state.is_alarmed

    assert accused == 0


@pytest.mark.slow
def test_model_just_at_the_bound_is_accused_no_more_often_than_promised() -> None:
    """Slow: 27,000 days. The chance of an alarm within T days is at most T / 1000."""
    chance = np.random.default_rng(12)
    runs, days = 300, 90

    accused = 0
    for series in chance.binomial(40, 0.03, size=(runs, days)).tolist():
        state = detector(0.02)
        peak = 0.0
        for count in series:
            state = step(state, day(40, count))
            peak = max(peak, state.evidence)
        accused += peak >= 1000

    assert accused / runs <= days / 1000


@pytest.mark.parametrize(
    ("strata", "within"),
    [
        # measured medians: 7 and 9 days
        pytest.param([(0.02, 2000)], 15, id="equal audits"),
        pytest.param([(0.02, 2000), (0.1, 200)], 20, id="unequal audits"),
    ],
)
def test_tripled_error_is_found_within_weeks(strata: list[tuple[float, int]], within: int) -> None:
    chance = np.random.default_rng(13)
    state = Detector(0.02)

    for _ in range(within):
        audits = [(p, n, int(chance.binomial(n, p))) for p, n in strata]
        state = step(
            state, [AuditedDay(p, n, a, int(chance.binomial(a, 0.06))) for p, n, a in audits]
        )

    assert state.is_alarmed


@pytest.mark.parametrize("certified", [-0.01, 0.99, 1.0])
def test_bound_that_nothing_can_exceed_is_refused(certified: float) -> None:
    with pytest.raises(ValueError, match="cannot be exceeded"):
        detector(certified)


@pytest.mark.parametrize(
    "numbers",
    [(0.02, 10, 11, 0), (0.02, 10, 5, 6), (0.02, 10, 5, -1), (0.0, 9, 0, 0), (1.1, 9, 0, 0)],
)
def test_impossible_day_is_refused(numbers: tuple[float, int, int, int]) -> None:
    with pytest.raises(ValueError, match="not an audited day"):
        AuditedDay(*numbers)
