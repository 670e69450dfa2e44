"""Each kind of rule as a table: a rule, a prediction, the state that follows, and why."""

import uuid
from typing import Any

import msgspec
import pytest

from app.core.errors import Invalid
from app.core.routing.decision import decide
from app.core.routing.draw import Chance
from app.core.routing.policy import trace_of
from app.core.routing.prediction import Unfamiliar
from tests.core.routing.cases import (
    ID,
    KEY_OF_DAY,
    decided,
    policy,
    prediction,
    rule,
    signals,
    states,
)

PROBABLE = {"positive": 0.5, "neutral": 0.3, "negative": 0.2}


def case(
    why: str, condition: dict[str, Any], posted: dict[str, Any], state: str, observed: Any
) -> Any:
    return pytest.param(condition, posted, state, observed, id=why)


BELOW = {"confidence": {"below": 0.85, "per_label": {"threat": 0.99}}}
PLAIN = {"confidence": {"below": 0.85}}
OF_SEGMENT = {
    "confidence": {
        "below": 0.85,
        "per_label": {"threat": 0.99, "praise": 0.5},
        "per_segment": {"source:tweets": 0.95, "source:a:b": 0.9, "source:archive": 0.4},
    }
}
RECALIBRATED = {"confidence": {"below": 0.85, "scale": "recalibrated"}}
ENTROPY = {"entropy": {"above": 0.7}}
DETECTOR = uuid.UUID(int=1)
UNFAMILIAR = {"out_of_distribution": {"max_p": 0.01}}
MARGIN = {"margin": {"below": 0.15}}
LABELS = {"labels": ["threat", "insult"]}
RISK = {"risk": {"above": 0.8}}
LABELS_OF_ALL = ["positive", "threat", "insult"]
LONG = {"when": "prediction.features.n_tokens > 200"}

