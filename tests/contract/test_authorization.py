"""Who may do what, for every operation of the OpenAPI document: none can be forgotten."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.api.examples import EXAMPLES
from app.core.access import PROJECT_SCOPES, Scope
from app.store.ids import utc_now
from tests.contract.document import Operation, objects_in, operations, schemas
from tests.contract.world import World, done, make_key

# everything else asks for a key
OPEN = {"live", "ready"}
OPEN_ADDRESSES = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
# a name in their path is the caller's own to take, whoever else has one like it
MAKES_ITS_OWN = {"put_detector", "put_monitor", "put_policy", "put_queue", "put_reference"}

closed = [operation for operation in operations if operation.name not in OPEN]
with_key = pytest.mark.parametrize("operation", closed, ids=lambda operation: operation.name)
of_projects = [operation for operation in closed if not operation.for_admins]
of_a_project = pytest.mark.parametrize(
    "operation", of_projects, ids=lambda operation: operation.name
)


async def call(
    world: World, operation: Operation, key: str | None, body: Any = None
) -> httpx.Response:
    """Call an operation on what is in a world, with its example or another body."""
    if body is None and operation.body is not None:
        body = operation.body["example"]
    async with world.http(key) as http:
        return await http.request(operation.method, world.path(operation), json=body)


def test_only_probes_are_open() -> None:
    assert {operation.name for operation in operations if not operation.ways} == OPEN


def test_only_the_document_and_its_page_are_not_in_it(world: World) -> None:
    documented = {operation.path for operation in operations}

    undocumented = set(_paths(world.app.routes)) - documented

    assert undocumented == OPEN_ADDRESSES


@with_key
@pytest.mark.parametrize(
    "key",
    [
        pytest.param(None, id="none"),
        pytest.param("ovr_garbage", id="garbage"),
        pytest.param(f"ovr_{'0' * 32}_{'A' * 43}", id="unknown"),
        pytest.param("", id="empty"),
    ],
)
async def test_without_a_good_key_nothing_is_answered(
    world: World, operation: Operation, key: str | None
) -> None:
    response = await call(world, operation, key)

    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


@with_key
async def test_another_secret_under_a_good_id_is_refused(
    world: World, operation: Operation
) -> None:
    head, _, secret = world.key.rpartition("_")

    response = await call(world, operation, f"{head}_{secret[::-1]}")

    assert response.status_code == 401


@with_key
async def test_a_revoked_key_is_refused(world: World, operation: Operation) -> None:
    key = await _key_for(world, operation)
    async with world.http(world.admin) as http:
        await http.delete(f"/v1/keys/{key.split('_')[1]}")

    response = await call(world, operation, key)

    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


@with_key
async def test_an_expired_key_is_refused(
    world: World, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await _key_for(world, operation, expires_in=timedelta(hours=1))
    monkeypatch.setattr(world.ctx.db, "now", utc_now() + timedelta(hours=1))

    response = await call(world, operation, key)

    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")


@with_key
async def test_a_key_that_has_not_expired_is_good(world: World, operation: Operation) -> None:
    key = await _key_for(world, operation, expires_in=timedelta(hours=1))

    response = await call(world, operation, key)

    assert response.is_success, response.text


@with_key
async def test_the_scopes_of_an_operation_are_enough_and_needed(
    world: World, operation: Operation
) -> None:
    needed = set().union(*operation.ways)
    other_scopes = [scope for scope in PROJECT_SCOPES if scope not in needed]
    lacking = [await make_key(world.ctx, other_scopes, "moderation")]
    if Scope.ADMIN not in needed:
        lacking.append(world.admin)

    refused = [await call(world, operation, key) for key in lacking]
    allowed = [await call(world, operation, await _key_of(world, way)) for way in operation.ways]

    assert [(found.status_code, found.json()["code"]) for found in refused] == [
        (403, "forbidden") for _ in lacking
    ]
    assert [found.status_code for found in allowed if not found.is_success] == []


@of_a_project
async def test_another_projects_things_are_not_there(
    world: World, other: World, operation: Operation
) -> None:
    before = await _seen(other)

    response = await call(other, operation, world.key, _body_with_ids_of(other, operation))

    if operation.path_parameters and operation.name not in MAKES_ITS_OWN:
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert [trace for trace in _traces(other, operation) if trace in response.text] == []
    assert await _seen(other) == before


@of_a_project
async def test_to_its_own_project_everything_is_there(other: World, operation: Operation) -> None:
    body = _body_with_ids_of(other, operation)
    policy = {"name": "policy-5e1", "applies_to": {"model": "policy-5e1"}}
    if operation.name in {"put_policy", "validate_policy"}:
        body = policy
    if operation.name == "simulate_policy":
        body = {"document": policy}
    if operation.name == "put_monitor":
        name = other.parameters["name"]
        body = {"model": name, "signal": "confidence", "reference": name}
    if operation.name == "import_a2i_policy":
        body = {**EXAMPLES[operation.name].request, "queue": other.parameters["queue"]}

    response = await call(other, operation, other.key, body)

    assert response.is_success, response.text


async def test_a_policy_cannot_send_to_another_projects_queue(world: World, other: World) -> None:
    policy = {
        "name": "mine",
        "applies_to": {"model": "m"},
        "rules": [
            {
                "id": "all",
                "confidence": {"below": 1},
                "route": "review",
                "queue": other.parameters["queue"],
            }
        ],
    }

    async with world.http(world.key) as http:
        response = await http.put("/v1/policies/mine", json=policy)

    assert response.status_code == 422


def test_every_body_with_ids_is_tried_with_another_projects() -> None:
    ids = {
        operation.name
        for operation in of_projects
        if operation.body is not None
        for found in objects_in(schemas[operation.body["schema"]["$ref"].rpartition("/")[2]])
        if found.get("format") == "uuid"
    }

    assert ids == {"lookup_decisions"}, "give it another project's ids in _body_with_ids_of"


def _paths(routes: Iterable[Any]) -> Iterator[str]:
    """The paths of all routes, those of included routers and those kept out of the document too."""
    for route in routes:
        inside = getattr(route, "original_router", None)
        if inside is not None:
            yield from _paths(inside.routes)
        else:
            yield route.path


def _body_with_ids_of(world: World, operation: Operation) -> Any:
    if operation.name == "lookup_decisions":
        return {
            "ids": [world.parameters["decision_id"]],
            "request_keys": ["req-80a", "req-80b"],
        }
    return None


def _traces(world: World, operation: Operation) -> list[str]:
    """What an answer about another project would contain."""
    named = {world.parameters[name] for name in operation.path_parameters}
    found = {value for name, value in world.parameters.items() if name != "number"}
    # what the caller itself has sent may be repeated to it
    return sorted({*found, "other-5e1"} - named)


async def _seen(world: World) -> list[Any]:
    """All that a project can read of itself, but for ages that grow meanwhile."""
    seen = []
    async with world.http(world.key) as http:
        for path in ("decisions", "items", "policies", "queues"):
            page = await done(http.get(f"/v1/{path}"))
            seen += [{**row, "oldest_age_s": None} for row in page["items"]]
    return seen


async def _key_for(world: World, operation: Operation, expires_in: timedelta | None = None) -> str:
    expires_at = utc_now() + expires_in if expires_in is not None else None
    return await _key_of(world, operation.ways[0], expires_at)


async def _key_of(world: World, scopes: set[str], expires_at: Any = None) -> str:
    project = None if scopes == {Scope.ADMIN} else "moderation"
    return await make_key(world.ctx, [Scope(scope) for scope in scopes], project, expires_at)
