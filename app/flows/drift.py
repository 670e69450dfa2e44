"""Closing of buckets and evaluation of the windows that end with them."""

import asyncio
import uuid

from app.core.drift.closing import Closing, evaluate_ended
from app.core.drift.history import CHANGED
from app.core.drift.windows import first_open, start_of
from app.flows.context import Context
from app.flows.each import each
from app.flows.upkeep import FOLD_ROWS, fold_project
from app.store import counts, outbox
from app.store import evaluations as store
from app.store import stream_counts as counted
from app.store.engine import Writer, retried
from app.store.metrics import present

# buckets with predictions that one transaction closes: folds wait meanwhile
BUSY_MAX = 24


async def evaluate_once(ctx: Context) -> int:
    """Take the next step of closing, for every model that has a bucket to close.

    Returns:
        How many steps were taken; 0 when there is nothing to do but to wait.

    Raises:
        Exception: the first failure, once every other model had its turn.
    """
    async with ctx.db.read() as tx:
        models = await store.models_to_close(tx)
    return await each(models, lambda of: _step(ctx, *of))


async def _step(ctx: Context, project_id: uuid.UUID, model: str) -> int:
    # first as anybody does: others wait while buckets are closed
    while await fold_project(ctx, project_id) == FOLD_ROWS:
        pass
    return await _close(ctx, project_id, model)


@retried
async def _close(ctx: Context, project_id: uuid.UUID, model: str) -> int:
    async with ctx.db.write() as tx:
        held = (await store.hold_models(tx, project_id)).get(model)
        if held is None:
            return 0
        if held.closing is None:
            over = first_open(await present(tx), held.timing) - 1
            if over < held.first_open:
                return 0
            await store.begin_closing(tx, project_id, model, over)
            return 1
        if not held.may_close:
            return 0
        # what was under way is visible by now; nobody else folds while the models are held
        while await counts.fold(tx, project_id, FOLD_ROWS, pass_over=False) == FOLD_ROWS:
            pass
        await _close_buckets(tx, project_id, model, held, held.closing)
    ctx.views.forget()
    return 1


async def _close_buckets(
    tx: Writer, project_id: uuid.UUID, model: str, held: store.HeldModel, last: int
) -> None:
    """Close buckets up to `last`, or as many as are worth one transaction, and evaluate them."""
    monitors = await store.monitors_of(tx, project_id, model)
    references = sorted({one.reference.id for one in monitors})
    first = held.first_open
    busy = await counted.busy_buckets(tx, project_id, references, first, last, limit=BUSY_MAX + 1)
    if len(busy) > BUSY_MAX:
        last = busy[BUSY_MAX] - 1
    begin = first - max(held.timing.lengths) + 1
    series = await counted.buckets_between(tx, project_id, references, begin, last)
    versions = sorted({key.model_version for key in series})
    standings = await store.standings_of(tx, project_id, monitors, versions)
    since, until = start_of(first, held.timing), start_of(last + 1, held.timing)
    stored = await store.stored_evaluations(tx, project_id, monitors, since, until)
    closing = Closing(model, held.timing, monitors, series, stored, standings)
    # beside the event loop: the first test loads scipy
    await asyncio.to_thread(evaluate_ended, closing, first, last)
    await _write(tx, project_id, closing)
    await store.end_closing(tx, project_id, model, last)


async def _write(tx: Writer, project_id: uuid.UUID, closing: Closing) -> None:
    await store.add_evaluations(tx, project_id, closing.evaluated)
    moved = [(*at, closing.standings[at]) for at in sorted(closing.moved)]
    await store.put_standings(tx, project_id, moved)
    for change in closing.changes:
        await outbox.add_event(tx, project_id, CHANGED, change)
