"""Policies over HTTP: documents in JSON and YAML, versions, and which one is active."""

import json
from typing import Any

import httpx
import pytest

from app.api.policies import DOCUMENT_BYTES_MAX
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

SENTIMENT = "/v1/policies/sentiment"
VALIDATE = "/v1/policies/validate"
DOCUMENT: dict[str, Any] = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "labels": ["negative", "positive"],
    "rules": [
        {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "unrouted"}
    ],
}
YAML = """
name: sentiment
applies_to: {model: sentiment}
labels: [negative, positive]
rules:
  - {id: unsure, confidence: {below: 0.85}, route: review, queue: unrouted}
"""
AS_YAML = {"content-type": "application/yaml"}


async def test_first_document_is_answered_201_and_the_same_again_200(
    client: httpx.AsyncClient,
) -> None:
    first = await client.put(SENTIMENT, json=DOCUMENT)
    again = await client.put(SENTIMENT, json=DOCUMENT)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    version = first.json()
    assert (version["version"], version["state"], version["model"]) == (1, "draft", "sentiment")
    assert version["document"] == DOCUMENT
    assert len(version["digest"]) == 64


async def test_yaml_is_the_same_document_as_json(client: httpx.AsyncClient) -> None:
    first = await client.put(SENTIMENT, json=DOCUMENT)

    again = await client.put(SENTIMENT, content=YAML, headers=AS_YAML)

    assert again.status_code == 200
    assert again.json() == first.json()


async def test_version_goes_from_draft_to_active_to_retired(client: httpx.AsyncClient) -> None:
    await client.put(SENTIMENT, json=DOCUMENT)
    await client.put(SENTIMENT, json={**DOCUMENT, "default": "reject"})

    states = []
    for act in ("1/activate", "2/activate", "2/retire"):
        response = await client.post(f"{SENTIMENT}/versions/{act}")
        assert response.status_code == 200
        states.append((response.json()["version"], response.json()["state"]))

    assert states == [(1, "active"), (2, "active"), (2, "retired")]
    assert (await client.get(f"{SENTIMENT}/versions/1")).json()["state"] == "retired"


async def test_versions_are_listed_page_by_page(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await client.put(SENTIMENT, json={**DOCUMENT, "description": f"number {number}"})

    seen, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/policies", params=query)).json()
        seen += [version["version"] for version in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == [1, 2, 3, 4, 5]


async def test_valid_document_is_told_so_and_not_stored(client: httpx.AsyncClient) -> None:
    response = await client.post(VALIDATE, json=DOCUMENT)

    assert (response.status_code, response.json()) == (200, {"valid": True})
    assert (await client.get("/v1/policies")).json()["items"] == []


async def test_every_mistake_of_a_document_is_named_by_its_place(
    client: httpx.AsyncClient,
) -> None:
    document = {
        **DOCUMENT,
        "default": "review",
        "rules": [{**DOCUMENT["rules"][0], "confidence": {"below": 7}}],
    }

    for response in (
        await client.post(VALIDATE, json=document),
        await client.put(SENTIMENT, json=document),
    ):
        problem = is_problem(response, 422, "invalid")
        assert [place["loc"] for place in problem["errors"]] == [
            ["rules", 0, "confidence", "below"],
            ["default"],
        ]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param("a: &a [1]\nb: [*a, *a]", "aliases", id="alias"),
        pytest.param(
            "\n".join(
                ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
            ),
            "aliases",
            id="alias bomb",
        ),
        pytest.param("name: a\nname: b", "twice", id="key twice"),
        pytest.param("a: {b: 1, b: 2}", "twice", id="key twice, deeper"),
        pytest.param("a: [1", "Not valid YAML", id="cut off"),
        pytest.param("!!python/object/apply:os.system ['true']", "Not valid YAML", id="object"),
        pytest.param("? [1, 2]\n: 3", "Not valid YAML", id="list as a key"),
        pytest.param("[" * 1500, "Not valid YAML", id="deep nesting"),
        pytest.param("a: \x00", "Not valid YAML", id="raw NUL"),
        pytest.param(b"a: \xff", "Not valid YAML", id="not UTF-8"),
    ],
)  # fmt: skip
async def test_yaml_that_is_more_than_a_document_is_refused(
    client: httpx.AsyncClient, body: Any, why: str
) -> None:
    response = await client.post(VALIDATE, content=body, headers=AS_YAML)

    assert why in is_problem(response, 400, "malformed")["detail"]


