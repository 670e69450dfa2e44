"""A decision is explained in sentences that a person can check."""

from typing import Any

import pytest
from msgspec.structs import replace

from app.core.routing.explain import CONDITION_MAX, Explanation, explain
from app.core.routing.policy import Policy, compile_policy
from app.core.routing.rules import KINDS
from tests.core.routing import recordings
from tests.core.routing.cases import document, policy, prediction, rule, seen
from tests.core.routing.random_decisions import LABELS, Random

UNSURE = rule(id="unsure", confidence={"below": 0.85, "per_label": {"threat": 0.99}})
INDEPENDENT = {"scores": {"a": 3.2, "b": 3.1}, "scores_are": "independent"}
SCORES = {"positive": 0.75, "negative": 0.25}
AMAZON = {
    "Conditions": [
        {
            "ConditionType": "ModerationLabelConfidenceCheck",
            "ConditionParameters": {"ModerationLabelName": "a", "ConfidenceLessThan": 60},
        }
    ]
}


def explained(by: Policy | None, **posted: Any) -> Explanation:
    return explain(recordings.decision(by, prediction(**posted)), by)


def sentence_of(condition: dict[str, Any], **posted: Any) -> str:
    return explained(policy(rule(id="it", **condition)), **posted).rules[0].sentence


@pytest.mark.parametrize(
    ("condition", "posted", "sentence"),
    [
        ({"confidence": {"below": 0.85}}, {"confidence": 0.61}, "it fired: confidence 0.61 is below 0.85."),
        ({"confidence": {"below": 0.85}}, {"confidence": 0.9}, "it passed: confidence 0.9 is not below 0.85."),
        # the threshold is the one that counted for this label
        (
            {"confidence": {"below": 0.85, "per_label": {"threat": 0.99}}},
            {"label": "threat", "confidence": 0.9},
            "it fired: confidence 0.9 is below 0.99.",
        ),
        # a difference that few digits hide is shown in full
        (
            {"confidence": {"below": 0.85}},
            {"confidence": 0.8499999},
            "it fired: confidence 0.8499999 is below 0.85.",
        ),
        ({"confidence": {"below": 0.85}}, {"confidence": 0.85}, "it passed: confidence 0.85 is not below 0.85."),
        ({"risk": {"above": 0.8}}, {"risk": 0.9}, "it fired: risk 0.9 is above 0.8."),
        ({"margin": {"below": 0.6}}, {"scores": SCORES}, "it fired: margin between the two best labels 0.5 is below 0.6."),
        ({"entropy": {"above": 0.9}}, {"scores": SCORES}, "it passed: entropy of the scores 0.811278 is not above 0.9."),
        ({"labels": ["threat"]}, {"label": "threat"}, "it fired on: label is one of threat; seen was threat."),
        ({"labels": ["threat"]}, {"label": "praise"}, "it passed, it fires on: label is one of threat; seen was praise."),
        ({"when": "prediction.features.n > 5"}, {"features": {"n": 7}}, "it fired on: expression prediction.features.n > 5."),
        ({"sample": {"share": 1}}, {}, "it fired on: drawn by chance, 100 % of all; seen was {draw}."),
    ],
)  # fmt: skip
def test_a_rule_says_what_it_saw(
    condition: dict[str, Any], posted: dict[str, Any], sentence: str
) -> None:
    draw = recordings.chance().draw(b"rule:it")

    assert sentence_of(condition, **posted) == sentence.replace("{draw}", f"{draw:g}")


