"""The OpenAPI document as the tests walk it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from app.flows.context import Context
from app.main import build
from app.settings import Settings
from app.store.engine import Database

JSON = "application/json"
PROBLEM = "application/problem+json"
DOCUMENT = "urn:openapi"


@dataclass(frozen=True)
class Operation:
    """One operation as the document describes it."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.described["operationId"])

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return list(self.described.get("parameters", ()))

    @property
    def path_parameters(self) -> list[str]:
        return [found["name"] for found in self.parameters if found["in"] == "path"]

    @property
    def ways(self) -> list[set[str]]:
        """The scopes that a key needs; one of the sets is enough. Empty: no key at all."""
        return [set(way["key"]) for way in self.described.get("security", ())]

    @property
    def for_admins(self) -> bool:
        return self.ways == [{"admin"}]

    @property
    def body(self) -> dict[str, Any] | None:
        """The media type of a JSON body."""
        media: dict[str, Any] | None = (
            self.described.get("requestBody", {}).get("content", {}).get(JSON)
        )
        return media

    @property
    def responses(self) -> dict[int, dict[str, Any]]:
        """By status, references followed."""
        shared = document["components"]["responses"]
        return {
            int(status): shared[found["$ref"].rpartition("/")[2]] if "$ref" in found else found
            for status, found in self.described["responses"].items()
        }

    @property
    def successes(self) -> dict[int, dict[str, Any]]:
        return {status: found for status, found in self.responses.items() if status < 400}


def make_document() -> dict[str, Any]:
    """What `overrule openapi` writes; no database is asked."""
    settings = Settings(_env_file=None)
    database = Database("postgresql://localhost/none", settings)
    document: dict[str, Any] = build(Context.over(database, settings)).openapi()
    return document


document = make_document()
operations = [
    Operation(method.upper(), path, described)
    for path, methods in document["paths"].items()
    for method, described in methods.items()
]
schemas: dict[str, Any] = document["components"]["schemas"]
_registry: Registry[Any] = Registry().with_resource(DOCUMENT, DRAFT202012.create_resource(document))


def mistakes(value: Any, schema: dict[str, Any]) -> list[str]:
    """What of a value is not as a schema of the document says."""
    validator = Draft202012Validator(
        _absolute(schema), registry=_registry, format_checker=FormatChecker()
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def response_mistakes(operation: Operation, response: httpx.Response) -> list[str]:
    """What of an answer the document does not say."""
    described = operation.responses.get(response.status_code)
    if described is None:
        return [f"{response.status_code} is not documented"]
    if "content" not in described:
        return [] if not response.content else ["is documented without a body"]
    kind = response.headers["content-type"].partition(";")[0]
    if kind not in described["content"]:
        return [f"{kind} is not documented"]
    value = response.json() if kind.endswith("json") else response.text
    return mistakes(value, described["content"][kind]["schema"])


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a JSON value."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from objects_in(child)
    elif isinstance(value, list):
        for child in value:
            yield from objects_in(child)


def _absolute(value: Any) -> Any:
    """A schema with references that resolve from anywhere."""
    if isinstance(value, dict):
        return {
            key: DOCUMENT + child if key == "$ref" and isinstance(child, str) else _absolute(child)
            for key, child in value.items()
        }
    return [_absolute(child) for child in value] if isinstance(value, list) else value
