"""Work on several things, of which each has its turn whatever becomes of the others."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def each(things: Iterable[T], work: Callable[[T], Awaitable[int]]) -> int:
    """Do the work on every thing; how much was done in all.

    What is wrong with one project or model must not stop what is done for the others.

    Raises:
        Exception: the first failure, once every other thing had its turn.
    """
    done = 0
    failures: list[Exception] = []
    for thing in things:
        try:
            done += await work(thing)
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
    if failures:
        raise failures[0]
    return done
