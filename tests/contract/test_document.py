"""The OpenAPI document: complete, valid, and the one that is committed."""

import json
from collections import Counter
from pathlib import Path

import pytest
import schemathesis
from jsonschema import Draft202012Validator

from app.core.errors import OverruleError
from tests.contract.document import (
    PROBLEM,
    Operation,
    document,
    mistakes,
    objects_in,
    operations,
    schemas,
)

FILE = Path(__file__).parents[2] / "openapi" / "openapi.json"
each = pytest.mark.parametrize("operation", operations, ids=lambda operation: operation.name)


def test_the_committed_document_is_what_the_code_says() -> None:
    committed = json.loads(FILE.read_text()) if FILE.exists() else None

    assert committed == document, "run `overrule openapi`"


def test_the_document_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(document).validate()

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    references = {found["$ref"] for found in objects_in(document) if "$ref" in found}

    for reference in references:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            assert step in place, f"nothing is at {reference}"
            place = place[step]


def test_every_operation_has_an_id_of_its_own() -> None:
    names = Counter(operation.name for operation in operations)

    assert [name for name, times in names.items() if times > 1] == []


@each
def test_an_operation_says_what_it_is(operation: Operation) -> None:
    tags = {tag["name"] for tag in document["tags"]}

    assert operation.described["summary"], "write a docstring"
    assert operation.described["description"]
    assert len(operation.described["tags"]) == 1
    assert set(operation.described["tags"]) <= tags, (
        "describe the tag in TAGS of app/api/openapi.py"
    )
    for parameter in operation.parameters:
        assert parameter.get("description"), (
            f"describe {parameter['name']}, or put it into PARAMETERS of app/api/openapi.py"
        )


@each
def test_an_operation_has_good_examples(operation: Operation) -> None:
    if operation.body is not None:
        assert operation.body.get("example") is not None, (
            "add an example of its body to app/api/examples.py, or to the Pydantic model"
        )
        assert mistakes(operation.body["example"], operation.body["schema"]) == []
    for response in operation.successes.values():
        for media in response.get("content", {}).values():
            if media is response["content"].get("application/x-ndjson"):
                continue
            assert media.get("example") is not None, "add its answer to app/api/examples.py"
            assert mistakes(media["example"], media["schema"]) == []


@each
def test_an_operation_refuses_with_problem_documents(operation: Operation) -> None:
    for status, response in operation.responses.items():
        if status >= 400:
            assert list(response["content"]) == [PROBLEM]
            assert "`" in response["description"], "name the codes"


def test_every_code_is_documented() -> None:
    documented = {
        code
        for response in document["components"]["responses"].values()
        for found in objects_in(response)
        for code in found.get("properties", {}).get("code", {}).get("enum", ())
    }

    missing = {error.code for error in _leaves(OverruleError)} - documented

    assert missing == set(), "add the error to an operation in PARTICULAR of app/api/refusals.py"


def _leaves(parent: type[OverruleError]) -> set[type[OverruleError]]:
    children = parent.__subclasses__()
    return set[type[OverruleError]]().union(*map(_leaves, children)) if children else {parent}
