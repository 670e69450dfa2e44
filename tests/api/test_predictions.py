"""Posting predictions over HTTP: every status, every limit, and nothing that gives a 5xx."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from app.api.wire import decode
from app.core.access import Scope
from app.core.errors import Invalid, Overloaded
from app.flows import projects
from app.flows.context import Context
from app.main import build
from tests.flows.tables import sizes
from tests.scenario import Scenario

ONE, MANY = "/v1/predictions", "/v1/predictions/batch"


def limited(ctx: Context, client: httpx.AsyncClient, **changes: Any) -> httpx.AsyncClient:
    """A client of the same service with other settings."""
    settings = ctx.settings.model_copy(update=changes)
    other = build(Context(settings, ctx.db, ctx.views, ctx.gatherer, ctx.watch))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=other),
        base_url=client.base_url,
        headers=client.headers,
    )


def is_problem(response: httpx.Response, status: int, code: str) -> Any:
    """The problem document that a response must be."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "code", "detail", "errors", "instance"}
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"].endswith(code)
    assert problem["instance"] == response.headers["x-request-id"]
    return problem


async def test_new_prediction_is_answered_201_with_its_decision(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy(audit={"probability": 0.02})

    response = await client.post(ONE, json=scenario.prediction(request_key="req-81c"))

    assert response.status_code == 201
    decision = response.json()
    assert decision["request_key"] == "req-81c"
    assert (decision["policy"], decision["monitors"]) == ({"name": "sentiment", "version": 1}, [])
    assert decision["audit"]["probability"] == 0.02
    assert decision["decided_at"].endswith("Z")
    assert set(decision) == {
        "id", "request_key", "model", "model_version", "label", "confidence", "route", "reason",
        "trace", "policy", "monitors", "unfamiliar", "audit", "item", "shadow", "resolution", "decided_at",
    }  # fmt: skip


async def test_the_same_again_is_answered_200_whatever_its_spelling(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    posted = scenario.prediction(confidence=0.5)
    first = await client.post(ONE, json=posted)
    respelled = json.dumps(dict(reversed(posted.items())), indent=2).replace("0.5", "5.0e-1")

    again = await client.post(ONE, content=respelled)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


async def test_other_content_under_the_same_key_is_answered_409(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await client.post(ONE, json=scenario.prediction(request_key="req-1", confidence=0.5))

    response = await client.post(ONE, json=scenario.prediction(request_key="req-1", confidence=0.6))

    problem = is_problem(response, 409, "request_key_conflict")
    assert problem["errors"][0]["loc"] == ["request_key"]


async def test_dry_run_is_answered_200_and_stores_nothing(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    response = await client.post(f"{ONE}?dry_run=true", json=scenario.prediction())

    assert response.status_code == 200
    assert response.json()["reason"] == "no-policy"
    assert response.json()["dry_run"] is True
    assert sum((await sizes(ctx, scenario.project)).values()) == 0


async def test_dry_run_is_true_or_false(client: httpx.AsyncClient, scenario: Scenario) -> None:
    stored = await client.post(f"{ONE}?dry_run=false", json=scenario.prediction())
    refused = await client.post(f"{ONE}?dry_run=perhaps", json=scenario.prediction())

    assert stored.status_code == 201
    assert is_problem(refused, 422, "invalid")["errors"][0]["loc"] == ["query", "dry_run"]


@pytest.mark.parametrize("path", [ONE, MANY])
async def test_without_a_good_key_or_its_scope_nothing_is_read(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, path: str
) -> None:
    reader = await projects.create_key(
        ctx, "test", project=scenario.name, name="reader", scopes=[Scope.READ]
    )

    def sent(authorization: str | None) -> Any:
        headers = {"Authorization": authorization} if authorization else {}
        return client.post(path, content=b"{", headers=headers)

    del client.headers["Authorization"]
    for authorization in (None, "Basic abc", "Bearer nonsense", f"Bearer {scenario.key[:-4]}abcd"):
        response = await sent(authorization)
        is_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
    is_problem(await sent(f"Bearer {reader.text}"), 403, "forbidden")


async def test_half_of_a_surrogate_pair_is_called_what_it_is(client: httpx.AsyncClient) -> None:
    for text in (rb'"\ud83d\ude00 \ud800"', rb'"\ud800"', rb'"\\ud800 \udfff b"'):
        response = await client.post(ONE, content=b'{"label": ' + text + b"}")

        detail = is_problem(response, 400, "malformed")["detail"]
        assert "half of a surrogate pair" in detail
        assert "truncated" not in detail


async def test_text_that_is_cut_off_is_still_called_so(client: httpx.AsyncClient) -> None:
    response = await client.post(ONE, content=rb'{"label": "\ud83d\ude00 \\ud800')

    assert "truncated" in is_problem(response, 400, "malformed")["detail"]


@pytest.mark.parametrize(
    ("body", "code", "loc"),
    [
        pytest.param(b"", "malformed", ["body"], id="empty"),
        pytest.param(b"{", "malformed", ["body"], id="cut off"),
        pytest.param(b'{"request_key": "a\x00b"}', "malformed", ["body"], id="raw NUL"),
        pytest.param(b'{"confidence": NaN}', "malformed", ["body"], id="NaN"),
        pytest.param(b'{"confidence": Infinity}', "malformed", ["body"], id="Infinity"),
        pytest.param(b'{"request_key": "\xff"}', "malformed", ["body"], id="not UTF-8"),
        pytest.param(b'{"request_key": "\\ud800"}', "malformed", ["body"], id="lone surrogate"),
        pytest.param(b"[]", "invalid", ["body"], id="a list"),
        pytest.param(b"[" * 100_000, "invalid", ["body"], id="deep nesting"),
        pytest.param(b'{"output": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001, "invalid", ["body"], id="deep nesting in a field"),
        pytest.param(b'{"confidence": 1e999}', "invalid", ["confidence"], id="number past a double"),
        pytest.param(b'{"risk": ' + b"9" * 300 + b"}", "invalid", ["risk"], id="300 digits"),
        pytest.param(b'{"output": ' + b"9" * 5000 + b"}", "invalid", ["output"], id="5,000 digits"),
        pytest.param(b'{"request_key": 7}', "invalid", ["request_key"], id="wrong type"),
        pytest.param(b'{"nonsense": 7}', "invalid", ["nonsense"], id="unknown field"),
        pytest.param(b'{"model": "m"}', "invalid", ["request_key"], id="field missing"),
        pytest.param(b'{"features": {"a": []}}', "invalid", ["features", "..."], id="list as a feature"),
    ],
)  # fmt: skip
async def test_body_that_is_no_prediction_is_refused_and_its_place_named(
    client: httpx.AsyncClient, body: bytes, code: str, loc: list[Any]
) -> None:
    response = await client.post(ONE, content=body)

    problem = is_problem(response, 400 if code == "malformed" else 422, code)
    assert problem["errors"][0]["loc"] == loc


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        pytest.param({"request_key": "a\x00b"}, ["request_key"], id="text"),
        pytest.param({"features": {"x": "\x00"}}, ["features", "x"], id="value"),
        pytest.param({"segment": {"\x00": "a"}}, ["segment", "key"], id="name"),
        pytest.param({"output": [{"a": "\x00"}]}, ["output", 0, "a"], id="deep inside"),
    ],
)
async def test_nul_character_is_refused_wherever_it_hides(
    client: httpx.AsyncClient, scenario: Scenario, changes: dict[str, Any], loc: list[Any]
) -> None:
    response = await client.post(ONE, json=scenario.prediction(**changes))

    problem = is_problem(response, 422, "invalid")
    assert problem["errors"][0] == {"loc": loc, "detail": "Must not contain NUL characters."}


def test_nul_character_as_deep_as_can_be_read_is_refused() -> None:
    decoder = msgspec.json.Decoder(Any)

    # somewhere among these the decoder is just not too deep yet
    for levels in range(800, 1000):
        with pytest.raises(Invalid):
            decode(decoder, b"[" * levels + b'"\\u0000"' + b"]" * levels)


async def test_text_that_only_looks_like_an_escaped_nul_is_taken(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    response = await client.post(ONE, json=scenario.prediction(subject={"text": "\\u0000"}))

    assert response.status_code == 201


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"output": int("9" * 300)}, id="300 digits"),
        pytest.param({"output": 1e308, "features": {"a": -1e308, "b": 5e-324}}, id="extreme doubles"),
        pytest.param({"label": "\U0001f600" * 256, "scores": None}, id="characters beyond 16 bits"),
        pytest.param({"occurred_at": "9999-12-31T23:59:59.999999Z"}, id="last moment"),
        pytest.param({"occurred_at": "0001-01-01T00:00:00+14:00"}, id="before all times"),
        pytest.param({"label": "'; DROP TABLE decisions; --"}, id="SQL as a label"),
        pytest.param({"label": None, "scores": {str(n): 0.001 for n in range(1000)}}, id="1,000 labels"),
        pytest.param({"embedding": [0.5] * 4096, "features": {str(n): n for n in range(200)}}, id="largest vectors"),
        pytest.param({"subject": {"text": "a" * 100_000}, "request_key": "k" * 256}, id="longest texts"),
    ],
)  # fmt: skip
async def test_extreme_content_within_the_limits_is_taken_and_kept(
    client: httpx.AsyncClient, scenario: Scenario, changes: dict[str, Any]
) -> None:
    posted = scenario.prediction(**changes)

    first = await client.post(ONE, json=posted)
    again = await client.post(ONE, json=posted)

    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert first.json() == again.json()


