"""Policies over HTTP: documents in JSON and YAML, versions, and which of them are in use."""

import json
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from app.api.policy_text import DOCUMENT_BYTES_MAX
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


async def test_rollback_is_one_call_and_goes_on_until_there_is_nothing_to_go_back_to(
    client: httpx.AsyncClient,
) -> None:
    for number in (1, 2, 3):
        await client.put(SENTIMENT, json={**DOCUMENT, "description": f"number {number}"})
        await client.post(f"{SENTIMENT}/versions/{number}/activate")

    # no body, an empty one, and one that leaves the choice open are the same
    bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"version": None}}]
    answers = [await client.post(f"{SENTIMENT}/rollback", **body) for body in bodies]
    named = await client.post(f"{SENTIMENT}/rollback", json={"version": 3})

    assert [answer.status_code for answer in answers] == [200, 200, 409]
    assert [(answer.json()["version"], answer.json()["state"]) for answer in answers[:2]] == [
        (2, "active"),
        (1, "active"),
    ]
    is_problem(answers[2], 409, "no_earlier_version")
    assert (named.status_code, named.json()["version"]) == (200, 3)


async def test_rollback_to_what_is_not_there_or_no_number_is_refused(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()

    is_problem(await client.post("/v1/policies/nothing/rollback"), 404, "not_found")
    is_problem(await client.post(f"{SENTIMENT}/rollback", json={"version": 2}), 404, "not_found")
    for version in (0, 2**31, "one", 1.5):
        response = await client.post(f"{SENTIMENT}/rollback", json={"version": version})
        assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["version"]


async def test_active_version_cannot_be_the_shadow_and_a_draft_can(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()
    await client.put(SENTIMENT, json=DOCUMENT)

    refused = await client.post(f"{SENTIMENT}/versions/1/shadow")
    shadow = await client.post(f"{SENTIMENT}/versions/2/shadow")

    is_problem(refused, 409, "state_conflict")
    assert (shadow.status_code, shadow.json()["state"]) == (200, "shadow")


async def test_two_versions_are_compared_rule_by_rule_and_field_by_field(
    client: httpx.AsyncClient,
) -> None:
    (unsure,) = DOCUMENT["rules"]
    surer = {**unsure, "confidence": {"below": 0.9}}
    await client.put(SENTIMENT, json=DOCUMENT)
    await client.put(SENTIMENT, json={**DOCUMENT, "rules": [surer], "audit": {"probability": 0.02}})

    told = await client.get(f"{SENTIMENT}/versions/1/diff?to=2")
    latest = await client.get(f"{SENTIMENT}/versions/1/diff")

    assert told.status_code == 200
    assert told.json() == {
        "from": 1,
        "to": 2,
        "rules": [
            {
                "rule": "unsure",
                "change": "changed",
                "before": unsure,
                "after": surer,
                "position_before": 0,
                "position_after": 0,
            }
        ],
        "on_drift": [],
        "fields": [{"field": "audit.probability", "before": None, "after": 0.02}],
    }
    assert latest.json() == told.json()


async def test_responses_to_drift_need_monitors_and_are_compared(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    response = {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95}
    document = {**DOCUMENT, "on_drift": [response]}
    await client.put(SENTIMENT, json=DOCUMENT)

    refused = await client.put(SENTIMENT, json=document)
    await scenario.monitor("confidence")
    taken = await client.put(SENTIMENT, json=document)

    (error,) = is_problem(refused, 422, "invalid")["errors"]
    assert error["loc"] == ["on_drift", 0, "monitor"]
    assert "PUT /v1/monitors/confidence" in error["detail"]
    assert (taken.status_code, taken.json()["warnings"]) == (201, [])
    told = await client.get(f"{SENTIMENT}/versions/1/diff")
    assert told.json()["on_drift"] == [
        {
            "monitor": "confidence",
            "change": "added",
            "before": None,
            "after": response,
            "position_before": None,
            "position_after": 0,
        }
    ]


async def test_schema_of_a_document_is_published_and_complete_in_itself(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/v1/policies/schema")

    assert response.headers["content-type"] == "application/schema+json"
    validator = Draft202012Validator(response.json())
    assert validator.is_valid(DOCUMENT)
    assert not validator.is_valid({**DOCUMENT, "colour": "red"})


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

    assert (response.status_code, response.json()) == (200, {"valid": True, "warnings": []})
    assert (await client.get("/v1/policies")).json()["items"] == []


async def test_rule_that_never_decides_is_a_warning_when_checked_and_when_put(
    client: httpx.AsyncClient,
) -> None:
    (unsure,) = DOCUMENT["rules"]
    document = {
        **DOCUMENT,
        "rules": [unsure, {**unsure, "id": "less", "confidence": {"below": 0.5}}],
    }

    checked, made, again = (
        await client.post(VALIDATE, json=document),
        await client.put(SENTIMENT, json=document),
        await client.put(SENTIMENT, json=document),
    )

    assert [answer.status_code for answer in (checked, made, again)] == [200, 201, 200]
    for answer in (checked, made, again):
        assert answer.json()["warnings"] == [
            {
                "loc": ["rules", 1],
                "message": "'less' never decides: 'unsure' (confidence below 0.85) stands before it "
                "and fires whenever it would.",
            }
        ]
    assert "warnings" not in (await client.get(f"{SENTIMENT}/versions/1")).json()


@pytest.mark.parametrize(
    ("wrong", "loc"),
    [
        pytest.param({"colour": "red"}, ["colour"], id="unknown field"),
        pytest.param({"rules": [{"queue": "nowhere"}]}, ["rules", 0, "queue"], id="unknown queue of a rule"),
        pytest.param({"audit": {"queue": "nowhere"}}, ["audit", "queue"], id="unknown queue of audits"),
        pytest.param({"rules": [{"confidence": {"below": 1.5}}]}, ["rules", 0, "confidence", "below"], id="threshold out of range"),
        pytest.param({"rules": [{"when": "prediction.risk >"}]}, ["rules", 0, "when"], id="does not compile"),
        pytest.param({"rules": [{"when": "prediction.risk + 1"}]}, ["rules", 0, "when"], id="no boolean"),
        pytest.param({"audit": {"probability": 0}}, ["audit", "probability"], id="accepts and never audits"),
        pytest.param({"audit": {"probability": 0.2, "per_label": {"positive": 0.01}}}, ["audit"], id="audits too unequal"),
    ],
)  # fmt: skip
async def test_each_kind_of_mistake_is_named_by_its_place(
    client: httpx.AsyncClient, wrong: Any, loc: list[Any]
) -> None:
    usual = {"id": "r", "route": "review", "queue": "unrouted"}
    document = {**DOCUMENT, **wrong}
    if "rules" in wrong:
        document["rules"] = [
            {**({} if "when" in rule else {"confidence": {"below": 0.8}}), **usual, **rule}
            for rule in wrong["rules"]
        ]

    for response in (
        await client.post(VALIDATE, json=document),
        await client.put(SENTIMENT, json=document),
    ):
        problem = is_problem(response, 422, "invalid")
        assert [place["loc"] for place in problem["errors"]] == [loc]


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
        pytest.param("name: a\nlabels: []\nname: b", "'name' stands twice in one mapping (line 3)", id="key twice"),
        pytest.param("1: a\n'1': b", "'1' stands twice", id="key twice, as number and text"),
        pytest.param("a: {no: 0.6}", "the key 'no' is a bool in YAML and no text; quote it (line 1)", id="no as a key"),
        pytest.param("2026-11-23: 1", "the key '2026-11-23' is a timestamp in YAML", id="date as a key"),
        pytest.param("a: " + "9" * 5000, "cannot be read as the int", id="5,000 digits"),
        pytest.param("a: 2026-13-45", "'2026-13-45' cannot be read as the timestamp", id="no date"),
        pytest.param("a: {b: 1, b: 2}", "twice", id="key twice, deeper"),
        pytest.param("a: [1", "Not valid YAML", id="cut off"),
        pytest.param("!!python/object/apply:os.system ['true']", "is not known here", id="object"),
        pytest.param("? [1, 2]\n: 3", "Not valid YAML", id="list as a key"),
        pytest.param("[" * 1500, "nested too deeply", id="deep nesting"),
        pytest.param("a: \x00", "Not valid YAML", id="raw NUL"),
        pytest.param(b"a: \xff", "Not valid YAML", id="not UTF-8"),
        pytest.param("a: !!bool maybe", "Not valid YAML", id="tag of another value"),
        pytest.param("a: !!int ''", "Not valid YAML", id="number without digits"),
        pytest.param("a: !!timestamp soon", "Not valid YAML", id="no time at all"),
    ],
)  # fmt: skip
async def test_yaml_that_is_more_than_a_document_is_refused(
    client: httpx.AsyncClient, body: Any, why: str
) -> None:
    response = await client.post(VALIDATE, content=body, headers=AS_YAML)

    assert why in is_problem(response, 400, "malformed")["detail"]


async def test_the_content_type_of_yaml_may_be_in_capitals(client: httpx.AsyncClient) -> None:
    body = "name: a\napplies_to: {model: m}\n"

    response = await client.post(VALIDATE, content=body, headers={"content-type": "Text/YAML"})

    assert response.status_code == 200


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
    for name in ("validate", "simulate", "import", "schema", "a%20b", "%C3%A4", "a" * 129):
        response = await client.put(f"/v1/policies/{name}", json={**DOCUMENT, "name": name})
        assert is_problem(response, 422, "invalid")["errors"][0]["loc"][:2] == ["path", "name"]


async def test_name_of_document_and_address_must_agree(client: httpx.AsyncClient) -> None:
    response = await client.put("/v1/policies/toxicity", json=DOCUMENT)

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["name"]


async def test_version_that_is_not_there_is_answered_404(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()

    for method, path in (
        ("GET", "2"),
        ("GET", "2/diff"),
        ("GET", "1/diff?to=2"),
        ("POST", "2/activate"),
        ("POST", "2/shadow"),
        ("POST", "2/retire"),
    ):
        response = await client.request(method, f"{SENTIMENT}/versions/{path}")
        is_problem(response, 404, "not_found")
    is_problem(await client.get(f"{SENTIMENT}/versions/0"), 422, "invalid")
    is_problem(await client.get(f"{SENTIMENT}/versions/{2**31}"), 422, "invalid")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"name": "a", "name": "b"}', "'name'"),
        (b'{"rules": [{"id": "a", "confidence": {"below": 0.1, "below": 0.9}}]}', "'below'"),
        (b'{"name": "a", "n\\u0061me": "b"}', "'name'"),
    ],
    ids=["at the top", "deep inside", "spelt another way"],
)
async def test_key_that_stands_twice_in_a_json_document_is_refused_and_named(
    client: httpx.AsyncClient, body: bytes, key: str
) -> None:
    for method, path, content in (
        ("POST", VALIDATE, body),
        ("PUT", SENTIMENT, body),
        ("POST", "/v1/policies/simulate", b'{"document": ' + body + b"}"),
    ):
        response = await client.request(method, path, content=content)

        problem = is_problem(response, 400, "malformed")
        assert problem["detail"] == f"The key {key} stands twice in one object."


