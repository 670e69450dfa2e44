"""One prediction a request, many at once, each on disk before it is answered.

The baseline is an endpoint of the same server (`server.py`) that checks the same body by the same
code and answers with a ready decision: what is left is what deciding and committing cost.
"""

from app.dev.bench.connection import Connection, connected, head_bytes
from app.dev.bench.load import Run, closed_loop
from app.dev.bench.report import Round
from app.dev.bench.server import VALIDATE
from app.dev.bench.service import Service
from app.dev.bench.traffic import body

NAME = "single"
UNIT = "predictions"
BASELINE = (
    "an endpoint of the same server that only checks the key and the same body and answers with "
    "a ready decision; 64 connections, both"
)
CONNECTIONS = 64


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    ours = await _run(service, "/v1/predictions", seconds)
    return Round(ours, await _run(service, VALIDATE, seconds))


async def _run(service: Service, path: str, seconds: float) -> Run:
    head = head_bytes("POST", path, service.key, len(body()))
    async with connected(service.port, CONNECTIONS) as connections:
        callers = [_Caller(connection, head) for connection in connections]
        return await closed_loop([caller.post for caller in callers], seconds=seconds)


class _Caller:
    def __init__(self, connection: Connection, head: bytes) -> None:
        self._connection = connection
        self._head = head

    async def post(self) -> None:
        await self._connection.expect(201, self._head + body())
