"""Amazon A2I's activation conditions, sent as they are, become a policy."""

import json
from typing import Any

import httpx
import pytest

from app.api.policy_text import DOCUMENT_BYTES_MAX
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

IMPORT = "/v1/policies/import/a2i"
UNSURE = {
    "ConditionType": "ModerationLabelConfidenceCheck",
    "ConditionParameters": {"ModerationLabelName": "Suggestive", "ConfidenceLessThan": 60},
}
SAMPLED = {"ConditionType": "Sampling", "ConditionParameters": {"RandomSamplingPercentage": 5}}
CONDITIONS = {"Conditions": [UNSURE, {"Or": [SAMPLED, UNSURE]}]}
BODY: dict[str, Any] = {
    "name": "moderation",
    "model": "images",
    "queue": "unrouted",
    "conditions": CONDITIONS,
}


async def test_conditions_become_a_draft_with_a_rule_for_each(client: httpx.AsyncClient) -> None:
    response = await client.post(IMPORT, json=BODY)

    assert response.status_code == 201
    made = response.json()
    assert (made["name"], made["version"], made["state"]) == ("moderation", 1, "draft")
    assert (made["model"], made["warnings"]) == ("images", [])
    rest = {"route": "review", "queue": "unrouted"}
    assert made["document"]["rules"] == [
        {"id": "a2i-1", "activation": {"Conditions": [UNSURE]}, **rest},
        {"id": "a2i-2", "activation": {"Conditions": [{"Or": [SAMPLED, UNSURE]}]}, **rest},
    ]
    stored = await client.get("/v1/policies/moderation/versions/1")
    assert stored.json()["document"] == made["document"]


async def test_text_as_create_flow_definition_takes_it_is_the_same(
    client: httpx.AsyncClient,
) -> None:
    first = await client.post(IMPORT, json=BODY)

    again = await client.post(IMPORT, json={**BODY, "conditions": json.dumps(CONDITIONS)})

    assert (again.status_code, again.json()) == (200, first.json())


async def test_document_that_it_made_can_be_put_again(client: httpx.AsyncClient) -> None:
    made = (await client.post(IMPORT, json=BODY)).json()

    put = await client.put("/v1/policies/moderation", json=made["document"])

    assert (put.status_code, put.json()) == (200, made)


async def test_other_fields_of_a_policy_can_be_given_with_it(client: httpx.AsyncClient) -> None:
    others = {
        "labels": ["Suggestive", "Violence"],
        "segments": ["camera"],
        "audit": {"probability": 0.05, "queue": "unrouted"},
        "description": "as it was",
    }

    response = await client.post(IMPORT, json={**BODY, **others})

    assert response.status_code == 201
    document = response.json()["document"]
    assert {name: document[name] for name in others} == others


async def test_imported_policy_decides_once_it_is_active(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await client.post(IMPORT, json={**BODY, "model": "sentiment"})
    await client.post("/v1/policies/moderation/versions/1/activate")
    scores = {"Suggestive": 0.55, "Violence": 0.97}
    posted = scenario.prediction(scores=scores, scores_are="independent", label="Violence")

    decision = (await client.post("/v1/predictions", json=posted)).json()

    assert (decision["route"], decision["reason"]) == ("review", "a2i-1")
    first = decision["trace"][0]
    assert (first["kind"], first["state"]) == ("activation", "fired")
    assert (first["observed"], first["threshold"]) == ("Suggestive < 60", "Suggestive < 60")


@pytest.mark.parametrize(
    ("changes", "loc", "why"),
    [
        pytest.param({"conditions": "{"}, ["conditions"], "Not valid JSON", id="a text that is no JSON"),
        pytest.param({"conditions": '"all"'}, ["conditions", "Conditions"], "Expected", id="a text of a text"),
        pytest.param({"conditions": "[" * 100_000}, ["conditions"], "", id="a text without end"),
        pytest.param({"conditions": '{"Conditions": ["\\u0000"]}'}, ["conditions"], "NUL", id="a text with a NUL"),
        pytest.param({"conditions": {"Conditions": [{"Or": [SAMPLED, {"ConditionType": "MissingImportantFormKey", "ConditionParameters": {}}]}]}}, ["conditions", "Conditions", 0, "Or", 1, "ConditionType"], "form keys, which Overrule does not have", id="form keys of Textract"),
        pytest.param({"conditions": {"Conditions": [SAMPLED] * 51}}, ["conditions", "Conditions"], "at most 50", id="more than a policy has rules"),
        pytest.param({"queue": "nowhere"}, ["queue"], "no queue 'nowhere'", id="a queue that is not there"),
        pytest.param({"labels": ["Violence"]}, ["conditions", "Conditions", 0], "Suggestive", id="a label that is not declared"),
        pytest.param({"audit": {"probability": 2}}, ["audit", "probability"], "<= 1", id="an audit that cannot be"),
        pytest.param({"name": "simulate"}, ["name"], "reserved", id="a reserved name"),
        pytest.param({"name": "a/b"}, ["name"], "regex", id="a name that is none"),
        pytest.param({"model": ""}, ["model"], "length", id="no model"),
        pytest.param({"colour": "red"}, ["colour"], "Not a field", id="an unknown field"),
    ],
)  # fmt: skip
async def test_what_cannot_be_taken_is_refused_at_its_place(
    client: httpx.AsyncClient, changes: dict[str, Any], loc: list[Any], why: str
) -> None:
    response = await client.post(IMPORT, json={**BODY, **changes})

    problem = is_problem(response, 422, "invalid")
    # a queue is wrong once, and not in every rule; a label in each condition that names it
    assert problem["errors"][0]["loc"] == loc
    assert why in problem["errors"][0]["detail"]
    assert (await client.get("/v1/policies")).json()["items"] == []


async def test_queue_that_is_not_there_is_said_once(client: httpx.AsyncClient) -> None:
    response = await client.post(IMPORT, json={**BODY, "queue": "nowhere"})

    assert len(response.json()["errors"]) == 1


@pytest.mark.parametrize(
    ("bytes_", "status"), [(0, 422), (1, 413)], ids=["at the limit", "past it"]
)
async def test_body_has_a_limit(client: httpx.AsyncClient, bytes_: int, status: int) -> None:
    content = b"{}" + b" " * (DOCUMENT_BYTES_MAX - 2 + bytes_)

    response = await client.post(IMPORT, content=content)

    assert response.status_code == status
