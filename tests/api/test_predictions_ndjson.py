"""Predictions as lines: answered line by line, in order, whatever is in them."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.core.errors import Unavailable
from app.flows import predict as flow
from app.flows.context import Context
from app.main import build
from tests.api.test_predictions import MANY, ONE, limited
from tests.flows.tables import sizes
from tests.scenario import Scenario

NDJSON = {"content-type": "application/x-ndjson"}


def lines(*predictions: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in predictions)


async def answers(client: httpx.AsyncClient, content: Any) -> list[Any]:
    response = await client.post(MANY, content=content, headers=NDJSON)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_each_line_is_answered_and_in_order(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    first = scenario.prediction()
    body = (
        lines(first)
        + b"{not json\n"
        + b"\n  \r\n"
        + lines({"model": "m"}, first, {**first, "confidence": 0.1})
        + b'{"model": "\xff"}\r\n'
        # the last line may lack its end
        + lines(scenario.prediction(request_key="last")).rstrip()
    )

    rows = await answers(client, body)

    assert [row["status"] for row in rows] == [201, 400, 422, 200, 409, 400, 201]
    assert rows[-1]["decision"]["request_key"] == "last"
    assert rows[3]["decision"] == rows[0]["decision"]
    problems = [row["problem"] for row in rows if "problem" in row]
    # counted as an editor counts them: lines 3 and 4 are blank
    assert [problem["row"] for problem in problems] == [2, 5, 7, 8]
    assert [problem.get("request_key") for problem in problems] == [
        None, None, first["request_key"], None,
    ]  # fmt: skip


async def test_2000_lines_are_all_decided_once(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    posted = [scenario.prediction(request_key=f"req-{n}") for n in range(2000)]

    rows = await answers(client, lines(*posted))

    assert [row["decision"]["request_key"] for row in rows] == [
        one["request_key"] for one in posted
    ]
    assert Counter(row["status"] for row in rows) == {201: 2000}
    written = await sizes(ctx, scenario.project)
    # 500 lines at least are committed together
    assert 1 <= written.pop("inbox") <= 4
    assert written == {
        "request_keys": 2000, "decisions": 2000, "items": 2000, "assignments": 2000,
    }  # fmt: skip


async def test_lines_may_arrive_in_any_pieces(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    body = lines(*(scenario.prediction() for _ in range(5)))

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    rows = await answers(client, pieces())

    assert [row["status"] for row in rows] == [201] * 5


async def test_no_lines_are_answered_with_none(client: httpx.AsyncClient) -> None:
    assert await answers(client, b"") == []
    assert await answers(client, b"\n\n") == []


@pytest.mark.parametrize("piece", [64, 100_000], ids=["in small pieces", "at once"])
async def test_line_past_its_bytes_is_refused_alone(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario, piece: int
) -> None:
    long = scenario.prediction(subject={"text": "a" * 2000})
    limit = len(json.dumps(long))
    body = lines(scenario.prediction(), long, scenario.prediction(), long).rstrip()

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), piece):
            yield body[at : at + piece]

    for line_bytes_max, statuses in (
        (limit - 1, [201, 413, 201, 413]),
        (limit, [200, 201, 200, 200]),
    ):
        async with limited(ctx, client, line_bytes_max=line_bytes_max) as http:
            rows = await answers(http, pieces())
        assert [row["status"] for row in rows] == statuses


async def test_lines_past_their_number_are_not_read(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    posted = [scenario.prediction() for _ in range(5)]

    async with limited(ctx, client, ndjson_rows_max=3) as http:
        rows = await answers(http, lines(*posted))
        at_the_limit = await answers(http, lines(*posted[:3]))

    assert [row["status"] for row in rows] == [201, 201, 201, 413]
    assert "at most 3 lines" in rows[-1]["problem"]["detail"]
    assert [row["status"] for row in at_the_limit] == [200] * 3
    assert (await sizes(ctx, scenario.project))["decisions"] == 3


async def test_lines_may_be_more_than_a_body_but_only_where_lines_are_read(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    posted = [scenario.prediction(subject={"text": "a" * 500}) for _ in range(5)]

    async with limited(ctx, client, body_bytes_max=1024) as http:
        rows = await answers(http, lines(*posted))
        elsewhere = await http.post(ONE, content=lines(*posted), headers=NDJSON)

    assert [row["status"] for row in rows] == [201] * 5
    assert elsewhere.status_code == 413


async def test_second_content_type_lifts_no_limit(ctx: Context, client: httpx.AsyncClient) -> None:
    twice = [("content-type", "application/json"), ("content-type", NDJSON["content-type"])]

    async with limited(ctx, client, body_bytes_max=1024) as http:
        response = await http.post(
            "/v1/predictions/batch", content=b'{"predictions": []}' + b" " * 1024, headers=twice
        )

    assert response.status_code == 413


async def test_database_that_goes_away_is_answered_line_by_line(
    client: httpx.AsyncClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted = [scenario.prediction() for _ in range(1001)]
    decided, calls = flow.predict, []

    async def goes_away(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise Unavailable("The database cannot be reached; send it again.")
        return await decided(*args)

    monkeypatch.setattr(flow, "predict", goes_away)

    rows = await answers(client, lines(*posted))

    assert [row["status"] for row in rows] == [201] * 500 + [503] * 500 + [201]
    assert rows[500]["problem"]["row"] == 501
    assert rows[500]["problem"]["request_key"] == posted[500]["request_key"]


class Connection:
    """One request by hand: what was sent, and a client that decides when to read and hang up."""

    def __init__(self, ctx: Context, scenario: Scenario) -> None:
        self.app = build(ctx)
        self.sent: list[dict[str, Any]] = []
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.may_read = asyncio.Event()
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": MANY,
            "raw_path": MANY.encode(),
            "query_string": b"",
            "http_version": "1.1",
            "scheme": "http",
            "server": ("overrule.test", 80),
            "headers": [
                (b"authorization", f"Bearer {scenario.key}".encode()),
                (b"content-type", b"application/x-ndjson"),
            ],
        }

    async def run(self) -> None:
        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                await self.may_read.wait()
            self.sent.append(message)

        await self.app(self.scope, self.incoming.get, send)

    def sends(self, body: bytes, *, more: bool) -> None:
        self.incoming.put_nowait({"type": "http.request", "body": body, "more_body": more})

    @property
    def rows(self) -> list[Any]:
        text = b"".join(message.get("body", b"") for message in self.sent).decode()
        return [json.loads(line) for line in text.splitlines()]


async def test_client_may_send_everything_before_it_reads_the_first_answer(
    ctx: Context, scenario: Scenario
) -> None:
    connection = Connection(ctx, scenario)
    request = asyncio.create_task(connection.run())
    for _ in range(4):
        connection.sends(lines(*(scenario.prediction() for _ in range(500))), more=True)
    connection.sends(b"", more=False)

    # all is read and decided although no answer could be delivered yet
    for _ in range(5_000):
        if (await sizes(ctx, scenario.project))["decisions"] == 2000:
            break
    assert connection.rows == []
    connection.may_read.set()
    await request

    assert [row["status"] for row in connection.rows] == [201] * 2000


async def test_first_answers_arrive_while_the_client_still_sends(
    ctx: Context, scenario: Scenario
) -> None:
    connection = Connection(ctx, scenario)
    connection.may_read.set()
    request = asyncio.create_task(connection.run())
    connection.sends(lines(*(scenario.prediction() for _ in range(500))), more=True)

    for _ in range(5_000):
        if connection.rows:
            break
        await asyncio.sleep(0.001)
    assert len(connection.rows) == 500
    assert not request.done()

    connection.sends(lines(scenario.prediction()), more=False)
    await request
    assert len(connection.rows) == 501


async def test_client_that_hangs_up_keeps_what_was_committed(
    ctx: Context, scenario: Scenario
) -> None:
    connection = Connection(ctx, scenario)
    connection.may_read.set()
    connection.sends(lines(*(scenario.prediction() for _ in range(501))), more=True)
    connection.incoming.put_nowait({"type": "http.disconnect"})

    await connection.run()

    assert len(connection.rows) == 500
    assert (await sizes(ctx, scenario.project))["decisions"] == 500
