"""What a reference is made of, and which cells a prediction has in it."""

import math
import random
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.build import FEATURES_MAX, NAMES_MAX, ROWS_MAX, TEXTS_MAX, Rows
from app.core.drift.reference import Document, Kept, digest_of, looks_at, streams_of
from app.core.drift.spec import CategoricalBins, NumericBins, ShareBins
from app.core.drift.streams import (
    COLUMNS_MIN,
    NOT_COUNTED,
    Observation,
    cells_of,
    counts_of,
    observation_of,
    split,
)
from app.core.errors import Invalid, TooLarge
from app.core.routing.prediction import Member, Prediction, Unfamiliar, signals_of

DETECTOR = uuid.UUID(int=7)
DIGEST = "ab" * 32
SCOPE: dict[str, Any] = {
    "model": "sentiment",
    "model_version": None,
    "segment": None,
    "detector": None,
}

feature = st.one_of(
    st.none(), st.booleans(), st.sampled_from(["en", "de", "fr"]), st.floats(allow_nan=False)
)
observation = st.builds(
    Observation,
    label=st.sampled_from([None, "positive", "negative"]),
    confidence=st.one_of(st.none(), st.floats(0, 1)),
    disagreement=st.one_of(st.none(), st.floats(0, 1)),
    features=st.dictionaries(st.sampled_from("abcd"), feature),
    embedded=st.booleans(),
    detector=st.just(DETECTOR),
    components=st.one_of(st.none(), st.tuples(st.floats(-9, 9), st.floats(-9, 9))),
    score=st.one_of(st.none(), st.floats(0, 99)),
    p=st.one_of(st.none(), st.just(0.01), st.floats(0, 1)),
)


def observed(**values: Any) -> Observation:
    return Observation(**{"label": "positive", "confidence": 0.9, "features": {}, **values})


def built(rows: list[Observation], detector: str | None = None) -> Document:
    collected = Rows(detector)
    for row in rows:
        collected.add(row)
    return collected.document()


def by_name(document: Document) -> dict[str, Kept]:
    return {kept.stream: kept for kept in document.streams}


def cells(document: Document, row: Observation) -> dict[str, int]:
    streams = streams_of(document)
    return dict(zip((one.name for one in streams), cells_of(streams, DETECTOR)(row), strict=True))


@given(st.lists(observation, min_size=1, max_size=60))
def test_the_counts_of_a_reference_are_those_of_the_cells_of_its_rows(
    rows: list[Observation],
) -> None:
    document = built(rows, DIGEST)
    streams = streams_of(document)

    find = cells_of(streams, DETECTOR)

    counts = counts_of(streams, [find(row) for row in rows])
    assert split(streams, counts) == [kept.counts for kept in document.streams]


@given(st.lists(observation, min_size=1, max_size=COLUMNS_MIN - 1))
def test_counting_by_columns_is_counting_cell_by_cell(rows: list[Observation]) -> None:
    streams = streams_of(built(rows, DIGEST))
    found = [cells_of(streams, DETECTOR)(row) for row in rows]

    many = counts_of(streams, found * COLUMNS_MIN)

    assert many == [count * COLUMNS_MIN for count in counts_of(streams, found)]


@given(st.lists(observation, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_rows(
    rows: list[Observation], order: random.Random
) -> None:
    shuffled = order.sample(rows, len(rows))

    one, other = built(rows, DIGEST), built(shuffled, DIGEST)

    assert digest_of(one, **SCOPE) == digest_of(other, **SCOPE)


@given(st.lists(observation, min_size=1, max_size=20))
def test_a_document_is_stored_and_read_back_as_it_was(rows: list[Observation]) -> None:
    document = built(rows, DIGEST)

    read = msgspec.json.decode(msgspec.json.encode(document), type=Document)

    assert read == document
    assert digest_of(read, **SCOPE) == digest_of(document, **SCOPE)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "toxicity"},
        {"model_version": "1"},
        {"segment": "source:tweets"},
        {"detector": DIGEST},
    ],
)
def test_the_digest_depends_on_what_it_is_a_reference_of(other: dict[str, str]) -> None:
    document = built([observed()])

    digests = {digest_of(document, **SCOPE), digest_of(document, **{**SCOPE, **other})}

    assert len(digests) == 2


def test_one_more_row_of_the_same_is_another_digest() -> None:
    digests = {digest_of(built([observed()] * rows), **SCOPE) for rows in (1, 2)}

    assert len(digests) == 2


def test_streams_stand_in_their_order() -> None:
    row = observed(
        disagreement=0.5,
        features={"b": 1.0, "a": "en"},
        detector=DETECTOR,
        components=(0.5, 1.5),
        score=3.0,
        p=0.5,
    )

    document = built([row], DIGEST)

    assert [kept.stream for kept in document.streams] == [
        "label",
        "confidence",
        "disagreement",
        "feature:a",
        "feature:b",
        "embedding:0",
        "embedding:1",
        "embedding:score",
        "out_of_distribution",
        "missing",
    ]


