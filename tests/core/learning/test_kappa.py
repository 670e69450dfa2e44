import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.learning.kappa import Kappa, cohen_kappa

SMALL = settings(derandomize=True, max_examples=50, deadline=None)

PAIRS = st.dictionaries(st.tuples(*[st.sampled_from("abc")] * 2), st.integers(0, 40))


def table(rows: list[list[int]]) -> dict[tuple[str, str], int]:
    return {
        (f"l-{i}", f"l-{j}"): count for i, row in enumerate(rows) for j, count in enumerate(row)
    }


def known(estimate: Kappa) -> tuple[float, float, float]:
    """The low end, the value and the high end of an estimate that has them."""
    assert estimate.low is not None
    assert estimate.value is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high


@pytest.mark.parametrize(
    ("rows", "kappa"),
    [
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 0.130435),
        ([[25, 35], [5, 35]], 0.259259),
    ],
)
def test_known_answers(rows: list[list[int]], kappa: float) -> None:
    estimate = cohen_kappa(table(rows))

    assert estimate.value == pytest.approx(kappa, abs=1e-6)
    assert estimate.pairs == sum(map(sum, rows))


def test_known_interval() -> None:
    estimate = cohen_kappa(table([[20, 5], [10, 15]]))

    assert (estimate.low, estimate.high) == pytest.approx((0.1511, 0.6489), abs=1e-4)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        pytest.param({}, "no_pairs", id="no pair"),
        pytest.param({("cat", "dog"): 0}, "no_pairs", id="a pair that never occurred"),
        pytest.param({("cat", "cat"): 9, ("dog", "dog"): 0}, "one_category", id="one label only"),
    ],
)
def test_kappa_that_does_not_exist_is_none_with_a_reason(
    pairs: dict[tuple[str, str], int], reason: str
) -> None:
    estimate = cohen_kappa(pairs)

    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert estimate.reason == reason


@SMALL
@given(PAIRS)
def test_kappa_is_the_same_whoever_is_called_first(pairs: dict[tuple[str, str], int]) -> None:
    one, other = cohen_kappa(pairs), cohen_kappa({(b, a): n for (a, b), n in pairs.items()})

    assert one.reason == other.reason
    if one.reason is None:
        assert known(one) == pytest.approx(known(other), abs=1e-9)
        low, value, high = known(one)
        assert -1 <= low <= value <= high <= 1
