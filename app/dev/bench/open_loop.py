"""Predictions that arrive at half of the peak rate, whether or not others were answered.

The peak is what `single` reaches: 64 callers, each of which waits for its answer before it posts
again. Such callers slow down with the service and so hide what waiting there is. Here predictions
arrive at random times (a Poisson process, as of many callers who do not know of each other) over
the same number of connections, and each is counted from when it was due to be sent: waiting for a
free connection is part of it.

The baseline is that peak, so the ratio is about 0.5; what the case is for is p99 in parts of p50.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator

from app.dev.bench.connection import connected, head_bytes
from app.dev.bench.load import Run, undisturbed
from app.dev.bench.report import Round
from app.dev.bench.service import Service
from app.dev.bench.single import CONNECTIONS, PATH, Poster, post_many
from app.dev.bench.traffic import body

NAME = "open-loop"
UNIT = "predictions"
BASELINE = (
    "the peak rate of `single`; arriving at random times at half of that, each counted from when "
    "it was due"
)
SHARE_OF_PEAK = 0.5
SEED = 1


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    peak = await post_many(service.port, PATH, service.key, seconds)
    await service.settled()
    per_s = SHARE_OF_PEAK * peak.per_s
    head = head_bytes("POST", PATH, service.key, len(body()))
    async with connected(service.port, CONNECTIONS) as connections:
        posters = [Poster(connection, head) for connection in connections]
        return Round(await open_loop([one.post for one in posters], per_s, seconds), peak)


async def open_loop(
    callers: list[Callable[[], Awaitable[None]]], per_s: float, seconds: float
) -> Run:
    """Let calls arrive for some time, and wait until all are answered.

    Args:
        callers: how many calls can be under way; what arrives while all are waits.
        per_s: arrivals a second.
        seconds: how long.

    Raises:
        BenchError: a call was not answered as it should.
    """
    due_calls: asyncio.Queue[float | None] = asyncio.Queue()
    latencies_s: list[float] = []

    async def answer(call: Callable[[], Awaitable[None]]) -> None:
        while (due := await due_calls.get()) is not None:
            await call()
            latencies_s.append(time.perf_counter() - due)

    async def let_arrive(moments: Iterable[float]) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(_pace, moments, loop, due_calls.put_nowait)
        for _ in callers:
            due_calls.put_nowait(None)

    with undisturbed():
        began = time.perf_counter()
        arriving = let_arrive(_arrivals(began, per_s, seconds))
        await asyncio.gather(arriving, *map(answer, callers))
        elapsed_s = time.perf_counter() - began
    return Run(elapsed_s, latencies_s)


def _arrivals(began: float, per_s: float, seconds: float) -> Iterator[float]:
    """The moments of a Poisson process, at least one: the gaps are exponential."""
    gaps = random.Random(SEED)  # noqa: S311 - the same arrivals in every run
    due = began
    while True:
        yield due
        due += gaps.expovariate(per_s)
        if due - began > seconds:
            return


def _pace(
    moments: Iterable[float],
    loop: asyncio.AbstractEventLoop,
    arrive: Callable[[float], None],
) -> None:
    """Let each arrive when it is due: in a thread, since the loop's clock ticks in milliseconds."""
    for due in moments:
        time.sleep(max(0.0, due - time.perf_counter()))
        loop.call_soon_threadsafe(arrive, due)
