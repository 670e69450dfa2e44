"""Posting predictions: one, a batch, or a stream of lines."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from app.api.admission import NDJSON, sends_lines
from app.api.auth import context
from app.api.decision_out import DecisionOut, dry
from app.api.problems import problem_of
from app.api.wire import decode, decode_outline, encode, may_hold_nul, refuse_nul, reply
from app.core.access import Scope
from app.core.errors import Invalid, Malformed, OverruleError, TooLarge, Unavailable
from app.core.routing.prediction import Key, Prediction
from app.flows import predict as flow
from app.flows.authenticate import authenticate
from app.flows.context import Context
from app.flows.predict import Answered

router = APIRouter(tags=["predictions"])

# lines that are committed together
CHUNK_ROWS = 500
CHUNK_BYTES = 8 * 2**20
CHUNKS_UNDER_WAY = 2


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Predictions, each decided for itself; rows stay undecoded, so that a bad one is alone."""

    predictions: list[msgspec.Raw]


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one row: a decision, or a problem."""

    status: int
    decision: DecisionOut | None = None
    problem: dict[str, Any] | None = None


class Results(msgspec.Struct, frozen=True):
    """One row per prediction, in order."""

    results: list[Row]


_BATCH_BEGIN = re.compile(rb'\s*\{\s*"predictions"\s*:\s*\[')
_BATCH_END = re.compile(rb"\s*\}\s*")
# possessive, and a string without an end goes to the end: a search begun anew at each of its quotes
# takes the square of its length
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{},]', re.DOTALL)


class _Keyed(msgspec.Struct, frozen=True):
    """What names a row, whatever else is in it."""

    request_key: Key


_prediction = msgspec.json.Decoder(Prediction)
_keyed = msgspec.json.Decoder(_Keyed)
_batch = msgspec.json.Decoder(Batch)


@router.post("/v1/predictions", status_code=201)
async def post_prediction(request: Request) -> Response:
    """Decide one prediction.

    201 with its decision; 200 with the first decision when the same request was there before.
    With `dry_run=true` it is decided and nothing is stored.
    """
    ctx = context(request)
    caller = await authenticate(ctx, request.headers.get("authorization"), Scope.PREDICT)
    prediction = decode(_prediction, await request.body())
    if request.scope["query_string"] and _dry_run(request):
        answered = await flow.dry_run(ctx, caller.project, prediction)
        return reply(dry(DecisionOut.of(answered)), 200)
    (result,) = await flow.predict(ctx, caller.project, [prediction], _answer)
    if isinstance(result, OverruleError):
        raise result
    return result


@router.post("/v1/predictions/batch")
async def post_predictions(request: Request) -> Response:
    """Decide many predictions, each for itself.

    The answer has one row per prediction, in order: a bad row never loses the others. As
    `application/x-ndjson` one prediction a line, answered as a stream of rows. The problem of a row
    names it: `row` is its index from 0, or with NDJSON the number of its line from 1, blank ones
    counted; `request_key` is there where it could be read.
    """
    ctx = context(request)
    caller = await authenticate(ctx, request.headers.get("authorization"), Scope.PREDICT)
    if sends_lines(request):
        return _Lines(_Stream(ctx, caller.project, request))
    body = await request.body()
    raws = _raws(body)
    rows_max, row_bytes_max = ctx.settings.batch_rows_max, ctx.settings.line_bytes_max
    if len(raws) > rows_max:
        raise TooLarge(
            f"A batch has at most {rows_max} predictions; send several, or NDJSON.",
            loc=("predictions",),
        )
    too_long = TooLarge(f"A prediction of a batch has at most {row_bytes_max} bytes.")
    rows = [raw if memoryview(raw).nbytes <= row_bytes_max else too_long for raw in raws]
    decided = await _decide_rows(
        ctx, caller.project, rows, range(len(rows)), with_nul=may_hold_nul(body)
    )
    content = b'{"results":[' + b",".join(decided) + b"]}"
    return Response(content, 200, media_type="application/json")


def _answer(answered: Answered) -> Response:
    return reply(DecisionOut.of(answered), 201 if answered.first else 200)


def _dry_run(request: Request) -> bool:
    value = request.query_params.get("dry_run", "false")
    if value not in ("true", "false"):
        raise Invalid("Must be true or false.", loc=("query", "dry_run"))
    return value == "true"


def _raws(body: bytes) -> Sequence[Any]:
    """The rows of a batch, each still JSON text."""
    try:
        return decode_outline(_batch, body).predictions
    except Malformed:
        # perhaps because of a few rows only: then each of them is refused when it is read
        rows = _rows_by_brackets(body)
        if rows is None:
            raise
        return rows


def _rows_by_brackets(body: bytes) -> list[bytes] | None:
    """The rows of a batch that is no JSON, told apart by its brackets and strings alone.

    None where the damage is to the batch itself.
    """
    begin = _BATCH_BEGIN.match(body)
    if begin is None:
        return None
    rows: list[bytes] = []
    depth, row_begin = 0, begin.end()
    for token in _TOKEN.finditer(body, begin.end()):
        kind = token.group()[:1]
        if kind in b"[{":
            depth += 1
        elif depth == 0 and kind in b",]":
            rows.append(body[row_begin : token.start()])
            row_begin = token.end()
            if kind == b"]":
                return rows if _BATCH_END.fullmatch(body, token.end()) else None
        elif kind in b"]}":
            depth -= 1
    return None


async def _decide_rows(
    ctx: Context, project_id: Any, raws: Sequence[Any], numbers: Sequence[int], *, with_nul: bool
) -> list[bytes]:
    """Per row, what became of it, as JSON; `numbers` are the rows' own in the request."""
    read = (_read(raw, with_nul=with_nul) for raw in raws)
    results = await flow.predict(ctx, project_id, read, _row)
    return [
        result if isinstance(result, bytes) else _refused_row(result, numbers[at], raws[at])
        for at, result in enumerate(results)
    ]


