"""`POST /v1/drift/compare`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.core.access import Scope
from app.flows import projects
from app.flows.context import Context
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

PATH = "/v1/drift/compare"
HISTOGRAMS = {"reference": [100, 200, 300, 250, 150], "window": [120, 180, 280, 260, 160]}
DAY = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


async def test_two_histograms_have_the_known_distances(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=HISTOGRAMS)

    (found,) = response.json()["streams"]
    assert response.status_code == 200
    assert found["statistic"] == pytest.approx(4.082332, abs=1e-6)
    assert found["p"] == pytest.approx(0.394978, abs=1e-6)
    assert found["effect"] == pytest.approx(0.008164665, abs=1e-6)
    assert found["levels"][0]["p_min"] == pytest.approx(0.959790, abs=1e-6)
    assert [level["severity"] for level in found["levels"]] == ["shift", "drift", "severe"]
    assert (found["severity"], found["g_lcb"]) == ("none", 0)
    assert found["distances"]["psi"] == pytest.approx(0.008123430, abs=1e-6)
    assert found["distances"]["jensen_shannon"] == pytest.approx(0.038371735, abs=1e-6)
    assert found["distances"]["l_infinity"] == pytest.approx(0.02)


async def test_edges_give_the_distances_of_an_order(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json={**HISTOGRAMS, "edges": [1, 2, 3, 4]})

    (found,) = response.json()["streams"]
    assert found["distances"]["kolmogorov_smirnov"] == pytest.approx(0.02)
    assert found["distances"]["wasserstein"] is not None


async def test_two_ranges_are_compared_stream_by_stream(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    fields = {"model_version": "2", "segment": {"source": "tweets"}}
    for confidence in (0.1, 0.9):
        await scenario.decided(confidence=confidence, **fields)
    await scenario.decided(confidence=0.5)
    now = datetime.now(UTC)
    range_ = {
        "from": (now - timedelta(hours=1)).isoformat(),
        "to": (now + timedelta(minutes=1)).isoformat(),
    }

    response = await client.post(
        PATH,
        json={
            "model": "sentiment",
            "model_version": "2",
            "segment": "source:tweets",
            "reference": range_,
            "window": range_,
        },
    )

    found = response.json()
    assert response.status_code == 200
    assert [one["stream"] for one in found["streams"]] == ["label", "confidence", "missing"]
    assert {(one["m"], one["n"], one["insufficient"]) for one in found["streams"]} == {
        (2, 2, "reference_too_small")
    }
    assert found["window"]["predictions"] == 2
    assert found["window"]["complete"] is True


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"reference": [1], "window": [1, 2]}, "window"),
        ({"reference": [], "window": []}, "reference"),
        ({"reference": [-1], "window": [1]}, "reference"),
        ({"reference": [1.5], "window": [1]}, "reference"),
        ({"reference": [10**13], "window": [1]}, "reference"),
        ({"reference": [1] * 10_001, "window": [1] * 10_001}, "reference"),
        ({**HISTOGRAMS, "edges": [3, 2, 1, 0]}, "edges"),
        ({**HISTOGRAMS, "edges": [1]}, "edges"),
        ({**HISTOGRAMS, "model": "sentiment"}, "model"),
        ({**HISTOGRAMS, "segment": "a:b"}, "segment"),
        ({"reference": [1], "window": DAY}, "window"),
        ({"reference": DAY, "window": [1], "model": "m"}, "window"),
        ({"reference": DAY, "window": DAY}, "model"),
        ({"reference": DAY, "window": DAY, "model": "m", "edges": [1]}, "edges"),
        ({"reference": DAY, "window": DAY, "model": "m", "segment": "a"}, "segment"),
        ({"reference": DAY, "window": DAY, "model": "m"}, "reference"),
        (
            {"reference": DAY, "window": {"from": DAY["to"], "to": DAY["from"]}, "model": "m"},
            "window",
        ),
    ],
)
async def test_what_cannot_be_compared_is_refused_by_its_place(
    client: httpx.AsyncClient, body: dict[str, Any], loc: str
) -> None:
    response = await client.post(PATH, json=body)

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"][0] == loc


async def test_comparing_needs_read(
    client: httpx.AsyncClient, ctx: Context, scenario: Scenario
) -> None:
    key = await projects.create_key(
        ctx, "test", project=scenario.name, name="p", scopes=[Scope.PREDICT]
    )
    client.headers["Authorization"] = f"Bearer {key.text}"

    response = await client.post(PATH, json=HISTOGRAMS)

    is_problem(response, 403, "forbidden")
