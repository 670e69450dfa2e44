"""Whatever a client sends, the answer is no 5xx and, when it is refused, a problem document."""

import json
from typing import Any

import httpx
import pytest

from tests.contract import nasty
from tests.contract.document import PROBLEM, Operation, operations, response_mistakes
from tests.contract.world import World

by_id = {"ids": lambda operation: operation.name}
with_body = [operation for operation in operations if operation.body is not None]
with_parameters = [operation for operation in operations if operation.parameters]
each_with_body = pytest.mark.parametrize("operation", with_body, **by_id)

# percent-encoded, for path and query
PARAMETERS = {
    "NUL": "%00",
    "encoded NUL": "%2500",
    "invalid UTF-8": "%FF%FE",
    "a surrogate in UTF-8": "%ED%A0%80",
    "a broken escape": "%zz%",
    "very long": "x" * 5_000,
    "300 digits": "9" * 300,
    "5,000 digits": "9" * 5_000,
    "minus one": "-1",
    "NaN": "nan",
    "Infinity": "inf",
    "1e400": "1e400",
    "empty": "",
    "a space": "%20",
    "dots": "..",
    "a newline at the end": "triage%0A",
    "a control character": "%07",
    "other digits": "%D9%A1",
    "an emoji": "%F0%9F%98%80",
    "a cursor of zeros": "A" * 22,
    "a cursor of ones": "_" * 21 + "w",
    "a cursor that is none": "A" * 21,
    "an id of zeros": "0" * 32,
    "an id of ones": "f" * 32,
    "the first moment, east of it": "0001-01-01T00:00:00%2B14:00",
    "the last moment, west of it": "9999-12-31T23:59:59-14:00",
    "before 1970": "1900-01-01T00:00:00Z",
    "far ahead": "9000-01-01T00:00:00Z",
    "a moment as a number": "1e11",
    "a segment": "a:b",
    "a segment of quotes": "%27:%22%5C",
}


async def send(
    world: World,
    operation: Operation,
    content: Any,
    kind: str = "application/json",
) -> httpx.Response:
    """Send a body; what is done is undone, so that the next one finds the same world."""
    key = world.admin if operation.for_admins else world.key
    async with world.http(key) as http, world.undone():
        return await http.request(
            operation.method,
            world.path(operation),
            content=content,
            headers={"content-type": kind},
        )


def complaint(operation: Operation, response: httpx.Response) -> str | None:
    """What is wrong with an answer to a nasty request."""
    if response.status_code >= 500:
        return f"{response.status_code} {response.text[:200]}"
    wrong = response_mistakes(operation, response)
    return f"{response.status_code} {wrong}" if wrong else None


def refused(operation: Operation, response: httpx.Response) -> bool:
    """Whether a request, or the only row of a batch, was refused."""
    if operation.name == "post_predictions" and response.status_code == 200:
        return all(400 <= row["status"] < 500 for row in response.json()["results"])
    return 400 <= response.status_code < 500


@each_with_body
async def test_what_no_field_can_hold_is_refused_in_every_field(
    world: World, operation: Operation
) -> None:
    body = _example(operation)
    found = []

    for place in [(), *nasty.fields(body)]:
        for what, text in nasty.REFUSED.items():
            response = await send(world, operation, nasty.with_value(body, place, text))
            wrong = complaint(operation, response)
            if wrong is None and not refused(operation, response):
                wrong = f"taken: {response.status_code}"
            if wrong:
                found.append(f"{what} at {place}: {wrong}")

    assert found == []


@each_with_body
async def test_what_is_strange_never_breaks_anything(world: World, operation: Operation) -> None:
    body = _example(operation)
    found = []

    for place in [(), *nasty.fields(body)]:
        for what, text in nasty.STRANGE.items():
            response = await send(world, operation, nasty.with_value(body, place, text))
            wrong = complaint(operation, response)
            if wrong:
                found.append(f"{what} at {place}: {wrong}")

    assert found == []


@each_with_body
async def test_unknown_fields_are_refused_however_they_are_called(
    world: World, operation: Operation
) -> None:
    body = _example(operation)

    answers = [
        await send(world, operation, nasty.with_value(body, (), _with_field(body, name)))
        for name in (
            r'"unknown"',
            r'"\u0000"',
            r'"\ud800"',
            '"' + "x" * 100_000 + '"',
            r'"\"`$.[0]"',
        )
    ]

    assert [complaint(operation, response) for response in answers] == [None] * len(answers)
    assert all(refused(operation, response) for response in answers)


