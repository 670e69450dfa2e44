"""Detectors: known answers, how often familiar inputs are flagged, and what is strange."""

import math
import uuid
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from app.core.drift.detector import Detector, EmbeddingDetector, ScoresDetector, load
from app.core.drift.detector_fit import (
    RIDGE,
    Fitted,
    _whitening,
    calibrated,
    fit_scores,
    learnt_from,
    ledoit_wolf,
    shape_of,
    split,
)
from app.core.drift.familiar import ROWS_MAX, ROWS_MIN, FamiliarRow, Recorded, Sent, Training
from app.core.drift.judged import DetectorEvent, DetectorState, Judged, after
from app.core.errors import Invalid, StateConflict, TooLarge
from app.core.routing.prediction import Prediction, ScoresAre

ID = uuid.UUID(int=7)
ROWS = 3000
D = 160

Vectors = NDArray[np.float32]


class World:
    """Three classes in eight directions of a space, with a little noise in all."""

    def __init__(self, seed: int, dimension: int = D) -> None:
        self.chance = np.random.default_rng(seed)
        self.axes = np.linalg.qr(self.chance.normal(size=(dimension, dimension)))[0].T
        self.means = self.chance.normal(size=(3, 8)) * 4

    def draw(self, count: int) -> tuple[Vectors, list[str | None]]:
        kinds = self.chance.integers(0, 3, count)
        inside = self.means[kinds] + self.chance.normal(size=(count, 8))
        noise = 0.1 * self.chance.normal(size=(count, len(self.axes)))
        return (inside @ self.axes[:8] + noise).astype(np.float32), [f"c{kind}" for kind in kinds]


def training(vectors: Vectors, labels: list[str | None] | None = None) -> Training:
    return Training(vectors.shape[1], vectors.tobytes(), labels or [None] * len(vectors))


def fitted(vectors: Vectors, labels: list[str | None] | None = None) -> Fitted:
    return calibrated(*learnt_from(training(vectors, labels)))


def detector(vectors: Vectors, labels: list[str | None] | None = None) -> EmbeddingDetector:
    loaded = load(fitted(vectors, labels).blob, ID)
    assert isinstance(loaded, EmbeddingDetector)
    return loaded


def prediction(**fields: Any) -> Prediction:
    return Prediction(request_key="r", model="m", model_version="1", label="a", **fields)


def judged(by: Detector, vector: Any) -> Judged:
    (found,) = by.judge([prediction(embedding=[float(one) for one in vector])])
    assert isinstance(found, Judged)
    return found


def scores_training(strange: list[float]) -> Training:
    return Training(0, np.array(strange, np.float64).tobytes(), [None] * len(strange))


@pytest.fixture(scope="module")
def world() -> World:
    return World(20261123)


@pytest.fixture(scope="module")
def labelled(world: World) -> EmbeddingDetector:
    return detector(*world.draw(ROWS))


def test_the_covariance_is_that_of_ledoit_and_wolf(world: World) -> None:
    rows = world.draw(60)[0].astype(np.float64)
    rows -= rows.mean(axis=0)

    covariance, share = ledoit_wolf(rows)

    oracle = LedoitWolf(assume_centered=True).fit(rows)
    assert share == pytest.approx(oracle.shrinkage_, rel=1e-9)
    np.testing.assert_allclose(covariance, oracle.covariance_, rtol=1e-9, atol=1e-12)


def test_the_mahalanobis_distance_and_the_residual_are_those_of_the_textbook() -> None:
    # the variance along the first axis is 4 and along the second 1; the third is left out
    corners = [[x, y, z] for x in (-2, 2) for y in (-1, 1) for z in (-0.1, 0.1)]
    vectors = np.array(corners * 3, np.float32)

    shape = shape_of(vectors, [None] * len(vectors))
    raw = shape.space.raw_of(np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.5]]))

    covariance, _ = ledoit_wolf(vectors[:, :2].astype(np.float64))
    expected = 4 / covariance[0, 0] + 1 / covariance[1, 1]
    assert shape.summary["components"] == 2
    assert raw.distance == pytest.approx([expected, 0.0], rel=1e-5)
    assert raw.residual == pytest.approx([0.0, 0.25], abs=1e-6)


