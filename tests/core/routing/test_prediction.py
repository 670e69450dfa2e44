"""What is read off a prediction, what is refused, and what makes two predictions the same."""

import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.routing import prediction as limits
from app.core.routing.prediction import Prediction, float32_bytes, recorded, signals_of
from tests.core.routing.cases import prediction, signals

PROBABLE = {"positive": 0.5, "neutral": 0.3, "negative": 0.2}


@pytest.mark.parametrize(
    ("posted", "label", "confidence"),
    [
        pytest.param({"label": "a", "confidence": 0.7}, "a", 0.7, id="as sent"),
        pytest.param({"scores": PROBABLE}, "positive", 0.5, id="label from the top score"),
        pytest.param(
            {"scores": PROBABLE, "label": "negative"}, "negative", 0.2, id="confidence from the label's score"
        ),
        pytest.param(
            {"scores": PROBABLE, "confidence": 0.9}, "positive", 0.9, id="own confidence wins"
        ),
        pytest.param({"label": "a"}, "a", None, id="label alone has no confidence"),
        pytest.param({"output": {"x": 1}}, None, None, id="structured output has neither"),
        pytest.param({"label": "a", "confidence": 1.0005}, "a", 1.0, id="float noise above 1 is clipped"),
        pytest.param({"label": "a", "confidence": -0.0005}, "a", 0.0, id="float noise below 0 is clipped"),
        pytest.param(
            {"scores": {"a": 0.6, "b": 0.2}, "scores_are": "top_k"}, "a", 0.6, id="top of a shorter list"
        ),
        pytest.param(
            {"scores": {"a": 3.2, "b": 7.1}, "scores_are": "independent"}, "b", None, id="independent scores are no probabilities"
        ),
    ],
)  # fmt: skip
def test_label_and_confidence_are_filled_in(
    posted: dict[str, Any], label: str | None, confidence: float | None
) -> None:
    read = signals(**posted)

    assert (read.label, read.confidence) == (label, confidence)


def test_of_equal_scores_the_label_does_not_depend_on_the_order_in_which_they_were_sent() -> None:
    tie = {"b": 0.4, "a": 0.4, "c": 0.2}

    assert signals(scores=tie).label == signals(scores=dict(reversed(tie.items()))).label == "a"


def test_real_scores_that_exceed_1_by_float_noise_are_clipped() -> None:
    read = signals(scores={"a": 1.00002, "b": -0.00001})

    assert read.scores == {"a": 1.0, "b": 0.0}
    assert read.confidence == 1.0


@pytest.mark.parametrize(
    ("posted", "place", "why"),
    [
        ({"label": None}, ("label",), "one of label, scores and output"),
        ({"scores": {"a": 0.5, "b": 0.49}}, ("scores",), "sum to 0.99"),
        ({"scores": {"a": 0.5, "b": 0.502}}, ("scores",), "sum to 1.002"),
        ({"scores": {"a": 0.9, "b": 0.2}, "scores_are": "top_k"}, ("scores",), "sum to 1.1"),
        ({"scores": {"a": 4.1, "b": -3.1}}, ("scores",), "logits"),
        ({"scores": {"a": 1.01, "b": -0.01}, "scores_are": "top_k"}, ("scores",), "logits"),
        ({"members": [{"name": "m"}]}, ("members", 0), "label or scores"),
        ({"members": [{"name": "m", "label": "a"}] * 2}, ("members", 1), "are called 'm'"),
        ({"members": [{"name": "m", "scores": {"a": 2.0}}]}, ("members", 0, "scores"), "logits"),
    ],
    ids=[
        "nothing said",
        "probabilities that sum to less",
        "probabilities that sum to more",
        "top scores that sum to more",
        "logits",
        "top scores out of range",
        "member without a word",
        "two members of one name",
        "member's logits",
    ],
)
def test_prediction_that_contradicts_itself_is_refused(
    posted: dict[str, Any], place: Any, why: str
) -> None:
    with pytest.raises(Invalid, match=why) as refused:
        signals(**posted)

    assert refused.value.places[0][0] == place


