"""While monitors alarm, a policy is more careful; otherwise it is as if it had no `on_drift`."""

import itertools
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core.routing.decision import Outcome, decide
from app.core.routing.draw import Chance
from app.core.routing.monitors import Needed, Seen
from app.core.routing.policy import Policy, compile_policy, trace_of
from app.core.routing.prediction import signals_of
from tests.core.routing.cases import KEY_OF_DAY, decided, policy, prediction, rule, seen, states
from tests.core.routing.random_decisions import Random

UNSURE = rule(id="unsure", confidence={"below": 0.85})
STATES = ["collecting", "stable", "warning", "drifting"]
RAISE = {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95}
AUDIT = {"monitor": "confidence", "when": "drifting", "audit_probability": 0.1}
ROUTE = {"monitor": "embedding", "when": "drifting", "route": "review", "queue": "rare"}
share = st.floats(0, 1)


def route_of(outcome: Outcome) -> tuple[str, str, str | None]:
    return outcome.route, outcome.reason, outcome.queue


def trace(by: Policy, outcome: Outcome, label: str = "positive") -> list[tuple[Any, ...]]:
    return [
        (entry.rule, entry.kind, entry.state, entry.observed, entry.threshold)
        for entry in trace_of(by, outcome.states, outcome.observed, label, {})
    ]


@pytest.mark.parametrize(
    ("when", "state", "holds"),
    [
        ("drifting", "collecting", False),
        ("drifting", "stable", False),
        ("drifting", "warning", False),
        ("drifting", "drifting", True),
        ("warning", "collecting", False),
        ("warning", "stable", False),
        ("warning", "warning", True),
        ("warning", "drifting", True),
        # nothing is known of it
        ("warning", None, False),
    ],
)
def test_a_response_holds_in_its_states(when: str, state: str | None, holds: bool) -> None:
    by = policy(UNSURE, on_drift=[{**RAISE, "when": when}])
    monitors = seen(confidence=state) if state is not None else ()

    outcome = decided(by, prediction(confidence=0.9), monitors=monitors)

    assert outcome.route == ("review" if holds else "accept")
    assert trace(by, outcome) == [
        (
            "unsure",
            "confidence",
            "fired" if holds else "passed",
            0.9,
            0.95 if holds else 0.85,
        ),
        (
            "on_drift[0]",
            "on_drift",
            "fired" if holds else "passed",
            state or "collecting",
            when,
        ),
    ]


@pytest.mark.parametrize(
    ("condition", "posted", "state", "threshold"),
    [
        ({"below": 0.85}, {"confidence": 0.94}, "fired", 0.95),
        ({"below": 0.85}, {"confidence": 0.95}, "passed", 0.95),
        # a threshold that is higher already stays
        ({"below": 0.98}, {"confidence": 0.97}, "fired", 0.98),
        ({"below": 0.98}, {"confidence": 0.98}, "passed", 0.98),
        # one of a label is raised as well
        ({"below": 0.98, "per_label": {"positive": 0.3}}, {"confidence": 0.94}, "fired", 0.95),
        ({"below": 0.3, "per_label": {"positive": 0.98}}, {"confidence": 0.96}, "fired", 0.98),
        # what is missing stays missing
        ({"below": 0.85}, {}, "missing", 0.95),
        ({"below": 0.85, "scale": "recalibrated"}, {"confidence": 0.2}, "missing", 0.95),
    ],
)
def test_a_threshold_is_raised_and_never_lowered(
    condition: dict[str, Any], posted: dict[str, Any], state: str, threshold: float
) -> None:
    by = policy(rule(confidence=condition, if_missing="pass"), on_drift=[RAISE])

    outcome = decided(by, prediction(**posted), monitors=seen(confidence="drifting"))

    ((_, _, found, _, compared), _) = trace(by, outcome)
    assert (found, compared) == (state, threshold)
    assert outcome.route == ("review" if state == "fired" else "accept")


