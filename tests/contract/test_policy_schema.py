"""The published JSON Schema of a policy document says what the service says."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.api import policy_schema
from app.api.examples import POLICY
from app.core.errors import Invalid
from app.core.routing.document import parse
from app.core.routing.rules import KINDS
from tests.contract import nasty
from tests.contract.document import mistakes, objects_in

# as a part of the OpenAPI document, and as the one that is published for itself
SCHEMA = {"$ref": "#/components/schemas/PolicyDocument"}
PUBLISHED = policy_schema.document()
VALIDATOR = Draft202012Validator(PUBLISHED)
SMALLEST = {"name": "p", "applies_to": {"model": "m"}}
RULE = {"id": "r", "confidence": {"below": 0.8}, "route": "review", "queue": "triage"}


def with_rule(**changes: Any) -> dict[str, Any]:
    """The smallest document with one rule; a change to None takes a field away."""
    rule = {name: value for name, value in {**RULE, **changes}.items() if value is not None}
    return {**SMALLEST, "rules": [rule]}


def with_response(**changes: Any) -> dict[str, Any]:
    """The same with a drift response beside the rule."""
    written = {"monitor": "confidence", "when": "drifting", "audit_probability": 0.05, **changes}
    response = {name: value for name, value in written.items() if value is not None}
    return {**with_rule(), "segments": ["source"], "on_drift": [response]}


GOOD: dict[str, Any] = {
    "the smallest": SMALLEST,
    "the example": POLICY,
    "every kind of rule": {**POLICY, **nasty.MORE["put_policy"]},
    "a rejecting rule": with_rule(route="reject", queue=None),
    "a queue of null": {**SMALLEST, "rules": [{**RULE, "route": "accept", "queue": None}]},
    "everything rejected": {**SMALLEST, "default": "reject"},
    "a drift response": with_response(),
    "a drift response of a segment that routes": with_response(
        segment="source", audit_probability=None, route="review", queue="rare", priority=70
    ),
    "every effect of a drift response": with_response(
        when="warning", raise_confidence_to=0.95, route="review", queue="rare"
    ),
}
BAD: dict[str, Any] = {
    "no object": [],
    "no name": {"applies_to": {"model": "m"}},
    "no model": {"name": "p", "applies_to": {}},
    "an unknown field": {**SMALLEST, "colour": "red"},
    "a name with a slash": {**SMALLEST, "name": "a/b"},
    "a name with a newline at the end": {**SMALLEST, "name": "p\n"},
    "no labels at all": {**SMALLEST, "labels": []},
    "too many segments": {**SMALLEST, "segments": [f"s{n}" for n in range(11)]},
    "reviewed by default": {**SMALLEST, "default": "review"},
    "an audit probability above 1": {**SMALLEST, "audit": {"probability": 1.5}},
    "an audit that never happens": {**SMALLEST, "audit": {"rejected_probability": 0}},
    "a label that is never audited": {**SMALLEST, "audit": {"per_label": {"a": 1e-7}}},
    "an unknown field of audit": {**SMALLEST, "audit": {"share": 0.1}},
    "too many rules": {**SMALLEST, "rules": [{**RULE, "id": f"r{n}"} for n in range(51)]},
    "a rule without an id": with_rule(id=None),
    "a rule without a route": with_rule(route=None),
    "a rule without a condition": with_rule(confidence=None),
    "a rule with two conditions": with_rule(margin={"below": 0.1}),
    "a rule with an unknown condition": with_rule(confidence=None, mood={"below": 0.1}),
    "a review without a queue": with_rule(queue=None),
    "a queue without a review": with_rule(route="accept"),
    "a reserved id": with_rule(id="default"),
    "a priority past its range": with_rule(priority=101),
    "a threshold past its range": with_rule(confidence={"below": 1.1}),
    "a threshold as text": with_rule(confidence={"below": "0.8"}),
    "no label to look for": with_rule(confidence=None, labels=[]),
    "a number as an expression": with_rule(confidence=None, when=1),
    "a drift response without a monitor": with_response(monitor=None),
    "a drift response to a state that is none": with_response(when="stable"),
    "a drift response without an effect": with_response(audit_probability=None),
    "a drift response that rejects": with_response(route="reject", queue="rare"),
    "a drift response that reviews nowhere": with_response(route="review"),
    "a drift response with a queue for nothing": with_response(queue="rare"),
    "a drift response with a priority for nothing": with_response(priority=70),
    "a drift response that raises too far": with_response(raise_confidence_to=1.1),
    "an unknown field of a drift response": with_response(mood="bad"),
    "too many drift responses": {**with_response(), "on_drift": with_response()["on_drift"] * 21},
}


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD)
def test_a_good_document_fits_and_is_taken(document: Any) -> None:
    taken = parse(document)

    assert mistakes(document, SCHEMA) == []
    assert VALIDATOR.is_valid(document)
    assert taken.head.name == document["name"]


@pytest.mark.parametrize("document", BAD.values(), ids=BAD)
def test_a_bad_document_does_not_fit_and_is_not_taken(document: Any) -> None:
    assert mistakes(document, SCHEMA) != []
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(Invalid):
        parse(document)


def test_the_published_schema_refers_to_nothing_outside() -> None:
    Draft202012Validator.check_schema(PUBLISHED)
    references = {found["$ref"] for found in objects_in(PUBLISHED) if "$ref" in found}

    assert references
    assert references <= {f"#/$defs/{name}" for name in PUBLISHED["$defs"]}


def test_every_kind_of_rule_is_among_the_good_documents() -> None:
    tried = {kind for rule in GOOD["every kind of rule"]["rules"] for kind in KINDS if kind in rule}

    assert tried == set(KINDS), "add one of the kind to MORE of tests/contract/nasty.py"