@pytest.mark.parametrize(
    "posted",
    [
        {"scores": {"a": 0.5, "b": 0.4991}},
        {"scores": {"a": 0.2}, "scores_are": "top_k"},
        {"scores": {"a": -40.0, "b": 1e30}, "scores_are": "independent"},
        {"members": [{"name": "m", "label": "a"}, {"name": "n", "scores": {"a": 1.0}}]},
        {"members": [{"name": "m", "scores": {"a": 9.0}}], "scores_are": "independent"},
    ],
    ids=[
        "sum within 1e-3",
        "short list",
        "any independent scores",
        "members",
        "independent members",
    ],
)
def test_prediction_that_makes_sense_is_taken(posted: dict[str, Any]) -> None:
    signals(**posted)


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth > 1 else []


def test_output_may_be_as_deep_as_the_limit_and_not_deeper() -> None:
    signals(output=nested(limits.DEPTH_MAX - 1))

    with pytest.raises(Invalid, match="nested more than 16") as refused:
        signals(output={"a": nested(limits.DEPTH_MAX)})
    assert refused.value.places[0][0] == ("output",)


TEXT = "a" * 256
AT_THE_LIMIT = {
    "request_key": (TEXT, TEXT + "a"),
    "model": (TEXT, TEXT + "a"),
    "label": (TEXT, TEXT + "a"),
    "scores": ({str(n): 0.0 for n in range(1000)}, {str(n): 0.0 for n in range(1001)}),
    "members": (
        [{"name": str(n), "label": "a"} for n in range(50)],
        [{"name": str(n), "label": "a"} for n in range(51)],
    ),
    "features": ({str(n): n for n in range(200)}, {str(n): n for n in range(201)}),
    "embedding": ([0.5] * 4096, [0.5] * 4097),
    "segment": ({str(n): "a" for n in range(20)}, {str(n): "a" for n in range(21)}),
    "risk": (1, 1.01),
    "confidence": (1.001, 1.0011),
    "subject": ({"text": "a" * 100_000}, {"text": "a" * 100_001}),
}


@pytest.mark.parametrize("field", AT_THE_LIMIT)
def test_each_field_is_taken_at_its_limit_and_refused_past_it(field: str) -> None:
    largest, too_large = AT_THE_LIMIT[field]

    assert prediction(**{"label": "a", field: largest})
    with pytest.raises(msgspec.ValidationError):
        prediction(**{"label": "a", field: too_large})


@pytest.mark.parametrize(
    "changes",
    [
        {"request_key": ""},
        {"nonsense": 1},
        {"embedding": [1e39]},
        {"embedding": []},
        {"features": {"a": []}},
        {"features": {"a": "b" * 1025}},
        {"occurred_at": "2026-11-23T10:00:00"},
        {"confidence": "0.9"},
        {"scores": {}},
        {"subject": {"uri": ""}},
        {"shadow": 1},
    ],
    ids="-".join,
)
def test_what_is_no_prediction_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        prediction(**changes)


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "  JavaScript:alert(1)",
        "java\tscript:alert(1)",
        "vbscript:x",
        "data:text/html,<script>",
        "data:image/svg+xml,<svg>",
        "s3://texts/9\n",
        "s3://texts/\x7f",
    ],
)
def test_address_that_a_browser_would_run_is_refused(uri: str) -> None:
    posted = prediction(subject={"uri": uri})

    with pytest.raises(Invalid) as refused:
        signals_of(posted)

    assert refused.value.places[0][0] == ("subject", "uri")


@pytest.mark.parametrize(
    "uri",
    [
        "https://reviews.test/9?a=javascript:",
        "s3://texts/my file.txt",
        "abfss://texts@store/9",
        "file:///texts/9",
        "data:image/png;base64,iVBOR",
        "reviews/9.png",
        "urn:isbn:9",
    ],
)
def test_address_of_any_other_kind_is_taken(uri: str) -> None:
    assert signals_of(prediction(subject={"uri": uri})).label is not None


