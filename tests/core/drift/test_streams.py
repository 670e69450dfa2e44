"""From counts to a monitor's state, over simulated weeks."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.core.drift.evaluate import Severity, StreamWindow, evaluate
from app.core.drift.monitor import MonitorState, Track, advance, judge
from app.core.drift.spec import (
    Bins,
    CategoricalBins,
    ConfidenceBins,
    NumericBins,
    ShareBins,
    Value,
    cell_count,
    counted,
    feature_bins,
)

REFERENCE_ROWS = 5000

Draw = Callable[[random.Random], Value]


# Over longer runs 3 of 18,000 windows of 100 were a shift, which only warns; none was a drift.
@pytest.mark.parametrize("n", [100, 200, 500, 1000])
def test_twenty_features_without_drift_raise_no_alarm_in_ninety_windows(n: int) -> None:
    chance = np.random.default_rng(20261123)
    numeric = (NumericBins(tuple(map(float, range(9)))), [0.1] * 10)
    features: list[tuple[Bins, list[float]]] = [numeric] * 10
    features += [
        (CategoricalBins(tuple("abcdefgh"), ()), chance.dirichlet([1.0] * 8).tolist())
        for _ in range(10)
    ]

    def drawn(feature: tuple[Bins, list[float]], size: int) -> list[int]:
        bins, shares = feature
        counts = chance.multinomial(size, shares).tolist()
        return [*counts, *[0] * (cell_count(bins) - len(counts))]

    references = [drawn(feature, REFERENCE_ROWS) for feature in features]
    tracks = [Track()] * len(features)
    severities: Counter[Severity | None] = Counter()
    for _ in range(90):
        family = [
            StreamWindow(str(i), feature[0], references[i], drawn(feature, n))
            for i, feature in enumerate(features)
        ]
        evaluations = evaluate(family)
        tracks = [
            advance(track, judge([evaluation]))
            for track, evaluation in zip(tracks, evaluations, strict=True)
        ]
        severities += Counter(evaluation.severity for evaluation in evaluations)
        assert MonitorState.DRIFTING not in {track.state for track in tracks}

    assert set(severities) <= {Severity.NONE, Severity.SHIFT}
    assert severities[Severity.SHIFT] <= 2


def numbers(chance: random.Random, mean: float = 0.0) -> float:
    return chance.gauss(mean, 1)


SHIFTS: dict[str, tuple[Draw, Draw]] = {
    "mean moved by one deviation": (numbers, lambda chance: numbers(chance, 1.0)),
    "twice as wide": (numbers, lambda chance: 2.5 * numbers(chance)),
    "a third missing": (
        numbers,
        lambda chance: None if chance.random() < 1 / 3 else numbers(chance),
    ),
    "all missing": (numbers, lambda chance: None),
    "all infinite": (numbers, lambda chance: float("inf")),
    "constant that moved up": (lambda chance: 1.0, lambda chance: 2.0),
    "constant that moved down": (lambda chance: 1.0, lambda chance: 0.5),
    "zeros that became numbers": (
        lambda chance: 0.0 if chance.random() < 0.8 else chance.random(),
        lambda chance: chance.random(),
    ),
    "mostly another category": (
        lambda chance: chance.choice("aaab"),
        lambda chance: chance.choice("abbb"),
    ),
    "new category": (
        lambda chance: chance.choice("ab"),
        lambda chance: chance.choice("abc"),
    ),
    "one category that became another": (lambda chance: "a", lambda chance: "b"),
    "missing that became present": (lambda chance: None, lambda chance: 3.0),
}


@pytest.mark.parametrize("shift", SHIFTS)
def test_planted_shift_is_found_by_the_second_window(shift: str) -> None:
    chance = random.Random(7)
    before, later = SHIFTS[shift]
    reference = [before(chance) for _ in range(2000)]
    bins = feature_bins(reference)

    track, states = Track(), []
    for draw in (before, before, before, later, later):
        window = counted(bins, [draw(chance) for _ in range(300)])
        stream = StreamWindow("x", bins, counted(bins, reference), window)
        track = advance(track, judge(evaluate([stream])))
        states.append(track.state)

    assert states[:3] == ["stable"] * 3
    assert states[-1] == "drifting"


@pytest.mark.parametrize(
    ("bins", "reference", "window"),
    [
        pytest.param(
            ConfidenceBins(),
            [0] * 10 + [200] * 10 + [0],
            [0] * 10 + [50, 10] * 5 + [0],
            id="confidence",
        ),
        pytest.param(ShareBins(), [4950, 50], [240, 60], id="out-of-distribution rate"),
    ],
)
def test_streams_of_shares_drift_as_features_do(
    bins: Bins, reference: list[Any], window: list[Any]
) -> None:
    stream = StreamWindow("x", bins, reference, window)

    track = Track()
    for _ in range(2):
        track = advance(track, judge(evaluate([stream])))

    assert track.state == "drifting"


@pytest.mark.parametrize("rows", [pytest.param([1.0], id="one row"), pytest.param([], id="none")])
def test_reference_that_is_too_thin_never_alarms(rows: list[float]) -> None:
    bins = feature_bins(rows)
    stream = StreamWindow("x", bins, counted(bins, rows), counted(bins, [9.0] * 5000))

    track = advance(Track(), judge(evaluate([stream])))

    assert track.state == "collecting"


def test_windows_without_traffic_never_alarm() -> None:
    bins = ShareBins()
    stream = StreamWindow("x", bins, [5000, 50], [0, 0])

    track = Track(MonitorState.STABLE)
    states = []
    for _ in range(4):
        track = advance(track, judge(evaluate([stream])))
        states.append(track.state)

    assert states == ["stable", "stable", "collecting", "collecting"]