def test_without_members_and_detector_there_are_no_streams_of_them() -> None:
    document = built([observed(components=(1.0,), score=1.0, p=0.5)])

    assert [kept.stream for kept in document.streams] == ["label", "confidence", "missing"]


def test_a_single_row_makes_a_reference_that_is_too_small_to_test() -> None:
    looks = looks_at(built([observed(features={"n": 3.0})]))

    assert {(look.counted, look.testable, look.why) for look in looks} == {
        (1, False, "reference_too_small")
    }


def test_a_thousand_rows_are_enough_to_test() -> None:
    looks = {look.stream: look for look in looks_at(built([observed()] * 1000))}

    assert looks["confidence"].testable
    assert looks["confidence"].why is None


def test_a_stream_that_seldom_applies_is_too_small_alone() -> None:
    far = observed(detector=DETECTOR, score=9.0, p=0.001)
    rows = [far] * 10 + [observed(detector=DETECTOR)] * 990

    looks = {look.stream: look for look in looks_at(built(rows, DIGEST))}

    assert (looks["out_of_distribution"].counted, looks["out_of_distribution"].testable) == (
        10,
        False,
    )
    assert (looks["embedding:score"].counted, looks["embedding:score"].missing) == (1000, 990)


def test_ties_get_a_cell_of_their_own() -> None:
    rows = [observed(features={"n": 0.0})] * 80 + [observed(features={"n": 1.0})] * 20

    kept = by_name(built(rows))["feature:n"]

    assert sorted(kept.counts) == [0, 0, 0, 0, 20, 80]


def test_a_constant_column_can_drift_either_way() -> None:
    document = built([observed(features={"n": 5.0})] * 10)

    found = {
        cells(document, observed(features={"n": value}))["feature:n"] for value in (4.0, 5.0, 6.0)
    }

    assert len(found) == 3


def test_a_column_that_is_all_missing_has_a_cell_for_what_appears() -> None:
    document = built([observed(features={"n": None})] * 10)

    kept = by_name(document)["feature:n"]

    assert (kept.bins, kept.counts) == (NumericBins(()), [0, 10])
    assert cells(document, observed(features={"n": 1.0}))["feature:n"] == 0
    assert cells(document, observed())["feature:n"] == 1


def test_infinities_are_counted_at_the_ends() -> None:
    values = [-math.inf, *map(float, range(98)), math.inf]

    document = built([observed(features={"n": value}) for value in values])

    kept = by_name(document)["feature:n"]
    assert sum(kept.counts[:-1]) == 100
    assert cells(document, observed(features={"n": -math.inf}))["feature:n"] == 0
    assert cells(document, observed(features={"n": math.inf}))["feature:n"] == 9


def test_a_category_that_the_reference_did_not_have_is_unseen() -> None:
    document = built([observed(features={"lang": "en"})] * 1000)

    kept = by_name(document)["feature:lang"]
    assert isinstance(kept.bins, CategoricalBins)
    assert cells(document, observed(features={"lang": "tlh"}))["feature:lang"] == 3


def test_text_among_numbers_is_missing_and_numbers_among_text_are_categories() -> None:
    mostly = [observed(features={"n": 1.0, "c": "a"})] * 9
    document = built([*mostly, observed(features={"n": "n/a", "c": 1.0})])

    kept = by_name(document)

    assert kept["feature:n"].counts[-1] == 1
    assert kept["feature:c"].bins == CategoricalBins(("1.0", "a"), None)


def test_members_that_differ_are_counted_by_the_entropy_of_their_votes() -> None:
    members = [Member("a", "x"), Member("b", "y"), Member("c", "x")]
    prediction = Prediction(
        request_key="req-1",
        model="m",
        model_version="1",
        label="x",
        scores={"x": 0.5, "y": 0.3, "z": 0.2},
        members=members,
    )

    found = observation_of(signals_of(prediction))

    assert found.disagreement == pytest.approx(0.579380, abs=1e-6)


def test_what_is_observed_of_a_prediction_is_what_it_signals() -> None:
    prediction = Prediction(
        request_key="req-1",
        model="m",
        model_version="1",
        scores={"x": 0.7, "y": 0.3},
        features={"n": 1.0},
        embedding=[1.0, 2.0],
    )

    found = observation_of(signals_of(prediction, Unfamiliar(0.2, 5.0, DETECTOR)), (0.1, 0.2))

    assert found == Observation(
        label="x",
        confidence=0.7,
        features={"n": 1.0},
        embedded=True,
        detector=DETECTOR,
        components=(0.1, 0.2),
        score=5.0,
        p=0.2,
    )


