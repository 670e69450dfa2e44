"""Rows for tests of the queue: raw, since what is tested here lies below the flows."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.review.queue import Queue, rank
from app.core.review.task import Lease
from app.core.review.verdict import Answer, Verdict, submit
from app.store.assignments import begin_claim, claim_open
from app.store.engine import Database
from app.store.ids import new_id
from app.store.queues import add_queue
from app.store.verdicts import lock_target, record_verdict

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEGATIVE = Verdict(Answer.CORRECT, "negative")


def a_queue(name: str = "triage", **changes: Any) -> Queue:
    settings = {
        "blind": False,
        "judge": "single",
        "lease_s": 60,
        "lease_s_max": 600,
        "extensions_max": 2,
        "due_s": 3600,
        "guidelines": "https://example.org/how",
        **changes,
    }
    return Queue(id=new_id(), name=name, **settings)


async def add_project(db: Database) -> uuid.UUID:
    project_id = new_id()
    async with db.write() as tx:
        await tx.raw.execute(
            "INSERT INTO projects (id, name, secret) VALUES ($1, $2, $3)",
            project_id,
            f"p-{project_id}",
            bytes(32),
        )
    return project_id


async def add_triage(db: Database, project_id: uuid.UUID, **changes: Any) -> Queue:
    queue = a_queue(**changes)
    async with db.write() as tx:
        assert await add_queue(tx, project_id, queue)
    return queue


async def add_items(
    db: Database,
    project_id: uuid.UUID,
    queue: Queue,
    count: int,
    *,
    slots: int = 1,
    label: str | None = "positive",
    policy_id: uuid.UUID | None = None,
) -> list[uuid.UUID]:
    """Open items with `slots` assignments each, the first of them first in the queue."""
    item_ids = [new_id() for _ in range(count)]
    queued = [NOON - timedelta(hours=1) + timedelta(milliseconds=place) for place in range(count)]
    async with db.write() as tx:
        await tx.raw.execute(
            """
            INSERT INTO items (project_id, id, kind, queue_id, policy_id, model, model_version,
              label, confidence, scores, features, segment, route, reason, inclusion_probability,
              stratum, priority, blind, blocking, context_key, subject, decided_at, queued_at,
              due_at)
            SELECT $1, id, 'review', $2, $5, 'sentiment', '1', $6, 0.6, '{"positive": 0.6}',
              '{"n_tokens": 5}', '{"source": "tweets"}', 'review', 'low-confidence', 1, 'forced',
              50, $7, true, 'thread-9', '{"text": "great"}', queued_at, queued_at,
              queued_at + interval '1 day'
            FROM unnest($3::uuid[], $4::timestamptz[]) AS new (id, queued_at)
            """,
            project_id,
            queue.id,
            item_ids,
            queued,
            policy_id,
            label,
            queue.blind,
        )
        await tx.raw.executemany(
            """
            INSERT INTO assignments (project_id, id, item_id, queue_id, slot, rank)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            [
                (
                    project_id,
                    new_id(),
                    item_id,
                    queue.id,
                    slot,
                    rank(50, int(at.timestamp() * 1000)),
                )
                for item_id, at in zip(item_ids, queued, strict=True)
                for slot in range(slots)
            ],
        )
    return item_ids


async def claim(
    db: Database,
    project_id: uuid.UUID,
    queue: Queue,
    reviewer: str,
    *,
    count: int = 1,
    lease_s: int = 60,
) -> list[Lease]:
    """One claim in a transaction of its own."""
    async with db.write() as tx:
        await begin_claim(tx, project_id, queue.id, reviewer)
        return await claim_open(tx, project_id, queue, reviewer, count=count, lease_s=lease_s)


async def judge(
    db: Database,
    project_id: uuid.UUID,
    assignment_id: uuid.UUID,
    token: int,
    verdict: Verdict = NEGATIVE,
) -> bool:
    """One submit in a transaction of its own; False when the lease is lost."""
    async with db.write() as tx:
        target = await lock_target(tx, project_id, assignment_id)
        assert target is not None
        if not target.held.holds(token):
            return False
        taken_at = await record_verdict(
            tx,
            project_id,
            verdict_id=new_id(),
            assignment_id=assignment_id,
            token=token,
            verdict=verdict,
            submitted=submit(verdict, target.item),
        )
        return taken_at is not None
