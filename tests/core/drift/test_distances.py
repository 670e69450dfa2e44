import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.distances import (
    STATISTIC_MAX,
    Distances,
    Shift,
    distances_between,
    g_lcb,
    jensen_shannon,
    p_min,
    p_values,
    psi,
    shift_between,
)

REFERENCE = [100, 200, 300, 250, 150]
WINDOW = [120, 180, 280, 260, 160]
CELLS = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=20)


def test_known_answers() -> None:
    shift = shift_between(REFERENCE, WINDOW)

    assert shift.statistic == pytest.approx(4.082332, abs=1e-6)
    assert shift.effect == pytest.approx(0.008164665, abs=1e-9)
    assert p_values([shift]) == pytest.approx([0.394978], abs=1e-6)
    assert p_min([shift], 0.02) == pytest.approx([0.959790], abs=1e-6)
    assert psi(REFERENCE, WINDOW) == pytest.approx(0.008123430, abs=1e-9)
    assert jensen_shannon(REFERENCE, WINDOW) == pytest.approx(0.038371735, abs=1e-9)


def test_pseudo_counts_vanish_beside_large_counts() -> None:
    many = [[count * 10**7 for count in counts] for counts in (REFERENCE, WINDOW)]

    assert psi(*many) == pytest.approx(0.008171091, abs=1e-9)


def test_display_distances_worked_by_hand() -> None:
    reference, window = [20, 60, 20, 0], [10, 50, 30, 10]

    distances = distances_between(reference, window, [0.0, 1.0, 2.0])

    assert distances.l_infinity == pytest.approx(0.1)
    # without the missing ones: .2 .8 1 against 1/9 6/9 1
    assert distances.kolmogorov_smirnov == pytest.approx(0.8 - 6 / 9)
    # one unit apart each; the reference has the mean 1 and the variance 0.4
    assert distances.wasserstein == pytest.approx((0.2 - 1 / 9 + 0.8 - 6 / 9) / math.sqrt(0.4))


@pytest.mark.parametrize(
    ("reference", "window", "places", "absent"),
    [
        # categories have no order
        pytest.param([5, 5], [6, 4], None, {"kolmogorov_smirnov", "wasserstein"}, id="unordered"),
        # a constant has no standard deviation to measure by
        pytest.param([0, 9, 0], [4, 5, 0], [0.0, 1.0], {"wasserstein"}, id="constant"),
        pytest.param(
            [5, 4, 1],
            [0, 0, 9],
            [0.0, 1.0],
            {"kolmogorov_smirnov", "wasserstein"},
            id="all missing",
        ),
        # the number line itself overflows
        pytest.param([5, 4], [4, 5], [-1.7e308, 1.7e308], {"wasserstein"}, id="huge places"),
        pytest.param([5, 4], [0, 0], [0.0, 1.0], set(Distances.__struct_fields__), id="empty"),
        pytest.param(
            [0, 0], [1, 0], [0.0, 1.0], set(Distances.__struct_fields__), id="no reference"
        ),
    ],
)
def test_distance_that_has_no_meaning_is_none(reference, window, places, absent) -> None:
    distances = distances_between(reference, window, places)

    found = {name for name in distances.__struct_fields__ if getattr(distances, name) is None}
    assert found == absent


def test_cells_empty_in_both_change_nothing() -> None:
    padded = shift_between([0, *REFERENCE, 0], [0, *WINDOW, 0])

    assert padded == shift_between(REFERENCE, WINDOW)
    assert psi([0, *REFERENCE], [0, *WINDOW]) == psi(REFERENCE, WINDOW)


def test_empty_cells_leave_the_effect_finite() -> None:
    shift = shift_between([1000, 0], [0, 1000])

    # the largest that g can be between samples of equal size
    assert shift.effect == pytest.approx(8 * math.log(2))
    assert 5 < g_lcb([shift])[0] < shift.effect


@pytest.mark.parametrize(
    ("reference", "window"),
    [
        pytest.param([1000, 0], [500, 0], id="one occupied cell"),
        pytest.param([1000, 0], [0, 0], id="empty window"),
        pytest.param([0, 0], [500, 10], id="empty reference"),
        pytest.param([0, 0], [0, 0], id="nothing"),
    ],
)
def test_nothing_to_compare_is_no_shift(reference: list[int], window: list[int]) -> None:
    shift = shift_between(reference, window)

    assert (shift.statistic, shift.effect) == (0, 0)
    assert p_values([shift]) == p_min([shift], 0.02) == [1.0]
    assert g_lcb([shift]) == [0.0]