@pytest.mark.parametrize("route", ["reject", "accept"])
def test_only_rules_that_route_to_review_are_raised(route: str) -> None:
    by = policy(
        rule(id="poor", confidence={"below": 0.3}, route=route),
        rule(id="risky", risk={"above": 0.8}, if_missing="pass"),
        UNSURE,
        on_drift=[RAISE],
    )

    outcome = decided(by, prediction(confidence=0.9), monitors=seen(confidence="drifting"))

    assert outcome.reason == "unsure"
    assert [entry[4] for entry in trace(by, outcome)] == [0.3, 0.8, 0.95, "drifting"]


@pytest.mark.parametrize("step", [1, -1])
def test_of_several_responses_the_most_careful_counts(step: int) -> None:
    responses = [
        {**RAISE, "raise_confidence_to": 0.9, "audit_probability": 0.05},
        {**RAISE, "monitor": "label", "raise_confidence_to": 0.97},
        {**AUDIT, "monitor": "embedding"},
    ]
    by = policy(UNSURE, on_drift=responses[::step])
    monitors = seen(confidence="drifting", label="drifting", embedding="drifting")

    outcome = decided(by, prediction(confidence=0.98), monitors=monitors)

    assert outcome.audit_probability == 0.1
    assert trace(by, outcome)[0][4] == 0.97


@pytest.mark.parametrize(
    ("label", "state", "probability"),
    [
        ("neutral", "stable", 0.02),
        ("neutral", "drifting", 0.1),
        # higher already
        ("threat", "drifting", 0.15),
        ("spam", "stable", 0.03),
        ("spam", "drifting", 0.1),
    ],
)
def test_the_audit_probability_is_a_floor_for_every_stratum(
    label: str, state: str, probability: float
) -> None:
    by = policy(
        rule(labels=["spam"], route="reject"),
        audit={"probability": 0.02, "per_label": {"threat": 0.15}, "rejected_probability": 0.03},
        on_drift=[AUDIT],
    )

    outcome = decided(by, prediction(label=label), monitors=seen(confidence=state))

    assert outcome.audit_probability == outcome.inclusion_probability == probability
    assert outcome.stratum == f"sentiment@3 {outcome.route} {probability:g}"


def test_what_a_raised_probability_draws_is_audited() -> None:
    by = policy(audit={"probability": 0.2}, on_drift=[{**AUDIT, "audit_probability": 1}])

    rest, alarmed = (
        decided(by, prediction(), monitors=seen(confidence=state)) for state in STATES[1::2]
    )

    assert rest.audit_draw == alarmed.audit_draw
    assert (rest.audited, rest.queue) == (False, None)
    assert (alarmed.audited, alarmed.queue) == (True, "audits")


@pytest.mark.parametrize(
    ("posted", "found"),
    [
        # neither rule decides: accepted by default
        ({"label": "neutral", "confidence": 0.9}, ("review", "on_drift:embedding", "rare")),
        # accepted by a rule
        ({"label": "fine", "confidence": 0.1}, ("review", "on_drift:embedding", "rare")),
        # a review keeps its rule and its queue
        ({"label": "neutral", "confidence": 0.5}, ("review", "unsure", "triage")),
        # a reject stays one
        ({"label": "spam", "confidence": 0.9}, ("reject", "spam", None)),
        # a rule that accepts and cannot judge asks a human as ever
        ({"output": [1], "confidence": 0.9}, ("review", "spam", "unrouted")),
    ],
)
def test_what_would_be_accepted_is_reviewed(posted: dict[str, Any], found: Any) -> None:
    by = policy(
        rule(id="spam", labels=["spam"], route="reject"),
        rule(id="fine", labels=["fine"], route="accept"),
        UNSURE,
        on_drift=[{**ROUTE, "priority": 70}],
        audit={"probability": 1e-6, "rejected_probability": 1e-6},
    )

    outcome = decided(by, prediction(**posted), monitors=seen(embedding="drifting"))

    assert route_of(outcome) == found
    assert outcome.priority == (70 if outcome.reason == "on_drift:embedding" else 50)
    assert outcome.inclusion_probability == (1 if outcome.route == "review" else 1e-6)


