"""What has to be done now and then; each can be called at any moment, by any number of workers."""

import uuid

from app.flows.context import Context
from app.flows.each import each
from app.store import counts, outbox
from app.store.engine import retried
from app.store.ids import utc_now
from app.store.partitions import ensure_partitions

# of one transaction: large enough that its round trips do not count, small enough to end soon
FOLD_ROWS = 1000


async def fold(ctx: Context) -> int:
    """Fold waiting counts of every project, up to `FOLD_ROWS` inbox rows of each.

    Returns:
        How many inbox rows were folded; 0 when none is left to this worker.

    Raises:
        Exception: the first failure, once every other project had its turn.
    """
    async with ctx.db.read() as tx:
        waiting = await counts.projects_waiting(tx)
    return await each(waiting, lambda project_id: fold_project(ctx, project_id))


async def extend_partitions(ctx: Context) -> int:
    """Make the weekly partitions of decisions that are not there yet, four weeks ahead.

    Returns:
        How many were made.
    """
    async with ctx.db.write() as tx:
        return await ensure_partitions(tx, utc_now())


async def remove_old_events(ctx: Context) -> int:
    """Remove events that were kept long enough, and how many."""
    async with ctx.db.write() as tx:
        return await outbox.remove_old_events(tx)


@retried
async def fold_project(ctx: Context, project_id: uuid.UUID) -> int:
    """Fold up to `FOLD_ROWS` inbox rows of one project, and how many."""
    async with ctx.db.write() as tx:
        return await counts.fold(tx, project_id, FOLD_ROWS)