@pytest.mark.parametrize(
    ("shift", "smallest", "tail", "plain"),
    [
        # from scipy.stats: ncx2.sf(G, cells - 1, d0 / (1/m + 1/n)), chi2.sf(G, cells - 1)
        (Shift(5000, 100, 2, 8.0), 0.02, 0.07663652197639696, 0.004677734981047276),
        (Shift(5000, 100, 11, 40.0), 0.1, 0.013795374671105382, 1.694474393006737e-05),
        (Shift(5000, 1000, 11, 150.0), 0.1, 0.003526960028267002, 0.0),
        (Shift(5000, 1000, 11, 300.0), 0.25, 0.004628782139853599, 0.0),
        (Shift(5000, 1000, 53, 120.0), 0.02, 0.00045708172683868963, 2.700849778310138e-07),
        (Shift(5000, 20_000, 53, 900.0), 0.1, 0.0, 0.0),
    ],
)
def test_tails_are_those_of_the_distributions(
    shift: Shift, smallest: float, tail: float, plain: float
) -> None:
    assert p_min([shift], smallest) == pytest.approx([tail], abs=1e-12)
    assert p_values([shift]) == pytest.approx([plain], abs=1e-12)


def test_bound_is_where_the_chance_is_one_in_a_hundred() -> None:
    shifts = [Shift(10_000, n, cells, 400.0) for n in (100, 3000) for cells in (2, 11, 53)]

    bounds = g_lcb(shifts)

    for shift, bound in zip(shifts, bounds, strict=True):
        assert 0 < bound < shift.effect
        assert p_min([shift], bound) == pytest.approx([0.01], abs=1e-9)


def test_bound_is_zero_where_even_no_shift_is_credible() -> None:
    # the upper 1 % of chi-squared with 9 degrees of freedom begins at 21.666
    below, above = Shift(10_000, 500, 10, 21.6), Shift(10_000, 500, 10, 21.7)

    bounds = g_lcb([below, above])

    assert bounds[0] == 0
    assert 0 < bounds[1] < 1e-3


@pytest.mark.parametrize("size", [10**9, 10**12, 10**15])
def test_huge_counts_give_a_bound_just_below_the_effect(size: int) -> None:
    shift = Shift(size, size, 11, size * 0.5)

    (bound,) = g_lcb([shift])

    assert shift.statistic > STATISTIC_MAX
    assert 0.98 < bound < shift.effect == 1
    assert p_min([shift], 0.25) == [0.0]
    assert p_min([shift], 2.0) == [1.0]


@given(CELLS)
def test_equal_shares_are_no_shift(cells: list[tuple[int, int]]) -> None:
    counts = [count for count, _ in cells]

    shift = shift_between(counts, [3 * count for count in counts])

    assert shift.statistic == pytest.approx(0, abs=1e-9)
    assert distances_between(counts, counts, None).jensen_shannon in (0, None)


@given(CELLS)
def test_effect_and_distances_do_not_depend_on_which_is_the_reference(cells) -> None:
    one, other = [r for r, _ in cells], [c for _, c in cells]

    forth, back = shift_between(one, other), shift_between(other, one)
    there, here = distances_between(one, other, None), distances_between(other, one, None)

    assert forth.effect == pytest.approx(back.effect)
    assert there.psi == pytest.approx(here.psi)
    assert there.jensen_shannon == pytest.approx(here.jensen_shannon)
    assert there.l_infinity == here.l_infinity


@given(CELLS)
def test_every_number_is_finite_and_in_its_range(cells) -> None:
    reference, window = [r for r, _ in cells], [c for _, c in cells]

    shift = shift_between(reference, window)
    distances = distances_between(reference, window, [float(place) for place in range(len(cells))])

    assert 0 <= g_lcb([shift])[0] <= shift.effect
    assert 0 <= p_values([shift])[0] <= 1
    for name in ("jensen_shannon", "l_infinity", "kolmogorov_smirnov"):
        assert 0 <= (getattr(distances, name) or 0) <= 1
    assert math.isfinite(distances.psi or 0)
    assert math.isfinite(distances.wasserstein or 0)