def test_the_first_response_that_routes_names_the_queue() -> None:
    by = policy(
        on_drift=[
            {**ROUTE, "monitor": "label", "queue": "labels"},
            ROUTE,
            {**ROUTE, "monitor": "confidence", "queue": "late"},
        ]
    )
    monitors = seen(label="stable", embedding="drifting", confidence="drifting")

    outcome = decided(by, prediction(), monitors=monitors)

    assert route_of(outcome) == ("review", "on_drift:embedding", "rare")
    assert states(outcome) == ["passed", "fired", "fired"]
    assert outcome.observed == ["stable", "drifting", "drifting"]


def test_nobody_is_asked_about_a_shadow_prediction_under_drift() -> None:
    by = policy(on_drift=[ROUTE])

    outcome = decided(by, prediction(shadow=True), monitors=seen(embedding="drifting"))

    assert route_of(outcome) == ("review", "on_drift:embedding", None)
    assert outcome.inclusion_probability == 0


def test_a_response_of_a_segment_looks_at_the_state_of_that_segment() -> None:
    by = policy(on_drift=[{**ROUTE, "segment": "source"}], segments=["source"])
    whole, own = seen(embedding="drifting"), seen(embedding__source="drifting")

    assert decided(by, prediction(), monitors=whole).route == "accept"
    assert decided(by, prediction(), monitors=own).route == "review"


@pytest.mark.parametrize(
    ("rules", "default", "reviewed"),
    [
        # nothing can be accepted, whatever is drawn
        ([rule(id="some", sample={"share": 0.3})], "accept", 1.0),
        ([rule(id="some", sample={"share": 0.3}, route="accept")], "accept", 1.0),
        # one of five is rejected by chance, the rest is reviewed
        ([rule(id="some", sample={"share": 0.2}, route="reject")], "accept", 0.8),
        ([rule(id="some", sample={"share": 0.2})], "reject", 0.2),
        ([rule(id="some", sample={"share": 0.2}, route="accept")], "reject", 0.2),
    ],
)
def test_the_chance_of_a_review_counts_what_drift_sends_there(
    rules: list[dict[str, Any]], default: str, reviewed: float
) -> None:
    by = policy(*rules, default=default, on_drift=[ROUTE], audit={"rejected_probability": 0.01})
    chances = set()

    for number in range(40):
        drawn = uuid.UUID(int=number << 64)
        outcome = decided(by, prediction(), drawn, seen(embedding="drifting"))
        if outcome.route == "review":
            chances.add(outcome.inclusion_probability)

    assert chances == {reviewed}


def test_a_policy_looks_at_the_monitors_of_its_responses_and_its_expressions() -> None:
    by = policy(
        UNSURE,
        rule(id="odd", when="monitors.label == 'drifting' || monitors['a-b'] == 'drifting'"),
        on_drift=[RAISE, AUDIT, {**ROUTE, "segment": "source"}],
        segments=["source"],
    )

    assert by.monitors == (
        Needed("confidence"),
        Needed("embedding", "source"),
        Needed("label"),
        Needed("a-b"),
    )


@given(
    confidences=st.lists(st.none() | share, max_size=8),
    below=share,
    lower=share,
    higher=share,
    state=st.sampled_from(STATES),
)
def test_raising_more_never_sends_less_to_review(
    confidences: list[float | None], below: float, lower: float, higher: float, state: str
) -> None:
    lower, higher = sorted((lower, higher))
    posted = [
        prediction() if confidence is None else prediction(confidence=confidence)
        for confidence in confidences
    ]

    def reviewed(*on_drift: dict[str, Any]) -> set[int]:
        by = policy(
            rule(id="poor", confidence={"below": below / 2}, route="reject"),
            rule(confidence={"below": below}, if_missing="pass"),
            on_drift=list(on_drift),
        )
        outcomes = [decided(by, one, monitors=seen(confidence=state)) for one in posted]
        return {n for n, outcome in enumerate(outcomes) if outcome.route == "review"}

    low, high = ({**RAISE, "raise_confidence_to": floor} for floor in (lower, higher))
    assert reviewed() <= reviewed(low) <= reviewed(high)
    assert reviewed(low, high) == reviewed(high)


CALM = ["collecting", "stable"]


