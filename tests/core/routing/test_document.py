"""A policy document is checked whole: every mistake is named by its place."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.routing.document import RULES_MAX, digest_of, parse
from app.core.routing.policy import compile_policy
from tests.core.routing.cases import document, queues_of, rule

SURE = {"confidence": {"below": 0.5}}


def places(data: Any) -> dict[Any, str]:
    with pytest.raises(Invalid) as refused:
        parse(data)
    return dict(refused.value.places)


def of_rule(**fields: Any) -> dict[str, Any]:
    return document(rule(**fields))


def when(source: str) -> dict[str, Any]:
    return of_rule(when=source)


def of_response(**fields: Any) -> dict[str, Any]:
    """A policy with a rule to raise, and one drift response of these fields."""
    response = {"monitor": "confidence", "when": "drifting", **fields}
    return document(rule(**SURE), segments=["source"], on_drift=[response])


R0 = ("rules", 0)
D0 = ("on_drift", 0)
ROUTED = {"route": "review", "queue": "rare"}

MISTAKES = [
    # the document
    ("not an object", [], ("body",), "Expected `object`"),
    ("unknown field", document(on_monday=1), ("on_monday",), "Not a field"),
    ("missing field", {"name": "a", "rules": []}, ("applies_to",), "required"),
    ("bad name", {**document(), "name": "a b"}, ("name",), "matching regex"),
    ("model missing", {**document(), "applies_to": {}}, ("applies_to", "model"), "required"),
    ("rules are no list", {**document(), "rules": {}}, ("rules",), "Expected `array`"),
    ("too many rules", document(*[{}] * (RULES_MAX + 1)), ("rules",), "length <= 50"),
    ("no labels at all", document(labels=[]), ("labels",), "length >= 1"),
    ("too many segments", document(segments=[f"s{n}" for n in range(11)]), ("segments",), "<= 10"),
    ("unknown default", document(default="maybe"), ("default",), "Invalid enum value"),
    ("default to review", document(default="review"), ("default",), "last rule"),
    # a rule
    ("rule is no object", {**document(), "rules": ["confidence"]}, R0, "Expected `object`"),
    ("unknown kind", document({"id": "r", "route": "accept", "mood": {}}), R0, "exactly one condition"),
    ("two kinds", of_rule(**SURE, risk={"above": 0.5}), R0, "found 2"),
    ("unknown field of a rule", of_rule(**SURE, wait=1), (*R0, "wait"), "Not a field"),
    ("rule without id", document({"route": "accept", **SURE}), (*R0, "id"), "required"),
    ("duplicate id", document(rule(**SURE), rule(**SURE)), ("rules", 1, "id"), "is taken"),
    ("reserved id", of_rule(id="default", **SURE), (*R0, "id"), "'default' is taken"),
    ("reserved id of no policy", of_rule(id="no-policy", **SURE), (*R0, "id"), "is taken"),
    ("review without queue", of_rule(**SURE, queue=None), (*R0, "queue"), "names a queue"),
    ("queue without review", of_rule(**SURE, route="accept", queue="triage"), (*R0, "queue"), "Only a rule that routes"),
    ("priority above 100", of_rule(**SURE, priority=101), (*R0, "priority"), "<= 100"),
    ("unknown route", of_rule(**SURE, route="ignore"), (*R0, "route"), "Invalid enum value"),
    ("unknown if_missing", of_rule(**SURE, if_missing="skip"), (*R0, "if_missing"), "Invalid enum"),
    # a condition
    ("threshold above 1", of_rule(confidence={"below": 1.01}), (*R0, "confidence", "below"), "<= 1"),
    ("threshold below 0", of_rule(risk={"above": -0.1}), (*R0, "risk", "above"), ">= 0"),
    ("threshold of a label", of_rule(confidence={"below": 0.5, "per_label": {"a": 2}}), (*R0, "confidence", "per_label", "..."), "<= 1"),
    ("threshold missing", of_rule(margin={}), (*R0, "margin", "below"), "required"),
    ("unknown field of a condition", of_rule(margin={"below": 0.1, "above": 1}), (*R0, "margin", "above"), "Not a field"),
    ("condition is no object", of_rule(confidence=0.5), (*R0, "confidence"), "Expected `object`"),
    ("empty list of labels", of_rule(labels=[]), (*R0, "labels"), "length >= 1"),
    ("list of labels is a text", of_rule(labels="threat"), (*R0, "labels"), "Expected `array`"),
    ("expression is no text", of_rule(when=1), (*R0, "when"), "Expected `str`"),
    # labels that the policy does not have
    ("unknown label of a list", document(rule(labels=["b", "a"]), labels=["a"]), (*R0, "labels"), "['b']"),
    ("unknown label of a threshold", document(rule(confidence={"below": 0.5, "per_label": {"b": 0.9}}), labels=["a"]), (*R0, "confidence"), "['b']"),
    ("unknown label of an audit", document(labels=["a"], audit={"per_label": {"b": 0.1}}), ("audit", "per_label"), "['b']"),
    # expressions
    ("does not compile", when("prediction.risk >"), (*R0, "when"), "Does not compile"),
    ("does not compile, and is long", when("prediction.label == 'a' && " * 30 + "prediction.risk >"), (*R0, "when"), "Does not compile: Syntax error: mismatched input"),
    ("unknown function", when("prediction.label.beginsWith('a')"), (*R0, "when"), "no function beginsWith"),
    ("unknown function that may not be reached", when("prediction.label == 'b' && lower(prediction.label) == 'a'"), (*R0, "when"), "no function lower"),
    ("no pattern", when("prediction.label == 'b' && prediction.label.matches('[')"), (*R0, "when"), "no pattern: unclosed character class"),
    ("not a condition", when("prediction.features.n + 1"), (*R0, "when"), "Gives float"),
    ("a text", when("'a' + prediction.features.s"), (*R0, "when"), "Gives str"),
    ("another variable", when("subject == 'a'"), (*R0, "when"), "not subject"),
    ("too long", when("true" + " " * 997), (*R0, "when"), "at most 1000"),
    ("field that there is not", when("prediction.confidense < 0.9"), (*R0, "when"), "no confidense"),
    ("field by its bare name", when("label == 'a'"), (*R0, "when"), "write prediction.label"),
    ("comprehension", when("prediction.scores.all(s, s > 'a')"), (*R0, "when"), "no bound"),
    ("comprehension, spaced", when("[1] . exists_one (x, true)"), (*R0, "when"), "no bound"),
    ("comprehension by its other name", when("prediction.scores.existsOne(x, true)"), (*R0, "when"), "no bound"),
    ("comprehension behind a comment", when("[1].// c\nall(prediction, true)"), (*R0, "when"), "no bound"),
    ("comprehension between quotes in comments", when("true // it's\n && [1].map(prediction, true) == [] // it's"), (*R0, "when"), "no bound"),
    ("pattern of a feature", when("'a'.matches(prediction.features.s)"), (*R0, "when"), "written-out"),
    ("pattern put together", when("'a'.matches('(a+)' + '+')"), (*R0, "when"), "written-out"),
    ("pattern of nested repetitions", when("prediction.label.matches('((a{0,100}){0,100}){0,10}')"), (*R0, "when"), "repetitions"),
    ("pattern with an escaped brace", when("prediction.label.matches('a\\x7b900\\x7d')"), (*R0, "when"), "repetitions"),
    ("pattern that hides a repetition", when("prediction.label.matches('(?ix)a{#\\n900}')"), (*R0, "when"), "repetitions"),
    ("many patterns", when(" || ".join(["prediction.label.matches('" + "a" * 101 + "')"] * 5)), (*R0, "when"), "repetitions"),
    ("comprehension after a raw string", when(r"""r"\" == "a" && [1].exists(prediction, true) && "a" == "" """), (*R0, "when"), "no bound"),
    # audits
    ("never audited", document(audit={"probability": 0}), ("audit", "probability"), "at least"),
    ("a label never audited", document(audit={"per_label": {"a": 0}}), ("audit", "per_label", "a"), "at least"),
    ("rejected never audited", document(default="reject", audit={"rejected_probability": 0}), ("audit", "rejected_probability"), "at least"),
    ("rejected never audited, though nothing is rejected", document(audit={"rejected_probability": 0}), ("audit", "rejected_probability"), "at least"),
    ("audits too unequal", document(audit={"probability": 0.01, "per_label": {"a": 0.11}}), ("audit",), "more than 10:1"),
    ("audits of rejected too unequal", document(rule(**SURE, route="reject"), audit={"probability": 0.2}), ("audit",), "more than 10:1"),
    ("unknown field of audit", document(audit={"rate": 1}), ("audit", "rate"), "Not a field"),
    # monitors in expressions
    ("monitors as a whole", when("'a' in monitors"), (*R0, "when"), "named in the expression"),
    ("a monitor that is reckoned", when("monitors[prediction.label] == 'stable'"), (*R0, "when"), "named in the expression"),
    ("a state is no condition", when("monitors.confidence"), (*R0, "when"), "Gives str"),
    # responses to drift
    ("too many responses", document(on_drift=[{}] * 21), ("on_drift",), "length <= 20"),
    ("response without a monitor", document(on_drift=[{"when": "drifting", **ROUTED}]), (*D0, "monitor"), "required"),
    ("response to no alarm", of_response(**ROUTED) | {"on_drift": [{"monitor": "m", "when": "stable", **ROUTED}]}, (*D0, "when"), "Invalid enum"),
    ("unknown field of a response", of_response(**ROUTED, mood=1), (*D0, "mood"), "Not a field"),
    ("response without an effect", of_response(), D0, "Write raise_confidence_to"),
    ("undeclared segment", of_response(**ROUTED, segment="lang"), (*D0, "segment"), "does not declare 'lang'"),
    ("raised above 1", of_response(raise_confidence_to=1.5), (*D0, "raise_confidence_to"), "<= 1"),
    ("nothing to raise", document(rule(**SURE, route="reject"), on_drift=[{"monitor": "m", "when": "drifting", "raise_confidence_to": 0.9}]), (*D0, "raise_confidence_to"), "No confidence rule"),
    ("response that accepts", of_response(route="accept", queue="rare"), (*D0, "route"), "Invalid enum"),
    ("response without queue", of_response(route="review"), (*D0, "queue"), "names a queue"),
    ("queue of a response that does not route", of_response(audit_probability=0.1, queue="rare"), (*D0, "queue"), "Only what routes"),
    ("priority of one", of_response(audit_probability=0.1, priority=7), (*D0, "priority"), "Only what routes"),
    ("audit floor above 10:1", of_response(audit_probability=0.11), (*D0, "audit_probability"), "More than 10 times"),
    ("audit floor above 10:1 of rejected ones", {**of_response(audit_probability=0.11), "audit": {"probability": 0.02}, "default": "reject"}, (*D0, "audit_probability"), "More than 10 times"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "place", "why"), [pytest.param(*rest, id=name) for name, *rest in MISTAKES]
)
def test_a_mistake_is_named_by_its_place(data: Any, place: Any, why: str) -> None:
    found = places(data)

    assert list(found) == [place]
    assert why in found[place]


