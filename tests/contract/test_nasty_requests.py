"""Whatever a client sends, the answer is no 5xx and, when it is refused, a problem document."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest

from tests.contract import nasty
from tests.contract.document import PROBLEM, Operation, operations, response_mistakes, schemas
from tests.contract.world import World

with_body = [operation for operation in operations if operation.body is not None]
by_name = {operation.name: operation for operation in with_body}
each = pytest.mark.parametrize("operation", with_body, ids=lambda operation: operation.name)
# what reads these bodies is tried with all fields on another operation
READ_ELSEWHERE = {"post_predictions", "validate_policy"}
# measures share their filters, so these are tried on the last of them, which costs least
with_parameters = {
    (parameter["name"], str(operation.described["tags"] == ["metrics"] or operation.name)): (
        operation,
        parameter,
    )
    for operation in operations
    for parameter in operation.parameters
}


@pytest.mark.parametrize(
    "operation",
    [operation for operation in with_body if operation.name not in READ_ELSEWHERE],
    ids=lambda operation: operation.name,
)
def test_every_field_is_tried(operation: Operation) -> None:
    assert operation.body is not None
    schema = schemas[operation.body["schema"]["$ref"].rpartition("/")[2]]

    missing = schema["properties"].keys() - _body(operation).keys()

    assert missing == set(), "give them values in MORE of tests/contract/nasty.py"


@each
async def test_what_no_field_can_hold_is_refused(world: World, operation: Operation) -> None:
    body = _body(operation)
    places = list(nasty.leaves(body))
    tried = [(place, what) for place in places for what in nasty.REFUSED]
    tried += [(places[0], what) for what in nasty.UNREADABLE]
    texts = {**nasty.REFUSED, **nasty.UNREADABLE}

    contents = [nasty.with_value(body, place, texts[what]) for place, what in tried]
    answers = [response async for response in send(world, operation, contents)]

    wrong = [
        (*case, _complaint(operation, response) or response.status_code)
        for case, response in zip(tried, answers, strict=True)
        if not _refused(operation, response) or _complaint(operation, response)
    ]
    assert wrong == []


@each
async def test_what_is_strange_breaks_nothing(world: World, operation: Operation) -> None:
    body = _body(operation)
    tried = [(place, what) for place in nasty.leaves(body) for what in nasty.STRANGE]

    contents = [nasty.with_value(body, place, nasty.STRANGE[what]) for place, what in tried]
    answers = [response async for response in send(world, operation, contents)]

    wrong = [
        (*case, complaint)
        for case, response in zip(tried, answers, strict=True)
        if (complaint := _complaint(operation, response))
    ]
    assert wrong == []


@each
async def test_unknown_fields_are_refused_whatever_they_are_called(
    world: World, operation: Operation
) -> None:
    names = ["unknown", r"\u0000", r"\ud800", r"\"`$.[0]", "x" * 100_000]
    contents = [nasty.with_field(_body(operation), f'"{name}": 1') for name in names]

    answers = [response async for response in send(world, operation, contents)]

    assert [_complaint(operation, response) for response in answers] == [None] * len(names)
    assert [_refused(operation, response) for response in answers] == [True] * len(names)


@each
async def test_a_field_that_stands_twice_breaks_nothing(world: World, operation: Operation) -> None:
    body = _body(operation)
    contents = [
        nasty.with_field(body, f"{json.dumps(name)}: {json.dumps(value)}")
        for name, value in body.items()
    ]

    answers = [response async for response in send(world, operation, contents)]

    assert [_complaint(operation, response) for response in answers] == [None] * len(contents)


@each
async def test_a_body_that_is_no_object_is_refused(world: World, operation: Operation) -> None:
    # a body that may be left out may be empty, or null
    fine = set() if operation.described["requestBody"].get("required") else {"empty", "null"}
    bodies = {what: content for what, content in nasty.BODIES.items() if what not in fine}

    answers = [response async for response in send(world, operation, bodies.values())]

    statuses = dict(zip(bodies, answers, strict=True))
    assert [what for what, found in statuses.items() if not _refused(operation, found)] == []
    assert [_complaint(operation, response) for response in answers] == [None] * len(answers)


@each
@pytest.mark.parametrize("kind", [b"text/plain", b"multipart/form-data; boundary=x", b"\xff", b""])
async def test_another_content_type_is_refused(
    world: World, operation: Operation, kind: bytes
) -> None:
    content = nasty.with_value(_body(operation), (), "[1]")

    (response,) = [found async for found in send(world, operation, [content], kind)]

    # without one it is read as JSON
    assert response.status_code == (415 if kind else 422)
    assert _complaint(operation, response) is None


@each
async def test_a_body_past_the_limit_is_too_large(world: World, operation: Operation) -> None:
    too_much = b" " * (world.ctx.settings.body_bytes_max + 1)

    async def in_pieces() -> AsyncIterator[bytes]:
        yield too_much

    answers = [found async for found in send(world, operation, [too_much, in_pieces()])]

    assert [(found.status_code, found.json()["code"]) for found in answers] == [
        (413, "too_large"),
        (413, "too_large"),
    ]


@pytest.mark.parametrize(
    ("operation", "parameter"),
    with_parameters.values(),
    ids=[f"{found.name}-{parameter['name']}" for found, parameter in with_parameters.values()],
)
async def test_strange_parameters_break_nothing(
    world: World, operation: Operation, parameter: dict[str, Any]
) -> None:
    body = operation.body["example"] if operation.body is not None else None
    answers = {}

    async with _http(world, operation) as http:
        for what, text in nasty.PARAMETERS.items():
            address = _address(world, operation, parameter, text)
            answers[what] = await http.request(operation.method, address, json=body)

    # a strange path may lead to another operation, or to none
    wrong = {
        what: response.text[:200]
        for what, response in answers.items()
        if response.status_code >= 500
        or (response.is_client_error and response.headers["content-type"] != PROBLEM)
    }
    assert wrong == {}


async def test_a_nasty_line_loses_no_other(world: World) -> None:
    good = _body(by_name["post_prediction"])
    texts = [nasty.with_value(good, ("subject", "text"), text) for text in nasty.REFUSED.values()]
    lines = [*texts, b"\xff", b"\x00", b"{", b"null", json.dumps(good).encode()]
    content = b"\n".join(lines)

    (response,) = [
        found
        async for found in send(
            world, by_name["post_predictions"], [content], b"application/x-ndjson"
        )
    ]

    statuses = [json.loads(row)["status"] for row in response.text.splitlines()]
    assert len(statuses) == len(lines)
    assert set(statuses[:-1]) <= {400, 422}
    assert statuses[-1] == 201


async def send(
    world: World,
    operation: Operation,
    contents: Iterable[Any],
    kind: bytes = b"application/json",
) -> AsyncIterator[httpx.Response]:
    """Send bodies one after the other; what one of them did, the next does not find."""
    pending = list(contents)
    async with _http(world, operation) as http:
        while pending:
            async with world.undone():
                response = None
                while pending and (response is None or not response.is_success):
                    response = await http.request(
                        operation.method,
                        world.path(operation),
                        content=pending.pop(0),
                        headers={b"content-type": kind},
                    )
                    yield response


def _http(world: World, operation: Operation) -> httpx.AsyncClient:
    return world.http(world.admin if operation.for_admins else world.key)


def _body(operation: Operation) -> Any:
    """The example with all further fields."""
    assert operation.body is not None
    example = dict(operation.body["example"])
    # nothing waits for work that nobody brings
    waiting = {"wait_s": 0} if "wait_s" in example else {}
    return {**example, **nasty.MORE.get(operation.name, {}), **waiting}


def _refused(operation: Operation, response: httpx.Response) -> bool:
    """Whether a request, or every row of a batch, was refused."""
    if operation.name == "post_predictions" and response.is_success:
        return all(400 <= row["status"] < 500 for row in response.json()["results"])
    return response.is_client_error


def _complaint(operation: Operation, response: httpx.Response) -> str | None:
    """What is wrong with an answer to a nasty request."""
    if response.status_code >= 500:
        return f"{response.status_code} {response.text[:200]}"
    mistakes = response_mistakes(operation, response)
    if operation.name == "post_predictions" and response.is_success:
        rows = response.json()["results"]
        mistakes += [row["problem"]["detail"] for row in rows if row["status"] >= 500]
    return f"{response.status_code} {mistakes}" if mistakes else None


def _address(world: World, operation: Operation, parameter: Any, text: str) -> str:
    if parameter["in"] == "query":
        return f"{world.path(operation)}?{parameter['name']}={text}"
    return operation.path.format(**{**world.parameters, parameter["name"]: text})
