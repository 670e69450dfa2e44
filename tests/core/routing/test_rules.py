"""Each kind of rule as a table: a rule, a prediction, the state that follows, and why."""

from typing import Any

import pytest

from app.core.routing.policy import trace_of
from app.core.routing.prediction import signals_of
from tests.core.routing.cases import decided, policy, prediction, rule, states

PROBABLE = {"positive": 0.5, "neutral": 0.3, "negative": 0.2}


def case(
    why: str, condition: dict[str, Any], posted: dict[str, Any], state: str, observed: Any
) -> Any:
    return pytest.param(condition, posted, state, observed, id=why)


BELOW = {"confidence": {"below": 0.85, "per_label": {"threat": 0.99}}}
MARGIN = {"margin": {"below": 0.15}}
LABELS = {"labels": ["threat", "insult"]}
RISK = {"risk": {"above": 0.8}}
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
    by = policy(rule(**condition, if_missing="pass"))

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
        (MARGIN, 0.15, "margin between the two best labels below 0.15"),
        (LABELS, ["threat", "insult"], "label is one of threat, insult"),
        (RISK, 0.8, "risk above 0.8"),
        (LONG, LONG["when"], f"expression {LONG['when']}"),
    ],
    ids=["own label threshold", "confidence", "margin", "labels", "risk", "when"],
)
def test_trace_names_the_threshold_and_people_read_a_sentence(
    condition: dict[str, Any], threshold: Any, sentence: str
) -> None:
    by = policy(rule(**condition))
    posted = prediction(label="positive")
    outcome = decided(by, posted)

    (entry,) = trace_of(by, outcome.states, outcome.observed, signals_of(posted))

    assert entry.threshold == threshold
    assert (entry.rule, entry.kind) == ("r", next(iter(condition)))
    assert by.rules[0].condition.sentence() == sentence
