"""`POST /v1/policies/simulate` and the job that it answers with."""

from typing import Any

import httpx
import pytest

from app.flows import jobs
from app.flows.context import Context
from tests.scenario import Scenario

PATH = "/v1/policies/simulate"
DOCUMENT: dict[str, Any] = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "rules": [
        {"id": "threat", "labels": ["threat"], "route": "reject"},
        {"id": "unsure", "confidence": {"below": 0.8}, "route": "reject"},
    ],
}
ROW = {"request_key": "r", "model": "sentiment", "model_version": "1", "label": "a"}


async def test_recorded_decisions_are_simulated_by_a_job(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()
    for confidence in (0.5, 0.9):
        await scenario.decided(confidence=confidence)
    body = {"document": DOCUMENT, "sweep": {"rule": "unsure", "steps": 2}}

    queued = await client.post(PATH, json=body)
    await jobs.run_once(ctx)
    job = (await client.get(queued.headers["location"], params={"wait_s": 5})).json()

    assert (queued.status_code, queued.json()["state"]) == (202, "queued")
    assert (job["id"], job["kind"], job["state"]) == (queued.json()["id"], "simulation", "done")
    assert job["progress"] == {"done": 2, "total": 2}
    assert job["problem"] is None
    assert job["result"]["routes"]["then"]["reject"] == {"decisions": 1, "share": 0.5}
    assert [point["threshold"] for point in job["result"]["curve"]] == [0, 0.5, 1]


async def test_a_stored_version_is_simulated_by_its_name(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy()

    response = await client.post(PATH, json={"policy": {"name": "sentiment", "version": 1}})

    assert response.status_code == 202


async def test_rows_are_answered_at_once(client: httpx.AsyncClient) -> None:
    rows = [{**ROW, "confidence": confidence} for confidence in (0.5, 0.9)]

    response = await client.post(PATH, json={"document": DOCUMENT, "rows": rows})

    found = response.json()
    assert response.status_code == 200
    # without an active policy everything is reviewed
    assert found["routes"]["now"]["review"]["decisions"] == 2
    assert found["routes"]["then"]["reject"]["decisions"] == 1
    assert (found["from"], found["to"], found["curve"]) == (None, None, None)


async def test_a_job_that_failed_says_why(ctx: Context, client: httpx.AsyncClient) -> None:
    queued = await client.post(PATH, json={"document": DOCUMENT})
    async with ctx.db.write() as tx:
        # as a later release may refuse what this one has taken
        await tx.raw.execute(
            "UPDATE jobs SET arguments = jsonb_set(arguments, '{policy,document,default}', '1')"
        )
    await jobs.run_once(ctx)

    job = (await client.get(queued.headers["location"])).json()

    assert (job["state"], job["result"]) == ("failed", None)
    assert job["problem"]["code"] == "invalid"
    assert job["problem"]["type"] == "urn:overrule:problem:invalid"
    assert [place["loc"] for place in job["problem"]["errors"]] == [["default"]]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        pytest.param({}, ["policy"], id="neither a document nor a policy"),
        pytest.param(
            {"document": DOCUMENT, "policy": {"name": "sentiment", "version": 1}},
            ["policy"],
            id="both",
        ),
        pytest.param(
            {"document": {**DOCUMENT, "default": "guess"}},
            ["document", "default"],
            id="a mistake in the document",
        ),
        pytest.param(
            {"document": DOCUMENT, "sweep": {"rule": "threat", "steps": 5}},
            ["sweep", "rule"],
            id="a rule that has no threshold",
        ),
        pytest.param(
            {"document": DOCUMENT, "sweep": {"rule": "unsure", "thresholds": [0.5, 2]}},
            ["sweep", "thresholds", 1],
            id="a threshold out of range",
        ),
        pytest.param(
            {"document": DOCUMENT, "sweep": {"rule": "unsure", "steps": 201}},
            ["sweep", "steps"],
            id="too many steps",
        ),
        pytest.param(
            {"document": DOCUMENT, "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
            ["from"],
            id="a range that ends before it begins",
        ),
        pytest.param(
            {"document": DOCUMENT, "from": "2001-01-01T00:00:00Z"}, ["from"], id="too long"
        ),
        pytest.param(
            {"document": DOCUMENT, "from": "2026-01-02T00:00:00"}, ["from"], id="no time zone"
        ),
        pytest.param(
            {"document": DOCUMENT, "rows": [ROW], "to": "2026-01-01T00:00:00Z"},
            ["rows"],
            id="rows and a range",
        ),
        pytest.param(
            {"document": DOCUMENT, "rows": [ROW, {**ROW, "model": "topic"}]},
            ["rows", 1, "model"],
            id="a row of another model",
        ),
        pytest.param(
            {"document": DOCUMENT, "rows": [ROW, {**ROW, "colour": 1}]},
            ["rows", 1, "colour"],
            id="a row with a field too many",
        ),
        pytest.param({"document": DOCUMENT, "rows": [ROW] * 1001}, ["rows"], id="too many rows"),
        pytest.param({"document": DOCUMENT, "rows": []}, ["rows"], id="no rows"),
    ],
)
async def test_what_cannot_be_simulated_is_refused_with_its_place(
    client: httpx.AsyncClient, body: Any, loc: Any
) -> None:
    response = await client.post(PATH, json=body)

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid")
    assert [place["loc"] for place in problem["errors"]] == [loc]


async def test_a_week_before_the_earliest_time_is_cut_at_it(
    ctx: Context, client: httpx.AsyncClient
) -> None:
    body = {"document": DOCUMENT, "to": "2000-01-03T00:00:00Z"}

    queued = await client.post(PATH, json=body)
    await jobs.run_once(ctx)
    job = (await client.get(queued.headers["location"], params={"wait_s": 5})).json()

    assert (job["state"], job["problem"]) == ("done", None)
    assert job["result"]["from"] == "2000-01-01T00:00:00Z"


async def test_a_thousand_rows_are_taken(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={"document": DOCUMENT, "rows": [ROW] * 1000})

    assert response.json()["decisions"] == 1000


async def test_a_policy_that_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={"policy": {"name": "sentiment", "version": 9}})

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_a_document_past_its_limit_is_too_large(client: httpx.AsyncClient) -> None:
    document = {**DOCUMENT, "labels": ["x" * 250 + str(n) for n in range(1100)]}

    response = await client.post(PATH, json={"document": document})

    assert (response.status_code, response.json()["code"]) == (413, "too_large")