async def test_list_is_of_one_name_one_model_or_one_state(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()
    await scenario.policy(description="the next")
    await scenario.policy(name="other", applies_to={"model": "toxicity"})

    async def found(**query: str) -> list[tuple[str, int]]:
        page = (await client.get("/v1/policies", params=query)).json()
        return [(version["name"], version["version"]) for version in page["items"]]

    assert await found(name="sentiment") == [("sentiment", 1), ("sentiment", 2)]
    assert await found(model="toxicity") == [("other", 1)]
    assert await found(state="active") == [("sentiment", 2), ("other", 1)]
    assert await found(model="sentiment", state="active") == [("sentiment", 2)]
    assert await found(name="nowhere") == []
    wrong = await client.get("/v1/policies?state=alive")
    assert is_problem(wrong, 422, "invalid")["errors"][0]["loc"] == ["query", "state"]


async def test_activating_tells_which_version_was_retired(
    client: httpx.AsyncClient,
) -> None:
    await client.put(SENTIMENT, json=DOCUMENT)
    await client.put(SENTIMENT, json={**DOCUMENT, "description": "the next"})

    first = (await client.post(f"{SENTIMENT}/versions/1/activate")).json()
    again = (await client.post(f"{SENTIMENT}/versions/1/activate")).json()
    second = (await client.post(f"{SENTIMENT}/versions/2/activate")).json()

    assert (first["retired"], again["retired"]) == (None, None)
    assert second["retired"] == {"name": "sentiment", "version": 1}
    assert (second["version"], second["state"]) == (2, "active")