def test_missing_is_a_prediction_without_what_nearly_all_of_the_reference_had() -> None:
    usual, rare = {"n": 1.0, "lang": "en"}, {"lang": "en"}
    document = built(
        [observed(features=usual, embedded=True)] * 96
        + [observed(features=rare, embedded=True)] * 4
    )

    missing = by_name(document)["missing"]

    assert missing.expected == ("label", "confidence", "feature:lang", "feature:n", "embedding")
    assert missing.counts == [96, 4]
    assert cells(document, observed(features=usual, embedded=True))["missing"] == 0
    assert cells(document, observed(features=usual))["missing"] == 1
    assert cells(document, observed(features={"n": 1.0}, embedded=True))["missing"] == 1
    assert cells(document, observed(features=usual, embedded=True, label=None))["missing"] == 1


def test_what_a_reference_had_less_often_is_not_missed() -> None:
    rows = [observed(features={"n": 1.0})] * 94 + [observed()] * 6

    document = built(rows)

    assert by_name(document)["missing"].expected == ("label", "confidence")
    assert by_name(document)["missing"].counts == [100, 0]


def test_out_of_distribution_is_a_small_p_and_not_counted_without_one() -> None:
    rows = [observed(detector=DETECTOR, score=1.0, p=p) for p in (0.5, 0.01, 0.011)]

    document = built([*rows, observed(detector=DETECTOR)], DIGEST)

    assert by_name(document)["out_of_distribution"].counts == [2, 1]
    assert cells(document, observed(detector=DETECTOR))["out_of_distribution"] == NOT_COUNTED


def test_what_another_detector_says_is_not_counted() -> None:
    row = observed(detector=DETECTOR, components=(1.0,), score=1.0, p=0.5)
    document = built([row] * 10, DIGEST)

    other = msgspec.structs.replace(row, detector=uuid.UUID(int=8))

    found = cells(document, other)
    assert [found[name] for name in ("embedding:0", "embedding:score", "out_of_distribution")] == [
        NOT_COUNTED
    ] * 3
    assert found["label"] == 0


def test_embeddings_that_the_reference_had_not_are_left_alone() -> None:
    document = built([observed(detector=DETECTOR, score=1.0, p=0.5)] * 10, DIGEST)

    found = cells(document, observed(detector=DETECTOR, components=(1.0,), score=1.0, p=0.5))

    assert "embedding:0" not in found
    assert found["out_of_distribution"] == 0


def test_of_too_many_features_those_most_often_there_are_watched() -> None:
    names = [f"f{number:03}" for number in range(FEATURES_MAX + 2)]
    rows = [observed(features=dict.fromkeys(names, 1.0))]

    document = built([*rows, observed(features={names[-1]: 1.0})])

    assert [(left.feature, left.why) for left in document.left_out] == [
        ("f099", "too_many_features"),
        ("f100", "too_many_features"),
    ]
    assert "feature:f101" in by_name(document)


def test_a_feature_of_ids_is_not_watched() -> None:
    rows = [observed(features={"id": f"req-{number}", "n": 1.0}) for number in range(TEXTS_MAX + 1)]

    document = built(rows)

    assert [(left.feature, left.why) for left in document.left_out] == [("id", "too_many_texts")]
    assert "feature:n" in by_name(document)


def test_names_of_features_without_end_are_refused() -> None:
    collected = Rows()
    for number in range(NAMES_MAX):
        collected.add(observed(features={f"f{number}": 1.0}))

    with pytest.raises(Invalid, match="different features"):
        collected.add(observed(features={"one more": 1.0}))


def test_a_row_too_many_is_refused() -> None:
    collected = Rows()
    for _ in range(ROWS_MAX):
        collected.add(observed())

    with pytest.raises(TooLarge, match="at most 100000 rows"):
        collected.add(observed())


def test_no_rows_make_no_reference() -> None:
    with pytest.raises(Invalid, match="at least one"):
        built([])


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
@pytest.mark.parametrize("place", ["label", "value", "name"])
def test_text_that_cannot_be_kept_is_refused(text: str, place: str) -> None:
    rows = {
        "label": observed(label=text),
        "value": observed(features={"lang": text}),
        "name": observed(features={text: 1.0}),
    }

    with pytest.raises(Invalid, match="Must not contain"):
        built([rows[place]])


def test_categories_past_all_measure_are_refused() -> None:
    rows = [
        observed(features={f"f{name:02}": f"{number:04}" + "x" * 1000 for name in range(90)})
        for number in range(55)
    ]

    with pytest.raises(TooLarge, match="categories"):
        built(rows)


def test_counts_of_other_streams_are_refused() -> None:
    streams = streams_of(built([observed()]))

    with pytest.raises(ValueError, match="not those"):
        split(streams, [1, 2, 3])


def test_a_share_has_no_cell_for_missing() -> None:
    document = built([observed()])

    looks = {look.stream: look for look in looks_at(document)}

    assert by_name(document)["missing"].bins == ShareBins()
    assert looks["missing"].missing is None