numbers = st.floats(-(2**60), 2**60, width=32)
contents = st.fixed_dictionaries(
    {"label": st.sampled_from("ab")},
    optional={
        "confidence": st.floats(0, 1),
        "features": st.dictionaries(st.sampled_from("xyz"), numbers | st.booleans() | st.text(st.characters(codec="utf-8"), max_size=3)),
        "segment": st.dictionaries(st.sampled_from("st"), st.sampled_from("uv")),
        "embedding": st.lists(numbers, min_size=1, max_size=3),
        "output": st.sampled_from([1, [1], {"a": 1}]),
        "risk": st.floats(0, 1),
    },
)  # fmt: skip


@given(contents)
def test_digest_does_not_depend_on_the_order_of_fields(content: dict[str, Any]) -> None:
    shuffled = {
        name: dict(reversed(value.items())) if isinstance(value, dict) else value
        for name, value in reversed(content.items())
    }

    assert recorded(prediction(**shuffled)).digest == recorded(prediction(**content)).digest


@given(contents, contents)
def test_digests_are_equal_exactly_when_the_decoded_contents_are(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = prediction(**one), prediction(**other)

    assert (recorded(first).digest == recorded(second).digest) == (
        canonical(first) == canonical(second)
    )


def canonical(one: Prediction) -> Any:
    # -0.0 and 0.0 compare equal, and so do 1.0 and True; as JSON they are not the same
    return msgspec.json.encode(one, order="sorted")


@pytest.mark.parametrize(
    ("spelling", "same"),
    [
        pytest.param('"confidence": 0.50', True, id="trailing zero"),
        pytest.param('"confidence": 5e-1', True, id="exponent"),
        pytest.param('"confidence": 0.5, "label": null', True, id="absent and null are the same"),
        pytest.param('"confidence": 0.5, "shadow": false', True, id="a default written out"),
        pytest.param('"confidence": 0.5000001', False, id="another number"),
        pytest.param('"confidence": 0.5, "shadow": true', False, id="another mode"),
        pytest.param('"confidence": 0.5, "input_key": "i"', False, id="a field more"),
    ],
)
def test_digest_speaks_of_content_and_not_of_spelling(spelling: str, same: bool) -> None:
    def read(fields: str) -> Prediction:
        text = '{"request_key": "r", "model": "m", "model_version": "1", "output": 1, ' + fields
        return msgspec.json.decode(text + "}", type=Prediction)

    assert (recorded(read(spelling)).digest == recorded(read('"confidence": 0.5')).digest) == same


def test_embedding_counts_as_the_single_precision_that_is_stored() -> None:
    sent = 0.1
    (stored,) = struct.unpack("<f", float32_bytes([sent]))
    next_one = math.nextafter(stored, 1)

    assert stored != sent
    assert (
        recorded(prediction(embedding=[sent])).digest
        == recorded(prediction(embedding=[stored])).digest
    )
    assert (
        recorded(prediction(embedding=[next_one])).digest
        == recorded(prediction(embedding=[stored])).digest
    )
    assert (
        recorded(prediction(embedding=[0.1001])).digest
        != recorded(prediction(embedding=[sent])).digest
    )
    assert recorded(prediction(embedding=[sent])).digest != recorded(prediction()).digest


def test_largest_element_of_an_embedding_fits_single_precision() -> None:
    assert (
        float32_bytes([limits.FLOAT32_MAX, -limits.FLOAT32_MAX])
        == b"\xff\xff\x7f\x7f\xff\xff\x7f\xff"
    )


def test_signals_do_not_change_what_is_recorded() -> None:
    posted = prediction(scores={"a": 1.00002, "b": 0.0})

    signals_of(posted)

    assert posted.scores == {"a": 1.00002, "b": 0.0}
