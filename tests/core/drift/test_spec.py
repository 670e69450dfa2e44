import math
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.spec import (
    Bins,
    CategoricalBins,
    ComponentBins,
    ConfidenceBins,
    NumericBins,
    ShareBins,
    categorical_bins,
    cell_count,
    cell_finder,
    cells_to_test,
    component_bins,
    counted,
    feature_bins,
    merged,
    numeric_bins,
    places_of,
    spec_id,
    unseen_count,
)

VALUES = st.one_of(
    st.none(), st.booleans(), st.floats(), st.sampled_from(["", "a", "b", "NaN", "\U0001f600"])
)
HISTOGRAMS = st.lists(st.integers(0, 10**9), min_size=4, max_size=4)


def test_deciles_hold_a_tenth_of_the_reference_each() -> None:
    values = random.Random(1).sample(range(100_000), 10_000)

    counts = counted(numeric_bins(values), values)

    assert counts == [1000] * 10 + [0]


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        # the only value has a cell to itself, or it could not drift upwards
        pytest.param([7.0] * 1000, (7.0, math.nextafter(7.0, 8)), id="constant"),
        pytest.param([7.0], (7.0, math.nextafter(7.0, 8)), id="one row"),
        # most are zero: zeros apart from the small numbers
        pytest.param([0.0] * 85 + [*range(1, 16)], (0.0, 5e-324, 6), id="many zeros"),
        pytest.param(
            [0, 1, 2, 3, 3, 5, 6, 7, 8, 9],
            (1, 2, 3, math.nextafter(3, 4), 5, 6, 7, 8, 9),
            id="a tie",
        ),
        pytest.param([None, math.nan, "n/a"], (), id="all missing"),
        pytest.param([], (), id="no row"),
        # canonical JSON has no negative zero
        pytest.param([-0.0] * 10, (0.0, 5e-324), id="negative zero"),
    ],
)
def test_reference_gives_its_edges(values: list[Any], edges: tuple[float, ...]) -> None:
    bins = numeric_bins(values)

    assert bins.edges == pytest.approx(edges, abs=0)
    assert math.copysign(1, sum(bins.edges)) == 1


def test_infinities_are_beyond_all_edges_and_the_edges_are_finite() -> None:
    values = [-math.inf] * 300 + [1.0] * 300 + [math.inf] * 400

    bins = numeric_bins(values)
    counts = counted(bins, values)

    assert all(math.isfinite(edge) for edge in bins.edges)
    assert sorted(counts)[-3:] == [300, 300, 400]
    assert (counts[0], counts[-2]) == (300, 400)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param(-5, 0, id="below the first edge"),
        pytest.param(0.0, 1, id="an edge belongs to the cell above"),
        pytest.param(0.5, 1, id="between"),
        pytest.param(1.0, 2, id="at the last edge"),
        pytest.param(math.inf, 2, id="infinite"),
        pytest.param(True, 2, id="a truth value is a number"),
        pytest.param(None, 3, id="missing"),
        pytest.param(math.nan, 3, id="not a number"),
        pytest.param("n/a", 3, id="a text is no number"),
    ],
)
def test_numeric_value_finds_its_cell(value, cell: int) -> None:
    cell_of = cell_finder(NumericBins((0.0, 1.0)))

    assert cell_of(value) == cell


@pytest.mark.parametrize(
    ("confidence", "cell"),
    [
        *[(0.0, 0), (0.049, 0), (0.05, 1), (0.95, 19), (1.0, 19)],
        # float noise
        *[(1.00002, 19), (-0.001, 0), (-math.inf, 0)],
        *[(None, 20), (math.nan, 20)],
    ],
)
def test_confidence_finds_its_twentieth(confidence: float, cell: int) -> None:
    assert cell_finder(ConfidenceBins())(confidence) == cell


def test_missing_confidence_is_counted_after_the_twenty_cells() -> None:
    assert counted(ConfidenceBins(), [1.0, None]) == [*[0] * 19, 1, 1]


