"""The JSON Schema of a policy document, made from the structs that check it."""

import inspect
from typing import Any

import msgspec

from app.core.routing.document import RESERVED_IDS, Audit, DriftResponse, Head, RuleHead
from app.core.routing.rules import BARE, KINDS

NAME = "PolicyDocument"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


_ASKS = {"properties": {"queue": {"type": "string"}}, "required": ["queue"]}


def document() -> dict[str, Any]:
    """The schema in one piece: what it refers to is inside it."""
    schemas = components("#/$defs/{name}")
    return {"$schema": DIALECT, **schemas.pop(NAME), "$defs": schemas}


def components(ref_template: str) -> dict[str, Any]:
    """`PolicyDocument` and the schemas that it refers to.

    It says what a schema can say; that queues and monitors exist, labels are declared, expressions
    compile and audit probabilities keep their ratio is for `POST /v1/policies/validate`.

    Args:
        ref_template: where schemas stand in the document, with `{name}`.
    """
    structs = [kind for name, kind in KINDS.items() if name not in BARE]
    _, schemas = msgspec.json.schema_components([Head, Audit, *structs], ref_template=ref_template)
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema["description"])
    document = schemas.pop(Head.__name__)
    document["title"] = NAME
    document["description"] = (
        "A policy: rules in order, the first that fires decides, all are recorded."
    )
    rules = document["properties"]["rules"]
    rules["items"] = {"$ref": ref_template.format(name="PolicyRule")}
    # whatever has to be reviewed has a rule that names its queue
    document["properties"]["default"]["enum"].remove("review")
    schemas["PolicyRule"] = {
        "title": "PolicyRule",
        "description": "One condition, and what follows when it fires.",
        "oneOf": [_rule(name, ref_template) for name in KINDS],
    }
    _complete_response(schemas[DriftResponse.__name__])
    schemas[NAME] = document
    return schemas


def _complete_response(response: dict[str, Any]) -> None:
    """What a drift response must have: an effect, and a queue exactly where it routes."""
    response["anyOf"] = [
        {"properties": {effect: {"type": type_}}, "required": [effect]}
        for effect, type_ in (
            ("raise_confidence_to", "number"),
            ("audit_probability", "number"),
            ("route", "string"),
        )
    ]
    response["if"] = {"properties": {"route": {"const": "review"}}, "required": ["route"]}
    response["then"] = _ASKS
    response["else"] = {"properties": {"queue": {"type": "null"}, "priority": {"type": "null"}}}


def _rule(kind: str, ref_template: str) -> dict[str, Any]:
    """A rule with a condition of one kind."""
    _, heads = msgspec.json.schema_components([RuleHead], ref_template=ref_template)
    rule: dict[str, Any] = heads[RuleHead.__name__]
    rule["title"] = kind
    rule["description"] = (KINDS[kind].__doc__ or "").partition("\n")[0]
    rule["properties"][kind] = _condition(kind, ref_template)
    rule["properties"]["id"]["not"] = {"enum": sorted(RESERVED_IDS)}
    rule["required"].append(kind)
    rule["if"] = {"properties": {"route": {"const": "review"}}}
    rule["then"] = _ASKS
    rule["else"] = {"properties": {"queue": {"type": "null"}}}
    return rule


def _condition(kind: str, ref_template: str) -> dict[str, Any]:
    if kind in BARE:
        return msgspec.json.schema(BARE[kind][0])
    return {"$ref": ref_template.format(name=KINDS[kind].__name__)}
