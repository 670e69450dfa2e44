"""A closed loop: each caller makes its next call when the last one is answered."""

import asyncio
import gc
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class BenchError(Exception):
    """Something that is measured did not do what it should; the message says what."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one measurement saw.

    Attributes:
        elapsed_s: from the first call to the last answer.
        latencies_s: of each call.
        units_per_call: what is counted, in each call: 500 rows of a batch.
    """

    elapsed_s: float
    latencies_s: list[float]
    units_per_call: int = 1

    @property
    def calls(self) -> int:
        """How many calls were answered."""
        return len(self.latencies_s)

    @property
    def per_s(self) -> float:
        """Units a second."""
        return self.calls * self.units_per_call / self.elapsed_s

    @property
    def tail(self) -> float:
        """The 99th percentile of the latencies in parts of their median."""
        return quantile(self.latencies_s, 0.99) / quantile(self.latencies_s, 0.5)


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


async def closed_loop(
    callers: Sequence[Callable[[], Awaitable[None]]],
    *,
    seconds: float = math.inf,
    calls_max: float = math.inf,
    units_per_call: int = 1,
) -> Run:
    """Let the callers call, each once at least, until time is up or enough calls were begun.

    Raises:
        BenchError: a call was not answered as it should.
    """
    latencies_s: list[float] = []
    begun = 0

    async def repeat(call: Callable[[], Awaitable[None]]) -> None:
        nonlocal begun
        answered = began
        while begun < calls_max and answered - began < seconds:
            begun += 1
            called = time.perf_counter()
            await call()
            answered = time.perf_counter()
            latencies_s.append(answered - called)

    with undisturbed():
        began = time.perf_counter()
        await asyncio.gather(*map(repeat, callers))
        elapsed_s = time.perf_counter() - began
    return Run(elapsed_s, latencies_s, units_per_call)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without garbage collection, whose pauses grow with what the bench has prepared."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