def test_a_queue_that_is_not_there_is_named_by_each_rule_that_sends_to_it() -> None:
    written = document(
        rule(id="a", **SURE, queue="experts"),
        rule(id="b", **SURE, queue="nowhere"),
        rule(id="c", **SURE, route="accept"),
        audit={"queue": "never"},
    )

    with pytest.raises(Invalid) as refused:
        parse(written, {"experts", "audits"})

    assert [place for place, _ in refused.value.places] == [
        ("rules", 1, "queue"),
        ("audit", "queue"),
    ]
    assert "There is no queue 'nowhere'" in refused.value.places[0][1]


def test_a_queue_that_is_not_there_is_named_beside_the_other_mistakes() -> None:
    written = document(rule(**SURE, queue="nowhere"), rule(id="b", risk={"above": 2}))

    with pytest.raises(Invalid) as refused:
        parse(written, {"audits"})

    assert {place for place, _ in refused.value.places} == {
        ("rules", 0, "queue"),
        ("rules", 1, "risk", "above"),
    }


def test_the_queue_of_a_response_must_be_there() -> None:
    with pytest.raises(Invalid) as refused:
        parse(of_response(**ROUTED), {"triage", "audits"})

    ((place, why),) = refused.value.places
    assert place == ("on_drift", 0, "queue")
    assert "PUT /v1/queues/rare" in why


