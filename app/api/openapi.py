"""The OpenAPI document: what FastAPI sees, and what only the hot path's structs know."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api import examples
from app.api.decision_out import DecisionOut
from app.api.decisions import DecisionPage
from app.api.predictions import NDJSON, Batch, Results, Row
from app.api.problems import CONTENT_TYPE, Place, Problem
from app.core.routing.prediction import Prediction

REF = "#/components/schemas/{name}"
# operations whose bodies are decoded by msgspec: request and response types
STRUCTS: dict[tuple[str, str], tuple[Any, Any]] = {
    ("post", "/v1/predictions"): (Prediction, DecisionOut),
    ("post", "/v1/predictions/batch"): (Batch, Results),
    ("get", "/v1/decisions/{decision_id}"): (None, DecisionOut),
    ("get", "/v1/decisions"): (None, DecisionPage),
    ("post", "/v1/decisions/lookup"): (None, DecisionPage),
}
# operations that read the key themselves, without a dependency
KEYED = {("post", "/v1/predictions"), ("post", "/v1/predictions/batch")}
DOCUMENTED = ("put", "/v1/policies/{name}"), ("post", "/v1/policies/validate")


def install(app: FastAPI) -> None:
    """Give the application its document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def build(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    types = [Prediction, DecisionOut, Batch, Results, Row, DecisionPage]
    _, components = msgspec.json.schema_components(types, ref_template=REF)
    schemas.update(components)
    # rows of a batch stay undecoded until each is read for itself
    schemas["Batch"]["properties"]["predictions"] = {
        "type": "array",
        "items": _ref("Prediction"),
        "maxItems": 1000,
    }
    for model in (Place, Problem):
        schemas[model.__name__] = model.model_json_schema(ref_template=REF.replace("{name}", "{model}"))
        schemas[model.__name__].pop("$defs", None)
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    document["components"].setdefault("securitySchemes", {})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(method, path, operation)
    return document


def _complete(method: str, path: str, operation: dict[str, Any]) -> None:
    key = (method, path)
    body, answer = STRUCTS.get(key, (None, None))
    responses = operation["responses"]
    if body is not None:
        operation["requestBody"] = _body(body)
    if key in DOCUMENTED:
        operation["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": {"type": "object"}}
                for kind in ("application/json", "application/yaml")
            },
        }
    if answer is not None:
        status = next(iter(responses))
        responses[status]["content"] = {"application/json": {"schema": _ref(answer.__name__)}}
        if answer is Results:
            responses[status]["content"][NDJSON] = {"schema": _ref("Row")}
    if key == ("post", "/v1/predictions"):
        responses["200"] = {**responses["201"], "description": "The first decision, again"}
        operation["parameters"] = [
            {"name": "dry_run", "in": "query", "schema": {"type": "boolean", "default": False}}
        ]
    if key == ("put", "/v1/policies/{name}"):
        responses["200"] = {**responses["201"], "description": "The latest version, unchanged"}
    if key in KEYED:
        operation["security"] = [{"key": []}]
    _problems(path, operation)
    examples.put(key, operation)


def _problems(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = ["503"]
    if "security" in operation:
        statuses += ["401", "403", "422"]
    if "{" in path:
        statuses += ["404"]
    if "requestBody" in operation:
        statuses += ["400", "404", "409", "413"]
    for status in sorted(set(statuses)):
        responses.setdefault(
            status,
            {
                "description": PROBLEMS[status],
                "content": {CONTENT_TYPE: {"schema": _ref("Problem")}},
            },
        )


PROBLEMS = {
    "400": "Not JSON",
    "401": "No good key",
    "403": "The key lacks the scope",
    "404": "Not in this project",
    "409": "Does not fit the present state; nothing was changed",
    "413": "Past a limit of size",
    "422": "Cannot be taken; errors[] names the fields",
    "503": "Overloaded or without database; nothing half-done, send it again",
}


def _body(type_: Any) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(type_.__name__)}}
    if type_ is Batch:
        content[NDJSON] = {"schema": _ref("Prediction")}
    return {"required": True, "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": REF.format(name=name)}
