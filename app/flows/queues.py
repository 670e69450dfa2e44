"""Queues: making them, changing their settings, seeing how full they are."""

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from app.core.access import Caller
from app.core.errors import NotFound
from app.core.review.queue import Queue, lease_bounds
from app.flows.context import Context
from app.store import queues as store
from app.store.engine import Reader
from app.store.ids import new_id
from app.store.keys import log_change


@dataclass(frozen=True, slots=True)
class QueueNow:
    """A queue and how full it is."""

    queue: Queue
    figures: store.QueueFigures


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """All that a PUT says of a queue; None where it leaves the length of a lease open."""

    blind: bool
    judge: str
    lease_s: int | None
    lease_s_max: int | None
    extensions_max: int
    due_s: int
    guidelines: str | None


async def put_queue(
    ctx: Context, caller: Caller, name: str, settings: QueueSettings
) -> tuple[QueueNow, bool]:
    """Make the queue of that name, or replace its settings; and whether it is new.

    What is in the queue keeps the due time and the blindness that it came with.

    Raises:
        Invalid: the usual lease is longer than the longest.
    """
    lease_s, lease_s_max = lease_bounds(settings.lease_s, settings.lease_s_max)
    queue = Queue(
        id=new_id(),
        name=name,
        **{**asdict(settings), "lease_s": lease_s, "lease_s_max": lease_s_max},
    )
    async with ctx.db.write() as tx:
        new = await store.add_queue(tx, caller.project, queue)
        before = None
        if not new:
            before = await store.lock_queue(tx, caller.project, name)
            assert before is not None, "queues are never removed"
            queue = Queue(**{**asdict(queue), "id": before.id})
            await store.replace_settings(tx, caller.project, queue)
        await log_change(
            tx,
            project_id=caller.project,
            actor=caller.name,
            action="queue.put",
            target=f"queue:{name}",
            before=_logged(before) if before else None,
            after=_logged(queue),
        )
        now = await _with_figures(tx, caller.project, [queue])
    ctx.views.forget()
    return now[0], new


async def get_queue(ctx: Context, project_id: uuid.UUID, name: str) -> QueueNow:
    """One queue.

    Raises:
        NotFound: no such queue.
    """
    async with ctx.db.read() as tx:
        queue = await store.find_queue(tx, project_id, name)
        if queue is None:
            raise _unknown(name)
        return (await _with_figures(tx, project_id, [queue]))[0]


async def list_queues(
    ctx: Context, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[QueueNow]:
    """A page of queues."""
    async with ctx.db.read() as tx:
        return await _with_figures(
            tx, project_id, await store.list_queues(tx, project_id, after, limit)
        )


async def known_queue(ctx: Context, project_id: uuid.UUID, name: str) -> Queue:
    """The queue of that name as this replica knows it, at most `cache_s` old.

    Raises:
        NotFound: no such queue.
    """
    queue = (await ctx.views.projects.get(project_id)).queues.get(name)
    if queue is None:
        raise _unknown(name)
    return queue


async def _with_figures(tx: Reader, project_id: uuid.UUID, queues: list[Queue]) -> list[QueueNow]:
    figures = await store.queue_figures(tx, project_id, [queue.id for queue in queues])
    return [QueueNow(queue, figures[queue.id]) for queue in queues]


def _logged(queue: Queue) -> dict[str, Any]:
    return {name: value for name, value in asdict(queue).items() if name not in ("id", "name")}


def _unknown(name: str) -> NotFound:
    return NotFound(f"No queue {name!r}.")