@pytest.mark.parametrize(
    "changes",
    [
        {"request_key": "k" * 257},
        {"label": None, "scores": {str(n): 0.0009 for n in range(1001)}},
        {"features": {str(n): n for n in range(201)}},
        {"embedding": [0.5] * 4097},
        {"subject": {"text": "a" * 100_001}},
        {"output": json.loads("[" * 17 + "]" * 17)},
    ],
    ids=lambda changes: next(reversed(changes)),
)
async def test_content_past_a_limit_is_refused(
    client: httpx.AsyncClient, scenario: Scenario, changes: dict[str, Any]
) -> None:
    response = await client.post(ONE, json=scenario.prediction(**changes))

    problem = is_problem(response, 422, "invalid")
    assert problem["errors"][0]["loc"][0] == next(reversed(changes))


async def test_overload_is_answered_503_and_when_to_come_back(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctx.gatherer, "_waiting_max", 0)

    response = await client.post(ONE, json=scenario.prediction())

    is_problem(response, 503, Overloaded.code)
    assert response.headers["retry-after"] == "1"


async def test_batch_is_answered_row_by_row_and_in_order(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    first, other = scenario.prediction(), scenario.prediction()
    rows: list[Any] = [
        first,
        {"model": "m"},
        first,
        {**first, "confidence": 0.1},
        scenario.prediction(scores={"a": 7}),
        7,
        scenario.prediction(request_key="a\x00"),
        other,
    ]

    response = await client.post(MANY, json={"predictions": rows})

    assert response.status_code == 200
    results = response.json()["results"]
    assert [row["status"] for row in results] == [201, 422, 200, 409, 422, 422, 422, 201]
    for row, sent in zip(results, rows, strict=True):
        if row["status"] in (200, 201):
            assert "problem" not in row
            assert row["decision"]["request_key"] == sent["request_key"]
        else:
            assert "decision" not in row
            assert row["problem"]["status"] == row["status"]
    assert results[1]["problem"]["errors"][0]["loc"] == ["request_key"]


async def test_row_whose_text_is_no_unicode_does_not_lose_the_others(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    rows = [json.dumps(scenario.prediction(confidence=n / 10)) for n in range(3)]
    rows[1] = rows[1].replace("great", "\\ud800")

    response = await client.post(MANY, content=f'{{"predictions": [{", ".join(rows)}]}}')

    statuses = [row["status"] for row in response.json()["results"]]
    assert statuses == [201, 400, 201]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[]", 422, "invalid"),
        (b'{"predictions": {}}', 422, "invalid"),
        (b'{"predictions": [], "more": 1}', 422, "invalid"),
        (b'{"predictions": [1, 2', 400, "malformed"),
        (b'{"others": ["\\ud800"]}', 422, "invalid"),
        (b'"\\ud800"', 400, "malformed"),
        (b'{"predictions": [' + b"[" * 100_000, 422, "invalid"),
    ],
    ids=["a list", "no list", "unknown field", "cut off", "others", "a text", "deep nesting"],
)
async def test_what_is_no_batch_is_refused_whole(
    client: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    is_problem(await client.post(MANY, content=body), status, code)


async def test_empty_batch_is_answered_with_no_rows(client: httpx.AsyncClient) -> None:
    response = await client.post(MANY, json={"predictions": []})

    assert (response.status_code, response.json()) == (200, {"results": []})


async def test_batch_may_have_as_many_rows_as_the_limit_and_not_one_more(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    rows = [scenario.prediction() for _ in range(1001)]

    taken = await client.post(MANY, json={"predictions": rows[:1000]})
    refused = await client.post(MANY, json={"predictions": rows})

    assert [row["status"] for row in taken.json()["results"]] == [201] * 1000
    assert is_problem(refused, 413, "too_large")["errors"][0]["loc"] == ["predictions"]


async def test_row_of_a_batch_past_its_bytes_is_refused_alone(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    rows = [scenario.prediction(subject={"text": "a" * length}) for length in (1, 2000, 1)]
    limit = len(json.dumps(rows[1], separators=(",", ":")))

    for line_bytes_max, status in ((limit, 201), (limit - 1, 413)):
        async with limited(ctx, client, line_bytes_max=line_bytes_max) as http:
            response = await http.post(MANY, json={"predictions": rows})
        assert response.json()["results"][1]["status"] == status
        assert response.json()["results"][2]["status"] in (200, 201)


async def test_overload_refuses_a_batch_whole(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctx.gatherer, "_waiting_max", 1)
    rows = [scenario.prediction(), scenario.prediction()]

    is_problem(await client.post(MANY, json={"predictions": rows}), 503, "overloaded")

    assert sum((await sizes(ctx, scenario.project)).values()) == 0


async def test_rows_that_are_no_json_lose_no_other_row(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    """Each of them makes the whole body unreadable for a JSON parser."""
    bad = [
        b'{"request_key": "\\ud800"}',
        b'{"request_key": "r", "output": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"request_key": "a, ]} in a string \\"", "risk": NaN}',
        b'{"output": ' + b"9" * 5000 + b"}",
        b"",
    ]
    good = [json.dumps(scenario.prediction(request_key=key)).encode() for key in ("first", "last")]
    body = b'{"predictions": [' + b", ".join([good[0], *bad, good[1]]) + b"]}"

    answer = await client.post("/v1/predictions/batch", content=body)

    assert answer.status_code == 200
    rows = answer.json()["results"]
    assert [row["status"] // 100 for row in rows] == [2, *[4] * len(bad), 2]
    assert rows[-1]["decision"]["request_key"] == "last"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"predictions": [NaN', id="without an end"),
        # hours of work if it were looked at anew from every quote
        pytest.param(b'{"predictions": ["' + b'\\"' * 400_000, id="a string without an end"),
        pytest.param(b'{"predictions": [NaN]} and more', id="with more behind it"),
    ],
)
async def test_batch_that_is_damaged_itself_is_refused_whole(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post("/v1/predictions/batch", content=body)

    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed"


async def test_bad_row_of_a_batch_is_named_by_its_index_and_its_key(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await client.post(ONE, json=scenario.prediction(request_key="req-1"))
    rows = [
        json.dumps(scenario.prediction()),
        json.dumps(scenario.prediction(request_key="req-2", risk=7)),
        '{"request_key": 7}',
        json.dumps(scenario.prediction(request_key="req-1", confidence=0.1)),
        '{"request_key": "req-3", "risk": NaN}',
    ]

    answer = await client.post(MANY, content=f'{{"predictions": [{", ".join(rows)}]}}')

    problems = [row.get("problem", {}) for row in answer.json()["results"]]
    assert [problem.get("row") for problem in problems] == [None, 1, 2, 3, 4]
    assert [problem.get("request_key") for problem in problems] == [
        None, "req-2", None, "req-1", None,
    ]  # fmt: skip
