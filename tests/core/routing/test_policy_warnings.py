"""A rule that can never decide is a warning, which names the rule that always comes first."""

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from app.core.routing.coverage import warnings_of
from app.core.routing.document import parse
from tests.core.routing.cases import decided, document, policy, prediction, rule

HIGH, LOW = {"confidence": {"below": 0.9}}, {"confidence": {"below": 0.85}}

SHADOWED = [
    ("a lower confidence", HIGH, LOW),
    ("the same", LOW, LOW),
    ("a lower confidence, of a label too", HIGH, {"confidence": {"below": 0.8, "per_label": {"positive": 0.9}}}),
    ("a lower margin", {"margin": {"below": 0.2}}, {"margin": {"below": 0.1}}),
    ("a higher risk", {"risk": {"above": 0.7}}, {"risk": {"above": 0.8}}),
    ("fewer labels", {"labels": ["a", "b"]}, {"labels": ["b"]}),
    # whoever accepts first leaves nothing to review
    ("another route", {**HIGH, "route": "accept"}, LOW),
    ("both pass what is missing", {**HIGH, "if_missing": "pass"}, {**LOW, "if_missing": "pass"}),
    ("only the later passes what is missing", HIGH, {**LOW, "if_missing": "pass"}),
]  # fmt: skip
NOT_SHADOWED = [
    ("a higher confidence", LOW, HIGH),
    ("a higher confidence of one label", HIGH, {"confidence": {"below": 0.8, "per_label": {"positive": 0.95}}}),
    ("a lower confidence of one label before", {"confidence": {"below": 0.9, "per_label": {"positive": 0.8}}}, LOW),
    ("another label", {"labels": ["a"]}, {"labels": ["a", "b"]}),
    ("another kind", {"margin": {"below": 1}}, LOW),
    # what has no confidence passes the first and is caught by the second
    ("only the earlier passes what is missing", {**HIGH, "if_missing": "pass"}, LOW),
]  # fmt: skip


def warned(*rules: Any) -> Any:
    written = (rule(**{"id": f"r-{number}", **fields}) for number, fields in enumerate(rules))
    return warnings_of(parse(document(*written)), has_detector=True)


@pytest.mark.parametrize(
    ("earlier", "later"), [pytest.param(*rest, id=name) for name, *rest in SHADOWED]
)
def test_a_rule_that_never_decides_is_named(earlier: Any, later: Any) -> None:
    ((place, sentence),) = warned(earlier, later)

    assert place == ("rules", 1)
    assert sentence.startswith("'r-1' never decides: 'r-0' (")


@pytest.mark.parametrize(
    ("earlier", "later"), [pytest.param(*rest, id=name) for name, *rest in NOT_SHADOWED]
)
def test_a_rule_that_can_decide_is_not(earlier: Any, later: Any) -> None:
    assert warned(earlier, later) == []


def test_each_rule_is_named_once_with_the_first_that_is_before_it() -> None:
    found = warned(
        {"confidence": {"below": 0.9}},
        {"margin": {"below": 0.1}},
        {"confidence": {"below": 0.8}},
        {"confidence": {"below": 0.7}},
    )

    assert [place for place, _ in found] == [("rules", 2), ("rules", 3)]
    assert all("'r-0' (confidence below 0.9)" in sentence for _, sentence in found)


# few values, so that rules often cover each other and predictions often hit the thresholds
LEVEL = st.sampled_from([0.2, 0.5, 0.8])
LABEL = st.sampled_from("ab")
CONDITIONS = st.one_of(
    st.builds(
        lambda below, per_label, per_segment: {
            "confidence": {"below": below, "per_label": per_label, "per_segment": per_segment}
        },
        LEVEL,
        st.dictionaries(LABEL, LEVEL),
        st.dictionaries(st.sampled_from(["s:x", "s:y"]), LEVEL),
    ),
    st.builds(lambda below: {"margin": {"below": below}}, LEVEL),
    st.builds(lambda above: {"entropy": {"above": above}}, LEVEL),
    st.builds(lambda above: {"risk": {"above": above}}, LEVEL),
    st.builds(lambda labels: {"labels": sorted(labels)}, st.sets(LABEL, min_size=1)),
)
RULES = st.lists(
    st.builds(
        lambda condition, route, if_missing: rule(**condition, route=route, if_missing=if_missing),
        CONDITIONS,
        st.sampled_from(["accept", "review", "reject"]),
        st.sampled_from(["fire", "pass"]),
    ),
    min_size=2,
    max_size=5,
).map(lambda rules: [{**fields, "id": f"r-{number}"} for number, fields in enumerate(rules)])
PREDICTIONS = st.one_of(
    st.builds(lambda label, sure: {"label": label, "confidence": sure}, LABEL, st.floats(0, 1)),
    st.builds(lambda share: {"scores": {"a": share, "b": 1 - share}}, st.floats(0, 1)),
    st.just({"output": {}}),
)
FURTHER = st.fixed_dictionaries(
    {}, optional={"risk": st.floats(0, 1), "segment": st.just({"s": "x"}) | st.just({"s": "y"})}
)


