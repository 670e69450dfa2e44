"""Reading decisions over HTTP: filters, cursors, waiting, looking up."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.flows import predict
from app.flows.context import Context
from app.store.ids import lowest_id_at, new_id
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

LIST = "/v1/decisions"


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    """Request keys of the first page."""
    response = await client.get(LIST, params=query)
    assert response.status_code == 200, response.text
    return [decision["request_key"] for decision in response.json()["items"]]


async def test_decision_is_read_as_it_was_answered(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy(
        {
            "id": "unsure",
            "confidence": {"below": 0.85, "per_label": {"threat": 0.99}},
            "route": "review",
            "queue": "triage",
        }
    )
    posted = await client.post(
        "/v1/predictions", json=scenario.prediction(label="threat", confidence=0.9)
    )

    read = await client.get(f"{LIST}/{posted.json()['id']}")

    assert read.json() == posted.json()
    # the threshold in the trace is the one of the label
    assert read.json()["trace"][0]["threshold"] == 0.99


async def test_resolution_says_what_the_human_answered(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    answered = await scenario.resolved("negative")

    read = (await client.get(f"{LIST}/{answered.decision.id}?wait_s=30")).json()

    resolution = read["resolution"]
    assert resolution.pop("resolved_at").endswith("Z")
    assert resolution == {
        "label": "negative",
        "outcome": "labeled",
        "judge": "single",
        "agreed": False,
    }


async def test_waiting_ends_without_an_answer_when_the_time_is_over(
    client: httpx.AsyncClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.flows.waiting.LOOK_AGAIN_S", 0.01)
    answered = await scenario.decided()

    read = await client.get(f"{LIST}/{answered.decision.id}?wait_s=0.05")

    assert (read.status_code, read.json()["resolution"]) == (200, None)


@pytest.mark.parametrize("wait_s", ["-1", "30.1", "nan", "inf", "soon"])
async def test_waiting_has_a_limit(
    client: httpx.AsyncClient, scenario: Scenario, wait_s: str
) -> None:
    answered = await scenario.decided()

    response = await client.get(f"{LIST}/{answered.decision.id}?wait_s={wait_s}")

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["query", "wait_s"]


async def test_unknown_decision_is_answered_404(ctx: Context, client: httpx.AsyncClient) -> None:
    theirs = await (await Scenario.start(ctx)).decided()

    for unknown in (theirs.decision.id, uuid.UUID(int=0)):
        is_problem(await client.get(f"{LIST}/{unknown}"), 404, "not_found")
    is_problem(await client.get(f"{LIST}/nonsense"), 422, "invalid")


@pytest.fixture
async def three(scenario: Scenario) -> Scenario:
    """An accepted, an audited and a reviewed decision, of different segments and versions."""
    unsure = {"id": "unsure", "confidence": {"below": 0.5}, "route": "review", "queue": "triage"}
    await scenario.policy(unsure, audit={"probability": 1e-6, "per_label": {}})
    await scenario.decided(request_key="accepted", segment={"source": "tweets", "lang": "en"})
    await scenario.decided(request_key="reviewed", confidence=0.1, segment={"source": "news"})
    await scenario.policy(name="other", applies_to={"model": "other"}, audit={"probability": 1})
    await scenario.decided(request_key="audited", model="other", model_version="2", label="b")
    return scenario


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["accepted", "reviewed", "audited"]),
        ({"model": "other"}, ["audited"]),
        ({"model": "nowhere"}, []),
        ({"model_version": "1"}, ["accepted", "reviewed"]),
        ({"route": "review"}, ["reviewed"]),
        ({"reason": "unsure"}, ["reviewed"]),
        ({"reason": "default"}, ["accepted", "audited"]),
        ({"label": "positive", "route": "accept"}, ["accepted"]),
        ({"audited": "true"}, ["audited"]),
        ({"audited": "false"}, ["accepted", "reviewed"]),
        ({"segment": "source:tweets"}, ["accepted"]),
        ({"segment": "source:nowhere"}, []),
        ({"from": "2100-01-01T00:00:00Z"}, []),
        ({"to": "2026-01-01T00:00:00Z"}, []),
        ({"from": "0001-01-01T00:00:00+14:00"}, ["accepted", "reviewed", "audited"]),
        ({"to": "9999-12-31T23:59:59-14:00"}, ["accepted", "reviewed", "audited"]),
        ({"request_key": "reviewed"}, ["reviewed"]),
        ({"request_key": "nowhere"}, []),
    ],
    ids=lambda value: "-".join(map(str, value)) or "none",
)
async def test_filters_leave_what_matches(
    client: httpx.AsyncClient, three: Scenario, query: dict[str, str], found: list[str]
) -> None:
    assert await listed(client, **query) == found


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("segment=tweets", "segment"),
        ("segment=:tweets", "segment"),
        ("segment=source:", "segment"),
        ("route=maybe", "route"),
        ("audited=maybe", "audited"),
        ("from=yesterday", "from"),
        ("from=2026-11-23T10:00:00", "from"),
        ("from=2026", "from"),
        ("from=1790000000", "from"),
        ("to=2026-11-23", "to"),
        ("from=2026-11-23T10:00:00+01:00", "from"),
        ("from=2026-11-24T10:00:00Z&to=2026-11-23T10:00:00Z", "from"),
        ("modle=sentiment", "modle"),
        ("model=a&model=b", "model"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=nonsense!", "cursor"),
        ("cursor=abcd", "cursor"),
        ("cursor=%C3%A4", "cursor"),
        (f"cursor={'a' * 65}", "cursor"),
        (f"label={'a' * 257}", "label"),
    ],
)
async def test_filter_that_makes_no_sense_is_refused_and_named(
    client: httpx.AsyncClient, query: str, place: str
) -> None:
    response = await client.get(f"{LIST}?{query}")

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["query", place]


async def test_label_may_be_any_text(client: httpx.AsyncClient, scenario: Scenario) -> None:
    for label in ("\u00e4 & %", "a" * 256, "\U0001f600"):
        await scenario.decided(label=label)

        assert len(await listed(client, label=label)) == 1


async def test_list_starts_7_days_back_unless_from_is_given(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    def minted(days_ago: float) -> None:
        moment = datetime.now(UTC) - timedelta(days=days_ago)
        tail = new_id().int & (2**80 - 1)
        monkeypatch.setattr(
            predict, "new_id", lambda: uuid.UUID(int=lowest_id_at(moment).int | tail)
        )

    for days_ago in (8, 7.01, 6.99, 0):
        minted(days_ago)
        await scenario.decided(request_key=str(days_ago))

    assert await listed(client) == ["6.99", "0"]
    moment = (datetime.now(UTC) - timedelta(days=7.5)).isoformat()
    assert await listed(client, **{"from": moment}) == ["7.01", "6.99", "0"]


async def test_walk_by_cursor_sees_every_row_once_while_rows_arrive(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    for n in range(5):
        await scenario.decided(request_key=f"req-{n}")

    seen: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get(LIST, params=query)).json()
        seen += [decision["request_key"] for decision in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        if len(seen) < 6:
            await scenario.decided(request_key=f"req-{5 + len(seen) // 2 - 1}")

    assert seen == [f"req-{n}" for n in range(len(seen))]
    assert len(seen) == 7


async def test_lookup_finds_by_ids_and_request_keys_and_leaves_out_the_rest(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    first = await scenario.decided(request_key="req-1")
    await scenario.decided(request_key="req-2")

    response = await client.post(
        f"{LIST}/lookup",
        json={
            "ids": [str(first.decision.id), str(uuid.UUID(int=0))],
            "request_keys": ["req-1", "req-2", "nowhere"],
        },
    )

    body = response.json()
    assert sorted(one["request_key"] for one in body["items"]) == ["req-1", "req-2"]
    assert body["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"ids": ["nonsense"]}, ["ids", 0]),
        ({"ids": [str(uuid.UUID(int=n)) for n in range(1001)]}, ["ids"]),
        ({"request_keys": [str(n) for n in range(1001)]}, ["request_keys"]),
        ({"request_keys": ["a" * 257]}, ["request_keys", 0]),
        ({"request_keys": [""]}, ["request_keys", 0]),
        ({"request_keys": ["a\x00"]}, ["request_keys", 0]),
        ({"request_keys": ["\ud800"]}, ["request_keys", 0]),
        ({"\ud800": 1}, ["body"]),
        ([], ["body"]),
    ],
)
async def test_lookup_of_what_cannot_be_is_refused(
    client: httpx.AsyncClient, body: Any, loc: list[Any]
) -> None:
    # json.dumps writes half of a surrogate pair as an escape, which httpx would not
    response = await client.post(
        f"{LIST}/lookup", content=json.dumps(body), headers={"content-type": "application/json"}
    )

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == loc


async def test_lookup_takes_as_many_as_the_limit(client: httpx.AsyncClient) -> None:
    response = await client.post(
        f"{LIST}/lookup", json={"request_keys": [str(n) for n in range(1000)]}
    )

    assert (response.status_code, response.json()["items"]) == (200, [])
