"""Gathers predictions that arrive at the same time into one commit.

There is no timer: whoever arrives while a commit is under way goes with the next one, so a lone
request commits alone and at once, and a busy service commits hundreds of rows together. When enough
wait, the next commit begins beside the one under way (`commit_lanes`).

What is promised to each caller:

- An answer means that the row is on disk.
- One bad row harms nobody else: a commit that is refused is done again in halves, until the bad
  row is alone.
- A caller that hangs up does not undo its row, nor disturb those that go with it.
- Past `waiting_rows_max` a request is refused whole (503), with nothing half-done.
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Literal, cast

from msgspec import Struct

from app.core.errors import Overloaded, OverruleError, Unavailable, Unstorable
from app.settings import Settings
from app.store.decision_rows import NewDecision
from app.store.decisions import (
    AT_ONCE_MAX,
    Kept,
    PartitionMissingError,
    RowsRefusedError,
    insert_few,
    insert_many,
    kept_keys,
)
from app.store.engine import Database, retried
from app.store.ids import time_of
from app.store.partitions import ensure_partitions
from app.telemetry import COMMIT_ROWS, COMMIT_SECONDS, COMMITS_SPLIT, WAITING_ROWS

# what became of a row: it is new, or its request key already stood for something, or it failed
Result = Literal[True] | Kept | OverruleError


# so many rows are worth a commit of their own, whatever else is under way
LANE_ROWS = 32


class _Waiting(Struct):
    rows: list[NewDecision]
    done: "asyncio.Future[list[Result]]"


class Gatherer:
    """The one way to commit decisions in this process."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._rows_max = settings.commit_rows_max
        self._waiting_max = settings.waiting_rows_max
        self._lanes_max = settings.commit_lanes
        self._queue: deque[_Waiting] = deque()
        self._waiting_rows = 0
        self._rows_under_way = 0
        self._lanes: set[asyncio.Task[None]] = set()

    async def commit(self, rows: list[NewDecision]) -> list[Result]:
        """Commit rows; they may travel with those of others.

        Args:
            rows: at most `commit_rows_max`; of those with the same request key the first counts.

        Returns:
            Per row: True when it is new, what was kept under its request key, or why it was
            refused.

        Raises:
            Overloaded: too much is waiting; nothing was taken.
        """
        if self._waiting_rows + len(rows) > self._waiting_max:
            raise Overloaded("Too many predictions are waiting to be committed; send it again.")
        waiting = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting_rows += len(rows)
        if not self._lanes or (
            len(self._lanes) < self._lanes_max and self._waiting_rows >= self._rows_for_a_lane()
        ):
            self._lanes.add(asyncio.create_task(self._work()))
        # a client that hangs up takes its handler away, and with it this wait; not its row
        return await waiting.done

    @asynccontextmanager
    async def draining(self) -> AsyncIterator[None]:
        """Finish what was accepted before the block's end is left."""
        yield
        while self._lanes:
            await asyncio.wait(self._lanes)

    def _rows_for_a_lane(self) -> float:
        """How many rows are worth another commit beside those under way.

        Half as many: then the commits of a busy service are equally large. A lane for whoever
        comes first would commit rows one by one, at the price of many.
        """
        return min(LANE_ROWS, self._rows_under_way / 2)

    async def _work(self) -> None:
        """Commit whatever waits, until nothing does."""
        while self._queue:
            together = self._take()
            try:
                await self._commit_together(together)
            except Exception as error:  # noqa: BLE001 - a mistake of ours ends with its callers
                for waiting in together:
                    if not waiting.done.done():
                        waiting.done.set_exception(error)
        # before this task gives way to another: who arrives from now on needs a lane of its own
        self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _commit_together(self, together: list[_Waiting]) -> None:
        began = time.perf_counter()
        rows = [row for waiting in together for row in waiting.rows]
        self._rows_under_way += len(rows)
        try:
            results = iter(await self._commit_or_split(rows))
        finally:
            self._rows_under_way -= len(rows)
        COMMIT_SECONDS.observe(time.perf_counter() - began)
        COMMIT_ROWS.observe(len(rows))
        for waiting in together:
            answer = list(islice(results, len(waiting.rows)))
            if not waiting.done.done():
                waiting.done.set_result(answer)

    def _take(self) -> list[_Waiting]:
        """The next ones, in order of arrival, up to `commit_rows_max` rows."""
        together: list[_Waiting] = []
        rows = 0
        while self._queue and (not together or rows + len(self._queue[0].rows) <= self._rows_max):
            waiting = self._queue.popleft()
            together.append(waiting)
            rows += len(waiting.rows)
        self._waiting_rows -= rows
        WAITING_ROWS.set(self._waiting_rows)
        return together

    async def _commit_or_split(self, rows: list[NewDecision]) -> list[Result]:
        try:
            return await self._commit(rows)
        except OverruleError as error:
            return [error] * len(rows)
        except RowsRefusedError as error:
            if len(rows) == 1:
                return [_refusal(error)]
            COMMITS_SPLIT.inc()
            middle = len(rows) // 2
            first = await self._commit_or_split(rows[:middle])
            return first + await self._commit_or_split(rows[middle:])

    async def _commit(self, rows: list[NewDecision]) -> list[Result]:
        """One transaction for rows of which each request key is sent by one or several callers."""
        # of rows with the same key the last that is put in stays: the first
        firsts = {(row.project_id, row.request_key): row for row in reversed(rows)}
        try:
            new = await self._insert(list(firsts.values()))
        except PartitionMissingError:
            await self._make_partition(rows)
            new = await self._insert(list(firsts.values()))
        if len(new) == len(rows):
            return [True] * len(rows)
        kept = await self._kept([row for row in rows if row.id not in new])
        return [
            True if row.id in new else kept.get((row.project_id, row.request_key)) or _vanished()
            for row in rows
        ]

    @retried
    async def _insert(self, rows: list[NewDecision]) -> set[uuid.UUID]:
        if len(rows) <= AT_ONCE_MAX:
            async with self._db.statement() as tx:
                return await insert_few(tx, rows)
        async with self._db.write() as tx:
            return await insert_many(tx, rows)

    async def _kept(self, rows: list[NewDecision]) -> dict[tuple[uuid.UUID, str], Kept]:
        """What the losers' request keys stand for.

        A statement of its own, after the commit: its snapshot sees the winner.
        """
        keys = {(row.project_id, row.request_key) for row in rows}
        async with self._db.read() as tx:
            return await kept_keys(tx, sorted(keys))

    async def _make_partition(self, rows: list[NewDecision]) -> None:
        async with self._db.write() as tx:
            for moment in {time_of(row.id) for row in rows}:
                await ensure_partitions(tx, moment, weeks_ahead=0)


def _vanished() -> OverruleError:
    """Between the insert and the look, retention removed the request key.

    A new one each time: an error that is raised again and again keeps all its callers in memory.
    """
    return Unavailable("The first decision under this key was just removed; send it again.")


def _refusal(error: Exception) -> OverruleError:
    return Unstorable(f"PostgreSQL cannot keep this prediction: {error}", loc=("body",))
