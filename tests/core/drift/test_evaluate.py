import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.distances import Shift
from app.core.drift.evaluate import (
    Evaluation,
    Severity,
    StreamWindow,
    at_least,
    evaluate,
    holm,
    insufficiency,
)
from app.core.drift.spec import CategoricalBins, NumericBins

FIVE = NumericBins((1.0, 2.0, 3.0, 4.0))
REFERENCE = [2000, 2000, 2000, 2000, 2000, 0]


def window_of(*counts: int, reference: Sequence[int] = REFERENCE) -> StreamWindow:
    return StreamWindow("confidence", FIVE, reference, [*counts, 0])


def evaluated(one: StreamWindow) -> Evaluation:
    (evaluation,) = evaluate([one])
    return evaluation


def test_evaluation_of_the_known_histograms_holds_every_number() -> None:
    one = window_of(120, 180, 280, 260, 160, reference=[100, 200, 300, 250, 150, 0])

    evaluation = evaluated(one)

    assert (evaluation.m, evaluation.n, evaluation.cells, evaluation.family) == (1000, 1000, 5, 1)
    assert (evaluation.insufficient, evaluation.severity) == (None, Severity.NONE)
    assert evaluation.statistic == pytest.approx(4.082332, abs=1e-6)
    assert evaluation.effect == pytest.approx(0.008164665, abs=1e-9)
    assert evaluation.p == pytest.approx(0.394978, abs=1e-6)
    assert evaluation.g_lcb == 0
    assert [(level.severity, level.threshold) for level in evaluation.levels] == [
        ("shift", 0.02),
        ("drift", 0.10),
        ("severe", 0.25),
    ]
    assert evaluation.levels[0].p_min == pytest.approx(0.959790, abs=1e-6)
    assert evaluation.distances.psi == pytest.approx(0.008123430, abs=1e-9)
    assert evaluation.distances.jensen_shannon == pytest.approx(0.038371735, abs=1e-9)
    assert (evaluation.unseen, evaluation.unseen_low) == (None, None)


@pytest.mark.parametrize(
    ("counts", "severity"),
    [
        # g_lcb of each: 0, 0.041, 0.189, 0.555
        pytest.param((200, 200, 200, 200, 200), Severity.NONE, id="as the reference"),
        pytest.param((280, 240, 200, 160, 120), Severity.SHIFT, id="shift"),
        pytest.param((340, 280, 200, 100, 80), Severity.DRIFT, id="drift"),
        pytest.param((500, 250, 150, 70, 30), Severity.SEVERE, id="severe"),
    ],
)
def test_severity_is_how_large_the_shift_is_at_least(
    counts: tuple[int, ...], severity: Severity
) -> None:
    evaluation = evaluated(window_of(*counts))

    assert evaluation.severity == severity
    bound = evaluation.g_lcb
    assert bound is not None
    exceeded = [level.severity for level in evaluation.levels if bound > level.threshold]
    assert exceeded == list(Severity)[1 : list(Severity).index(severity) + 1]


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        pytest.param(Shift(1000, 100, 20, 0), None, id="just enough"),
        pytest.param(Shift(999, 100, 20, 0), "reference_too_small", id="reference"),
        pytest.param(Shift(1, 100, 20, 0), "reference_too_small", id="reference of one row"),
        pytest.param(Shift(1000, 99, 19, 0), "window_too_small", id="window"),
        pytest.param(Shift(1000, 0, 20, 0), "window_too_small", id="empty window"),
        # five for each cell
        pytest.param(Shift(1000, 104, 21, 0), "too_few_for_cells", id="cells"),
        pytest.param(Shift(1000, 105, 21, 0), None, id="just enough for the cells"),
    ],
)
def test_too_few_counts_are_not_tested(shift: Shift, reason: str | None) -> None:
    assert insufficiency(shift) == reason


def test_what_is_not_tested_still_shows_how_far_it_is() -> None:
    evaluation = evaluated(window_of(99, 0, 0, 0, 0))

    assert evaluation.insufficient == "window_too_small"
    assert (evaluation.severity, evaluation.p, evaluation.g_lcb) == (None, None, None)
    assert evaluation.levels == ()
    assert evaluation.effect > 0.25
    assert evaluation.distances.psi is not None


def test_empty_window_is_insufficient_and_without_distances() -> None:
    evaluation = evaluated(window_of(0, 0, 0, 0, 0))

    assert evaluation.insufficient == "window_too_small"
    assert (evaluation.statistic, evaluation.effect) == (0, 0)
    assert evaluation.distances.psi is None


