"""What happens to every request: its id, its size, and an answer whatever goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.flows import decisions
from app.flows.context import Context
from app.main import build
from app.telemetry import REQUEST_SECONDS
from tests.api.test_predictions import MANY, ONE, is_problem, limited
from tests.scenario import Scenario


@pytest.mark.parametrize("given", ["req-81c", "A.b_c-1", "a" * 128])
async def test_request_id_is_echoed(client: httpx.AsyncClient, given: str) -> None:
    response = await client.get("/v1/decisions", headers={"X-Request-Id": given})

    assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "a\tb", "\xe4", None])
async def test_request_without_a_usable_id_is_given_one(
    client: httpx.AsyncClient, given: str | None
) -> None:
    headers = [(b"X-Request-Id", given.encode("latin-1"))] if given is not None else []

    first = await client.get("/v1/decisions", headers=headers)
    second = await client.get("/v1/decisions", headers=headers)

    ids = {first.headers["x-request-id"], second.headers["x-request-id"]}
    assert len(ids) == 2
    assert all(len(one) == 32 for one in ids)


async def test_problem_names_the_request_that_it_belongs_to(client: httpx.AsyncClient) -> None:
    response = await client.get("/nowhere", headers={"X-Request-Id": "req-81c"})

    assert is_problem(response, 404, "not_found")["instance"] == "req-81c"


async def test_unknown_path_is_named_with_where_to_look(client: httpx.AsyncClient) -> None:
    problem = is_problem(await client.get("/nowhere"), 404, "not_found")

    assert "no path /nowhere" in problem["detail"]
    assert "/docs" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/v1/decisions", "GET"), ("/v1/queues/triage", "GET, PUT"), (ONE, "POST")],
)
async def test_unknown_method_is_told_all_that_the_path_has(
    client: httpx.AsyncClient, path: str, methods: str
) -> None:
    response = await client.patch(path)

    problem = is_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == methods
    assert problem["detail"] == f"PATCH is no method of this path, which has {methods}."


@pytest.mark.parametrize("address", ["/v1/decisions?label=a%00b", "/v1/policies/a%00b/versions/1"])
async def test_nul_in_an_address_is_refused(client: httpx.AsyncClient, address: str) -> None:
    is_problem(await client.get(address), 422, "invalid")


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """Sent in chunks, so that nothing says its length beforehand."""
    for at in range(0, len(body), 300):
        yield body[at : at + 300]


@pytest.mark.parametrize("path", [ONE, MANY, "/v1/policies/validate", "/v1/decisions/lookup"])
@pytest.mark.parametrize("chunked", [False, True], ids=["of stated length", "in chunks"])
async def test_body_may_be_as_large_as_the_limit_and_not_larger(
    ctx: Context, client: httpx.AsyncClient, path: str, chunked: bool
) -> None:
    def sized(length: int) -> Any:
        body = b"{" + b" " * (length - 2) + b"}"
        return pieces(body) if chunked else body

    async with limited(ctx, client, body_bytes_max=1024) as http:
        largest = await http.post(path, content=sized(1024))
        too_large = await http.post(path, content=sized(1025))

    assert largest.status_code in (200, 422)
    is_problem(too_large, 413, "too_large")


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b'{"ids": ' + b"[" * 100_000, b'{"ids": ' + b"9" * 5000 + b"}", b""],
    ids=["cut off", "not UTF-8", "deep nesting", "5,000 digits", "empty"],
)
async def test_body_that_is_no_json_is_a_problem_wherever_it_is_read(
    client: httpx.AsyncClient, body: bytes
) -> None:
    response = await client.post(
        "/v1/decisions/lookup", content=body, headers={"content-type": "application/json"}
    )

    if body:
        problem = is_problem(response, 400, "malformed")
    else:
        problem = is_problem(response, 422, "invalid")
    assert problem["errors"][0]["loc"] == ["body"]


async def test_failure_of_the_service_itself_is_a_problem_and_not_a_silence(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        raise LookupError("a mistake of ours, with a secret in it")

    monkeypatch.setattr(decisions, "lookup", fails)
    transport = httpx.ASGITransport(app=build(ctx), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport,
        base_url="http://overrule.test",
        headers={"Authorization": f"Bearer {scenario.key}"},
    ) as http:
        response = await http.post("/v1/decisions/lookup", json={})

    is_problem(response, 500, "internal")
    assert "secret" not in response.text


async def test_client_that_hangs_up_within_its_body_is_no_failure_of_the_service(
    ctx: Context, scenario: Scenario
) -> None:
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": b'{"requ', "more_body": True})
    received.put_nowait({"type": "http.disconnect"})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": ONE,
        "raw_path": ONE.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {scenario.key}".encode())],
    }

    await build(ctx)(scope, received.get, send)

    assert sent == []
    assert "499" in {
        sample.labels["status"]
        for metric in REQUEST_SECONDS.collect()
        for sample in metric.samples
        if sample.labels["route"] == ONE
    }


async def test_request_is_measured_by_its_route_and_not_by_its_path(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    answered = await scenario.decided()

    await client.get(f"/v1/decisions/{answered.decision.id}")
    await client.get("/v1/nowhere")

    measured = {
        (sample.labels["route"], sample.labels["status"])
        for metric in REQUEST_SECONDS.collect()
        for sample in metric.samples
    }
    assert ("/v1/decisions/{decision_id}", "200") in measured
    assert ("unmatched", "404") in measured
    assert not any(str(answered.decision.id) in route for route, _ in measured)


async def test_other_protocols_pass_through(ctx: Context) -> None:
    app = build(ctx)
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    for kind in ("lifespan.startup", "lifespan.shutdown"):
        messages.put_nowait({"type": kind})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, messages.get, send)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_scheme_of_the_key_may_be_written_in_any_case(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    answer = await client.get("/v1/queues", headers={"Authorization": f"bearer {scenario.key}"})

    assert answer.status_code == 200


async def test_slash_too_many_is_not_found_and_sends_nobody_elsewhere(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/v1/queues/", headers={"Host": "elsewhere.test"})

    assert answer.status_code == 404


@pytest.mark.parametrize(
    "body",
    [b'{"reviewer": "r-17", "max": 0}', b"{", b'{"reviewer": "r-17", "odd": 1}'],
    ids=["out of range", "no JSON", "unknown field"],
)
async def test_what_the_fast_lane_does_not_take_is_explained_by_the_ordinary_route(
    client: httpx.AsyncClient, body: bytes
) -> None:
    response = await client.post(
        "/v1/queues/unrouted/leases",
        content=body,
        headers={"content-type": "application/json", "x-request-id": "req-7"},
    )

    assert response.status_code in {400, 422}
    assert response.json()["instance"] == "req-7"
    assert response.headers.get_list("x-request-id") == ["req-7"]
