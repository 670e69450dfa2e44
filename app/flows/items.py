"""Reading items: what was asked, who answered what, and what settled it."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from app.core.errors import NotFound
from app.flows.context import Context
from app.store import items as store
from app.store.queues import find_queue


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which items a list shows; None leaves a field open."""

    queue: str | None
    state: str | None
    kind: str | None
    model: str | None
    since: datetime | None
    until: datetime | None


async def get_item(ctx: Context, project_id: uuid.UUID, item_id: uuid.UUID) -> store.Item:
    """One item.

    Raises:
        NotFound: no such item.
    """
    async with ctx.db.read() as tx:
        item = await store.find_item(tx, project_id, item_id)
    if item is None:
        raise NotFound(f"No item {item_id}.")
    return item


async def list_items(
    ctx: Context, project_id: uuid.UUID, wanted: Wanted, after: uuid.UUID | None, limit: int
) -> store.ItemPage:
    """A page of items; one of an unknown queue is empty."""
    async with ctx.db.read() as tx:
        queue = await find_queue(tx, project_id, wanted.queue) if wanted.queue else None
        if wanted.queue and queue is None:
            return store.ItemPage([], None)
        which = store.ItemFilter(
            since=wanted.since,
            until=wanted.until,
            queue_id=queue.id if queue else None,
            state=wanted.state,
            kind=wanted.kind,
            model=wanted.model,
        )
        return await store.list_items(tx, project_id, which, after, limit)
