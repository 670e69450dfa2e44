"""Amazon A2I's activation conditions have the outcomes that they have there."""

import json
import uuid
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.routing import a2i
from app.core.routing.decision import Outcome
from app.core.routing.policy import Policy, trace_of
from app.core.routing.prediction import Prediction
from tests.core.routing.cases import decided, policy, prediction, rule, signals, states

GOLDEN = {
    file.stem: json.loads(file.read_text())
    for file in sorted((Path(__file__).parents[2] / "golden" / "a2i").glob("*.json"))
}
CASES = [
    pytest.param(golden["conditions"], case["scores"], case["chance"], id=f"{name}: {case['why']}")
    for name, golden in GOLDEN.items()
    for case in golden["cases"]
]
LABELS = ["Violence", "Suggestive", "Drugs"]


def check(label: str = "*", **bounds: Any) -> dict[str, Any]:
    return {
        "ConditionType": "ModerationLabelConfidenceCheck",
        "ConditionParameters": {"ModerationLabelName": label, **bounds},
    }


def sampling(percent: Any) -> dict[str, Any]:
    return {
        "ConditionType": "Sampling",
        "ConditionParameters": {"RandomSamplingPercentage": percent},
    }


def imported(conditions: Any) -> Policy:
    """A policy as the import makes it."""
    return policy(*a2i.rules_of(conditions["Conditions"], "triage"))


def detected(scores: dict[str, float]) -> Prediction:
    return prediction(scores=scores, scores_are="independent")


def chance_of_review(by: Policy, scores: dict[str, float]) -> float:
    """By the chances of its rules, whose draws are independent."""
    seen = signals(scores=scores, scores_are="independent")
    missed = 1.0
    for one in by.rules:
        missed *= 1 - one.condition.probability(seen)
    return 1 - missed


def reviewed(by: Policy, scores: dict[str, float], count: int) -> int:
    posted = detected(scores)
    found = (decided(by, posted, uuid.UUID(int=number)) for number in range(count))
    return sum(outcome.route == "review" for outcome in found)


@pytest.mark.parametrize(("conditions", "scores", "chance"), CASES)
def test_golden_case_goes_to_review_as_often_as_there(
    conditions: Any, scores: dict[str, float], chance: float
) -> None:
    by = imported(conditions)
    tries = 10 if chance in {0, 1} else 5_000

    found = reviewed(by, scores, tries)

    assert chance_of_review(by, scores) == pytest.approx(chance, rel=1e-12)
    # 5 standard errors: none where chance has no part
    assert abs(found / tries - chance) <= 5 * (chance * (1 - chance) / tries) ** 0.5


# a second, slow reading of Amazon's documentation, in exact fractions
def chance_there(condition: Any, percents: dict[str, str]) -> Fraction:
    if "And" in condition:
        product = Fraction(1)
        for member in condition["And"]:
            product *= chance_there(member, percents)
        return product
    if "Or" in condition or "Conditions" in condition:
        none = Fraction(1)
        for member in condition.get("Or", condition.get("Conditions")):
            none *= 1 - chance_there(member, percents)
        return 1 - none
    given_ = dict(condition["ConditionParameters"])
    if condition["ConditionType"] == "Sampling":
        return Fraction(str(given_["RandomSamplingPercentage"])) / 100
    name = given_.pop("ModerationLabelName")
    found = percents.values() if name == "*" else [percents[name]] if name in percents else []
    return Fraction(any(_within(Fraction(percent), given_) for percent in found))


def _within(percent: Fraction, bounds: dict[str, Any]) -> bool:
    said = {name: Fraction(str(bound)) for name, bound in bounds.items()}
    return (
        percent == said.get("ConfidenceEquals", percent)
        and percent < said.get("ConfidenceLessThan", percent + 1)
        and percent <= said.get("ConfidenceLessThanEquals", percent)
        and percent > said.get("ConfidenceGreaterThan", percent - 1)
        and percent >= said.get("ConfidenceGreaterThanEquals", percent)
    )


# few enough that bounds are often met exactly
percents = st.sampled_from([0, 10, 29, 58.3, 60, 99.9, 100])
checks = st.builds(
    lambda label, bounds: check(label, **bounds),
    st.sampled_from(["*", *LABELS]),
    st.dictionaries(st.sampled_from(sorted(a2i.COMPARISONS)), percents, min_size=1, max_size=2),
)
leaves = checks | st.builds(sampling, st.sampled_from([0.01, 5, 50, 99.9, 100]))
trees = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda name, members: {name: members},
        st.sampled_from(["And", "Or"]),
        st.lists(inner, min_size=2, max_size=3),
    ),
    max_leaves=12,
)


