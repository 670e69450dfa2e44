"""Monitors over HTTP."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.core.drift.windows import Timing
from app.flows import concept
from app.flows.context import Context
from tests.scenario import Scenario
from tests.store.metric_rows import DAY, CountRow, Rows
from tests.watched_model import HOUR, MIDNIGHT, WatchedModel, document_of, drifted, refer, usual

MINUTE = timedelta(minutes=1)
HOURLY = Timing(3600, 900, (1,))


@pytest.fixture
async def reference(scenario: Scenario) -> str:
    """The name of a reference of the model `sentiment`."""
    return (await refer(scenario, document_of(usual, 50))).name


@pytest.fixture
async def drifting(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> WatchedModel:
    """Calm tweets in the first hour, longer ones in the second; by segment too."""
    await scenario.policy(segments=["source"])
    model = await WatchedModel.start(scenario, monkeypatch, "features", timing=HOURLY)
    await model.predicted(MIDNIGHT + MINUTE, 300, segment={"source": "tweets"})
    await model.predicted(MIDNIGHT + HOUR, 300, drifted, segment={"source": "tweets"})
    await model.evaluate(MIDNIGHT + 3 * HOUR)
    return model


def problem(response: httpx.Response) -> tuple[int, str, list[Any]]:
    body = response.json()
    return response.status_code, body["code"], [place["loc"] for place in body["errors"]]


async def test_a_monitor_is_made_changed_and_read(
    client: httpx.AsyncClient, reference: str
) -> None:
    body = {"model": "sentiment", "signal": "confidence", "reference": reference}

    made = await client.put("/v1/monitors/c", json={**body, "bucket_s": 60, "windows": [10, 1]})
    again = await client.put("/v1/monitors/c", json=body)
    read = await client.get("/v1/monitors/c")

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json() == again.json() == read.json()
    assert {**made.json(), "created_at": None, "updated_at": None} == {
        "name": "c",
        "model": "sentiment",
        "signal": "confidence",
        "reference": {"name": reference, "version": 1},
        "certified_error": None,
        "bucket_s": 60,
        "grace_s": 900,
        "windows": [1, 10],
        "state": "collecting",
        "muted_until": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "created_at": None,
        "updated_at": None,
        "states": [],
    }


async def test_audited_errors_are_looked_at_by_the_day(client: httpx.AsyncClient) -> None:
    body = {"model": "sentiment", "signal": "concept", "certified_error": 0.05}

    made = (await client.put("/v1/monitors/errors", json=body)).json()

    assert (made["reference"], made["certified_error"]) == (None, 0.05)
    assert (made["bucket_s"], made["windows"]) == (86_400, [1])


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"signal": "mood"}, ["signal"]),
        ({"signal": "confidence\x00"}, ["signal"]),
        ({"reference": None}, ["reference"]),
        ({"reference": "none"}, ["reference"]),
        ({"reference": "none@2147483648"}, ["reference"]),
        ({"certified_error": 0.1}, ["certified_error"]),
        ({"bucket_s": 0}, ["bucket_s"]),
        ({"bucket_s": 86_401}, ["bucket_s"]),
        ({"bucket_s": "60"}, ["bucket_s"]),
        ({"grace_s": -1}, ["grace_s"]),
        ({"windows": []}, ["windows"]),
        ({"windows": [1, 1]}, ["windows"]),
        ({"windows": [169]}, ["windows", 0]),
        ({"windows": [1, 2, 3, 4, 5]}, ["windows"]),
        ({"mood": 1}, ["mood"]),
    ],
)
async def test_what_makes_no_sense_is_refused(
    client: httpx.AsyncClient, reference: str, changes: dict[str, Any], place: list[Any]
) -> None:
    body = {"model": "sentiment", "signal": "confidence", "reference": reference, **changes}

    refused = await client.put("/v1/monitors/c", json=body)

    assert problem(refused) == (422, "invalid", [place])
    assert (await client.get("/v1/monitors/c")).status_code == 404


async def test_what_cannot_change_is_a_conflict(client: httpx.AsyncClient, reference: str) -> None:
    body = {"model": "sentiment", "signal": "confidence", "reference": reference}
    await client.put("/v1/monitors/c", json=body)

    other_signal = await client.put("/v1/monitors/c", json={**body, "signal": "label"})
    other_timing = await client.put("/v1/monitors/d", json={**body, "grace_s": 5})

    assert problem(other_signal) == (409, "monitor_fixed", [])
    assert problem(other_timing) == (409, "timing_fixed", [])


async def test_states_are_shown_by_version_segment_and_length(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    shown = (await client.get("/v1/monitors/features")).json()

    assert shown["state"] == "drifting"
    assert [(one["segment"], one["state"]) for one in shown["states"]] == [
        (None, "drifting"),
        ("source:tweets", "drifting"),
    ]
    whole = shown["states"][0]
    assert (whole["model_version"], whole["effective"], whole["acknowledged"]) == (
        "1",
        "drifting",
        False,
    )
    assert whole["since"] == "2026-11-23T02:00:00Z"
    (length,) = whole["by_length"]
    assert (length["length"], length["evaluation"]) == (1, whole["evaluation"])


async def test_evaluations_come_newest_first_in_pages(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    where = "/v1/monitors/features/evaluations?model_version=1&segment=&limit=1"

    first = (await client.get(where)).json()
    second = (await client.get(f"{where}&cursor={first['next_cursor']}")).json()
    third = (await client.get(f"{where}&cursor={second['next_cursor']}")).json()

    (late,), (early,) = first["items"], second["items"]
    assert (late["window"]["from"], late["window"]["to"]) == (
        "2026-11-23T01:00:00Z",
        "2026-11-23T02:00:00Z",
    )
    assert [late["state"], early["state"]] == ["drifting", "stable"]
    assert third == {"items": [], "next_cursor": None}
    streams = {one["stream"]: one for one in late["streams"]}
    assert streams.keys() == {"feature:language", "feature:length"}
    assert (streams["feature:length"]["severity"], streams["feature:length"]["n"]) == (
        "severe",
        300,
    )
    assert late["reference"] == {"name": drifting.reference.name, "version": 1}


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ("", 4),
        ("segment=source:tweets", 2),
        ("model_version=2", 0),
        ("length=2", 0),
        # the end of a window counts, the beginning included and the end not
        ("segment=&from=2026-11-23T02:00:00Z", 1),
        ("segment=&from=2026-11-16T00:00:00Z&to=2026-11-23T02:00:00Z", 1),
    ],
)
async def test_evaluations_are_filtered(
    client: httpx.AsyncClient, drifting: WatchedModel, filters: str, count: int
) -> None:
    page = (await client.get(f"/v1/monitors/features/evaluations?{filters}")).json()

    assert len(page["items"]) == count


async def test_an_operator_acknowledges_mutes_and_unmutes(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    drifting.now(MIDNIGHT + 5 * HOUR)

    seen = (await client.post("/v1/monitors/features/acknowledge")).json()
    muted = (await client.post("/v1/monitors/features/mute", json={"hours": 1.5})).json()
    unmuted = (await client.post("/v1/monitors/features/unmute")).json()

    assert (seen["acknowledged_at"], seen["states"][0]["acknowledged"]) == (
        "2026-11-23T05:00:00Z",
        True,
    )
    assert (muted["muted_until"], muted["state"]) == ("2026-11-23T06:30:00Z", "stable")
    assert (muted["states"][0]["state"], muted["states"][0]["effective"]) == (
        "drifting",
        "stable",
    )
    assert (unmuted["muted_until"], unmuted["state"]) == (None, "drifting")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"hours": 0},
        {"hours": 721},
        {"hours": 1, "until": "2026-11-23T08:00:00Z"},
        {"until": "2026-11-23T00:00:00Z"},
        {"until": "2026-12-24T00:00:00Z"},
        {"until": "2026-11-23T08:00:00"},
    ],
)
async def test_a_mute_has_one_end_within_thirty_days(
    client: httpx.AsyncClient, drifting: WatchedModel, body: dict[str, Any]
) -> None:
    drifting.now(MIDNIGHT + 3 * HOUR)

    refused = await client.post("/v1/monitors/features/mute", json=body)

    assert refused.status_code == 422
    assert (await client.get("/v1/monitors/features")).json()["muted_until"] is None


async def test_without_enough_to_accept_nothing_changes(
    client: httpx.AsyncClient, drifting: WatchedModel
) -> None:
    refused = await client.post("/v1/monitors/features/accept")

    assert problem(refused) == (409, "nothing_to_accept", [])
    assert "300" in refused.json()["detail"]
    assert (await client.get("/v1/monitors/features")).json()["state"] == "drifting"


async def test_a_monitor_in_use_is_kept_and_another_removed(
    client: httpx.AsyncClient, scenario: Scenario, drifting: WatchedModel
) -> None:
    response = {"monitor": "features", "when": "warning", "audit_probability": 0.05}
    await scenario.policy(on_drift=[response])

    kept = await client.delete("/v1/monitors/features")
    await scenario.policy()
    removed = await client.delete("/v1/monitors/features")

    assert problem(kept) == (409, "monitor_in_use", [])
    assert (removed.status_code, removed.content) == (204, b"")
    assert (await client.get("/v1/monitors/features")).status_code == 404


async def test_monitors_are_listed_in_pages_by_model(client: httpx.AsyncClient) -> None:
    for name, model in (("a", "m"), ("b", "other"), ("c", "m")):
        await client.put(f"/v1/monitors/{name}", json={"model": model, "signal": "gap"})

    first = (await client.get("/v1/monitors?model=m&limit=1")).json()
    second = (await client.get(f"/v1/monitors?limit=5&cursor={first['next_cursor']}")).json()

    assert [one["name"] for one in first["items"]] == ["a"]
    assert [one["name"] for one in second["items"]] == ["b", "c"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/evaluations"),
        ("GET", "/plot.svg"),
        ("POST", "/acknowledge"),
        ("POST", "/unmute"),
        ("POST", "/accept"),
    ],
)
async def test_another_projects_monitor_is_not_there(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, method: str, path: str
) -> None:
    await client.put("/v1/monitors/g", json={"model": "m", "signal": "gap"})
    theirs = await Scenario.start(ctx)

    found = await client.request(
        method, f"/v1/monitors/g{path}", headers={"Authorization": f"Bearer {theirs.key}"}
    )

    assert problem(found) == (404, "not_found", [])
    assert (await client.get("/v1/monitors/g")).status_code == 200


async def test_a_days_audits_are_shown_as_what_they_are(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    ctx.db.now = DAY.start
    body = {"model": "sentiment", "signal": "concept", "certified_error": 0.05}
    await client.put("/v1/monitors/errors", json=body)
    await client.put("/v1/monitors/gap", json={"model": "sentiment", "signal": "gap"})
    rows = Rows(ctx.db, scenario.project)
    await rows.inbox(CountRow(decisions=400))
    await rows.audits(20, wrong=12)
    ctx.db.now = DAY.end + 2 * HOUR
    await concept.run_once(ctx)

    (errors,) = (await client.get("/v1/monitors/errors/evaluations")).json()["items"]
    (gap,) = (await client.get("/v1/monitors/gap/evaluations")).json()["items"]

    assert (errors["state"], errors["streams"], errors["gap"]) == ("drifting", [], None)
    assert (errors["concept"]["audited"], errors["concept"]["wrong"]) == (20, 12)
    assert errors["window"] == {
        "from": "2026-11-23T00:00:00Z",
        "to": "2026-11-24T00:00:00Z",
        "length": 1,
    }
    # nobody said how sure the model was
    assert (gap["state"], gap["gap"]["without_labels"]) == ("collecting", None)
    assert gap["gap"]["audited_error"] == 0.6
