"""References over HTTP: JSON, NDJSON, a range; and what is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api import references as api
from app.core.access import Scope
from app.core.drift import build
from app.flows import projects
from app.flows.context import Context
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

PATH = "/v1/references/validated"
NDJSON = {"content-type": "application/x-ndjson"}
ROW = {"label": "positive", "confidence": 0.9, "features": {"n": 12, "lang": "en"}}


def body(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "sentiment", "rows": list(rows or (ROW,)), **fields}


def around_now() -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "from": (now - timedelta(hours=1)).isoformat(),
        "to": (now + timedelta(minutes=1)).isoformat(),
    }


async def test_a_reference_says_what_was_built_and_what_is_too_thin(
    client: httpx.AsyncClient,
) -> None:
    response = await client.put(PATH, json=body(*[ROW] * 1000, {"label": "negative"}))

    made = response.json()
    assert response.status_code == 201
    assert (made["name"], made["version"], made["predictions"]) == ("validated", 1, 1001)
    assert (made["model"], made["source"]) == ("sentiment", {"kind": "rows"})
    assert len(made["digest"]) == 64
    streams = {one["stream"]: one for one in made["streams"]}
    assert list(streams) == ["label", "confidence", "feature:lang", "feature:n", "missing"]
    assert streams["feature:n"] == {
        "stream": "feature:n",
        "kind": "numeric",
        "cells": 4,
        "counted": 1001,
        "missing": 1,
        "testable": True,
        "why": None,
    }


async def test_a_thin_reference_is_made_and_says_so(client: httpx.AsyncClient) -> None:
    response = await client.put(PATH, json=body())

    assert response.status_code == 201
    assert {(one["testable"], one["why"]) for one in response.json()["streams"]} == {
        (False, "reference_too_small")
    }


async def test_the_same_content_is_the_same_version(client: httpx.AsyncClient) -> None:
    first = await client.put(PATH, json=body(ROW, {"label": "negative"}))
    again = await client.put(PATH, json=body({"label": "negative"}, ROW))
    other = await client.put(PATH, json=body(ROW))

    assert [found.status_code for found in (first, again, other)] == [201, 200, 201]
    assert again.json() == first.json()
    assert other.json()["version"] == 2


async def test_lines_make_the_same_reference_as_rows(client: httpx.AsyncClient) -> None:
    rows = [{**ROW, "confidence": n / 1000} for n in range(1000)]
    scope = {"model_version": "1", "segment": "source:tweets"}
    posted = await client.put(PATH, json=body(*rows, **scope))

    response = await client.put(
        PATH,
        params={"model": "sentiment", **scope},
        content="\n".join(map(json.dumps, rows)),
        headers=NDJSON,
    )

    assert (response.status_code, response.json()) == (200, posted.json())
    assert response.json()["segment"] == "source:tweets"


async def test_lines_may_be_more_than_a_body(
    client: httpx.AsyncClient, ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({**ROW, "embedding": [0.123456789] * 4096})
    lines = ctx.settings.body_bytes_max // len(line) + 10

    response = await client.put(
        PATH, params={"model": "sentiment"}, content=f"{line}\n" * lines, headers=NDJSON
    )

    assert (response.status_code, response.json()["predictions"]) == (201, lines)


async def test_json_past_its_limit_is_told_of_lines(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BODY_BYTES_MAX", 100)

    response = await client.put(PATH, json=body(ROW, ROW))

    assert "application/x-ndjson" in is_problem(response, 413, "too_large")["detail"]


async def test_a_row_too_many_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROWS_MAX", 2)

    in_json = await client.put(PATH, json=body(ROW, ROW, ROW))
    in_lines = await client.put(
        PATH, params={"model": "m"}, content=f"{json.dumps(ROW)}\n" * 3, headers=NDJSON
    )

    is_problem(in_json, 413, "too_large")
    is_problem(in_lines, 413, "too_large")
    assert (await client.get("/v1/references")).json()["items"] == []


async def test_recorded_predictions_make_a_reference(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.decided(features={"n": 1})
    await scenario.decided(model="toxicity")
    asked = around_now()

    response = await client.put(PATH, json={"model": "sentiment", "from_predictions": asked})

    made = response.json()
    assert (response.status_code, made["predictions"]) == (201, 1)
    assert (made["source"]["kind"], made["source"]["looked_at"]) == ("predictions", 2)
    assert datetime.fromisoformat(made["source"]["from"]) == datetime.fromisoformat(asked["from"])


async def test_versions_are_read_and_listed(client: httpx.AsyncClient) -> None:
    first = (await client.put(PATH, json=body())).json()
    second = (await client.put(PATH, json=body(ROW, ROW))).json()

    latest = await client.get(PATH)
    one = await client.get(f"{PATH}/versions/1")
    pages = [(await client.get("/v1/references", params={"limit": 1})).json()]
    pages.append(
        (
            await client.get(
                "/v1/references", params={"limit": 1, "cursor": pages[0]["next_cursor"]}
            )
        ).json()
    )

    assert (latest.json(), one.json()) == (second, first)
    assert [page["items"][0]["version"] for page in pages] == [1, 2]
    assert "streams" not in pages[0]["items"][0]


async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient) -> None:
    await client.put(PATH, json=body())

    answers = [await client.get(path) for path in ("/v1/references/other", f"{PATH}/versions/2")]

    for answer in answers:
        is_problem(answer, 404, "not_found")


async def test_another_project_sees_none(client: httpx.AsyncClient, ctx: Context) -> None:
    await client.put(PATH, json=body())
    other = await Scenario.start(ctx)
    client.headers["Authorization"] = f"Bearer {other.key}"

    listed = await client.get("/v1/references")
    found = await client.get(PATH)
    made = await client.put(PATH, json=body())

    assert listed.json()["items"] == []
    is_problem(found, 404, "not_found")
    assert (made.status_code, made.json()["version"]) == (201, 1)


async def test_making_one_needs_manage_and_reading_needs_read(
    client: httpx.AsyncClient, ctx: Context, scenario: Scenario
) -> None:
    key = await projects.create_key(
        ctx, "test", project=scenario.name, name="r", scopes=[Scope.READ]
    )
    client.headers["Authorization"] = f"Bearer {key.text}"

    made = await client.put(PATH, json=body())
    listed = await client.get("/v1/references")

    is_problem(made, 403, "forbidden")
    assert listed.status_code == 200


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"rows": []}, ["rows"]),
        ({"rows": None}, ["rows"]),
        (
            {"from_predictions": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}},
            ["rows"],
        ),
        ({"segment": "tweets"}, ["segment"]),
        ({"segment": ":tweets"}, ["segment"]),
        ({"model": ""}, ["model"]),
        ({"rows": [ROW, {"labels": "a"}]}, ["rows", 1, "labels"]),
        ({"rows": [ROW, {"scores": {"a": 0.2}}]}, ["rows", 1, "scores"]),
        ({"rows": [{"confidence": 2}]}, ["rows", 0, "confidence"]),
        ({"rows": [{"features": {"n": [1]}}]}, ["rows", 0, "features"]),
        ({"rows": [{"members": [{"name": "a"}]}]}, ["rows", 0, "members", 0]),
        ({"rows": [{"request_key": "r"}]}, ["rows", 0, "request_key"]),
        ({"rows": [1]}, ["rows", 0]),
    ],
)
async def test_what_cannot_be_taken_is_named_by_its_place(
    client: httpx.AsyncClient, changes: dict[str, Any], loc: list[str | int]
) -> None:
    response = await client.put(PATH, json=body(**changes))

    found = is_problem(response, 422, "invalid")["errors"][0]["loc"]
    assert found[: len(loc)] == loc


@pytest.mark.parametrize("text", [r'"a\u0000b"', r'"a\ud800b"'])
@pytest.mark.parametrize("kind", ["json", "lines"])
async def test_text_that_cannot_be_kept_is_refused(
    client: httpx.AsyncClient, text: str, kind: str
) -> None:
    row = f'{{"label": {text}}}'
    content = f'{{"model": "sentiment", "rows": [{row}]}}' if kind == "json" else row
    query = {"model": "sentiment"} if kind == "lines" else {}

    response = await client.put(
        PATH, params=query, content=content, headers=NDJSON if kind == "lines" else {}
    )

    if "0000" in text:
        assert is_problem(response, 422, "invalid")["errors"][0]["loc"] == ["rows", 0, "label"]
    else:
        is_problem(response, 400, "malformed")


async def test_a_row_far_behind_is_named_by_its_own_number(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "CHUNK_ROWS", 2)

    response = await client.put(PATH, json=body(*[ROW] * 5, {"confidence": 2}))

    assert is_problem(response, 422, "invalid")["errors"][0]["loc"][:2] == ["rows", 5]


async def test_lines_need_the_model_in_the_query_and_json_has_it_inside(
    client: httpx.AsyncClient,
) -> None:
    lines = await client.put(PATH, content=json.dumps(ROW), headers=NDJSON)
    twice = await client.put(PATH, params={"model": "sentiment"}, json=body())

    assert is_problem(lines, 422, "invalid")["errors"][0]["loc"] == ["query", "model"]
    is_problem(twice, 422, "invalid")


async def test_a_bad_line_is_named_and_nothing_is_made(client: httpx.AsyncClient) -> None:
    content = f"{json.dumps(ROW)}\n{{\n"

    response = await client.put(
        PATH, params={"model": "sentiment"}, content=content, headers=NDJSON
    )

    assert is_problem(response, 400, "malformed")["errors"][0]["loc"][:2] == ["rows", 1]
    assert (await client.get("/v1/references")).json()["items"] == []


async def test_a_line_past_its_limit_is_named(client: httpx.AsyncClient, ctx: Context) -> None:
    content = json.dumps({"label": "x" * ctx.settings.line_bytes_max})

    response = await client.put(
        PATH, params={"model": "sentiment"}, content=content, headers=NDJSON
    )

    assert is_problem(response, 413, "too_large")["errors"][0]["loc"] == ["rows", 0]