@pytest.mark.parametrize(("unseen", "fires"), [(0, False), (1, False), (10, False), (20, True)])
def test_unseen_categories_fire_when_they_cannot_be_chance(unseen: int, fires: bool) -> None:
    bins = CategoricalBins(("a", "b"), ())
    one = StreamWindow("lang", bins, [5000, 4000, 1000, 0, 0], [500 - unseen, 400, 100, 0, unseen])

    evaluation = evaluated(one)

    assert evaluation.unseen == unseen
    assert evaluation.has_unseen == fires
    assert evaluation.severity == (Severity.SHIFT if fires else Severity.NONE)


def test_lower_bound_of_the_unseen_share_has_one_side() -> None:
    bins = CategoricalBins(("a",), ())

    evaluation = evaluated(StreamWindow("lang", bins, [5000, 50, 0, 0], [980, 0, 0, 20]))

    # 20 of 1000: the share with which 20 or more come in 1 of 100 samples
    assert evaluation.unseen_low == pytest.approx(0.011126, abs=1e-6)


def test_open_vocabulary_is_not_judged_for_new_categories() -> None:
    one = StreamWindow("id", CategoricalBins(("a",), None), [500, 9500, 0, 0], [50, 950, 0, 0])

    evaluation = evaluated(one)

    assert (evaluation.unseen, evaluation.severity) == (None, Severity.NONE)


def test_a_small_sample_is_not_tested_for_new_categories() -> None:
    one = StreamWindow("lang", CategoricalBins(("a",), ()), [5000, 0, 0, 0], [0, 0, 0, 50])

    evaluation = evaluated(one)

    assert (evaluation.unseen, evaluation.unseen_low, evaluation.severity) == (50, None, None)


def test_holm_steps_down_and_never_up() -> None:
    # worked by hand: 4 x .001, 3 x .01, 2 x .012 (below the one before), 1 x .5
    assert holm([0.012, 0.001, 0.5, 0.01]) == pytest.approx([0.03, 0.004, 0.5, 0.03])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([]) == []


def test_what_is_a_shift_alone_may_be_none_among_many() -> None:
    shifted = window_of(270, 235, 200, 165, 130)
    calm = replace(shifted, stream="other", window=[200, 200, 200, 200, 200, 0])

    alone = evaluated(shifted)
    among, *_ = evaluate([shifted, *[calm] * 49])

    assert (alone.severity, among.severity) == (Severity.SHIFT, Severity.NONE)
    assert among.family == 50
    assert among.levels[0].p_holm == pytest.approx(50 * alone.levels[0].p_min)
    assert among.g_lcb == alone.g_lcb


def test_streams_without_enough_counts_do_not_weaken_the_others() -> None:
    shifted, thin = window_of(270, 235, 200, 165, 130), window_of(9, 9, 9, 9, 9)

    evaluations = evaluate([thin, shifted, *[thin] * 50])

    assert [e.severity for e in evaluations[:3]] == [None, Severity.SHIFT, None]
    assert {e.family for e in evaluations} == {1}


def test_family_of_nothing_gives_nothing() -> None:
    assert evaluate([]) == []


@given(
    st.lists(st.lists(st.integers(0, 400), min_size=5, max_size=5), min_size=1, max_size=6),
    st.integers(0, 10**6),
)
def test_order_of_the_streams_changes_no_bit(windows: list[list[int]], seed: int) -> None:
    family = [replace(window_of(*w), stream=str(i)) for i, w in enumerate(windows)]
    shuffled = random.Random(seed).sample(family, len(family))

    evaluations = {e.stream: e for e in evaluate(family)}

    assert {e.stream: e for e in evaluate(shuffled)} == evaluations


@given(st.lists(st.integers(0, 3000), min_size=5, max_size=5))
def test_levels_are_nested_and_never_above_the_bound(counts: list[int]) -> None:
    calm = window_of(200, 200, 200, 200, 200)

    evaluation, _ = evaluate([window_of(*counts), calm])

    p = [level.p_holm for level in evaluation.levels]
    assert p == sorted(p)
    for level in evaluation.levels:
        assert level.p_holm > 0.01 or (evaluation.g_lcb or 0) >= level.threshold


def test_evaluation_survives_its_way_through_json() -> None:
    evaluation = evaluated(window_of(340, 280, 200, 100, 80))

    text = msgspec.json.encode(evaluation)

    assert msgspec.json.decode(text, type=Evaluation) == evaluation


@pytest.mark.parametrize(
    ("severity", "is_enough"),
    [(None, False), ("none", False), ("shift", False), ("drift", True), ("severe", True)],
)
def test_drift_and_more_are_at_least_drift(severity: str | None, is_enough: bool) -> None:
    found = None if severity is None else Severity(severity)

    assert at_least(found, Severity.DRIFT) == is_enough