@pytest.mark.parametrize(
    ("condition", "posted", "why"),
    [
        ({"confidence": {"below": 0.85}}, {}, "no confidence was sent"),
        ({"confidence": {"below": 0.85, "scale": "recalibrated"}}, {"confidence": 0.9}, "the model has no calibration map"),
        ({"risk": {"above": 0.8}}, {}, "no risk was sent"),
        ({"margin": {"below": 0.6}}, {}, "no scores were sent that show the second best label"),
        ({"entropy": {"above": 0.6}}, {}, "the scores of all labels were not sent"),
        ({"labels": ["threat"]}, {"output": [1]}, "the prediction has no label"),
        ({"disagreement": {"measure": "pairwise", "above": 0.5}}, {}, "fewer than two members were sent that it can compare"),
        ({"when": "prediction.features.n > 5"}, {}, "there is no field 'n'"),
        ({"activation": AMAZON}, {"output": [1]}, "neither scores nor a label with its confidence were sent"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("if_missing", "then"),
    [
        ("fire", "and the rule does not say if_missing: pass, so it fires"),
        ("pass", "and the rule says if_missing: pass, so it passes"),
    ],
)
def test_a_missing_signal_is_named_with_what_follows(
    condition: dict[str, Any], posted: dict[str, Any], why: str, if_missing: str, then: str
) -> None:
    sentence = sentence_of({**condition, "if_missing": if_missing}, **posted)

    assert sentence == f"it could not judge: {why}, {then}."


def test_an_expression_that_failed_says_how() -> None:
    sentence = sentence_of({"when": "prediction.features.n > 5"}, features={"n": "many"})

    assert sentence.startswith("it could not be evaluated (No such overload")
    assert sentence.endswith("), so it fires.")


@pytest.mark.parametrize(
    ("condition", "posted", "why"),
    [
        ({"margin": {"below": 0.6}}, INDEPENDENT, "the scores are independent, no probabilities"),
        ({"out_of_distribution": {"max_p": 0.01}}, {}, "no detector is registered"),
    ],
)
def test_a_rule_that_does_not_apply_says_why(
    condition: dict[str, Any], posted: dict[str, Any], why: str
) -> None:
    assert sentence_of(condition, **posted) == f"it does not apply, and passes: {why}."


def test_the_summary_says_what_decided() -> None:
    by = policy(rule(id="risky", risk={"above": 0.8}, if_missing="pass"), UNSURE)

    found = explained(by, confidence=0.61)

    assert found.summary == (
        "A human must decide before the prediction stands, because unsure fired: confidence 0.61 "
        "is below 0.85."
    )
    assert [(entry.rule, entry.decided) for entry in found.rules] == [
        ("risky", False),
        ("unsure", True),
    ]


def test_only_the_first_rule_that_fired_decided() -> None:
    by = policy(UNSURE, rule(id="praise", labels=["positive"], route="reject"))

    found = explained(by, confidence=0.61)

    assert [(entry.state, entry.decided) for entry in found.rules] == [
        ("fired", True),
        ("fired", False),
    ]


@pytest.mark.parametrize(
    ("by", "posted", "summary"),
    [
        pytest.param(
            policy(UNSURE),
            {"confidence": 0.9},
            "The prediction stands, because no rule of the policy fired, and then its default "
            "applies.",
            id="default",
        ),
        pytest.param(
            policy(rule(id="spam", labels=["spam"], route="reject")),
            {"label": "spam"},
            "The prediction must not be used, because spam fired on: label is one of spam; seen "
            "was spam.",
            id="reject",
        ),
        pytest.param(
            policy(UNSURE),
            {"confidence": 0.1, "shadow": True},
            "A human must decide before the prediction stands, because unsure fired: confidence "
            "0.1 is below 0.85; nobody is asked, since it is a shadow prediction.",
            id="shadow",
        ),
        pytest.param(
            None,
            {},
            "A human must decide before the prediction stands, because no policy was active for "
            "the model 'sentiment'; make one with PUT /v1/policies/{name} and activate it with "
            "POST /v1/policies/{name}/versions/{number}/activate.",
            id="no policy",
        ),
    ],
)
def test_each_way_to_a_decision_has_its_summary(
    by: Policy | None, posted: dict[str, Any], summary: str
) -> None:
    assert explained(by, **posted).summary == summary


def test_a_policy_that_this_release_refuses_is_said_to_be_so() -> None:
    made = recordings.decision(policy(UNSURE), prediction(confidence=0.1))

    found = explain(made, None)

    assert found.rules == []
    assert found.summary == (
        "A human must decide before the prediction stands, because the reason was 'unsure', but "
        "this release refuses the policy version that decided, so its rules cannot be shown."
    )


@pytest.mark.parametrize(
    ("probability", "posted", "sentence"),
    [
        pytest.param(1.0, {}, "Drawn for an audit, a human judges it afterwards: the draw {u} is below the probability 1.0.", id="drawn"),
        pytest.param(1e-6, {}, "Not drawn for an audit: the draw {u} is not below the probability 1e-06.", id="not drawn"),
        pytest.param(1.0, {"shadow": True}, "A shadow prediction is not audited.", id="shadow"),
    ],
)  # fmt: skip
def test_the_audit_says_how_it_was_drawn(
    probability: float, posted: dict[str, Any], sentence: str
) -> None:
    draw = recordings.chance().draw(b"audit")

    found = explained(policy(audit={"probability": probability}), **posted).audit

    assert found.sentence == sentence.replace("{u}", repr(draw))
    assert found.probability == probability
    assert found.selected == found.sentence.startswith("Drawn")


def test_a_review_needs_no_audit() -> None:
    found = explained(policy(UNSURE), confidence=0.1).audit

    assert (found.selected, found.probability) == (False, None)
    assert found.sentence == "A review needs no audit."


def test_a_long_condition_is_cut() -> None:
    labels = [f"label-{n}" for n in range(1000)]

    sentence = sentence_of({"labels": labels}, label="other")

    assert len(sentence) < CONDITION_MAX + 100
    assert sentence.endswith("…; seen was other.")


def test_whatever_is_decided_it_is_explained_and_says_no_generic_reason() -> None:
    made = Random(83)
    generic = ("what it looks at was not sent", "there is nothing that it could look at")

    for number in range(400):
        by = compile_policy(made.document(), "sentiment", number + 1)
        decision = recordings.decision(
            by,
            prediction(**without_key(made.prediction("req-1"))),
            monitors=made.monitors(by),
            unfamiliar=made.unfamiliar(),
        )

        found = explain(decision, by)

        deciders = [entry.rule for entry in found.rules if entry.decided]
        reason = decision.outcome.reason
        if reason.startswith("on_drift:"):
            assert len(deciders) == 1
            assert deciders[0].startswith("on_drift[")
        else:
            assert deciders == [r for r in [reason] if r != "default"]
        assert [entry.rule for entry in found.rules] == by.trace_names
        for entry in found.rules:
            assert entry.sentence.endswith(".")
            assert not any(words in entry.sentence for words in generic), entry.kind


RAISE = {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95}
ROUTE = {"monitor": "embedding", "when": "warning", "route": "review", "queue": "rare"}


def explained_under(on_drift: list[Any], states: dict[str, str], **posted: Any) -> Explanation:
    by = policy(UNSURE, on_drift=on_drift, segments=["source"], audit={"probability": 0.1})
    return explain(recordings.decision(by, prediction(**posted), monitors=seen(**states)), by)


@pytest.mark.parametrize(
    ("state", "posted", "sentence"),
    [
        ("drifting", {"confidence": 0.91}, "unsure fired: confidence 0.91 is below 0.95, raised from 0.85 while the monitor confidence is drifting."),
        ("drifting", {"confidence": 0.97}, "unsure passed: confidence 0.97 is not below 0.95, raised from 0.85 while the monitor confidence is drifting."),
        # this label's threshold is higher than the raised one
        ("drifting", {"confidence": 0.97, "label": "threat"}, "unsure fired: confidence 0.97 is below 0.99."),
        ("stable", {"confidence": 0.91}, "unsure passed: confidence 0.91 is not below 0.85."),
        ("drifting", {}, "unsure could not judge: no confidence was sent, and the rule does not say if_missing: pass, so it fires."),
    ],
)  # fmt: skip
def test_a_raised_threshold_says_what_raised_it(
    state: str, posted: dict[str, Any], sentence: str
) -> None:
    found = explained_under([RAISE], {"confidence": state}, **posted)

    assert found.rules[0].sentence == sentence


@pytest.mark.parametrize(
    ("response", "states", "sentence"),
    [
        (RAISE, {"confidence": "drifting"}, "fired: the monitor confidence is drifting, so confidence must be at least 0.95."),
        (RAISE, {"confidence": "warning"}, "passed: the monitor confidence is warning, not drifting."),
        (RAISE, {}, "passed: the monitor confidence is collecting, not drifting."),
        (ROUTE, {"embedding": "warning"}, "fired: the monitor embedding is warning, so what would be accepted is reviewed."),
        (ROUTE, {"embedding": "stable"}, "passed: the monitor embedding is stable, neither warning nor drifting."),
        (
            {**ROUTE, "audit_probability": 0.2, "segment": "source"},
            {"embedding__source": "drifting"},
            "fired: the monitor embedding (source of the prediction) is drifting, so the audit probability is at least 0.2 and what would be accepted is reviewed.",
        ),
    ],
)  # fmt: skip
def test_a_drift_response_says_what_it_saw_and_does(
    response: dict[str, Any], states: dict[str, str], sentence: str
) -> None:
    found = explained_under([response], states, confidence=0.99)

    assert found.rules[1].rule == "on_drift[0]"
    assert found.rules[1].sentence == f"on_drift[0] {sentence}"


def test_the_summary_says_that_drift_decided() -> None:
    drifting = {"confidence": "drifting", "embedding": "drifting"}
    never = {**ROUTE, "monitor": "label"}

    found = explained_under([RAISE, never, ROUTE, ROUTE], drifting, confidence=0.99)

    assert found.summary == (
        "A human must decide before the prediction stands, because on_drift[2] fired: the monitor "
        "embedding is drifting, so what would be accepted is reviewed."
    )
    assert [entry.rule for entry in found.rules if entry.decided] == ["on_drift[2]"]


def test_a_raised_audit_probability_says_what_raised_it() -> None:
    response = {"monitor": "confidence", "when": "drifting", "audit_probability": 0.5}

    raised, usual = (
        explained_under([response], {"confidence": state}, confidence=0.99).audit
        for state in ("drifting", "stable")
    )

    assert raised.sentence.endswith(
        "probability 0.5, raised from 0.1 while the monitor confidence is drifting."
    )
    assert usual.sentence.endswith("probability 0.1.")


def test_every_kind_explains_every_state() -> None:
    """Whatever was recorded, even by another release, is put into a sentence."""
    made = Random(84)

    for kind in KINDS:
        by = compile_policy(
            document(
                rule(id="it", **{kind: made.condition(kind)}),
                labels=LABELS,
                segments=["source"],
            ),
            "sentiment",
            3,
        )
        decision = recordings.decision(by, prediction())
        for state in range(5):
            outcome = replace(decision.outcome, states=[state], observed=[None])

            found = explain(replace(decision, outcome=outcome), by)

            assert found.rules[0].sentence.startswith("it ")


def without_key(posted: dict[str, Any]) -> dict[str, Any]:
    return {name: posted[name] for name in posted if name not in {"request_key", "model_version"}}