@pytest.mark.parametrize(
    ("line", "loc"),
    [
        pytest.param("audit: {probability: .nan}", ["audit", "probability"], id="NaN"),
        pytest.param("audit: {probability: .inf}", ["audit", "probability"], id="Infinity"),
        pytest.param("labels: [yes, no]", ["labels", 0], id="yes and no are no texts"),
        pytest.param('description: "a\\0b"', ["description"], id="escaped NUL"),
        pytest.param("description: 2026-11-23", None, id="a date is a text"),
        pytest.param(f"segments: [{'9' * 400}]", ["segments", 0], id="400 digits"),
    ],
)
async def test_what_yaml_has_and_json_has_not_gives_no_failure(
    client: httpx.AsyncClient, line: str, loc: list[Any] | None
) -> None:
    body = f"name: a\napplies_to: {{model: m}}\n{line}\n"

    response = await client.post(VALIDATE, content=body, headers=AS_YAML)

    if loc is None:
        assert response.status_code == 200
    else:
        assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == loc


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"null", 422, "invalid"),
        (b'{"name": "\\u0000"}', 422, "invalid"),
        (json.dumps({**DOCUMENT, "rules": "x"}).encode(), 422, "invalid"),
        (b'{"rules": [' + b"[" * 100_000, 422, "invalid"),
        (json.dumps({**DOCUMENT, "priority": 1}).encode(), 422, "invalid"),
    ],
    ids=["empty", "cut off", "null", "NUL", "rules", "deep nesting", "unknown field"],
)
async def test_body_that_is_no_document_is_refused(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    is_problem(await client.put(SENTIMENT, content=body), status, code)


async def test_document_may_be_as_large_as_the_limit_and_not_larger(
    client: httpx.AsyncClient,
) -> None:
    written = json.dumps(DOCUMENT)
    largest = written + " " * (DOCUMENT_BYTES_MAX - len(written))

    assert (await client.post(VALIDATE, content=largest)).status_code == 200
    is_problem(await client.post(VALIDATE, content=largest + " "), 413, "too_large")


async def test_document_whose_numbers_have_no_canonical_form_is_refused(
    client: httpx.AsyncClient,
) -> None:
    body = (
        json.dumps(DOCUMENT).replace("0.85", "0.85e0").replace('"rules"', '"segments": [], "rules"')
    )
    assert (await client.put(SENTIMENT, content=body)).status_code == 201

    response = await client.put(SENTIMENT, content=body.replace("0.85e0", "1e400"))

    is_problem(response, 422, "invalid")


async def test_names_that_are_paths_or_no_names_are_refused(client: httpx.AsyncClient) -> None:
    for name in ("validate", "simulate", "import", "a%20b", "%C3%A4", "a" * 129):
        response = await client.put(f"/v1/policies/{name}", json={**DOCUMENT, "name": name})
        assert is_problem(response, 422, "invalid")["errors"][0]["loc"][:2] == ["path", "name"]


async def test_name_of_document_and_address_must_agree(client: httpx.AsyncClient) -> None:
    response = await client.put("/v1/policies/toxicity", json=DOCUMENT)

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["name"]


async def test_version_that_is_not_there_is_answered_404(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()

    for method, path in (("GET", "2"), ("POST", "2/activate"), ("POST", "2/retire")):
        response = await client.request(method, f"{SENTIMENT}/versions/{path}")
        is_problem(response, 404, "not_found")
    is_problem(await client.get(f"{SENTIMENT}/versions/0"), 422, "invalid")
    is_problem(await client.get(f"{SENTIMENT}/versions/{2**31}"), 422, "invalid")