@each_with_body
async def test_a_field_that_stands_twice_never_breaks_anything(
    world: World, operation: Operation
) -> None:
    body = _example(operation)

    answers = [await send(world, operation, nasty.with_twin(body, name)) for name in body]

    assert [complaint(operation, response) for response in answers] == [None] * len(answers)


@each_with_body
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"not JSON", id="not JSON"),
        pytest.param(b'{"a": 1', id="cut off"),
        pytest.param(b"{} {}", id="two"),
        pytest.param(b"\xff\xfe{}", id="invalid UTF-8"),
        pytest.param(b'{"\xff": 1}', id="invalid UTF-8 in a name"),
        pytest.param('{"model": "x"}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param(b"\x00" * 10, id="NUL bytes"),
        pytest.param(b"[" * 100_000, id="open lists"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"[]", id="a list"),
    ],
)
async def test_a_body_that_is_no_object_is_refused(
    world: World, operation: Operation, content: bytes
) -> None:
    response = await send(world, operation, content)

    assert refused(operation, response), response.text
    assert complaint(operation, response) is None


@each_with_body
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "\xff", ""]
)
async def test_another_content_type_never_breaks_anything(
    world: World, operation: Operation, kind: str
) -> None:
    response = await send(world, operation, nasty.with_value(_example(operation), (), "{}"), kind)

    assert refused(operation, response)
    assert complaint(operation, response) is None


@each_with_body
async def test_a_body_past_the_limit_is_refused_as_too_large(
    world: World, operation: Operation
) -> None:
    too_much = b" " * (world.ctx.settings.body_bytes_max + 1)

    async def in_pieces() -> Any:
        yield too_much

    declared = await send(world, operation, too_much)
    streamed = await send(world, operation, in_pieces())

    for response in (declared, streamed):
        assert (response.status_code, response.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("operation", with_parameters, **by_id)
async def test_strange_parameters_never_break_anything(world: World, operation: Operation) -> None:
    key = world.admin if operation.for_admins else world.key
    body = _example(operation) if operation.body is not None else None
    found = []

    async with world.http(key) as http:
        for parameter in operation.parameters:
            for what, text in PARAMETERS.items():
                async with world.undone():
                    address = _address(world, operation, parameter, text)
                    response = await http.request(operation.method, address, json=body)
                wrong = _parameter_complaint(operation, response)
                if wrong:
                    found.append(f"{parameter['name']} {what}: {wrong}")

    assert found == []


async def test_a_nasty_line_loses_no_other(world: World) -> None:
    batch = next(found for found in with_body if found.name == "post_predictions")
    (good,) = _example(batch)["predictions"]
    texts = [nasty.with_value(good, ("subject", "text"), text) for text in nasty.REFUSED.values()]
    lines = [*texts, b"\xff", b"\x00", b"{", b"null", json.dumps(good).encode()]

    response = await send(world, batch, b"\n".join(lines), "application/x-ndjson")

    rows = [json.loads(row) for row in response.text.splitlines()]
    assert [row["status"] in (400, 422) for row in rows] == [True] * (len(lines) - 1) + [False]
    assert rows[-1]["status"] == 201


def _example(operation: Operation) -> Any:
    assert operation.body is not None
    return operation.body["example"]


def _with_field(body: Any, name: str) -> str:
    return f"{json.dumps(body)[:-1]}, {name}: 1}}"


def _address(world: World, operation: Operation, parameter: Any, text: str) -> str:
    if parameter["in"] == "query":
        return f"{world.path(operation)}?{parameter['name']}={text}"
    return operation.path.format(**{**world.parameters, parameter["name"]: text})


def _parameter_complaint(operation: Operation, response: httpx.Response) -> str | None:
    """Like `complaint`, but a strange path may lead to another operation, or to none."""
    if response.status_code >= 400:
        kind = response.headers["content-type"]
        if response.status_code >= 500 or kind != PROBLEM or not response.json()["code"]:
            return f"{response.status_code} {response.text[:200]}"
    return None