@given(
    st.lists(trees, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(LABELS), percents, min_size=1),
    st.uuids(),
)
def test_any_conditions_have_the_same_outcome_as_there(
    listed: list[Any], found: dict[str, float], decision_id: uuid.UUID
) -> None:
    conditions = {"Conditions": listed}
    scores = {label: float(f"{percent / 100:.6g}") for label, percent in found.items()}
    there = chance_there(conditions, {label: str(percent) for label, percent in found.items()})
    apart, together = imported(conditions), policy(rule(activation=conditions))

    for by in (apart, together):
        outcome = decided(by, detected(scores), decision_id)

        assert chance_of_review(by, scores) == pytest.approx(float(there), abs=1e-12)
        if there in {0, 1}:
            assert outcome.route == ("review" if there else "accept")


def seen_by(outcome: Outcome) -> tuple[Any, ...]:
    return (*states(outcome), *outcome.observed)


def test_reason_and_observed_tell_which_conditions_held() -> None:
    by = imported(
        {"Conditions": [check("Violence", ConfidenceGreaterThan=90), {"Or": [check("Suggestive", ConfidenceLessThan=60), check(ConfidenceGreaterThanEquals=99.5), check(ConfidenceEquals=0)]}]}
    )  # fmt: skip

    outcome = decided(by, detected({"Suggestive": 0.5, "Drugs": 1.0}))

    assert outcome.reason == "a2i-2"
    assert seen_by(outcome) == ("passed", "fired", None, "Suggestive < 60; any label >= 99.5")


def test_threshold_and_sentence_are_a_formula() -> None:
    golden = GOLDEN["or-with-and-inside"]["conditions"]
    by = imported(golden)
    formula = "Suggestive < 60 or (sampled 5 % and any label > 90)"

    (entry,) = trace_of(by, [0], [None], None, {})

    assert entry.threshold == f"({formula})"
    assert by.rules[0].condition.sentence() == f"({formula}) (in per cent)"


def test_sampled_condition_has_its_chance_as_the_chance_to_be_seen() -> None:
    by = imported(GOLDEN["sampling-inside-and"]["conditions"])
    posted = detected({"Graphic Male Nudity": 0.6})

    found = [decided(by, posted, uuid.UUID(int=number)) for number in range(500)]

    sampled = [outcome for outcome in found if outcome.route == "review"]
    assert sampled
    assert {outcome.inclusion_probability for outcome in sampled} == {0.05}


@pytest.mark.parametrize(
    ("posted", "found"),
    [
        pytest.param({"label": "Violence", "confidence": 0.95}, ("fired", "Violence > 90"), id="its confidence is the label's score"),
        pytest.param({"label": "Violence", "confidence": 0.9}, ("passed", None), id="not enough of it"),
        pytest.param({"label": "Drugs", "confidence": 0.95}, ("passed", None), id="another label's"),
        pytest.param({"label": "Violence"}, ("missing", None), id="neither scores nor confidence"),
        pytest.param({"output": [1], "confidence": 0.9}, ("missing", None), id="a confidence in no label"),
    ],
)  # fmt: skip
def test_without_scores_the_confidence_is_looked_at(
    posted: dict[str, Any], found: tuple[Any, ...]
) -> None:
    by = imported({"Conditions": [check("Violence", ConfidenceGreaterThan=90)]})

    outcome = decided(by, prediction(**posted))

    assert seen_by(outcome) == found
    assert outcome.route == ("accept" if found[0] == "passed" else "review")


def test_percentages_are_no_scores_and_go_to_a_human() -> None:
    by = imported({"Conditions": [check("Violence", ConfidenceLessThan=60)]})
    scores = {"Violence": 55.3, "Drugs": 1.2}

    outcome = decided(by, prediction(scores=scores, scores_are="independent"))

    assert seen_by(outcome) == (
        "error",
        "scores must lie between 0 and 1; 55.3 does not: divide percentages by 100",
    )
    assert outcome.route == "review"


def test_sampling_alone_needs_no_scores() -> None:
    outcome = decided(imported({"Conditions": [sampling(100)]}), prediction(output=[1]))

    assert seen_by(outcome) == ("fired", "sampled 100 %")


def nested(levels: int) -> Any:
    inner: Any = sampling(5)
    for _ in range(levels):
        inner = {"And": [sampling(5), inner]}
    return inner