TABLE = [
    # confidence: below the threshold of the predicted label
    case("less than the threshold fires", BELOW, {"confidence": 0.84}, "fired", 0.84),
    case("at the threshold it passes", BELOW, {"confidence": 0.85}, "passed", 0.85),
    case(
        "a label may have a threshold of its own",
        BELOW,
        {"label": "threat", "confidence": 0.9},
        "fired",
        0.9,
    ),
    case("so does it without thresholds of labels", PLAIN, {"confidence": 0.85}, "passed", 0.85),
    case("and fires below", PLAIN, {"confidence": 0.84}, "fired", 0.84),
    case("and is missing without one", PLAIN, {}, "missing", None),
    case("no confidence is missing", BELOW, {}, "missing", None),
    case(
        "the score of the label is its confidence",
        BELOW,
        {"label": "neutral", "scores": PROBABLE},
        "fired",
        0.3,
    ),
    case(
        "a label that the scores do not have leaves it missing",
        BELOW,
        {"label": "other", "scores": PROBABLE},
        "missing",
        None,
    ),
    case(
        "an independent score is no confidence",
        BELOW,
        {"scores": {"a": 3.2}, "scores_are": "independent"},
        "missing",
        None,
    ),
    # confidence per segment: the highest of the thresholds that apply
    case(
        "a segment may have a threshold of its own",
        OF_SEGMENT,
        {"confidence": 0.94, "segment": {"source": "tweets"}},
        "fired",
        0.94,
    ),
    case(
        "it may be lower than for all",
        OF_SEGMENT,
        {"confidence": 0.5, "segment": {"source": "archive"}},
        "passed",
        0.5,
    ),
    case(
        "a value may have a colon",
        OF_SEGMENT,
        {"confidence": 0.89, "segment": {"source": "a:b"}},
        "fired",
        0.89,
    ),
    case(
        "of a label's and a segment's threshold the segment's counts if it is higher",
        OF_SEGMENT,
        {"label": "praise", "confidence": 0.94, "segment": {"source": "tweets"}},
        "fired",
        0.94,
    ),
    case(
        "of a label's and a segment's threshold the label's counts if it is higher",
        OF_SEGMENT,
        {"label": "threat", "confidence": 0.98, "segment": {"source": "tweets"}},
        "fired",
        0.98,
    ),
    case(
        "another segment is compared with the threshold for all",
        OF_SEGMENT,
        {"confidence": 0.85, "segment": {"source": "mail", "other": "tweets"}},
        "passed",
        0.85,
    ),
    case(
        "a key with a colon is not a key and the beginning of its value",
        OF_SEGMENT,
        {"confidence": 0.89, "segment": {"source:a": "b"}},
        "passed",
        0.89,
    ),
    case("no segment, no threshold of one", OF_SEGMENT, {"confidence": 0.85}, "passed", 0.85),
    case(
        "without a calibration map a recalibrated confidence is missing",
        RECALIBRATED,
        {"confidence": 0.99},
        "missing",
        None,
    ),
    # entropy: how the probabilities are spread, 1 when all are alike
    case("all alike is the highest", ENTROPY, {"scores": {"a": 0.5, "b": 0.5}}, "fired", 1.0),
    case(
        "less than the threshold passes",
        ENTROPY,
        {"scores": {"a": 1.0, "b": 0.0, "c": 0.0}},
        "passed",
        0.0,
    ),
    case(
        "an entropy at the threshold passes",
        {"entropy": {"above": 1}},
        {"scores": {"a": 0.5, "b": 0.5}},
        "passed",
        1.0,
    ),
    case("a single label leaves no doubt", ENTROPY, {"scores": {"a": 0.9995}}, "passed", 0.0),
    case("no scores have no entropy", ENTROPY, {"confidence": 0.9}, "missing", None),
    case(
        "a list of the best does not tell how the rest is spread",
        ENTROPY,
        {"scores": {"a": 0.75, "b": 0.25}, "scores_are": "top_k"},
        "missing",
        None,
    ),
    case(
        "independent scores have no entropy",
        ENTROPY,
        {"scores": {"a": 3.2, "b": 3.1}, "scores_are": "independent"},
        "not_applicable",
        None,
    ),
    # out of distribution: with a detector only
    case("without a detector there is nothing to miss", UNFAMILIAR, {}, "not_applicable", None),
    # margin: between the two highest probabilities
    case("closer than the threshold fires", MARGIN, {"scores": {"a": 0.5, "b": 0.5}}, "fired", 0.0),
    case("further apart passes", MARGIN, {"scores": {"a": 0.25, "b": 0.75}}, "passed", 0.5),
    case(
        "the second best may come first or last",
        MARGIN,
        {"scores": {"b": 0.25, "a": 0.625, "c": 0.125}},
        "passed",
        0.375,
    ),
    case("without scores it is missing", MARGIN, {"confidence": 0.9}, "missing", None),
    case(
        "one score of a longer list hides the second",
        MARGIN,
        {"scores": {"a": 0.75}, "scores_are": "top_k"},
        "missing",
        None,
    ),
    case("a single certain label has no rival", MARGIN, {"scores": {"a": 1.0}}, "passed", 1.0),
    case("float noise leaves it certain", MARGIN, {"scores": {"a": 0.9995}}, "passed", 0.9995),
    case(
        "independent scores have no margin",
        MARGIN,
        {"scores": {"a": 3.2, "b": 3.1}, "scores_are": "independent"},
        "not_applicable",
        None,
    ),
    # labels: too costly to be wrong about
    case("a listed label fires", LABELS, {"label": "insult"}, "fired", "insult"),
    case("another label passes", LABELS, {"label": "praise"}, "passed", "praise"),
    case("a structured output has no label", LABELS, {"output": {"boxes": []}}, "missing", None),
    # risk: the caller's own estimate of what an error would cost
    case("more than the threshold fires", RISK, {"risk": 0.81}, "fired", 0.81),
    case("a risk at the threshold passes", RISK, {"risk": 0.8}, "passed", 0.8),
    case("no risk is missing", RISK, {}, "missing", None),
    # when: an expression over the prediction
    case("true fires", LONG, {"features": {"n_tokens": 201}}, "fired", None),
    case("false passes", LONG, {"features": {"n_tokens": 200}}, "passed", None),
    case("a feature that is not there is missing", LONG, {}, "missing", "no field 'n_tokens'"),
    case(
        "a feature sent as null is not there",
        LONG,
        {"features": {"n_tokens": None, "lang": "en"}},
        "missing",
        "no field 'n_tokens'",
    ),
    case(
        "has() asks first",
        {"when": "has(prediction.features.n) && prediction.features.n > 1"},
        {"features": {"lang": "en"}},
        "passed",
        None,
    ),
    case(
        "whole numbers are read as doubles and can be multiplied",
        {"when": "prediction.features.n * 2 > 5 && prediction.features.n*-1 < 0"},
        {"features": {"n": 3}},
        "fired",
        None,
    ),
    case(
        "digits within strings and names stay as they are",
        {"when": "prediction.features.v2 == \"1 of 2\" && prediction.features.s == '3'"},
        {"features": {"v2": "1 of 2", "s": "3"}},
        "fired",
        None,
    ),
    case(
        "model, version, label, confidence, risk, context and segment can be read",
        {
            "when": "prediction.model == 'sentiment' && prediction.model_version == '1' && "
            "prediction.label == 'positive' && prediction.confidence == 0.5 && "
            "prediction.risk == 0.25 && prediction.context_key == 'thread-9' && "
            "prediction.segment.source == 'tweets' && prediction.scores.neutral == 0.3"
        },
        {
            "scores": PROBABLE,
            "risk": 0.25,
            "context_key": "thread-9",
            "segment": {"source": "tweets"},
        },
        "fired",
        None,
    ),
    case(
        "a label that was not sent is missing",
        {"when": "prediction.label == 'a'"},
        {"output": {"boxes": []}},
        "missing",
        "no field 'label'",
    ),
]