def test_monitors_must_be_those_of_the_model() -> None:
    written = document(
        rule(id="a", when="monitors.embedding == 'drifting' || monitors['a-b'] == 'stable'"),
        rule(id="b", **SURE),
        on_drift=[
            {"monitor": "confidence", "when": "drifting", **ROUTED},
            {"monitor": "confidense", "when": "drifting", **ROUTED},
        ],
    )

    with pytest.raises(Invalid) as refused:
        parse(written, None, {"confidence", "embedding"})

    assert [(place, why.partition(";")[0]) for place, why in refused.value.places] == [
        (("rules", 0, "when"), "The model 'sentiment' has no monitor 'a-b'"),
        (("on_drift", 1, "monitor"), "The model 'sentiment' has no monitor 'confidense'"),
    ]
    assert "make it first (PUT /v1/monitors/a-b)." in refused.value.places[0][1]


def test_a_stored_document_needs_its_monitors_no_more() -> None:
    assert parse(of_response(**ROUTED)).head.on_drift[0].monitor == "confidence"


def test_patterns_of_all_rules_together_have_a_limit() -> None:
    dear = f"prediction.label.matches('{'a' * 150}')"

    parse(document(*(rule(id=f"r-{number}", when=dear) for number in range(2))))
    found = places(document(*(rule(id=f"r-{number}", when=dear) for number in range(3))))

    assert list(found) == [("rules",)]


