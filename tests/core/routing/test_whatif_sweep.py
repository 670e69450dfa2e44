"""A sweep in one pass says what a simulation of each threshold says."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.routing.policy import Policy
from app.core.routing.whatif.sweep import sweep_of
from app.core.routing.whatif.tally import Past, Said
from tests.core.routing.cases import policy, rule, seen
from tests.core.routing.whatif_cases import Answers, past, simulated

AUDIT = {"probability": 0.2, "per_label": {"positive": 0.4}, "rejected_probability": 0.1}
RECORDED = policy(
    rule(id="first", labels=["threat"]),
    rule(id="low", confidence={"below": 0.6}),
    rule(id="some", sample={"share": 0.3}),
    audit=AUDIT,
)
# by kind: its field, and what else the rule says
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "confidence": ("below", {"per_label": {"negative": 0.7}, "per_segment": {"source:web": 0.9}}),
    "margin": ("below", {}),
    "entropy": ("above", {}),
    "risk": ("above", {}),
    "disagreement": ("above", {"measure": "pairwise"}),
}
# the first needs a confidence rule to raise
RESPONSES = [
    {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.75},
    {"monitor": "confidence", "when": "warning", "audit_probability": 0.5},
    {"monitor": "embedding", "when": "drifting", "route": "review", "queue": "rare"},
]
ALARMS = st.sampled_from(["stable", "stable", "warning", "drifting"])
SHARES = st.integers(0, 20).map(lambda twentieths: twentieths / 20)


def swept_policy(kind: str, threshold: float, route: str = "review") -> Policy:
    """The swept rule between others; the last ones decide where it passes."""
    field, more = KINDS[kind]
    return policy(
        rule(id="first", labels=["threat"]),
        rule(id="swept", route=route, **{kind: {**more, field: threshold}}),
        rule(id="some", sample={"share": 0.3}, queue="samples"),
        rule(id="risky", risk={"above": 0.8}, route="reject", if_missing="pass"),
        audit=AUDIT,
        on_drift=RESPONSES if (kind, route) == ("confidence", "review") else RESPONSES[1:],
        segments=["source"],
    )


@st.composite
def recorded(draw: st.DrawFn, number: int) -> tuple[Past, Said | None]:
    first, second = sorted((draw(SHARES), draw(SHARES)))
    scores = {"positive": first, "negative": second - first, "threat": 1 - second}
    fields: dict[str, Any] = {
        "scores": scores,
        "risk": draw(st.none() | SHARES),
        "segment": draw(st.sampled_from([None, {"source": "web"}, {"source": "tweets"}])),
        "shadow": draw(st.integers(0, 9)) == 0,
        "monitors": seen(confidence=draw(ALARMS), embedding=draw(ALARMS)),
    }
    if draw(st.booleans()):
        votes = st.sampled_from(["positive", "negative"])
        fields["members"] = [{"name": name, "label": draw(votes)} for name in "abc"]
    answers: list[Said | None] = ["right", "wrong", "undecided", None]
    return past(RECORDED, number, **fields), draw(st.sampled_from(answers))


DECISIONS = st.tuples(*(recorded(number) for number in range(6)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("route", ["review", "reject"])
@given(decisions=DECISIONS, thresholds=st.lists(SHARES, min_size=1, max_size=5))
def test_the_curve_is_that_of_each_threshold_alone(
    kind: str, route: str, decisions: Any, thresholds: list[float]
) -> None:
    rows, said = _split(decisions)
    swept = swept_policy(kind, 0.5, route)
    sweep = sweep_of(swept, "swept", thresholds, None)

    curve = simulated(swept, rows, said, sweep).curve

    each = [simulated(swept_policy(kind, point, route), rows, said) for point in sweep.thresholds]
    assert curve is not None
    assert [point.threshold for point in curve] == list(sweep.thresholds)
    assert [point.review_share for point in curve] == [
        found.routes.then["review"].share for found in each
    ]
    assert [point.escaped_error for point in curve] == [found.escaped_error for found in each]
    # nobody was measured in `samples`, so hours are known only where nothing goes there
    assert [point.human_hours for point in curve] == [
        pytest.approx(found.human_hours) for found in each
    ]


@given(decisions=DECISIONS, kind=st.sampled_from(sorted(KINDS)))
def test_a_sweep_leaves_the_rest_of_the_answer_as_it_is(decisions: Any, kind: str) -> None:
    rows, said = _split(decisions)
    swept = swept_policy(kind, 0.5)

    found = simulated(swept, rows, said, sweep_of(swept, "swept", None, 10))

    assert msgspec.structs.replace(found, curve=None) == simulated(swept, rows, said)


@given(decisions=DECISIONS)
def test_a_higher_threshold_of_confidence_never_reviews_less(decisions: Any) -> None:
    rows, said = _split(decisions)
    swept = swept_policy("confidence", 0.5)

    curve = simulated(swept, rows, said, sweep_of(swept, "swept", None, 20)).curve

    assert curve is not None
    shares = [point.review_share or 0.0 for point in curve]
    assert shares == sorted(shares)


def test_steps_are_equal_and_reach_from_0_to_1() -> None:
    sweep = sweep_of(swept_policy("risk", 0.5), "swept", None, 4)

    assert sweep.thresholds == (0, 0.25, 0.5, 0.75, 1)


def test_thresholds_are_sorted_and_each_taken_once() -> None:
    sweep = sweep_of(swept_policy("risk", 0.5), "swept", [0.5, 0.1, 0.5], None)

    assert sweep.thresholds == (0.1, 0.5)


@pytest.mark.parametrize(
    ("rule_id", "thresholds", "steps", "loc", "says"),
    [
        pytest.param("none", [0.5], None, ("sweep", "rule"), "'none'", id="no such rule"),
        pytest.param("first", [0.5], None, ("sweep", "rule"), "'first'", id="a list of labels"),
        pytest.param(
            "some", [0.5], None, ("sweep", "rule"), "sample", id="a share is no threshold"
        ),
        pytest.param("swept", None, None, ("sweep", "thresholds"), "either", id="neither"),
        pytest.param("swept", [0.5], 5, ("sweep", "thresholds"), "either", id="both"),
        pytest.param("swept", [0, 1.5], None, ("sweep", "thresholds", 1), "1", id="more than 1"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_with_its_place(
    rule_id: str, thresholds: list[float] | None, steps: int | None, loc: Any, says: str
) -> None:
    with pytest.raises(Invalid) as refused:
        sweep_of(swept_policy("confidence", 0.5), rule_id, thresholds, steps)

    ((found, why),) = refused.value.places
    assert found == loc
    assert says in why


def test_nats_can_be_swept_as_far_as_a_policy_can_name_them() -> None:
    nats = policy(rule(id="swept", disagreement={"measure": "mean_kl", "above": 0.5}))

    assert sweep_of(nats, "swept", [0.5, 2.5], None).thresholds == (0.5, 2.5)


def test_what_goes_from_0_to_1_is_not_swept_beyond() -> None:
    with pytest.raises(Invalid) as refused:
        sweep_of(swept_policy("disagreement", 0.5), "swept", [2.5], None)

    assert refused.value.places == [(("sweep", "thresholds", 0), "pairwise goes from 0 to 1.")]


def _split(decisions: Any) -> tuple[list[Past], Answers]:
    return [row for row, _ in decisions], {row[0]: said for row, said in decisions if said}


def test_a_threshold_below_the_one_that_monitors_raised_changes_nothing() -> None:
    swept = policy(rule(id="swept", confidence={"below": 0.5}), on_drift=RESPONSES[:1])
    alarmed = seen(confidence="drifting")
    rows = [past(swept, 0, confidence=0.7, monitors=alarmed)]

    curve = simulated(swept, rows, None, sweep_of(swept, "swept", [0.1, 0.74, 0.9], None)).curve

    assert curve is not None
    assert [point.review_share for point in curve] == [1, 1, 1]
