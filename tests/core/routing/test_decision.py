"""Rules in order: the first that fires decides, all are recorded, and nothing accepts in silence."""

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.routing.policy import trace_of
from tests.core.routing.cases import decided, policy, prediction, rule, states

share = st.floats(0, 1)


def test_first_rule_that_fires_decides_and_the_trace_keeps_the_order_of_the_policy() -> None:
    by = policy(
        rule(id="risky", risk={"above": 0.8}, queue="experts", priority=80),
        rule(id="unsure", confidence={"below": 0.9}, priority=20),
        rule(id="praise", labels=["positive"], route="reject"),
    )
    posted = prediction(label="positive", confidence=0.5, risk=0.1)

    outcome = decided(by, posted)

    assert (outcome.route, outcome.reason) == ("review", "unsure")
    assert (outcome.queue, outcome.priority) == ("triage", 20)
    trace = trace_of(by, outcome.states, outcome.observed, "positive", {})
    assert [(entry.rule, entry.state) for entry in trace] == [
        ("risky", "passed"),
        ("unsure", "fired"),
        ("praise", "fired"),
    ]


def test_no_rule_fires_and_the_default_stands() -> None:
    outcome = decided(policy(rule(risk={"above": 0.5})), prediction(risk=0.1))

    assert (outcome.route, outcome.reason) == ("accept", "default")


def test_default_may_be_to_reject() -> None:
    outcome = decided(policy(default="reject"), prediction())

    assert (outcome.route, outcome.reason, outcome.audit_probability) == ("reject", "default", 0.01)


def test_without_a_policy_a_human_decides() -> None:
    outcome = decided(None, prediction())

    assert (outcome.route, outcome.reason, outcome.queue) == ("review", "no-policy", "unrouted")
    assert (outcome.inclusion_probability, outcome.audit_draw) == (1.0, None)
    assert outcome.stratum == "no-policy review 1"


UNCERTAIN = {"confidence": {"below": 0.9}}
MISTYPED = {"when": "prediction.features.n > 1"}
INAPPLICABLE = {"margin": {"below": 0.9}}


@pytest.mark.parametrize(
    ("condition", "posted", "if_missing", "state", "route"),
    [
        # what cannot be judged goes to a human
        pytest.param(UNCERTAIN, {}, "fire", "missing", "review", id="missing fires"),
        # the policy says in writing that it may pass
        pytest.param(UNCERTAIN, {}, "pass", "missing", "accept", id="missing passes where written"),
        pytest.param(
            MISTYPED, {"features": {"n": "x"}}, "fire", "error", "review", id="error fires"
        ),
        # if_missing speaks of a signal that is not there, not of one that makes no sense
        pytest.param(
            MISTYPED, {"features": {"n": "x"}}, "pass", "error", "review", id="error always fires"
        ),
        # the signal does not exist here, so nothing is being overlooked
        pytest.param(
            INAPPLICABLE,
            {"scores": {"a": 9.0, "b": 8.9}, "scores_are": "independent"},
            "fire",
            "not_applicable",
            "accept",
            id="not applicable passes",
        ),
        pytest.param(
            INAPPLICABLE,
            {"scores": {"a": 9.0}, "scores_are": "independent"},
            "pass",
            "not_applicable",
            "accept",
            id="not applicable passes either way",
        ),
    ],
)
def test_a_rule_that_cannot_be_evaluated_fails_safe(
    condition: dict[str, Any], posted: dict[str, Any], if_missing: str, state: str, route: str
) -> None:
    by = policy(rule(**condition, if_missing=if_missing))

    outcome = decided(by, prediction(**posted))

    assert (states(outcome), outcome.route) == ([state], route)
    assert outcome.reason == ("r" if route == "review" else "default")


@pytest.mark.parametrize("route", ["accept", "reject"])
@pytest.mark.parametrize(
    "features", [pytest.param({}, id="missing"), pytest.param({"n": "x"}, id="error")]
)
def test_a_rule_that_accepts_or_rejects_asks_a_human_when_it_cannot_judge(
    route: str, features: dict[str, Any]
) -> None:
    by = policy(rule(id="trusted", **MISTYPED, route=route, priority=70))

    outcome = decided(by, prediction(features=features))

    assert (outcome.route, outcome.reason) == ("review", "trusted")
    assert (outcome.queue, outcome.priority) == ("unrouted", 70)
    assert outcome.inclusion_probability == 1.0


@pytest.mark.parametrize("route", ["accept", "reject"])
def test_a_rule_that_accepts_or_rejects_does_so_when_it_fires(route: str) -> None:
    by = policy(rule(id="trusted", **MISTYPED, route=route))

    outcome = decided(by, prediction(features={"n": 2}))

    assert (outcome.route, outcome.reason) == (route, "trusted")


@pytest.mark.parametrize(
    "by",
    [
        pytest.param(None, id="no policy"),
        pytest.param(policy(rule(**UNCERTAIN)), id="forced review"),
        pytest.param(policy(audit={"probability": 1}), id="audited always"),
        pytest.param(policy(rule(**MISTYPED, route="accept")), id="cannot judge"),
    ],
)
def test_nobody_is_asked_about_a_shadow_prediction(by: Any) -> None:
    outcome = decided(by, prediction(shadow=True))

    assert (outcome.queue, outcome.audited, outcome.inclusion_probability) == (None, False, 0.0)
    assert states(outcome) == states(decided(by, prediction()))


def test_shadow_prediction_is_routed_as_a_real_one_would_be() -> None:
    by = policy(rule(**UNCERTAIN))

    shadow = decided(by, prediction(confidence=0.1, shadow=True))

    real = decided(by, prediction(confidence=0.1))
    assert (shadow.route, shadow.reason, shadow.stratum) == (real.route, real.reason, real.stratum)


def test_the_same_arguments_give_the_same_outcome() -> None:
    by = policy(rule(**UNCERTAIN), audit={"probability": 0.5})
    posted = prediction(confidence=0.95)

    assert decided(by, posted) == decided(by, posted)


@given(
    confidence=st.none() | share,
    risk=st.none() | share,
    probability=st.floats(0.001, 1),
    decision_id=st.uuids(),
)
def test_every_decision_has_a_chance_to_be_seen_and_only_reviews_are_certain(
    confidence: float | None, risk: float | None, probability: float, decision_id: uuid.UUID
) -> None:
    by = policy(
        rule(id="unsure", **UNCERTAIN),
        rule(id="risky", risk={"above": 0.5}, if_missing="pass", route="reject"),
        audit={"probability": probability, "rejected_probability": probability},
    )
    signals = {"confidence": confidence, "risk": risk}
    posted = prediction(**{name: value for name, value in signals.items() if value is not None})

    outcome = decided(by, posted, decision_id)

    assert 0 < outcome.inclusion_probability <= 1
    assert outcome.inclusion_probability == (1 if outcome.route == "review" else probability)
    assert (outcome.queue is not None) == (outcome.route == "review" or outcome.audited)
    assert not (outcome.audited and outcome.route == "review")


@given(confidences=st.lists(st.none() | share, max_size=8), lower=share, higher=share)
def test_raising_a_threshold_never_sends_less_to_review(
    confidences: list[float | None], lower: float, higher: float
) -> None:
    lower, higher = sorted((lower, higher))
    posted = [
        prediction() if confidence is None else prediction(confidence=confidence)
        for confidence in confidences
    ]

    def reviewed(below: float) -> set[int]:
        by = policy(rule(confidence={"below": below}))
        return {n for n, one in enumerate(posted) if decided(by, one).route == "review"}

    assert reviewed(lower) <= reviewed(higher)
