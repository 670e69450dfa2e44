"""Two histograms against each other."""

import pytest

from app.core.drift.compare import compare_counts
from app.core.errors import Invalid

REFERENCE, WINDOW = [100, 200, 300, 250, 150], [120, 180, 280, 260, 160]


def test_the_known_answer_of_two_histograms() -> None:
    (found,) = compare_counts(REFERENCE, WINDOW).streams

    assert found.statistic == pytest.approx(4.082332, abs=1e-6)
    assert found.p == pytest.approx(0.394978, abs=1e-6)
    assert found.effect == pytest.approx(0.008164665, abs=1e-6)
    assert found.levels[0].p_min == pytest.approx(0.959790, abs=1e-6)
    assert found.distances.psi == pytest.approx(0.008123430, abs=1e-6)
    assert found.distances.jensen_shannon == pytest.approx(0.038371735, abs=1e-6)


def test_cells_without_edges_have_no_order() -> None:
    (found,) = compare_counts(REFERENCE, WINDOW).streams

    assert found.distances.kolmogorov_smirnov is None
    assert found.cells == 5


def test_with_edges_the_cells_have_an_order() -> None:
    (found,) = compare_counts(REFERENCE, WINDOW, [1.0, 2.0, 3.0, 4.0]).streams

    assert found.distances.kolmogorov_smirnov == pytest.approx(0.02)
    assert found.distances.wasserstein is not None
    assert found.cells == 5


def test_with_an_edge_fewer_the_last_cell_is_missing() -> None:
    (found,) = compare_counts([500, 500, 0], [500, 0, 500], [1.0]).streams

    # what is there lies below the edge, all of it
    assert found.distances.kolmogorov_smirnov == pytest.approx(0.5)


def test_without_edges_at_all_one_cell_is_a_place() -> None:
    (found,) = compare_counts([1000, 10], [1000, 500], []).streams

    assert found.severity is not None
    assert found.distances.kolmogorov_smirnov == 0


def test_empty_histograms_are_compared_to_nothing() -> None:
    (found,) = compare_counts([0, 0], [0, 0]).streams

    assert (found.insufficient, found.distances.psi) == ("reference_too_small", None)


@pytest.mark.parametrize(
    ("window", "edges", "loc"),
    [
        ([1, 2], None, "window"),
        ([1, 2, 3], [1.0, 2.0, 3.0], "edges"),
        ([1, 2, 3], [], "edges"),
        ([1, 2, 3], [2.0, 1.0], "edges"),
        ([1, 2, 3], [1.0, 1.0], "edges"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    window: list[int], edges: list[float] | None, loc: str
) -> None:
    with pytest.raises(Invalid) as refused:
        compare_counts([1, 2, 3], window, edges)

    assert refused.value.places[0][0] == (loc,)