def test_with_calm_monitors_everything_is_as_without_responses() -> None:
    made = Random(86)
    compared = 0

    for number in range(300):
        document = made.document()
        by = compile_policy(document, "sentiment", number + 1)
        without = compile_policy({**document, "on_drift": []}, "sentiment", number + 1)
        posted = prediction(**bare(made.prediction("req-1")))
        chance = Chance(KEY_OF_DAY, made.random.randbytes(16))
        calm = tuple(replace(one, state=made.random.choice(CALM)) for one in made.monitors(by))
        signals = signals_of(posted, made.unfamiliar(), calm)

        outcome, plain = decide(by, signals, chance), decide(without, signals, chance)

        count = len(by.rules)
        rest = outcome.states[count:]
        assert set(rest) <= {0}
        compared += len(rest)
        assert plain == replace(
            outcome, states=outcome.states[:count], observed=outcome.observed[:count]
        )
    assert compared > 100


def test_alarms_only_ever_add_reviews_and_raise_probabilities() -> None:
    made = Random(87)
    more = 0

    for number in range(300):
        by = compile_policy(made.document(), "sentiment", number + 1)
        posted = prediction(**bare(made.prediction("req-1")))
        chance = Chance(KEY_OF_DAY, made.random.randbytes(16))
        # expressions may fire on calm, too, so they see the same in both
        calm, alarmed = (
            tuple(replace(one, state=state) for one in made.monitors(by))
            for state in ("stable", "drifting")
        )
        if any(one.kind == "when" for one in by.rules):
            continue

        before = decide(by, signals_of(posted, None, calm), chance)
        after = decide(by, signals_of(posted, None, alarmed), chance)

        if before.route == "review":
            assert after.route == "review"
        elif after.route != "review":
            assert after.route == before.route
            assert (after.audit_probability or 0) >= (before.audit_probability or 1)
        more += after.route != before.route
    assert more > 5


READS = [
    ("monitors.confidence == 'drifting'", ["drifting"]),
    ("monitors.confidence != 'stable'", ["collecting", "warning", "drifting"]),
    ("monitors.confidence in ['warning', 'drifting']", ["warning", "drifting"]),
    ("monitors['confidence'] == \"warning\"", ["warning"]),
    ("monitors.confidence.startsWith('dri') // monitors.none", ["drifting"]),
    ("has(monitors.confidence)", STATES),
    ("has(prediction.risk) || monitors.confidence == 'warning'", ["warning"]),
    # the whole of the features is read, which the quick way does not offer
    ("size(prediction.features) > 0 || monitors.confidence == 'stable'", ["stable"]),
]


@pytest.mark.parametrize(("source", "fires_in"), READS, ids=[source for source, _ in READS])
def test_an_expression_reads_the_states_of_monitors(source: str, fires_in: list[str]) -> None:
    by = policy(rule(when=source))

    fired = [
        state
        for state in STATES
        if decided(by, prediction(), monitors=seen(confidence=state)).route == "review"
    ]

    assert fired == fires_in
    assert by.monitors == (Needed("confidence"),)


@pytest.mark.parametrize("source", [source for source, _ in READS])
def test_the_quick_way_of_an_expression_says_what_the_other_says(source: str) -> None:
    (one,) = policy(rule(when=source)).rules
    condition: Any = one.condition

    for state, posted in itertools.product(STATES, ({}, {"risk": 0.5})):
        signals = signals_of(prediction(**posted), None, seen(confidence=state))
        chance = Chance(KEY_OF_DAY, bytes(16))
        assert one.look(signals, chance) == condition.look(signals, chance)


def test_a_monitor_of_which_nothing_is_known_is_collecting_to_an_expression() -> None:
    by = policy(rule(when="monitors.confidence == 'collecting'"))
    of_a_segment = (Seen("confidence", "drifting", None, "source"),)

    assert decided(by, prediction()).route == "review"
    assert decided(by, prediction(), monitors=of_a_segment).route == "review"


def test_the_word_monitors_elsewhere_is_no_read_of_a_monitor() -> None:
    by = policy(
        rule(
            id="fields",
            when="prediction.features.monitors == 'monitors.x' || "
            "prediction . features /* */ == {}".replace("/* */", "// monitors.y\n"),
        )
    )

    assert by.monitors == ()


def bare(posted: dict[str, Any]) -> dict[str, Any]:
    return {name: posted[name] for name in posted if name not in {"request_key", "model_version"}}
