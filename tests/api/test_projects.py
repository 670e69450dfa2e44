"""Projects and keys over HTTP: shown once, scoped, expiring, revoked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.core.access import Scope
from app.core.errors import Invalid
from app.flows import projects
from app.flows.context import Context
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

PROJECTS, KEYS = "/v1/projects", "/v1/keys"


@pytest.fixture
async def admin(ctx: Context, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The client, with an admin key."""
    new = await projects.create_key(ctx, "test", project=None, name="root", scopes=[Scope.ADMIN])
    client.headers["Authorization"] = f"Bearer {new.text}"
    return client


def using(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def walk(client: httpx.AsyncClient, path: str, **query: Any) -> list[Any]:
    seen, cursor = [], None
    while True:
        page = await client.get(path, params={**query, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        seen += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return seen


async def test_project_is_made_once(admin: httpx.AsyncClient) -> None:
    made = await admin.post(PROJECTS, json={"name": "moderation"})
    again = await admin.post(PROJECTS, json={"name": "moderation"})

    assert made.status_code == 201
    assert made.json()["name"] == "moderation"
    assert is_problem(again, 409, "name_taken")["errors"][0]["loc"] == ["name"]


async def test_projects_are_listed_page_by_page(
    admin: httpx.AsyncClient, scenario: Scenario
) -> None:
    for n in range(4):
        await admin.post(PROJECTS, json={"name": f"p{n}"})

    names = [project["name"] for project in await walk(admin, PROJECTS, limit=2)]

    assert names == [scenario.name, "p0", "p1", "p2", "p3"]


async def test_new_key_is_shown_once_and_works(
    admin: httpx.AsyncClient, scenario: Scenario
) -> None:
    made = await admin.post(
        KEYS, json={"project": scenario.name, "name": "serving", "scopes": ["predict", "read"]}
    )

    assert made.status_code == 201
    key = made.json()
    listed = await walk(admin, KEYS, project=scenario.name)
    assert {one["name"] for one in listed} == {"all", "serving"}
    assert all("key" not in one for one in listed)
    posted = await admin.post(
        "/v1/predictions", json=scenario.prediction(), headers=using(key["key"])
    )
    assert posted.status_code == 201
    is_problem(await admin.get(PROJECTS, headers=using(key["key"])), 403, "forbidden")
    is_problem(
        await admin.put("/v1/policies/a", json={}, headers=using(key["key"])), 403, "forbidden"
    )


async def test_revoked_key_is_refused_at_once(admin: httpx.AsyncClient, scenario: Scenario) -> None:
    made = await admin.post(
        KEYS, json={"project": scenario.name, "name": "serving", "scopes": ["read"]}
    )
    key = made.json()
    assert (await admin.get("/v1/decisions", headers=using(key["key"]))).status_code == 200

    revoked = await admin.delete(f"{KEYS}/{key['id']}")
    again = await admin.delete(f"{KEYS}/{key['id']}")

    assert (revoked.status_code, again.status_code) == (204, 204)
    refused = await admin.get("/v1/decisions", headers=using(key["key"]))
    is_problem(refused, 401, "unauthenticated")
    listed = {one["id"]: one for one in await walk(admin, KEYS)}
    assert listed[key["id"]]["revoked_at"] is not None


async def test_key_ends_by_itself_by_the_database_clock(
    ctx: Context, admin: httpx.AsyncClient, scenario: Scenario
) -> None:
    ends = datetime(2027, 1, 1, tzinfo=UTC)
    made = await admin.post(
        KEYS,
        json={
            "project": scenario.name,
            "name": "guest",
            "scopes": ["read"],
            "expires_at": ends.isoformat(),
        },
    )
    headers = using(made.json()["key"])

    ctx.db.now = ends - timedelta(seconds=60)
    before = await admin.get("/v1/decisions", headers=headers)
    ctx.db.now = ends
    after = await admin.get("/v1/decisions", headers=headers)

    assert before.status_code == 200
    is_problem(after, 401, "unauthenticated")


async def test_admin_key_belongs_to_no_project_and_reaches_none(
    admin: httpx.AsyncClient, scenario: Scenario
) -> None:
    made = await admin.post(KEYS, json={"name": "second", "scopes": ["admin"]})

    assert (made.status_code, made.json()["project"]) == (201, None)
    is_problem(await admin.get("/v1/decisions"), 403, "forbidden")
    is_problem(await admin.post("/v1/predictions", json=scenario.prediction()), 403, "forbidden")


@pytest.mark.parametrize(
    ("changes", "status", "loc"),
    [
        ({"scopes": ["admin"]}, 422, ["scopes"]),
        ({"project": None}, 422, ["scopes"]),
        ({"project": None, "scopes": ["admin", "read"]}, 422, ["scopes"]),
        ({"scopes": []}, 422, ["scopes"]),
        ({"scopes": ["everything"]}, 422, ["scopes", 0]),
        ({"scopes": ["read"] * 6}, 422, ["scopes"]),
        ({"name": ""}, 422, ["name"]),
        ({"name": "a\x00"}, 422, ["name"]),
        ({"name": "a" * 129}, 422, ["name"]),
        ({"more": 1}, 422, ["more"]),
        ({"expires_at": "2027-01-01T00:00:00"}, 422, ["expires_at"]),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, 422, ["expires_at"]),
        ({"expires_at": "2026-01-01T00:00:00Z"}, 422, ["expires_at"]),
        ({"expires_at": 1_900_000_000}, 422, ["expires_at"]),
        ({"project": "nowhere"}, 404, ["project"]),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_key_that_cannot_be_is_refused(
    admin: httpx.AsyncClient, scenario: Scenario, changes: dict[str, Any], status: int, loc: Any
) -> None:
    body = {"project": scenario.name, "name": "serving", "scopes": ["read"], **changes}

    response = await admin.post(KEYS, json=body)

    problem = is_problem(response, status, "invalid" if status == 422 else "not_found")
    assert problem["errors"][0]["loc"] == loc


async def test_key_may_end_at_the_last_moment_that_there_is(
    admin: httpx.AsyncClient, scenario: Scenario
) -> None:
    ends = "9999-12-31T23:59:59.999999Z"
    body = {"project": scenario.name, "name": "k", "scopes": ["read"], "expires_at": ends}

    made = await admin.post(KEYS, json=body)

    assert made.status_code == 201
    answer = await admin.get("/v1/decisions", headers=using(made.json()["key"]))
    assert answer.status_code == 200


async def test_scope_that_is_named_twice_counts_once(
    admin: httpx.AsyncClient, scenario: Scenario
) -> None:
    body = {"project": scenario.name, "name": "k", "scopes": ["read", "predict", "read"]}

    made = await admin.post(KEYS, json=body)

    assert (made.status_code, made.json()["scopes"]) == (201, ["read", "predict"])


async def test_unknown_key_cannot_be_revoked(admin: httpx.AsyncClient) -> None:
    response = await admin.delete(f"{KEYS}/00000000-0000-0000-0000-000000000000")

    is_problem(response, 404, "not_found")


async def test_project_names_are_checked(admin: httpx.AsyncClient) -> None:
    for name in ("", "a b", "-a", "a" * 129, "ä"):
        response = await admin.post(PROJECTS, json={"name": name})
        assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["name"]


@pytest.mark.parametrize("bad", ["project", "name"])
async def test_a_key_made_without_the_api_has_names_that_the_api_takes(
    ctx: Context, bad: str
) -> None:
    names = {"project": "moderation", "name": "serving", bad: ""}

    with pytest.raises(Invalid) as refused:
        await projects.create_key(
            ctx,
            "test",
            project=names["project"],
            name=names["name"],
            scopes=[Scope.READ],
            make_project=True,
        )

    assert refused.value.places[0][0] == (bad,)


async def test_every_change_is_logged_with_who_made_it(
    ctx: Context, admin: httpx.AsyncClient
) -> None:
    await admin.post(PROJECTS, json={"name": "moderation"})
    made = await admin.post(
        KEYS, json={"project": "moderation", "name": "serving", "scopes": ["read"]}
    )
    await admin.delete(f"{KEYS}/{made.json()['id']}")

    async with ctx.db.read() as tx:
        logged = await tx.raw.fetch(
            "SELECT actor, action, target, after FROM change_log ORDER BY id DESC LIMIT 3"
        )
    target = f"key:{made.json()['id']}"
    assert [(row["action"], row["target"]) for row in reversed(logged)] == [
        ("project.create", "project:moderation"),
        ("key.create", target),
        ("key.revoke", target),
    ]
    assert {row["actor"][:4] for row in logged} == {"key:"}
    assert logged[1]["after"] == {"name": "serving", "scopes": ["read"]}