def test_share_counts_no_and_yes() -> None:
    assert counted(ShareBins(), [True, False, True]) == [1, 2]


def test_fifty_most_frequent_categories_have_cells_and_the_rest_is_other() -> None:
    names = [f"c{number:02}" for number in range(60)]
    values = [name for number, name in enumerate(names) for _ in range(100 - number)]

    bins = categorical_bins([*values, None])
    counts = counted(bins, [*values, None, "new"])

    assert bins.categories == tuple(names[:50])
    assert bins.rare == tuple(names[50:])
    assert counts[:50] == list(range(100, 50, -1))
    assert counts[50:] == [sum(range(41, 51)), 1, 1]


def test_of_equally_frequent_categories_the_first_by_name_have_cells() -> None:
    names = [f"c{number:02}" for number in range(60)]
    shuffled = random.Random(3).sample(names * 2, 120)

    assert categorical_bins(shuffled).categories == tuple(names[:50])


def test_vocabulary_is_open_where_the_reference_itself_keeps_bringing_new_categories() -> None:
    closed = categorical_bins(["a"] * 995 + [f"once {n}" for n in range(5)])
    many_once = categorical_bins(["a"] * 994 + [f"once {n}" for n in range(6)])
    many_rare = categorical_bins([f"twice {n}" for n in range(1051)] * 2)

    assert closed.rare == ()
    assert (many_once.rare, many_rare.rare) == (None, None)


def test_unseen_categories_are_told_apart_and_tested_as_other() -> None:
    bins = CategoricalBins(("a", "b"), ("rare",))

    counts = counted(bins, ["a", "b", "rare", None, "new", "newer", 1.5, True])

    assert counts == [1, 1, 1, 1, 4]
    assert cells_to_test(bins, counts) == [1, 1, 5, 1]
    assert unseen_count(bins, counts) == 4


def test_open_vocabulary_calls_nothing_unseen() -> None:
    bins = CategoricalBins(("a",), None)

    counts = counted(bins, ["a", "new"])

    assert counts == [1, 1, 0, 0]
    assert unseen_count(bins, counts) is None


def test_numbers_and_truth_values_are_categories_by_their_text() -> None:
    bins = categorical_bins([True, False, 1, 1.0, math.nan, None] * 10)

    assert bins.categories == ("1.0", "false", "true")
    assert counted(bins, [True, 1, 1.0, math.nan])[:3] == [2, 0, 1]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([1.0, 2.5, None], NumericBins, id="numbers"),
        pytest.param(["a", "b", None], CategoricalBins, id="texts"),
        pytest.param([True, False], CategoricalBins, id="truth values"),
        # one text among numbers is a missing number, not a thousand categories
        pytest.param([1.0, 2.0, "n/a"], NumericBins, id="mostly numbers"),
        pytest.param([1.0, "a", "b"], CategoricalBins, id="mostly texts"),
        pytest.param([None, None], NumericBins, id="nothing"),
    ],
)
def test_feature_is_numeric_when_most_of_its_values_are_numbers(
    values: list[Any], kind: type
) -> None:
    assert type(feature_bins(values)) is kind


def test_column_that_was_all_missing_tells_present_from_missing() -> None:
    bins = feature_bins([None] * 1000)

    assert counted(bins, [None, 3.0, "a", math.nan]) == [2, 2]


def test_spec_id_names_the_content_and_nothing_else() -> None:
    all_bins: list[Bins] = [
        NumericBins((0.0, 1.0)),
        NumericBins((0, 1)),
        NumericBins((0.0, 1.5)),
        ComponentBins("d1", 0, (0.0, 1.0)),
        ComponentBins("d1", 1, (0.0, 1.0)),
        ComponentBins("d2", 0, (0.0, 1.0)),
        CategoricalBins(("a",), ()),
        CategoricalBins(("a",), None),
        ConfidenceBins(),
        ShareBins(),
    ]

    ids = {spec_id(bins) for bins in all_bins}

    assert len(ids) == 9
    assert spec_id(NumericBins((0.0, 1.5))) == (
        # printf '{"edges":[0,1.5],"kind":"numeric"}' | sha256sum
        "49173e3d4d1e065df5a911c45e564a861df22b029d3007ccd23aa17cec51ee9b"
    )


