"""What a request says beside its body: parameters, the kind of its body, its encoding."""

import json
from typing import Any

import httpx
import pytest

from app.flows.context import Context
from tests.api.test_predictions import MANY, ONE, is_problem
from tests.flows.tables import sizes
from tests.scenario import Scenario

CLAIM = "/v1/queues/unrouted/leases"
VALIDATE = "/v1/policies/validate"
DOCUMENT = {"name": "sentiment", "applies_to": {"model": "sentiment"}}
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("path", "name", "there"),
    [
        (f"{ONE}?dryrun=true", "dryrun", "there are: dry_run."),
        (f"{ONE}?dry_run=true&x=", "x", "there are: dry_run."),
        (f"{MANY}?dry_run=true", "dry_run", "POST /v1/predictions?dry_run=true"),
        (f"{MANY}?x=1", "x", "there are none."),
        (f"{CLAIM}?max=5", "max", "there are none."),
        (f"{VALIDATE}?strict=1", "strict", "there are none."),
    ],
)
async def test_parameter_that_is_not_known_is_refused_and_nothing_is_stored(  # noqa: PLR0917
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, path: str, name: str, there: str
) -> None:
    response = await client.post(path, json=scenario.prediction())

    problem = is_problem(response, 422, "invalid")
    assert problem["errors"][0]["loc"] == ["query", name]
    assert there in problem["detail"]
    assert sum((await sizes(ctx, scenario.project)).values()) == 0


async def test_known_parameters_are_named_where_there_are_some(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/policies?models=sentiment")

    problem = is_problem(response, 422, "invalid")
    assert "there are: name, model, state, limit, cursor" in problem["detail"]


async def test_parameter_with_one_value_stands_once(client: httpx.AsyncClient) -> None:
    twice = await client.post(f"{ONE}?dry_run=true&dry_run=false", json={})
    several = await client.get("/v1/metrics/summary?segment=source:a&segment=lang:en")

    assert is_problem(twice, 422, "invalid")["errors"][0]["loc"] == ["query", "dry_run"]
    assert several.status_code == 200


async def test_probe_is_answered_whatever_hangs_on_its_address(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz?at=1")).status_code == 200


@pytest.mark.parametrize("path", [ONE, MANY, CLAIM, VALIDATE, "/v1/decisions/lookup"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_encoded_body_is_refused_and_its_encoding_named(
    client: httpx.AsyncClient, path: str, kind: str
) -> None:
    headers = {"content-encoding": "gzip", "content-type": kind}

    response = await client.post(path, content=b"\x1f\x8b", headers=headers)

    problem = is_problem(response, 415, "unsupported_media_type")
    assert problem["errors"][0]["loc"] == ["header", "content-encoding"]
    assert "gzip" in problem["detail"]


async def test_body_that_says_it_is_not_encoded_is_taken(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    headers = {"content-encoding": "Identity"}

    response = await client.post(ONE, json=scenario.prediction(), headers=headers)

    assert response.status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-ndjson", FORM])
@pytest.mark.parametrize("path", [ONE, CLAIM, VALIDATE, "/v1/decisions/lookup"])
async def test_body_of_another_kind_is_refused_with_what_is_taken(
    client: httpx.AsyncClient, path: str, kind: str
) -> None:
    response = await client.post(path, content=b"{}", headers={"content-type": kind})

    problem = is_problem(response, 415, "unsupported_media_type")
    assert problem["errors"][0]["loc"] == ["header", "content-type"]
    assert "application/json" in problem["detail"]
    assert ("application/yaml" in problem["detail"]) == (path == VALIDATE)
    assert ("send the header Content-Type" in problem["detail"]) == (kind == FORM)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/ld+json", None]
)
async def test_json_may_be_called_what_it_is_called(
    client: httpx.AsyncClient, scenario: Scenario, kind: str | None
) -> None:
    await scenario.decided()
    headers = {"content-type": kind} if kind is not None else {}

    def sent(path: str, body: Any) -> Any:
        return client.post(path, content=json.dumps(body), headers=headers)

    statuses = [
        (await sent(ONE, scenario.prediction())).status_code,
        (await sent(MANY, {"predictions": [scenario.prediction()]})).status_code,
        (await sent(CLAIM, {"reviewer": "r-17"})).status_code,
        (await sent("/v1/decisions/lookup", {"request_keys": ["req-1"]})).status_code,
        (await sent(VALIDATE, DOCUMENT)).status_code,
    ]
    assert statuses == [201, 200, 200, 200, 200]


@pytest.mark.parametrize(
    "kind", ["application/ndjson", "application/jsonl", "application/jsonlines; charset=utf-8"]
)
async def test_lines_may_be_called_what_people_call_them(
    client: httpx.AsyncClient, scenario: Scenario, kind: str
) -> None:
    line = json.dumps(scenario.prediction())

    response = await client.post(MANY, content=line, headers={"content-type": kind})

    assert json.loads(response.text)["status"] == 201


@pytest.mark.parametrize("kind", ["text/yaml", "application/x-yaml", "application/policy+yaml"])
async def test_yaml_may_be_called_what_people_call_it(client: httpx.AsyncClient, kind: str) -> None:
    text = "name: sentiment\napplies_to: {model: sentiment}\n"

    response = await client.post(VALIDATE, content=text, headers={"content-type": kind})

    assert response.status_code == 200


async def test_act_without_a_body_may_come_with_any_kind(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()

    response = await client.post(
        "/v1/policies/sentiment/versions/1/activate", headers={"content-type": FORM}
    )

    assert response.status_code == 200


async def test_cursor_is_of_one_list(client: httpx.AsyncClient, scenario: Scenario) -> None:
    await scenario.decided()
    page = (await client.get("/v1/decisions?limit=1")).json()

    assert page["next_cursor"] is not None
    again = await client.get("/v1/decisions", params={"cursor": page["next_cursor"]})
    elsewhere = await client.get("/v1/items", params={"cursor": page["next_cursor"]})

    assert again.status_code == 200
    assert is_problem(elsewhere, 422, "invalid")["errors"][0]["loc"] == ["query", "cursor"]


@pytest.mark.parametrize("path", ["/v1/items", "/v1/metrics/summary", "/v1/decisions"])
async def test_range_that_ends_before_it_begins_is_refused(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(f"{path}?from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z")

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["query", "from"]
