"""One prediction a request, many at once, each on disk before it is answered.

The baseline is an endpoint of the same server (`server.py`) that checks the same body by the same
code and answers with a ready decision. It is an ordinary endpoint; the real one takes the fast
lane, which is a part of what is measured. `single-lane` has the same baseline on the lane too: what
is left there is what deciding and committing cost.
"""

from collections.abc import Callable

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
PATH = "/v1/predictions"


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    ours = await post_many(service.port, PATH, service.key, seconds)
    await service.settled()
    return Round(ours, await post_many(service.port, VALIDATE, service.key, seconds))


async def post_many(
    port: int, path: str, key: str, seconds: float, make: Callable[[], bytes] = body
) -> Run:
    """Post predictions, one a request, over 64 connections, each as soon as it was answered.

    Args:
        port: of the server.
        path: of the endpoint.
        key: of the project.
        seconds: how long.
        make: the next prediction; all are equally long.
    """
    head = head_bytes("POST", path, key, len(make()))
    async with connected(port, CONNECTIONS) as connections:
        posters = [Poster(connection, head, make) for connection in connections]
        return await closed_loop([poster.post for poster in posters], seconds=seconds)


class Poster:
    """One connection that posts one prediction after the other."""

    def __init__(
        self, connection: Connection, head: bytes, make: Callable[[], bytes] = body
    ) -> None:
        self._connection = connection
        self._head = head
        self._make = make

    async def post(self) -> None:
        """Post the next one; it must be new."""
        await self._connection.expect(201, self._head + self._make())