@given(values=st.lists(VALUES), seed=st.randoms(use_true_random=False))
def test_bins_do_not_depend_on_the_order_of_the_reference(values: list[Any], seed) -> None:
    shuffled = seed.sample(values, len(values))

    assert spec_id(feature_bins(values)) == spec_id(feature_bins(shuffled))


@given(values=st.lists(VALUES), later=st.lists(VALUES))
def test_every_value_finds_a_cell_whatever_the_reference(
    values: list[Any], later: list[Any]
) -> None:
    for bins in (feature_bins(values), numeric_bins(values), categorical_bins(values)):
        counts = counted(bins, values + later)

        assert len(counts) == cell_count(bins)
        assert sum(counts) == len(values) + len(later)


@given(st.floats(0, 1))
def test_confidence_cells_are_equally_wide(confidence: float) -> None:
    cell = cell_finder(ConfidenceBins())(confidence)

    assert cell == min(math.floor(confidence * 20), 19)


@given(st.lists(st.floats(allow_nan=False)))
def test_cells_lie_in_rising_order_on_the_number_line(values: list[float]) -> None:
    bins = numeric_bins(values)
    places = places_of(bins)

    assert places == sorted(places or [])
    assert len(places or []) == cell_count(bins) - 1


@pytest.mark.parametrize(
    ("bins", "places"),
    [
        (NumericBins((0.0, 1.0, 4.0)), [0, 0.5, 2.5, 4]),
        (NumericBins(()), [0]),
        (ShareBins(), [0, 1]),
        (CategoricalBins(("a", "b"), ()), None),
    ],
)
def test_open_cells_lie_at_their_edge_and_others_in_their_middle(bins, places) -> None:
    assert places_of(bins) == places


def test_confidence_cells_lie_in_their_middle() -> None:
    places = places_of(ConfidenceBins())

    assert places is not None
    assert places[:2] == pytest.approx([0.025, 0.075])
    assert len(places) == 20


def test_components_are_binned_as_numbers_and_remember_their_detector() -> None:
    values = random.Random(2).sample(range(1000), 1000)

    bins = component_bins(values, detector="5f1c", component=3)

    assert (bins.detector, bins.component) == ("5f1c", 3)
    assert bins.edges == numeric_bins(values).edges
    assert counted(bins, values) == [100] * 10 + [0]
    assert places_of(bins) == places_of(NumericBins(bins.edges))


@given(HISTOGRAMS, HISTOGRAMS, HISTOGRAMS)
def test_merging_is_associative_and_commutative(a: list[int], b: list[int], c: list[int]) -> None:
    assert merged(merged(a, b), c) == merged(a, merged(b, c))
    assert merged(a, b) == merged(b, a)
    assert merged(a, [0] * 4) == a


@given(
    values=st.lists(VALUES),
    writers=st.integers(1, 8),
    seed=st.randoms(use_true_random=False),
)
def test_any_number_of_writers_in_any_order_counts_the_same(values, writers: int, seed) -> None:
    bins = CategoricalBins(("a", "true"), ("b",))
    shuffled = seed.sample(values, len(values))

    total = [0] * cell_count(bins)
    for writer in range(writers):
        total = merged(total, counted(bins, shuffled[writer::writers]))

    assert total == counted(bins, values)


def test_histograms_of_other_bins_are_not_merged() -> None:
    with pytest.raises(ValueError, match="shorter"):
        merged([1, 2, 3], [1, 2])


def test_importing_the_package_does_not_import_scipy_or_numpy() -> None:
    code = "import sys, app.core.drift.estimated, app.core.drift.concept; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()

    assert "app.core.drift.distances" in loaded
    assert not {"scipy", "numpy"} & set(loaded)
