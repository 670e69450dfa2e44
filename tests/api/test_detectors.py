"""`/v1/detectors`, and decisions on predictions that a detector judged."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from app.core.drift.familiar import ROWS_MAX, ROWS_MIN
from app.flows import jobs
from app.flows.context import Context
from tests.scenario import Scenario

PATH = "/v1/detectors/tweets"
D = 4
RULE = {
    "id": "unknown",
    "out_of_distribution": {"max_p": 0.01},
    "route": "review",
    "queue": "triage",
}
NDJSON = {"content-type": "application/x-ndjson"}


def rows(count: int = ROWS_MIN) -> list[dict[str, Any]]:
    vectors = np.random.default_rng(4).normal(size=(count, D)).round(3)
    return [
        {"embedding": vector.tolist(), "label": "ab"[place % 2]}
        for place, vector in enumerate(vectors)
    ]


def body(**changes: Any) -> dict[str, Any]:
    return {"model": "sentiment", "rows": rows(), **changes}


async def test_a_detector_is_asked_for_fitted_and_used(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy(RULE)

    asked = await client.put(PATH, json=body())
    await jobs.run_once(ctx)
    job = (await client.get(asked.headers["location"], params={"wait_s": 5})).json()
    shown = (await client.get(PATH)).json()
    posted = scenario.prediction(embedding=[40.0] * D)
    decision = (await client.post("/v1/predictions", json=posted)).json()
    again = (await client.get(f"/v1/decisions/{decision['id']}")).json()

    assert asked.status_code == 202
    assert (asked.json()["state"], asked.json()["job"]) == ("fitting", job["id"])
    assert (job["kind"], job["state"]) == ("fit_detector", "done")
    assert job["progress"] == {"done": 3000, "total": 4000}
    assert (shown["id"], shown["state"], shown["source"]) == (
        asked.json()["id"],
        "ready",
        {"rows": ROWS_MIN},
    )
    assert shown["summary"] == job["result"]["summary"]
    assert shown["summary"]["classes"] == 2
    assert (decision["route"], decision["reason"]) == ("review", "unknown")
    assert decision["unfamiliar"]["detector"] == shown["id"]
    assert decision["unfamiliar"]["p"] == pytest.approx(shown["summary"]["smallest_p"])
    assert decision["unfamiliar"]["score"] > 5
    (entry,) = decision["trace"]
    assert (entry["state"], entry["observed"]) == ("fired", decision["unfamiliar"]["p"])
    assert again["unfamiliar"] == decision["unfamiliar"]


async def test_without_a_detector_a_decision_says_so(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    decision = (await client.post("/v1/predictions", json=scenario.prediction())).json()

    assert decision["unfamiliar"] is None


async def test_rows_can_be_sent_one_a_line(ctx: Context, client: httpx.AsyncClient) -> None:
    lines = "\n".join(json.dumps(row) for row in rows())

    asked = await client.put(PATH, params={"model": "s"}, content=lines, headers=NDJSON)
    await jobs.run_once(ctx)

    shown = (await client.get(PATH)).json()
    assert asked.status_code == 202, asked.text
    assert (shown["model"], shown["state"], shown["summary"]["dimension"]) == ("s", "ready", D)


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"model": ""}, ["model"]),
        ({"rows": []}, ["rows"]),
        ({"rows": rows(ROWS_MIN - 1)}, ["rows"]),
        ({"rows": None}, ["rows"]),
        ({"more": 1}, ["more"]),
        ({"from_predictions": {"from": "2026-11-01T00:00:00Z", "to": "2026-11-02T00:00:00Z"}},
         ["rows"]),
        ({"rows": None, "from_predictions": {"from": "2026-11-02T00:00:00Z",
                                             "to": "2026-11-02T00:00:00Z"}},
         ["from_predictions", "from"]),
        ({"rows": None, "from_predictions": {"from": "2020-11-02T00:00:00Z",
                                             "to": "2026-11-02T00:00:00Z"}},
         ["from_predictions", "from"]),
        ({"rows": None, "from_predictions": {"from": "2026-11-02T00:00:00Z",
                                             "to": "9999-11-02T00:00:00Z"}},
         ["from_predictions", "to"]),
        ({"rows": [{"embedding": [1.0, 2.0]}, {"embedding": [1.0]}]}, ["rows", 1, "embedding"]),
        ({"rows": [{"embedding": [1.0]}, {"embedding": [0.0]}]}, ["rows", 1, "embedding"]),
        ({"rows": [{"embedding": [1.0]}, {"scores": {"a": 1.0}}]}, ["rows", 1, "embedding"]),
        ({"rows": [{"embedding": [1e39]}]}, ["rows", 0, "embedding", 0]),
        ({"rows": [{"scores": {"a": 0.9, "b": 0.9}}]}, ["rows", 0, "scores"]),
        ({"rows": [{"label": "a"}]}, ["rows", 0, "scores"]),
        ({"rows": [{"embedding": [1.0], "label": "a\x00"}]}, ["rows", 0, "label"]),
    ],
    ids=["model", "no rows", "few rows", "neither", "unknown", "both", "empty range", "long range",
         "late range", "length", "zero", "mixed", "float32", "scores", "nothing", "nul"],
)  # fmt: skip
async def test_what_cannot_be_fitted_on_is_refused_with_its_place(
    client: httpx.AsyncClient, changes: dict[str, Any], loc: list[Any]
) -> None:
    response = await client.put(PATH, json=body(**changes))

    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["loc"] == loc
    assert (await client.get("/v1/detectors")).json()["items"] == []


async def test_nan_is_no_json(client: httpx.AsyncClient) -> None:
    response = await client.put(PATH, content=b'{"model":"s","rows":[{"embedding":[NaN]}]}')

    assert response.status_code == 400


async def test_more_rows_than_the_limit_are_too_large(client: httpx.AsyncClient) -> None:
    lines = b'{"embedding":[1]}\n' * (ROWS_MAX + 1)

    response = await client.put(PATH, params={"model": "s"}, content=lines, headers=NDJSON)

    assert (response.status_code, response.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("embedding", "says"),
    [([1.0] * (D + 1), "not 5"), ([0.0] * D, "not all 0")],
    ids=["dimension", "zero"],
)
async def test_an_embedding_that_the_detector_cannot_take_gives_422_and_harms_no_other_row(
    ctx: Context,
    client: httpx.AsyncClient,
    scenario: Scenario,
    embedding: list[float],
    says: str,
) -> None:
    await client.put(PATH, json=body())
    await jobs.run_once(ctx)
    bad, good = (scenario.prediction(embedding=one) for one in (embedding, [0.5] * D))

    alone = await client.post("/v1/predictions", json=bad)
    batch = await client.post("/v1/predictions/batch", json={"predictions": [good, bad, good]})

    assert alone.status_code == 422
    (place,) = alone.json()["errors"]
    assert place["loc"] == ["embedding"]
    assert f"an embedding of {D} numbers, {says}" in place["detail"]
    assert [row["status"] for row in batch.json()["results"]] == [201, 422, 200]


async def test_a_retired_detector_is_shown_and_judges_nothing(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await client.put(PATH, json=body())
    early = await client.post(f"{PATH}/retire")
    await jobs.run_once(ctx)

    retired = await client.post(f"{PATH}/retire")

    decision = (
        await client.post("/v1/predictions", json=scenario.prediction(embedding=[1.0]))
    ).json()
    assert (early.status_code, early.json()["code"]) == (409, "state_conflict")
    assert (retired.status_code, retired.json()["state"]) == (200, "retired")
    assert decision["unfamiliar"] is None


async def test_detectors_are_listed_in_pages(client: httpx.AsyncClient) -> None:
    for name in ("tweets", "news", "tweets"):
        await client.put(f"/v1/detectors/{name}", json=body())

    first = (await client.get("/v1/detectors", params={"limit": 2})).json()
    rest = (
        await client.get("/v1/detectors", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()

    found = [(one["name"], one["version"]) for one in first["items"] + rest["items"]]
    assert found == [("tweets", 1), ("news", 1), ("tweets", 2)]
    assert rest["next_cursor"] is None


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    shown = await client.get("/v1/detectors/nobody")
    retired = await client.post("/v1/detectors/nobody/retire")

    assert (shown.status_code, retired.status_code) == (404, 404)


async def test_another_project_s_detector_is_not_seen(
    ctx: Context, client: httpx.AsyncClient
) -> None:
    await client.put(PATH, json=body())
    other = await Scenario.start(ctx)

    response = await client.get(PATH, headers={"Authorization": f"Bearer {other.key}"})

    assert response.status_code == 404
