"""Waiting for something to be over, without holding a connection in between."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_AGAIN_S = 0.25


async def until_over(
    look: Callable[[], Awaitable[T]], is_over: Callable[[T], bool], wait_s: float
) -> T:
    """What is found once it is over, or when the time is.

    Args:
        look: reads it; looked at once at least.
        is_over: whether there is nothing more to wait for.
        wait_s: seconds.
    """
    until = time.monotonic() + wait_s
    while True:
        found = await look()
        left = until - time.monotonic()
        if is_over(found) or left <= 0:
            return found
        await asyncio.sleep(min(LOOK_AGAIN_S, left))
