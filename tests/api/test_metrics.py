"""The measures over HTTP: shapes, filters, refusals, and what Prometheus reads."""

import asyncio
import math
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import telemetry
from app.core.access import Scope
from app.core.routing.document import DEFAULT_AUDITS
from app.flows import projects
from app.flows.context import Context
from tests.scenario import Scenario
from tests.store.metric_rows import NOON, OFTEN, TEN, CountRow, Rows

MEASURES = ("summary", "timeseries", "accepted-error", "agreement", "turnaround")


@pytest.fixture
async def rows(ctx: Context, scenario: Scenario) -> Rows:
    """The client's project; the database's clock stands at noon."""
    ctx.db.now = NOON
    return Rows(ctx.db, scenario.project)


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    response = await client.get(f"/v1/metrics/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def samples(client: httpx.AsyncClient, key: str | None = None) -> dict[Any, float]:
    """What a scrape says of the database, by name and labels."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = await client.get("/metrics", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def two_strata(rows: Rows, **where: Any) -> None:
    await rows.inbox(CountRow(decisions=950, audited=48, **where))
    await rows.inbox(CountRow(decisions=50, audited=25, stratum=OFTEN, **where))
    await rows.audits(48, wrong=1, judge="panel", **where)
    await rows.audits(25, wrong=5, judge="panel", stratum=OFTEN, **where)


@pytest.mark.parametrize("measure", MEASURES)
async def test_an_empty_project_is_answered_with_nulls_and_reasons(
    client: httpx.AsyncClient, measure: str
) -> None:
    response = await client.get(f"/v1/metrics/{measure}")

    assert response.status_code == 200
    assert "NaN" not in response.text
    assert set(response.json()) > {"from", "to"}


async def test_accepted_error_is_the_top_level_of_its_answer(
    client: httpx.AsyncClient, rows: Rows
) -> None:
    await two_strata(rows, segment={"source": "tweets"})

    error = await get(client, "accepted-error", model="sentiment", segment="source:tweets")

    assert error["value"] == pytest.approx(0.0297917, abs=1e-6)
    assert 0 < error["low"] < error["value"] < error["high"] < 1
    assert error["judges"] == ["panel"]
    assert error["covered_until"] == "2026-11-23T12:00:00Z"
    assert (error["accepted"], error["audited"], error["undecided"]) == (1000, 73, 0)
    assert (error["from"], error["to"]) == ("2026-11-16T12:00:00Z", "2026-11-23T12:00:00Z")


async def test_summary_has_every_figure(client: httpx.AsyncClient, rows: Rows) -> None:
    await two_strata(rows)
    await rows.inbox(CountRow(decisions=1000, route="review", reason="tie", stratum="s@1 review 1"))
    item_id = await rows.resolved(agreed=False, waited_s=40)
    await rows.verdict(item_id, at=TEN, leased_s=40, spent_s=12.5)

    found = await get(client, "summary")

    assert found["decisions"] == {
        "total": 2000,
        "by_route": {
            "accept": {"decisions": 1000, "share": 0.5},
            "review": {"decisions": 1000, "share": 0.5},
            "reject": {"decisions": 0, "share": 0.0},
        },
        "audited": 73,
        "shadow": 0,
    }
    assert found["by_reason"] == [
        {"reason": "default", "decisions": 1000, "share": 0.5},
        {"reason": "tie", "decisions": 1000, "share": 0.5},
    ]
    assert found["queues"][0] == {
        "queue": DEFAULT_AUDITS,
        "depth": 0,
        "oldest_age_s": None,
        "inflow": 73,
        "outflow": 73,
    }
    assert (found["human_seconds"], found["verdicts"]) == (12.5, 1)
    assert found["turnaround"]["n"] == 74
    assert found["agreement"]["reviews"]["value"] == 0
    assert found["agreement"]["audits"]["n"] == 73
    assert found["agreement"]["audits"]["value"] == pytest.approx(1 - 0.0297917, abs=1e-6)
    assert found["accepted_error"]["value"] == pytest.approx(0.0297917, abs=1e-6)


async def test_shares_are_null_where_nothing_was_decided(client: httpx.AsyncClient) -> None:
    found = await get(client, "summary")

    assert found["decisions"]["by_route"]["accept"] == {"decisions": 0, "share": None}
    assert found["turnaround"]["reason"] == "nothing_resolved"


async def test_a_series_is_by_the_bucket_that_was_asked_for(
    client: httpx.AsyncClient, rows: Rows
) -> None:
    await rows.inbox(CountRow(decisions=3))

    hours = await get(client, "timeseries", **{"from": "2026-11-23T09:30:00Z"})
    days = await get(client, "timeseries", bucket="day", **{"from": "2026-11-22T09:30:00+00:00"})

    assert [(point["at"], point["decisions"]["total"]) for point in hours["points"]] == [
        ("2026-11-23T09:00:00Z", 0),
        ("2026-11-23T10:00:00Z", 3),
        ("2026-11-23T11:00:00Z", 0),
    ]
    assert [(point["at"], point["decisions"]["total"]) for point in days["points"]] == [
        ("2026-11-22T00:00:00Z", 0),
        ("2026-11-23T00:00:00Z", 3),
    ]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param("from=2026-11-23T10:00:00", id="a time without zone"),
        pytest.param("from=2026-11-23T10:00:00Z&to=2026-11-23T10:00:00Z", id="an empty range"),
        pytest.param("to=9999-12-31T23:59:59Z", id="a time without hours after it"),
        pytest.param("from=0001-01-01T00:00:00%2B14:00", id="a time before all times"),
        pytest.param("from=1e300", id="a number without end"),
        pytest.param("segment=tweets", id="a segment without key"),
        pytest.param("segment=a:1&segment=a:2", id="two values of one segment"),
        pytest.param("&".join(f"segment=k{n}:1" for n in range(21)), id="too many segments"),
        pytest.param(f"model={'m' * 257}", id="a name that is too long"),
    ],
)
@pytest.mark.parametrize("measure", MEASURES)
async def test_a_filter_that_means_nothing_is_refused(
    client: httpx.AsyncClient, measure: str, query: str
) -> None:
    response = await client.get(f"/v1/metrics/{measure}?{query}")

    assert response.status_code == 422
    assert response.json()["errors"]


@pytest.mark.parametrize("measure", MEASURES)
async def test_what_was_never_seen_is_empty_and_no_error(
    client: httpx.AsyncClient, measure: str
) -> None:
    query = {"model": "no\ufffdne", "queue": "nowhere", "label": "%_", "segment": 'a:"b\\'}

    response = await client.get(f"/v1/metrics/{measure}", params=query)

    assert response.status_code == 200


async def test_a_scrape_says_what_the_summary_says(
    client: httpx.AsyncClient, scenario: Scenario, rows: Rows
) -> None:
    await two_strata(rows)
    await rows.assignment(await rows.item(), "open")
    await rows.resolved(waited_s=60)

    seen = await samples(client)
    found = await get(client, "summary")

    project = ("project", scenario.name)
    route = (("model", "sentiment"), ("model_version", "1"), project, ("route", "accept"))
    assert seen["overrule_decisions", *route] == 1000
    assert seen["overrule_audited_decisions", *route] == 73
    assert seen["overrule_inbox_rows", project] == 2
    assert ("overrule_fold_lag_seconds", project) in seen
    queue = (project, ("queue", "unrouted"))
    assert seen["overrule_queue_depth", *queue] == 1
    assert seen["overrule_queue_oldest_age_seconds", *queue] == 7200
    assert seen["overrule_accepted_error_ratio", ("bound", "high"), project] == pytest.approx(
        found["accepted_error"]["high"]
    )
    assert seen["overrule_agreement_ratio", ("bound", "value"), project, ("source", "reviews")] == 1
    assert seen["overrule_turnaround_seconds", project, ("quantile", "0.99")] == pytest.approx(
        found["turnaround"]["p99_s"]
    )
    assert seen["overrule_partitions_until_timestamp_seconds",] > 0
    assert ("overrule_pool_connections", ("state", "idle")) in seen


async def test_a_scrape_holds_no_other_projects_facts(
    client: httpx.AsyncClient, ctx: Context, rows: Rows, scenario: Scenario
) -> None:
    other = await Scenario.start(ctx)
    theirs = Rows(ctx.db, other.project)
    await two_strata(theirs)
    await theirs.item()
    admin = await projects.create_key(
        ctx, "test", project=None, name="scraper", scopes=[Scope.ADMIN]
    )

    # at the same time: neither may see what the other is being told
    ours, everything = await asyncio.gather(samples(client), samples(client, admin.text))

    named = {value for labels in ours for key, value in labels[1:] if key == "project"}
    assert named == {scenario.name}
    everyone = {value for labels in everything for key, value in labels[1:] if key == "project"}
    assert everyone >= {scenario.name, other.name}


async def test_a_fact_that_is_not_there_is_absent_and_never_nan(
    client: httpx.AsyncClient, rows: Rows
) -> None:
    seen = await samples(client)

    assert not [key for key, value in seen.items() if math.isnan(value)]
    assert not [name for name, *_ in seen if name == telemetry.ACCEPTED_ERROR.name]
    # what is alerted on goes back to zero instead of staying away
    assert [value for (name, *_), value in seen.items() if name == telemetry.QUEUE_OLDEST.name] == [
        0,
        0,
    ]


async def test_a_key_that_neither_reads_nor_administers_cannot_scrape(
    client: httpx.AsyncClient, ctx: Context, scenario: Scenario
) -> None:
    key = await projects.create_key(
        ctx, "test", project=scenario.name, name="serving", scopes=[Scope.PREDICT]
    )

    refused = await client.get("/metrics", headers={"Authorization": f"Bearer {key.text}"})
    nameless = await client.get("/metrics", headers={"Authorization": ""})

    assert (refused.status_code, nameless.status_code) == (403, 401)


async def test_every_listed_fact_is_emitted(client: httpx.AsyncClient, rows: Rows) -> None:
    await two_strata(rows)
    item_id = await rows.resolved(waited_s=40)
    await rows.verdict(item_id, at=TEN, leased_s=40)

    seen = await samples(client)

    listed = {fact.name for fact in vars(telemetry).values() if isinstance(fact, telemetry.Fact)}
    assert listed <= {name for name, *_ in seen}
    named = {name for name, *labels in seen if "project" in dict(labels)}
    assert named < listed
