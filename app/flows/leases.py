"""Claiming work from a queue, keeping it, giving it back."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from app.core.errors import Invalid, LeaseLost, NotFound
from app.core.review.lease import LOST, extension_length, lease_length
from app.core.review.queue import Queue
from app.core.review.task import Lease
from app.flows.context import Context
from app.flows.queues import known_queue
from app.settings import Settings
from app.store import assignments as store
from app.store.engine import retried

# leases that one tick of the worker brings back; the next tick goes on
EXPIRED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Claim:
    """What a reviewer asks of a queue.

    Attributes:
        count: assignments at most.
        lease_s: None for the queue's own length.
        wait_s: how long to wait for the first one.
        resume: give back what the reviewer holds already, and only fill up to `count`.
    """

    reviewer: str
    count: int
    lease_s: int | None
    wait_s: float
    resume: bool


async def claim(
    ctx: Context,
    project_id: uuid.UUID,
    queue_name: str,
    asked: Claim,
    has_left: Callable[[], Awaitable[bool]] | None = None,
) -> list[Lease]:
    """Lease assignments to a reviewer; empty when there is nothing, also after waiting.

    Args:
        ctx: the service.
        project_id: the caller's.
        queue_name: where to claim.
        asked: by whom, and how much.
        has_left: whether the caller has hung up while it waited; then nothing is leased to it,
            which others would have to wait for. None: it cannot.

    Raises:
        NotFound: no such queue.
        Invalid: more, longer or later than allowed.
    """
    _check_limits(ctx.settings, asked)
    queue = await known_queue(ctx, project_id, queue_name)
    lease_s = lease_length(queue, asked.lease_s)
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + asked.wait_s
    while True:
        leases = await _claim_now(ctx, project_id, queue, asked, lease_s)
        wait_s = give_up_at - loop.time()
        if leases or wait_s <= 0:
            return leases
        came = await ctx.watch.wait(project_id, queue.id, asked.reviewer, wait_s=wait_s)
        if not came or (has_left is not None and await has_left()):
            return []


async def extend(
    ctx: Context, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int, lease_s: int | None
) -> datetime:
    """Keep a live lease for longer; when it ends now.

    Raises:
        NotFound: no such assignment.
        LeaseLost: that token holds it no longer.
        ExtensionsUsedUp: as often as the queue allows.
        Invalid: longer than the queue allows.
    """
    async with ctx.db.write() as tx:
        found = await store.lock_held(tx, project_id, assignment_id)
        if found is None:
            raise NotFound(f"No assignment {assignment_id}.")
        until_s = extension_length(found.queue, found.held, token, lease_s)
        expires_at = await store.extend_lease(tx, project_id, assignment_id, token, until_s)
    if expires_at is None:
        raise LeaseLost(LOST)
    return expires_at


async def release(
    ctx: Context, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int, *, skip: bool
) -> None:
    """Give a live lease back; with `skip` the same reviewer is not offered the item again.

    Raises:
        NotFound: no such assignment.
        LeaseLost: that token holds it no longer.
    """
    async with ctx.db.write() as tx:
        if await store.release_lease(tx, project_id, assignment_id, token, skip=skip):
            return
        if await store.lock_held(tx, project_id, assignment_id) is None:
            raise NotFound(f"No assignment {assignment_id}.")
    raise LeaseLost(LOST)


async def expire(ctx: Context) -> int:
    """Reopen leases that have run out, of all projects; how many.

    Claims do it for their own queue, so this only keeps what nobody claims from looking leased.
    """
    async with ctx.db.write() as tx:
        return await store.expire_leases(tx, EXPIRED_MAX)


@retried
async def _claim_now(
    ctx: Context, project_id: uuid.UUID, queue: Queue, asked: Claim, lease_s: int
) -> list[Lease]:
    async with ctx.db.write() as tx:
        await store.begin_claim(tx, project_id, queue.id, asked.reviewer)
        held = (
            await store.live_leases(tx, project_id, queue, asked.reviewer) if asked.resume else []
        )
        if len(held) >= asked.count:
            return held
        return held + await store.claim_open(
            tx,
            project_id,
            queue,
            asked.reviewer,
            count=asked.count - len(held),
            lease_s=lease_s,
        )


def _check_limits(settings: Settings, asked: Claim) -> None:
    if asked.count > settings.lease_claim_max:
        raise Invalid(
            f"One claim takes {settings.lease_claim_max} assignments at most.", loc=("max",)
        )
    if asked.wait_s > settings.lease_wait_s_max:
        raise Invalid(
            f"A claim waits {settings.lease_wait_s_max:g} seconds at most.", loc=("wait_s",)
        )