@pytest.mark.parametrize(("condition", "posted", "state", "observed"), TABLE)
def test_rule_sees_what_it_should(
    condition: dict[str, Any], posted: dict[str, Any], state: str, observed: Any
) -> None:
    by = policy(rule(**condition, if_missing="pass"), segments=["source"])

    outcome = decided(by, prediction(**posted))

    assert (states(outcome), outcome.observed) == ([state], [observed])
    # whatever was seen and decided, only a rule that fired sends to review
    assert outcome.route == ("review" if state == "fired" else "accept")


@pytest.mark.parametrize(
    ("source", "features", "why"),
    [
        pytest.param(
            "prediction.features.n > 1", {"n": "many"}, "No such overload", id="text against number"
        ),
        # a feature may be true or false, so this one can be put into a policy
        pytest.param("prediction.features.n", {"n": "many"}, "gave str", id="no boolean comes out"),
        pytest.param(
            "prediction.features.n + prediction.features.s > 1",
            {"n": 1, "s": "a"},
            "Unsupported",
            id="sum of number and text",
        ),
    ],
)
def test_expression_that_cannot_be_evaluated_is_an_error_and_says_why(
    source: str, features: dict[str, Any], why: str
) -> None:
    outcome = decided(policy(rule(when=source)), prediction(features=features))

    assert states(outcome) == ["error"]
    assert why in str(outcome.observed[0])
    assert len(str(outcome.observed[0])) <= 200
    assert outcome.route == "review"


@pytest.mark.parametrize(
    ("condition", "threshold", "sentence"),
    [
        (BELOW, 0.85, "confidence below 0.85 (0.99 for threat)"),
        ({"confidence": {"below": 0.5}}, 0.5, "confidence below 0.5"),
        (
            {"confidence": {"below": 0.5, "per_segment": {"source:tweets": 0.9}}},
            0.9,
            "confidence below 0.5 (0.9 for source:tweets)",
        ),
        (RECALIBRATED, 0.85, "recalibrated confidence below 0.85"),
        (ENTROPY, 0.7, "entropy of the scores above 0.7 of the highest possible"),
        (
            {"disagreement": {"measure": "mean_kl", "above": 0.1}},
            0.1,
            "mean divergence of members from their mean above 0.1 nats",
        ),
        (
            {"disagreement": {"measure": "vote_entropy", "above": 0.5}},
            0.5,
            "entropy of the members' votes above 0.5",
        ),
        ({"novel_label": {}}, None, "label is none of the policy's"),
        (UNFAMILIAR, 0.01, "input as odd as at most 0.01 of the familiar ones"),
        ({"sample": {"share": 0.07}}, 0.07, "drawn by chance, 7 % of all"),
        (MARGIN, 0.15, "margin between the two best labels below 0.15"),
        (LABELS, ["threat", "insult"], "label is one of threat, insult"),
        (RISK, 0.8, "risk above 0.8"),
        (LONG, LONG["when"], f"expression {LONG['when']}"),
    ],
    ids=[
        "own label threshold",
        "confidence",
        "own segment threshold",
        "recalibrated",
        "entropy",
        "nats",
        "votes",
        "novel label",
        "unfamiliar",
        "sample",
        "margin",
        "labels",
        "risk",
        "when",
    ],
)
def test_trace_names_the_threshold_and_people_read_a_sentence(
    condition: dict[str, Any], threshold: Any, sentence: str
) -> None:
    by = policy(rule(**condition), labels=LABELS_OF_ALL, segments=["source"])
    segment = {"source": "tweets"}
    outcome = decided(by, prediction(label="positive", segment=segment))

    (entry,) = trace_of(by, outcome.states, outcome.observed, "positive", segment)

    assert entry.threshold == threshold
    assert (entry.rule, entry.kind) == ("r", next(iter(condition)))
    assert by.rules[0].condition.sentence() == sentence


