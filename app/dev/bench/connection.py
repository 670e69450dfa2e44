"""The lightest HTTP/1.1 client that does: one kept-alive connection, one call at a time.

A full client costs more than the service that it calls, and would be what is measured. This one
sends bytes that are ready and reads no more of an answer than its status and its length.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from app.dev.bench.child import HOST
from app.dev.bench.load import BenchError

JSON = "application/json"
NDJSON = "application/x-ndjson"
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_CHUNKED = b"\r\ntransfer-encoding: chunked"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def request_bytes(method: str, path: str, key: str, body: bytes, kind: str = JSON) -> bytes:
    """A whole request, ready to be sent; `kind` is the media type of its body."""
    return head_bytes(method, path, key, len(body), kind) + body


def head_bytes(method: str, path: str, key: str, length: int, kind: str = JSON) -> bytes:
    """A request up to its body of `length` bytes."""
    return (
        f"{method} {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


class Connection(asyncio.Protocol):
    """One connection; who calls waits for the answer before the next call."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    async def call(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; the status and the body of its answer, a streamed one as it came.

        Raises:
            BenchError: the connection was closed.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    async def expect(self, status: int, request: bytes) -> bytes:
        """Send a request whose answer must have this status; its body.

        Raises:
            BenchError: another status.
        """
        answered, body = await self.call(request)
        if answered != status:
            raise BenchError(f"Expected {status} and got {answered}: {body[:1000]!r}")
        return body

    async def put(self, path: str, key: str, document: Any) -> Any:
        """PUT a JSON document; what is answered.

        Raises:
            BenchError: it is not answered by 200 or 201.
        """
        body = msgspec.json.encode(document)
        status, answer = await self.call(request_bytes("PUT", path, key, body))
        if status not in (200, 201):
            raise BenchError(f"PUT {path}: {status} {answer!r}")
        return msgspec.json.decode(answer)

    def close(self) -> None:
        """Close it."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called by the event loop; a long answer comes in several parts."""
        self._received += data
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return
        body_at = head_end + len(_HEAD_END)
        if not self._is_whole(head_end, body_at):
            return
        # "HTTP/1.1 201 Created"
        answer = int(self._received[9:12]), bytes(self._received[body_at:])
        self._received.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _is_whole(self, head_end: int, body_at: int) -> bool:
        length_at = self._received.find(_LENGTH, 0, head_end)
        if length_at >= 0:
            digits_at = length_at + len(_LENGTH)
            length = int(self._received[digits_at : self._received.index(b"\r\n", digits_at)])
            return len(self._received) >= body_at + length
        if self._received.find(_CHUNKED, 0, head_end) >= 0:
            # a line of JSON holds no bare line break, so nothing within the body looks like its end
            return self._received.endswith(_LAST_CHUNK)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchError(f"The server closed the connection: {exc}"))


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """So many connections to a server on this machine."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, HOST, port) for _ in range(count)]
    connections = [connection for _, connection in made]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()