def test_the_relative_distance_is_that_of_the_textbook(world: World) -> None:
    vectors, labels = world.draw(ROWS)
    point = world.draw(1)[0]

    space = shape_of(vectors, labels).space
    raw = space.raw_of(point)

    components = (vectors.astype(np.float64) - space.mean) @ space.axes
    kinds = np.array(labels)
    means = [components[kinds == kind].mean(axis=0) for kind in ("c0", "c1", "c2")]
    around = np.concatenate([components[kinds == f"c{k}"] - means[k] for k in range(3)])
    share = LedoitWolf(assume_centered=True).fit(around).shrinkage_
    within, total = (
        (1 - share) * s + share * np.trace(s) / len(s) * np.eye(len(s))
        for s in (around.T @ around / ROWS, components.T @ components / ROWS)
    )
    y = ((point - space.mean) @ space.axes)[0]
    nearest = min((y - mean) @ np.linalg.solve(within, y - mean) for mean in means)
    assert raw.distance == pytest.approx([nearest - y @ np.linalg.solve(total, y)], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("with_labels", [True, False])
def test_familiar_inputs_are_flagged_no_more_often_than_promised(with_labels: bool) -> None:
    """Many detectors: one may flag a little more than promised, their average may not."""
    shares = []
    for seed in range(60):
        world = World(seed, dimension=40)
        vectors, labels = world.draw(300)
        shape = shape_of(vectors, labels if with_labels else [None] * 300)
        by = load(calibrated(shape, world.draw(1000)[0]).blob, ID)
        assert isinstance(by, EmbeddingDetector)
        found = by.measure(world.draw(2000)[0])
        shares.append([float(np.mean(found.p <= level)) for level in (0.01, 0.05, 0.2)])

    at_1, at_5, at_20 = np.mean(shares, axis=0)
    # within three standard errors of the average above, and not far below
    assert 0.008 <= at_1 <= 0.01 + 3 * 0.0005
    assert 0.04 <= at_5 <= 0.05 + 3 * 0.001
    assert 0.16 <= at_20 <= 0.2 + 3 * 0.002


def test_what_is_far_away_is_flagged_whichever_way_it_lies(
    world: World, labelled: EmbeddingDetector
) -> None:
    smallest = 3 / 1001
    for axis in world.axes:
        for sign in (-1, 1):
            far = judged(labelled, sign * 1000 * axis).unfamiliar
            assert far.p == pytest.approx(smallest), axis


def test_each_score_sees_what_the_other_misses(world: World, labelled: EmbeddingDetector) -> None:
    centre = world.means[0] @ world.axes[:8]
    between = world.means.mean(axis=0) @ world.axes[:8]
    left_out = world.axes[20] - labelled.space.axes @ (labelled.space.axes.T @ world.axes[20])
    aside = centre + 2 * left_out / np.linalg.norm(left_out)

    raw = labelled.space.raw_of(np.array([centre, between, aside]))

    assert raw.distance[1] > raw.distance[0] + 10
    assert raw.residual[1] == pytest.approx(raw.residual[0], abs=0.5)
    assert raw.distance[2] == pytest.approx(raw.distance[0], abs=2)
    assert raw.residual[2] > raw.residual[0] + 3
    assert judged(labelled, centre).unfamiliar.p > 0.05  # type: ignore[operator]
    assert judged(labelled, between).unfamiliar.p == pytest.approx(3 / 1001)
    assert judged(labelled, aside).unfamiliar.p == pytest.approx(3 / 1001)


def test_what_is_odd_where_classes_do_not_differ_is_flagged_too() -> None:
    chance = np.random.default_rng(11)
    kinds = chance.integers(0, 2, 4000)
    vectors = chance.normal(size=(4000, 6)).astype(np.float32)
    # the classes differ in the first direction only
    vectors[:, 0] += 8 * kinds
    by = detector(vectors, [f"c{kind}" for kind in kinds])

    odd = [judged(by, [0, 0, 0, sign * 10, 0, 0]).unfamiliar.p for sign in (-1, 1)]

    assert odd == pytest.approx([2 / 1001] * 2)
    assert judged(by, [0, 0, 0, 1, 0, 0]).unfamiliar.p > 0.05  # type: ignore[operator]


def test_p_is_the_share_of_held_out_inputs_at_least_as_strange() -> None:
    by = load(fit_scores(scores_training([k / 100 for k in range(99)])).blob, ID)
    assert isinstance(by, ScoresDetector)

    certain, even, third = (
        by.judge([prediction(scores={"a": top, "b": 1 - top})])[0] for top in (1.0, 0.51, 0.505)
    )

    # 1 - 0.51 = 0.49: the fifty from 0.49 to 0.98 are at least as strange
    assert isinstance(certain, Judged)
    assert isinstance(even, Judged)
    assert isinstance(third, Judged)
    assert certain.unfamiliar.p == 1.0
    assert even.unfamiliar.p == pytest.approx(51 / 100)
    assert third.unfamiliar.p == pytest.approx(50 / 100)


def test_the_score_is_in_standard_deviations_of_the_one_that_gave_p(
    world: World, labelled: EmbeddingDetector
) -> None:
    vectors, _ = world.draw(200)

    found = labelled.measure(vectors)

    raw = labelled.space.raw_of(vectors)
    distance = labelled._distance.standard(raw.distance)
    residual = labelled._residual.standard(raw.residual)  # type: ignore[union-attr]
    overall = labelled._overall.standard(raw.overall)  # type: ignore[union-attr]
    one_p = np.minimum(1, 3 * labelled._distance.p_of(raw.distance))
    from_distance = np.isclose(found.score, distance)
    assert np.all(
        from_distance | np.isclose(found.score, residual) | np.isclose(found.score, overall)
    )
    assert np.allclose(found.p[from_distance], one_p[from_distance])
    assert 20 < from_distance.sum() < 180


def test_a_vector_is_judged_the_same_alone_and_in_a_batch(
    world: World, labelled: EmbeddingDetector
) -> None:
    vectors = [row.tolist() for row in world.draw(100)[0]]

    together = labelled.judge([prediction(embedding=vector) for vector in vectors])

    for vector, one in zip(vectors, together, strict=True):
        alone = judged(labelled, vector)
        assert isinstance(one, Judged)
        assert alone.unfamiliar.p == one.unfamiliar.p
        assert alone.unfamiliar.score == pytest.approx(one.unfamiliar.score, rel=1e-9)
        assert alone.components == pytest.approx(one.components, rel=1e-9)


def test_a_held_out_vector_counts_itself_whatever_it_is_judged_with(world: World) -> None:
    vectors, labels = world.draw(ROWS)
    by = detector(vectors, labels)
    held_out = vectors[split(vectors).held_out]
    raw = by.space.raw_of(held_out)
    strangest = held_out[raw.distance.argmax()]

    alone = by._distance.p_of(by.space.raw_of(strangest[None]).distance)

    assert alone == pytest.approx([2 / 1001])


def test_the_same_rows_in_another_order_give_the_same_bytes(world: World) -> None:
    vectors, labels = world.draw(ROWS)
    order = np.random.default_rng(1).permutation(ROWS)

    one = fitted(vectors, labels)
    other = fitted(vectors[order], [labels[row] for row in order])

    assert one.blob == other.blob
    assert one.digest == other.digest


def test_a_loaded_detector_measures_what_the_fitted_one_was_calibrated_by(world: World) -> None:
    vectors, labels = world.draw(ROWS)
    made = fitted(vectors, labels)

    one, other = load(made.blob, ID), load(made.blob, uuid.UUID(int=8))

    assert isinstance(one, EmbeddingDetector)
    assert isinstance(other, EmbeddingDetector)
    assert one.digest == made.digest.hex()
    assert all(np.array_equal(a, b) for a, b in zip(one.space[:3], other.space[:3], strict=True))
    held_out = one.space.raw_of(vectors[split(vectors).held_out].astype(np.float64))
    assert np.allclose(np.sort(held_out.distance), one._distance._scores, rtol=1e-9)
    assert judged(other, vectors[0]).unfamiliar.detector == uuid.UUID(int=8)


def test_what_is_no_detector_is_not_loaded() -> None:
    for blob in (b"", b"\x80", b"nonsense", msgspec.msgpack.encode({"format": "other/1"})):
        with pytest.raises(msgspec.MsgspecError):
            load(blob, ID)


def test_components_are_the_first_eight_by_variance(
    world: World, labelled: EmbeddingDetector
) -> None:
    vectors, _ = world.draw(2000)

    found = labelled.measure(vectors)

    assert found.components.shape == (2000, 8)
    variances = found.components.var(axis=0)
    assert np.all(np.diff(variances) < 0.1 * variances[:-1])
    assert judged(labelled, vectors[0]).components == pytest.approx(tuple(found.components[0]))


@pytest.mark.parametrize(
    ("embedding", "says"),
    [
        ([1.0] * (D - 1), f"needs an embedding of {D} numbers, not {D - 1}"),
        ([1.0] * (D + 1), f"needs an embedding of {D} numbers, not {D + 1}"),
        ([0.0] * D, f"{D} numbers, not all 0"),
        # what single precision rounds to nothing
        ([1e-60] * D, f"{D} numbers, not all 0"),
        ([math.nan] + [1.0] * (D - 1), f"{D} numbers, each of them finite"),
        ([math.inf] + [1.0] * (D - 1), f"{D} numbers, each of them finite"),
        ([1e39] + [1.0] * (D - 1), f"{D} numbers, each of them finite"),
    ],
    ids=["short", "long", "zero", "too small", "nan", "inf", "too large"],
)
def test_an_embedding_that_cannot_be_judged_is_refused_alone(
    world: World, labelled: EmbeddingDetector, embedding: list[float], says: str
) -> None:
    good = world.draw(1)[0][0].tolist()

    before, bad, behind = labelled.judge(
        [prediction(embedding=one) for one in (good, embedding, good)]
    )

    assert isinstance(bad, Invalid)
    assert says in bad.detail
    assert [loc for loc, _ in bad.places] == [("embedding",)]
    assert before == behind
    assert isinstance(before, Judged)


def test_a_prediction_without_embedding_is_missing(labelled: EmbeddingDetector) -> None:
    (found,) = labelled.judge([prediction()])

    assert isinstance(found, Judged)
    assert (found.unfamiliar.p, found.unfamiliar.score, found.components) == (None, None, None)
    assert found.unfamiliar.detector == ID


def test_the_largest_numbers_of_single_precision_are_only_strange(
    labelled: EmbeddingDetector,
) -> None:
    largest = float(np.finfo(np.float32).max)

    found = judged(labelled, [largest, -largest] * (D // 2)).unfamiliar

    assert found.p == pytest.approx(3 / 1001)
    assert found.score is not None
    assert math.isfinite(found.score)


def test_a_constant_column_is_seen_when_it_changes() -> None:
    chance = np.random.default_rng(5)
    vectors = chance.normal(size=(ROWS, 4)).astype(np.float32)
    vectors[:, 2] = 0.3
    by = detector(vectors)

    usual = judged(by, [0.1, -0.2, 0.3, 0.4])
    changed = judged(by, [0.1, -0.2, 0.4, 0.4])

    # not what rounding leaves over
    assert np.all(by.space.raw_of(vectors).residual == 0)
    assert usual.unfamiliar.p is not None
    assert usual.unfamiliar.p > 0.5
    assert changed.unfamiliar.p == pytest.approx(2 / 1001)
    assert usual.components is not None
    assert len(usual.components) == 3


def test_one_dimension_has_one_score() -> None:
    by = detector(np.random.default_rng(6).normal(size=(ROWS, 1)).astype(np.float32))

    near, far = judged(by, [0.001]), judged(by, [9.0])

    assert near.unfamiliar.p is not None
    assert near.unfamiliar.p > 0.9
    assert far.unfamiliar.p == pytest.approx(1 / 1001)
    assert far.components is not None
    assert len(far.components) == 1


def test_rows_that_occur_many_times_are_on_one_side_and_familiar() -> None:
    three = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    many = np.random.default_rng(8).normal(size=(1500, 3)).astype(np.float32)
    vectors = np.concatenate([np.tile(three, (500, 1)), many])

    parts = split(vectors)
    by = detector(vectors, ["a", "b", "c"] * 500 + [None] * 1500)

    sides = [
        {row.tobytes() for row in vectors[side]} & {row.tobytes() for row in three}
        for side in (parts.fitted, parts.held_out)
    ]
    # one of them can lie across the boundary
    assert len(sides[0] & sides[1]) <= 1
    assert judged(by, [50, 50, 50]).unfamiliar.p == pytest.approx(2 / 1001)


def test_identical_rows_of_each_class_have_no_covariance_and_are_fitted_all_the_same() -> None:
    three = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    vectors = np.tile(three, (1000, 1))

    by = detector(vectors, ["a", "b", "c"] * 1000)

    familiar, strange = judged(by, [1, 0, 0]).unfamiliar, judged(by, [9, 9, 9]).unfamiliar
    assert familiar.score is not None
    assert strange.score is not None
    assert math.isfinite(familiar.score)
    assert math.isfinite(strange.score)
    assert strange.p == pytest.approx(3 / 1001)


def test_a_class_without_any_covariance_has_finite_distances() -> None:
    whitening = _whitening(np.zeros((3, 3)), np.eye(3))

    assert whitening == pytest.approx(np.eye(3) / math.sqrt(RIDGE))


def test_equal_embeddings_tell_nothing() -> None:
    with pytest.raises(Invalid, match="all equal"):
        learnt_from(training(np.full((ROWS, 5), 0.1, np.float32)))


def test_few_rows_have_a_component_for_each_ten() -> None:
    vectors, labels = World(3).draw(59)

    shape = shape_of(vectors, labels)

    assert shape.summary["components"] == 5


@pytest.mark.parametrize(
    ("labels", "classes", "score"),
    [
        (["one"] * ROWS, 0, "mahalanobis"),
        ([None] * ROWS, 0, "mahalanobis"),
        # a label with a single row is no class
        (["one"] * (ROWS - 1) + ["other"], 0, "mahalanobis"),
        (["one"] * 1500 + ["two"] * 1499 + ["rare"], 2, "relative_mahalanobis"),
        (["one"] * 1500 + ["two"] * 100 + [None] * 1400, 2, "relative_mahalanobis"),
    ],
    ids=["one label", "none", "one and a single row", "two and a single row", "half unlabelled"],
)
def test_classes_are_labels_with_enough_rows(
    world: World, labels: list[str | None], classes: int, score: str
) -> None:
    vectors, _ = world.draw(ROWS)

    summary = shape_of(vectors, labels).summary

    assert (summary["classes"], summary["score"]) == (classes, score)


def test_at_least_a_thousand_and_at_most_ten_thousand_are_held_out() -> None:
    counts = [len(split(np.arange(rows)).held_out) for rows in (2000, 5000, 20_000, 50_000)]

    assert counts == [1000, 1000, 4000, 10_000]


def test_the_top_of_probabilities_and_of_the_best_few_are_compared_alike() -> None:
    by = load(fit_scores(scores_training([k / 1000 for k in range(1000)])).blob, ID)

    whole, few = by.judge(
        [
            prediction(scores={"a": 0.7, "b": 0.2, "c": 0.1}),
            prediction(scores={"a": 0.7, "b": 0.2}, scores_are="top_k"),
        ]
    )

    assert isinstance(whole, Judged)
    assert whole == few
    assert whole.unfamiliar.p == pytest.approx(701 / 1001)
    assert whole.components is None


def test_independent_scores_are_judged_by_their_energy() -> None:
    rows = [FamiliarRow(scores={"a": float(k), "b": 0.0}, scores_are="independent") for k in (3, 9)]
    sent = Sent()
    for _ in range(ROWS_MIN // 2):
        for row in rows:
            sent.add(row)
    by = load(fit_scores(sent.training()).blob, ID)

    sure, unsure, other = by.judge(
        [
            prediction(scores={"a": 12.0, "b": 0.0}, scores_are="independent"),
            prediction(scores={"a": 1.0, "b": 0.0}, scores_are="independent"),
            prediction(scores={"a": 0.9, "b": 0.1}),
        ]
    )

    assert isinstance(sure, Judged)
    assert isinstance(unsure, Judged)
    assert isinstance(other, Judged)
    energies = [-math.log(math.exp(k) + 1) for k in (3, 9)]
    expected = (-math.log(math.exp(1) + 1) - np.mean(energies)) / np.std(energies)
    assert sure.unfamiliar.p == 1.0
    assert unsure.unfamiliar.p == pytest.approx(1 / (ROWS_MIN + 1))
    assert unsure.unfamiliar.score == pytest.approx(expected)
    # made of scores of another kind: nothing to compare
    assert other.unfamiliar.p is None


@given(
    st.lists(st.floats(-1e308, 1e308), min_size=2, max_size=5),
    st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=5),
)
def test_energies_of_any_scores_are_finite(fits: list[float], scores: list[float]) -> None:
    sent = Sent()
    for place in range(ROWS_MIN):
        one = fits[place % len(fits)]
        sent.add(FamiliarRow(scores={"a": one, "b": -one}, scores_are="independent"))
    by = load(fit_scores(sent.training()).blob, ID)
    asked = {str(place): score for place, score in enumerate(scores)}

    (found,) = by.judge([prediction(scores=asked, scores_are="independent")])

    assert isinstance(found, Judged)
    assert found.unfamiliar.score is not None
    assert math.isfinite(found.unfamiliar.score)
    assert found.unfamiliar.p is not None
    assert 0 < found.unfamiliar.p <= 1


SCORES = FamiliarRow(scores={"a": 0.7, "b": 0.3})
VECTOR = FamiliarRow(embedding=[1.0, 2.0], label="a")


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [
        (VECTOR, FamiliarRow(embedding=[1.0]), ("embedding",)),
        (VECTOR, FamiliarRow(embedding=[0.0, 0.0]), ("embedding",)),
        (VECTOR, SCORES, ("embedding",)),
        (SCORES, VECTOR, ("embedding",)),
        (SCORES, FamiliarRow(label="a"), ("scores",)),
        (SCORES, FamiliarRow(scores={"a": 0.9, "b": 0.9}), ("scores",)),
        (SCORES, FamiliarRow(scores={"a": 3.0}, scores_are="independent"), ("scores_are",)),
    ],
    ids=["length", "zero", "scores", "embedding", "nothing", "sum", "kind"],
)
def test_a_row_that_is_not_like_the_first_is_refused(
    first: FamiliarRow, second: FamiliarRow, place: tuple[str]
) -> None:
    sent = Sent()
    sent.add(first)

    with pytest.raises(Invalid) as refused:
        sent.add(second)

    assert [loc for loc, _ in refused.value.places] == [place]


def test_fewer_than_two_thousand_rows_are_too_few() -> None:
    sent, recorded = Sent(), Recorded()
    for _ in range(ROWS_MIN - 1):
        sent.add(VECTOR)
        recorded.add_embedding(np.ones(3, np.float32).tobytes(), None)

    with pytest.raises(Invalid, match="1999 were sent"):
        sent.training()
    with pytest.raises(Invalid, match="1999 predictions of the model, 1999 with an embedding"):
        recorded.training()


def test_more_than_fifty_thousand_rows_are_too_many() -> None:
    sent = Sent()
    for _ in range(ROWS_MAX):
        sent.add(VECTOR)

    with pytest.raises(TooLarge):
        sent.add(VECTOR)


def test_of_recorded_predictions_those_like_the_newest_are_taken() -> None:
    recorded = Recorded()
    for _ in range(ROWS_MIN):
        recorded.add_embedding(np.ones(3, np.float32).tobytes(), "a")
    recorded.add_embedding(np.ones(4, np.float32).tobytes(), "a")
    recorded.add_embedding(np.zeros(3, np.float32).tobytes(), "a")
    recorded.add_scores({"a": 1.0}, "probabilities")

    found = recorded.training()

    assert (found.dimension, len(found.labels), found.left_out) == (3, ROWS_MIN, 3)


@pytest.mark.parametrize(("first", "others"), [("probabilities", "independent")] * 1)
def test_without_enough_embeddings_recorded_scores_are_taken(
    first: ScoresAre, others: ScoresAre
) -> None:
    recorded = Recorded()
    recorded.add_embedding(np.ones(3, np.float32).tobytes(), "a")
    for _ in range(ROWS_MIN):
        recorded.add_scores({"a": 0.75}, first)
    recorded.add_scores({"a": 0.75}, others)
    recorded.add_scores(None, first)

    found = recorded.training()

    assert (found.dimension, found.scores_are) == (0, first)
    assert np.all(np.frombuffer(found.numbers) == 0.25)
    assert (len(found.labels), found.left_out) == (ROWS_MIN, 3)


def test_recorded_predictions_are_taken_until_there_are_enough() -> None:
    recorded = Recorded()
    large = np.ones(4096, np.float32).tobytes()
    taken = 0
    while not recorded.full:
        recorded.add_embedding(large, None)
        taken += 1

    assert taken == 2**25 // 4096


def test_a_detector_that_is_retired_stays_so() -> None:
    assert after(DetectorState.RETIRED, DetectorEvent.RETIRE) is DetectorState.RETIRED
    with pytest.raises(StateConflict, match="fitting cannot retire"):
        after(DetectorState.FITTING, DetectorEvent.RETIRE)