FIRST = ("Conditions", 0)
INSIDE = (*FIRST, "ConditionParameters")
TWO = [sampling(5), sampling(5)]
REFUSED = [
    ("no conditions", {}, ("Conditions",), "Expected"),
    ("an unknown field", {"Conditions": TWO, "Version": 1}, ("Conditions",), "nothing beside it"),
    ("an empty list", {"Conditions": []}, ("Conditions",), "at least one"),
    ("no list", {"Conditions": {}}, ("Conditions",), "list"),
    ("a text", {"Conditions": ["all"]}, FIRST, "object"),
    ("a single member", {"Conditions": [{"And": [sampling(5)]}]}, (*FIRST, "And"), "at least 2"),
    ("And and Or together", {"Conditions": [{"And": TWO, "Or": TWO}]}, FIRST, "And, or Or"),
    ("an unknown operator", {"Conditions": [{"Not": TWO}]}, FIRST, "And, or Or"),
    ("an unknown kind", {"Conditions": [{"ConditionType": "Mood", "ConditionParameters": {}}]}, (*FIRST, "ConditionType"), "Sampling"),
    ("a kind that is no text", {"Conditions": [{"ConditionType": [], "ConditionParameters": {}}]}, (*FIRST, "ConditionType"), "Sampling"),
    ("no parameters", {"Conditions": [{"ConditionType": "Sampling"}]}, FIRST, "ConditionParameters"),
    ("parameters in a list", {"Conditions": [{"ConditionType": "Sampling", "ConditionParameters": []}]}, INSIDE, "object"),
    ("an unknown parameter", {"Conditions": [check(ConfidenceNear=5)]}, (*INSIDE, "ConfidenceNear"), "Not a parameter"),
    ("no bound", {"Conditions": [check("Violence")]}, INSIDE, "at least one of ConfidenceEquals"),
    ("no label", {"Conditions": [check("", ConfidenceEquals=1)]}, (*INSIDE, "ModerationLabelName"), "label"),
    ("a bound as text", {"Conditions": [check(ConfidenceEquals="60")]}, (*INSIDE, "ConfidenceEquals"), "number"),
    ("a bound of true", {"Conditions": [check(ConfidenceEquals=True)]}, (*INSIDE, "ConfidenceEquals"), "number"),
    ("a bound past 100", {"Conditions": [check(ConfidenceEquals=100.1)]}, (*INSIDE, "ConfidenceEquals"), "between 0 and 100"),
    ("a bound that is no number", {"Conditions": [check(ConfidenceEquals=float("nan"))]}, (*INSIDE, "ConfidenceEquals"), "between"),
    ("sampling less than can be", {"Conditions": [sampling(0.009)]}, (*INSIDE, "RandomSamplingPercentage"), "between 0.01 and 100"),
    ("sampling without a share", {"Conditions": [{"ConditionType": "Sampling", "ConditionParameters": {}}]}, (*INSIDE, "RandomSamplingPercentage"), "number"),
    ("a mistake deep inside", {"Conditions": [sampling(5), {"Or": [sampling(5), {"And": [sampling(5), sampling(0)]}]}]}, ("Conditions", 1, "Or", 1, "And", 1, "ConditionParameters", "RandomSamplingPercentage"), "between"),
    ("one level too deep", {"Conditions": [nested(17)]}, (*FIRST, *("And", 1) * 16, "And"), "16 levels"),
    ("one leaf too many", {"Conditions": [sampling(5)] * 201}, ("Conditions",), "At most 200"),
    ("form keys of Textract", {"Conditions": [{"ConditionType": "ImportantFormKeyConfidenceCheck", "ConditionParameters": {"ImportantFormKey": "Name"}}]}, (*FIRST, "ConditionType"), "form keys, which Overrule does not have"),
    ("missing form keys", {"Conditions": [{"Or": [{"ConditionType": "MissingImportantFormKey", "ConditionParameters": {}}, sampling(5)]}]}, (*FIRST, "Or", 0, "ConditionType"), "form keys, which Overrule does not have"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "place", "why"), [pytest.param(*rest, id=name) for name, *rest in REFUSED]
)
def test_conditions_that_cannot_be_read_are_refused_at_their_place(
    written: Any, place: tuple[Any, ...], why: str
) -> None:
    with pytest.raises(Invalid) as refused:
        policy(rule(activation=written))

    ((found, sentence),) = refused.value.places
    assert found == ("rules", 0, "activation", *place)
    assert why in sentence


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param([nested(16)], id="as deep as can be"),
        pytest.param([sampling(5)] * 200, id="as many leaves as can be"),
        pytest.param([sampling(0.01), sampling(100), check(ConfidenceEquals=0)], id="ends of ranges"),
    ],
)  # fmt: skip
def test_conditions_at_a_limit_are_taken(listed: list[Any]) -> None:
    assert policy(rule(activation={"Conditions": listed}))


def test_labels_that_the_policy_does_not_have_are_refused() -> None:
    conditions = {
        "Conditions": [check("Violent", ConfidenceLessThan=60), check(ConfidenceEquals=9)]
    }

    with pytest.raises(Invalid) as refused:
        policy(rule(activation=conditions), labels=LABELS)

    assert refused.value.places == [
        (("rules", 0, "activation"), "The policy does not have the labels ['Violent'].")
    ]