def _read(raw: Any, *, with_nul: bool) -> Prediction | OverruleError:
    """One row; its error takes its place instead of ending the others."""
    if isinstance(raw, OverruleError):
        return raw
    try:
        prediction = decode_outline(_prediction, raw)
        if with_nul:
            refuse_nul(raw)
    except OverruleError as error:
        return error
    return prediction


def _row(answered: Answered) -> bytes:
    return encode(Row(201 if answered.first else 200, decision=DecisionOut.of(answered)))


def _refused_row(error: OverruleError, number: int, raw: Any) -> bytes:
    problem = problem_of(error)
    problem["row"] = number
    # it is named where it says its name and that can be read
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
        problem["request_key"] = _keyed.decode(raw).request_key
    return encode(Row(problem["status"], problem=problem))


class _Stream:
    """One NDJSON request.

    Reading and answering are two tasks: a client that sends everything before it reads the first
    answer (most do) would otherwise wait for us while we wait for it. What is answered and not yet
    read stays in memory, bounded by the number of lines of a request.
    """

    def __init__(self, ctx: Context, project_id: Any, request: Request) -> None:
        self._ctx = ctx
        self._project_id = project_id
        self._request = request
        self._answered: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()

    async def answers(self) -> AsyncIterator[bytes]:
        """Rows of answers, in the order of the lines."""
        reading = asyncio.create_task(self._read())
        while (task := await self._answered.get()) is not None:
            yield await task
        await reading

    async def _read(self) -> None:
        # the next lines are read and decided while those before them are committed
        under_way = asyncio.Semaphore(CHUNKS_UNDER_WAY)
        try:
            async for chunk in self._chunks():
                await under_way.acquire()
                task = asyncio.create_task(self._decide(chunk))
                task.add_done_callback(lambda _: under_way.release())
                self._answered.put_nowait(task)
        except ClientDisconnect:
            # what was committed stays; sending it again answers with the first decisions
            pass
        finally:
            self._answered.put_nowait(None)

    async def _decide(self, chunk: "_Chunk") -> bytes:
        lines, numbers = chunk.lines, chunk.numbers
        try:
            with_nul = any(isinstance(line, bytes) and may_hold_nul(line) for line in lines)
            rows = await _decide_rows(
                self._ctx, self._project_id, lines, numbers, with_nul=with_nul
            )
        except Unavailable as error:
            rows = [_refused_row(error, *row) for row in zip(numbers, lines, strict=True)]
        return b"".join(row + b"\n" for row in rows)

    async def _chunks(self) -> AsyncIterator["_Chunk"]:
        """Lines that are committed together."""
        chunk = _Chunk()
        async for number, line in self._lines():
            chunk.add(number, line)
            if chunk.is_full():
                yield chunk
                chunk = _Chunk()
        if chunk.lines:
            yield chunk

    async def _lines(self) -> AsyncIterator[tuple[int, Any]]:
        """Lines that are not blank, with their numbers; one past a limit comes as its error."""
        settings = self._ctx.settings
        count = 0
        async for number, line in _numbered(self._request.stream(), settings.line_bytes_max):
            count += 1
            if count > settings.ndjson_rows_max:
                yield (
                    number,
                    TooLarge(
                        f"A request has at most {settings.ndjson_rows_max} lines; this one and "
                        "those after it were not read."
                    ),
                )
                return
            yield number, line


class _Chunk:
    """Lines that are committed together, each with its number in the request."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.numbers: list[int] = []
        self._size = 0

    def add(self, number: int, line: Any) -> None:
        """One more line, or the error in its place."""
        self.lines.append(line)
        self.numbers.append(number)
        self._size += len(line) if isinstance(line, bytes) else 0

    def is_full(self) -> bool:
        """Whether it is time to commit."""
        return len(self.lines) == CHUNK_ROWS or self._size > CHUNK_BYTES


class _Lines(Response):
    """Sends rows while the request is still being read.

    Starlette's own streaming response may read the request itself, to notice a client that hangs
    up; here that would take the lines away from `_Stream`, which notices it anyway.
    """

    def __init__(self, stream: _Stream) -> None:
        super().__init__(status_code=200, media_type=NDJSON)
        # its length is not known yet
        del self.headers["content-length"]
        self._stream = stream

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send rows as they come."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for part in self._stream.answers():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def split_lines(stream: AsyncIterator[bytes], line_bytes_max: int) -> AsyncIterator[Any]:
    """The lines of a byte stream; never holds more of a line than is allowed."""
    async for _, line in _numbered(stream, line_bytes_max):
        yield line


async def _numbered(
    stream: AsyncIterator[bytes], line_bytes_max: int
) -> AsyncIterator[tuple[int, Any]]:
    """The same, each with its number, blank lines counted."""
    rest = b""
    too_long = TooLarge(f"A line has at most {line_bytes_max} bytes.")
    skipping = False
    number = 0
    async for part in stream:
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            number += 1
            if skipping or len(line) > line_bytes_max:
                yield number, too_long
                skipping = False
            elif line.strip():
                yield number, line
        if len(rest) > line_bytes_max:
            skipping, rest = True, b""
    if skipping:
        yield number + 1, too_long
    elif rest.strip():
        yield number + 1, rest
