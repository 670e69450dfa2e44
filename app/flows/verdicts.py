"""A reviewer's verdict: taken once, however often it is sent."""

import uuid

from app.core.errors import LeaseLost, NotFound, VerdictConflict
from app.core.review.lease import LOST
from app.core.review.verdict import Verdict
from app.core.review.verdict import submit as submit_verdict
from app.flows.context import Context
from app.store import verdicts as store
from app.store.engine import Reader, retried
from app.store.ids import new_id


@retried
async def submit(
    ctx: Context, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int, verdict: Verdict
) -> tuple[store.StoredVerdict, bool]:
    """Take a verdict under a live lease; and whether this call was the one that brought it.

    The same verdict under the same lease is answered as the first time, long after the lease.

    Raises:
        NotFound: no such assignment.
        LeaseLost: that token holds it no longer, and brought no verdict while it did.
        VerdictConflict: another verdict was taken under this lease.
        Invalid: the verdict makes no sense on this item.
    """
    async with ctx.db.write() as tx:
        target = await store.lock_target(tx, project_id, assignment_id)
        if target is None:
            raise NotFound(f"No assignment {assignment_id}.")
        if not target.held.holds(token):
            return await _taken_before(tx, project_id, assignment_id, token, verdict), False
        submitted = submit_verdict(verdict, target.item)
        verdict_id = new_id()
        taken_at = await store.record_verdict(
            tx,
            project_id,
            verdict_id=verdict_id,
            assignment_id=assignment_id,
            token=token,
            verdict=verdict,
            submitted=submitted,
        )
    if taken_at is None:
        raise LeaseLost(LOST)
    stored = store.StoredVerdict(
        verdict_id,
        assignment_id,
        target.item_id,
        verdict.answer,
        verdict.label,
        taken_at,
        submitted.item_state,
        verdict.digest(),
    )
    return stored, True


async def _taken_before(
    tx: Reader, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int, verdict: Verdict
) -> store.StoredVerdict:
    # a statement of its own, after the lock: it sees what another submit has just committed
    first = await store.verdict_under(tx, project_id, assignment_id, token)
    if first is None:
        raise LeaseLost(LOST)
    if first.digest != verdict.digest():
        raise VerdictConflict("Another verdict was taken under this lease; it stands.")
    return first