def test_several_mistakes_are_all_named() -> None:
    data = document(
        rule(id="one", confidence={"below": 7}),
        rule(id="two", when="nonsense ("),
        rule(id="three", **SURE, queue=None),
        default="review",
    )

    assert set(places(data)) == {
        ("rules", 0, "confidence", "below"),
        ("rules", 1, "when"),
        ("rules", 2, "queue"),
        ("default",),
    }


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(document(), id="no rules"),
        pytest.param(document(audit={"probability": 0.01, "per_label": {"a": 0.1}}), id="audits at 10:1"),
        pytest.param(document(default="reject", audit={"probability": 1}), id="a probability that is never used may be far from the others"),
        pytest.param(document(*[rule(id=f"r{n}", **SURE) for n in range(RULES_MAX)]), id="as many rules as allowed"),
        pytest.param(when("true" + " " * 996), id="an expression as long as allowed"),
        pytest.param(when("prediction.label in ['.all(', \"a.map(b)\"]"), id="a macro's name within a string"),
        pytest.param(when("prediction.features.s.startsWith('a')"), id="an expression on text alone"),
        pytest.param(when("prediction.label . matches(/**/ r'^[a-z]{2,9}$')".replace("/**/", "// (\n")), id="a pattern of little weight"),
        pytest.param(when("prediction.label == 'x.matches(y)'"), id="matches within a string"),
        pytest.param(when("prediction.features.sure"), id="a feature that is true or false"),
        pytest.param(document(rule(labels=["b"]), labels=["a", "b"], audit={"per_label": {"a": 0.02}}), id="declared labels"),
        pytest.param(of_response(audit_probability=0.1), id="an audit floor at 10:1"),
        pytest.param(document(rule(**SURE), on_drift=[{"monitor": "m", "when": "warning", "raise_confidence_to": 0.9, "audit_probability": 0.02, **ROUTED, "priority": 7}]), id="everything a response may have"),
        pytest.param(document(rule(**SURE), rule(id="last", sample={"share": 1}, route="accept"), default="reject", on_drift=[{"monitor": "m", "when": "warning", "audit_probability": 0.1}]), id="an audit floor for what is rejected or accepted"),
        pytest.param(of_rule(**SURE, priority=0, if_missing="pass", description="why"), id="everything a rule may have"),
    ],
)  # fmt: skip
def test_document_without_mistakes_is_taken(data: Any) -> None:
    assert len(parse(data).rules) == len(data["rules"])


def test_compiled_policy_keeps_what_the_document_says() -> None:
    data = document(
        rule(id="a", **SURE, queue="experts", priority=7),
        rule(id="b", risk={"above": 0.5}, route="accept", if_missing="pass"),
        labels=["x", "y"],
        segments=["source"],
        audit={"queue": "checks"},
        default="reject",
    )

    compiled = compile_policy(data, "sentiment", 4)

    assert [
        (r.id, r.route, r.queue, r.priority, r.passes_when_missing) for r in compiled.rules
    ] == [
        ("a", "review", "experts", 7, False),
        ("b", "accept", None, 50, True),
    ]
    assert (compiled.name, compiled.version, compiled.model) == ("sentiment", 4, "sentiment")
    assert (compiled.labels, compiled.segments, compiled.default) == (
        ("x", "y"),
        ("source",),
        "reject",
    )
    assert queues_of(compiled) == {"experts", "checks"}


words = st.sampled_from(["", "a", "b", "ü", "\U0001f600", "\ue000"])
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | words
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(words, scalars, max_size=2)


@given(st.dictionaries(words, values, max_size=4))
def test_digest_does_not_depend_on_the_order_of_fields(data: dict[str, Any]) -> None:
    assert digest_of(dict(reversed(data.items()))) == digest_of(data)


@given(values, values)
def test_digests_are_equal_exactly_when_the_contents_are(one: Any, other: Any) -> None:
    assert (digest_of({"a": one}) == digest_of({"a": other})) == (as_json(one) == as_json(other))


def as_json(value: Any) -> Any:
    """Comparable as JSON compares: 1 and 1.0 are one number, and neither is true."""
    match value:
        case bool() | None | str():
            return repr(value)
        case int() | float():
            return float(value)
        case list():
            return [as_json(element) for element in value]
        case _:
            return {name: as_json(element) for name, element in value.items()}


def test_digest_does_not_depend_on_how_a_number_is_written() -> None:
    written = document(rule(confidence={"below": 0.5}, priority=10))
    respelled = copy.deepcopy(written)
    respelled["rules"][0]["priority"] = 10.0
    changed = copy.deepcopy(written)
    changed["rules"][0]["confidence"]["below"] = 0.5000001

    assert digest_of(respelled) == digest_of(written) != digest_of(changed)


def test_number_that_canonical_json_cannot_carry_is_refused() -> None:
    with pytest.raises(Invalid, match="canonical form") as refused:
        digest_of({"a": 2**53})

    assert refused.value.places[0][0] == ("body",)