@pytest.mark.parametrize(
    ("label", "state"),
    [("praise", "fired"), ("threat", "passed"), (None, "missing")],
    ids=["one that the policy does not know", "one that it knows", "a structured output"],
)
def test_novel_label_is_one_that_the_policy_does_not_declare(label: Any, state: str) -> None:
    by = policy(rule(novel_label={}, if_missing="pass"), labels=["threat"])
    posted = {"label": label} if label else {"output": {"boxes": []}}

    outcome = decided(by, prediction(**posted))

    assert (states(outcome), outcome.observed) == ([state], [label])


@pytest.mark.parametrize(
    ("condition", "signal", "state"),
    [
        pytest.param(
            UNFAMILIAR,
            {"unfamiliar": Unfamiliar(None, None, DETECTOR)},
            "missing",
            id="nothing to judge by",
        ),
        pytest.param(
            UNFAMILIAR,
            {"unfamiliar": Unfamiliar(0.01, 1.0, DETECTOR)},
            "fired",
            id="as odd as the oddest",
        ),
        pytest.param(
            UNFAMILIAR, {"unfamiliar": Unfamiliar(0.011, 1.0, DETECTOR)}, "passed", id="less odd"
        ),
        pytest.param(RECALIBRATED, {"recalibrated": 0.84}, "fired", id="below, once recalibrated"),
        pytest.param(RECALIBRATED, {"recalibrated": 0.85}, "passed", id="not below"),
    ],
)
def test_signals_that_a_model_may_have_besides_are_compared(
    condition: dict[str, Any], signal: dict[str, Any], state: str
) -> None:
    seen = msgspec.structs.replace(signals(confidence=0.9), **signal)

    outcome = decide(policy(rule(**condition)), seen, Chance(KEY_OF_DAY, ID.bytes))

    (value,) = signal.values()
    compared = value.p if isinstance(value, Unfamiliar) else value
    assert (states(outcome), outcome.observed) == ([state], [compared])


@pytest.mark.parametrize(
    ("scores", "answer"),
    [
        pytest.param({"a": 0.75, "b": 0.25}, 0.811278, id="of two"),
        pytest.param({"a": 0.5, "b": 0.3, "c": 0.2}, 0.937231, id="of three"),
        pytest.param({"a": 0.75, "b": 0.25, "c": 0.0}, 0.511860, id="a zero counts as a label"),
        pytest.param({"a": 0.50049, "b": 0.50049}, 1.0, id="float noise goes past no limit"),
    ],
)
def test_entropy_has_the_known_answers(scores: dict[str, float], answer: float) -> None:
    by = policy(rule(entropy={"above": 0.7}))

    outcome = decided(by, prediction(scores=scores))

    (observed,) = outcome.observed
    assert observed == pytest.approx(answer, abs=1e-6)
    assert isinstance(observed, float)
    assert observed <= 1


@pytest.mark.parametrize(
    ("condition", "inside", "why"),
    [
        pytest.param({"confidence": {"below": 0.5, "per_segment": {"colour:red": 0.9}}}, (), "['colour:red']", id="segment that is not declared"),
        pytest.param({"confidence": {"below": 0.5, "per_segment": {"source": 0.9}}}, ("per_segment",), "matching regex", id="segment without a value"),
        pytest.param({"confidence": {"below": 0.5, "per_segment": {"source:a": 2}}}, ("per_segment", "..."), "<= 1", id="threshold of a segment"),
        pytest.param({"confidence": {"below": 0.5, "scale": "logit"}}, ("scale",), "logit", id="unknown scale"),
        pytest.param({"entropy": {"above": 1.1}}, ("above",), "<= 1", id="entropy above its highest"),
        pytest.param({"disagreement": {"measure": "spread", "above": 0.1}}, ("measure",), "spread", id="unknown measure"),
        pytest.param({"novel_label": {}}, (), "labels", id="novel label without known ones"),
        pytest.param({"novel_label": {"labels": ["a"]}}, ("labels",), "Not a field", id="novel label with labels of its own"),
        pytest.param({"out_of_distribution": {"max_p": 0}}, ("max_p",), "> 0", id="p-value that no input has"),
        pytest.param({"sample": {"share": 0}}, ("share",), ">= 1e-06", id="sample of none"),
        pytest.param({"sample": {"share": 1.1}}, ("share",), "<= 1", id="sample of more than all"),
    ],
)  # fmt: skip
def test_specification_that_cannot_be_meant_is_refused_at_its_place(
    condition: dict[str, Any], inside: tuple[str, ...], why: str
) -> None:
    with pytest.raises(Invalid) as refused:
        policy(rule(**condition), segments=["source"])

    ((place, sentence),) = refused.value.places
    assert place == ("rules", 0, next(iter(condition)), *inside)
    assert why in sentence
