"""Long polls on queues: many wait, one looks.

A waiting claim holds no connection. For each queue that somebody of this replica waits on, one
ticker asks every 250 ms, in one statement for all who wait, whom a claim would serve now, and wakes
just those. It starts with the first to wait and ends with the last.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from app.store.assignments import claimants_served
from app.store.engine import Database

TICK_S = 0.25


@dataclass(slots=True)
class _Watched:
    waiting: dict["asyncio.Future[None]", str] = field(default_factory=dict)
    ticker: "asyncio.Task[None] | None" = None


class QueueWatch:
    """Who waits for work in this process."""

    def __init__(self, db: Database, tick_s: float = TICK_S) -> None:
        self._db = db
        self._tick_s = tick_s
        self._ending = asyncio.Event()
        self._queues: dict[tuple[uuid.UUID, uuid.UUID], _Watched] = {}

    async def wait(
        self, project_id: uuid.UUID, queue_id: uuid.UUID, reviewer: str, *, wait_s: float
    ) -> bool:
        """Wait until the queue has something for the reviewer; False when the time is over.

        Raises:
            DatabaseUnavailable: there is no looking at the moment.
        """
        key = project_id, queue_id
        watched = self._queues.setdefault(key, _Watched())
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watched.waiting[woken] = reviewer
        if watched.ticker is None:
            watched.ticker = asyncio.create_task(self._tick(key, watched))
        try:
            await asyncio.wait({woken}, timeout=wait_s)
        finally:
            watched.waiting.pop(woken, None)
        if not woken.done():
            return False
        woken.result()
        return True

    @asynccontextmanager
    async def ending(self) -> AsyncIterator[None]:
        """Let the looks that are under way come to an end before the block is left."""
        yield
        self._ending.set()
        while tickers := [watched.ticker for watched in self._queues.values() if watched.ticker]:
            await asyncio.wait(tickers)

    async def _tick(self, key: tuple[uuid.UUID, uuid.UUID], watched: _Watched) -> None:
        try:
            while watched.waiting and not self._ending.is_set():
                await self._wake_served(key, watched)
                # always a whole tick: who was woken in vain must not ask again at once
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), self._tick_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for woken in watched.waiting:
                if not woken.done():
                    woken.set_exception(error)
        finally:
            # no await since the last look at `waiting`: who comes next starts a ticker of its own
            del self._queues[key]

    async def _wake_served(self, key: tuple[uuid.UUID, uuid.UUID], watched: _Watched) -> None:
        reviewers = sorted(set(watched.waiting.values()))
        async with self._db.read() as tx:
            served = await claimants_served(tx, *key, reviewers)
        for woken, reviewer in watched.waiting.items():
            if reviewer in served and not woken.done():
                woken.set_result(None)
