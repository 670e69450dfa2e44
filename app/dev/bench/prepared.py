"""Requests of many rows, made before the clock starts, as those of a caller that has them ready."""

from collections.abc import Iterator, Sequence

from app.dev.bench.connection import Connection, connected
from app.dev.bench.load import BenchError, Run, closed_loop


async def post_prepared(
    port: int, requests: Sequence[bytes], *, rows: int, at_once: int, seconds: float
) -> Run:
    """Send requests in their order, until time is up or all are sent.

    Args:
        port: of the service.
        requests: each a whole one.
        rows: of each request; every one must be new.
        at_once: connections.
        seconds: how long.

    Raises:
        BenchError: a row was not stored.
    """
    waiting = iter(requests)
    async with connected(port, at_once) as connections:
        senders = [_Sender(connection, waiting, rows) for connection in connections]
        return await closed_loop(
            [sender.send for sender in senders],
            seconds=seconds,
            calls_max=len(requests),
            units_per_call=rows,
        )


class _Sender:
    """One connection that takes prepared requests off a common list."""

    def __init__(self, connection: Connection, requests: Iterator[bytes], rows: int) -> None:
        self._connection = connection
        self._requests = requests
        self._rows = rows

    async def send(self) -> None:
        answer = await self._connection.expect(200, next(self._requests))
        if answer.count(b'"status":201') != self._rows:
            raise BenchError(f"A row was not stored: {answer[:1000]!r}")