@given(RULES, st.lists(st.tuples(PREDICTIONS, FURTHER), min_size=10, max_size=20))
def test_whatever_is_predicted_a_named_rule_never_decides(rules: Any, posted: Any) -> None:
    found = warnings_of(parse(document(*rules, segments=["s"])), has_detector=True)
    named = {f"r-{place[1]}" for place, why in found if "never decides" in why}
    event(f"{len(named)} of {len(rules)} named")
    by = policy(*rules, segments=["s"])

    deciders = {decided(by, prediction(**fields, **more)).reason for fields, more in posted}

    assert deciders & named == set()


RAISE = {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95}
DRIFT_ROUTE = {"monitor": "confidence", "when": "drifting", "route": "review", "queue": "rare"}


def warned_of(*responses: Any, rules: Any = (LOW,), **fields: Any) -> Any:
    written = [rule(**{"id": f"r-{number}", **one}) for number, one in enumerate(rules)]
    written_out = parse(document(*written, on_drift=list(responses), **fields))
    return warnings_of(written_out, has_detector=True)


@pytest.mark.parametrize(
    ("found", "place", "why"),
    [
        pytest.param(
            warned_of({**RAISE, "raise_confidence_to": 0.85}),
            ("on_drift", 0, "raise_confidence_to"),
            "no threshold is below it",
            id="raised to what it is",
        ),
        pytest.param(
            warned_of({"monitor": "m", "when": "warning", "audit_probability": 0.01}),
            ("on_drift", 0, "audit_probability"),
            "no audit is less probable",
            id="audited as ever",
        ),
        pytest.param(
            warned_of(DRIFT_ROUTE, default="reject"),
            ("on_drift", 0, "route"),
            "accepts nothing",
            id="nothing to review instead",
        ),
        pytest.param(
            warned_of({**DRIFT_ROUTE, "when": "warning"}, DRIFT_ROUTE),
            ("on_drift", 1, "route"),
            "on_drift[0] stands before it",
            id="an earlier one holds whenever it does",
        ),
    ],
)
def test_a_response_without_effect_is_named(found: Any, place: Any, why: str) -> None:
    ((where, sentence),) = found

    assert where == place
    assert why in sentence


@pytest.mark.parametrize(
    "responses",
    [
        pytest.param([RAISE], id="raises"),
        # one label's threshold is below it
        pytest.param([{**RAISE, "audit_probability": 0.02}], id="raises and audits"),
        pytest.param([DRIFT_ROUTE, {**DRIFT_ROUTE, "when": "warning"}], id="the later holds in more states"),
        pytest.param([DRIFT_ROUTE, {**DRIFT_ROUTE, "monitor": "label"}], id="another monitor"),
        pytest.param([DRIFT_ROUTE, {**DRIFT_ROUTE, "segment": "source"}], id="another segment"),
    ],
)  # fmt: skip
def test_a_response_with_an_effect_is_not(responses: Any) -> None:
    assert warned_of(*responses, segments=["source"]) == []


def test_a_rule_that_only_decides_once_it_is_raised_is_not_named() -> None:
    rules = [{**HIGH, "route": "accept"}, LOW]

    ((place, _),) = warned_of(rules=rules)

    assert place == ("rules", 1)
    assert warned_of(RAISE, rules=rules) == []
    # raised no further than what is before it, it still never decides
    assert len(warned_of({**RAISE, "raise_confidence_to": 0.9}, rules=rules)) == 1


def test_a_rule_without_its_signal_is_warned_of() -> None:
    written = parse(
        document(
            rule(id="odd", out_of_distribution={"max_p": 0.01}),
            rule(id="unsure", confidence={"below": 0.8, "scale": "recalibrated"}),
            rule(id="lax", confidence={"below": 0.9, "scale": "recalibrated"}, if_missing="pass"),
        )
    )

    without = dict(warnings_of(written, has_detector=False))
    with_one = dict(warnings_of(written, has_detector=True))

    assert without["rules", 0, "out_of_distribution"].startswith("Never applies until")
    assert "so it fires" in without["rules", 1, "confidence"]
    assert "so it passes" in without["rules", 2, "confidence"]
    assert ("rules", 0, "out_of_distribution") not in with_one
