"""Verdicts: locking what one speaks about, and writing all that follows from it at once.

A submit locks the item first and its assignment second, so submits on one item pass one by one.
That cannot deadlock with claims, extensions, releases or reopening: these lock assignments only,
and none of them waits for an item, so whoever holds an assignment always comes to an end.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime

from app.core.review.lease import Held
from app.core.review.states import AssignmentState, ItemState
from app.core.review.verdict import Answer, Judged, Submitted, Verdict
from app.store.engine import Reader, Writer


@dataclass(frozen=True, slots=True)
class Target:
    """What a verdict speaks about, locked until the commit."""

    item_id: uuid.UUID
    item: Judged
    held: Held


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict as it was taken."""

    id: uuid.UUID
    assignment_id: uuid.UUID
    item_id: uuid.UUID
    answer: Answer
    label: str | None
    submitted_at: datetime
    item_state: ItemState
    digest: bytes


async def lock_target(tx: Writer, project_id: uuid.UUID, assignment_id: uuid.UUID) -> Target | None:
    """The assignment with its item, kept from other submits until the commit."""
    row = await tx.raw.fetchrow(_LOCK_TARGET, project_id, assignment_id, tx.now)
    if row is None:
        return None
    return Target(
        row["item_id"],
        Judged(
            ItemState(row["item_state"]),
            row["blind"],
            row["label"],
            tuple(row["labels"]),
            row["judge"],
        ),
        Held(
            AssignmentState(row["state"]),
            row["token"],
            row["running"],
            row["extensions"],
        ),
    )


async def verdict_under(
    tx: Reader, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int
) -> StoredVerdict | None:
    """The verdict that was taken under one lease."""
    row = await tx.raw.fetchrow(_UNDER, project_id, assignment_id, token)
    if row is None:
        return None
    return StoredVerdict(
        row["id"],
        row["assignment_id"],
        row["item_id"],
        Answer(row["verdict"]),
        row["label"],
        row["submitted_at"],
        ItemState(row["item_state"]),
        row["digest"],
    )


async def record_verdict(
    tx: Writer,
    project_id: uuid.UUID,
    *,
    verdict_id: uuid.UUID,
    assignment_id: uuid.UUID,
    token: int,
    verdict: Verdict,
    submitted: Submitted,
) -> datetime | None:
    """Write a verdict and what it settles; when it was taken, None when the lease is lost.

    One statement: the assignment is submitted, the verdict kept, the item settled with its
    resolution, and what others still had open of the item is withdrawn. All of it hangs on the
    first part, which asks for the live lease.
    """
    resolution = submitted.resolution
    taken_at: datetime | None = await tx.raw.fetchval(
        _RECORD,
        project_id,
        assignment_id,
        token,
        verdict_id,
        verdict.answer,
        verdict.label,
        verdict.seconds_spent,
        verdict.comment,
        verdict.source,
        verdict.digest(),
        submitted.item_state,
        resolution.outcome,
        resolution.label,
        resolution.agreed,
        resolution.judge,
        resolution.blind,
        tx.now,
    )
    return taken_at


# The assignment hangs on the locked item by a lateral join: that makes the order of the two locks
# certain, where a plain join would leave it to the planner.
_LOCK_TARGET = """
WITH item AS MATERIALIZED (
  SELECT id, state, blind, label, policy_id FROM items
  WHERE project_id = $1
    AND id = (SELECT item_id FROM assignments WHERE project_id = $1 AND id = $2)
  FOR UPDATE
)
SELECT i.id AS item_id, i.state AS item_state, i.blind, i.label,
  a.state, a.token, a.extensions,
  coalesce(a.lease_until > coalesce($3::timestamptz, statement_timestamp()), false) AS running,
  (SELECT judge FROM queues WHERE project_id = $1 AND id = a.queue_id) AS judge,
  coalesce(
    (SELECT document -> 'labels' FROM policy_versions
      WHERE project_id = $1 AND id = i.policy_id), '[]') AS labels
FROM item i
CROSS JOIN LATERAL (
  SELECT state, token, extensions, lease_until, queue_id FROM assignments
  WHERE project_id = $1 AND id = $2 AND item_id = i.id
  FOR UPDATE
) a
"""

_UNDER = """
SELECT v.id, v.assignment_id, v.item_id, v.verdict, v.label, v.submitted_at, v.digest,
  i.state AS item_state
FROM verdicts v
JOIN items i ON i.project_id = v.project_id AND i.id = v.item_id
WHERE v.project_id = $1 AND v.assignment_id = $2 AND v.token = $3 AND v.revision = 1
"""

# A lease that runs is a leased assignment (ck_assignments_leased), so the state is not asked for:
# that would let the planner take the partial index over all leased and submitted ones.
_RECORD = """
WITH taken AS (
  UPDATE assignments
  SET state = 'submitted', lease_until = NULL,
    submitted_at = coalesce($17::timestamptz, statement_timestamp())
  WHERE project_id = $1 AND id = $2 AND token = $3
    AND lease_until > coalesce($17::timestamptz, statement_timestamp())
  RETURNING id, item_id, reviewer, leased_at, submitted_at
), kept AS (
  INSERT INTO verdicts (project_id, id, item_id, assignment_id, token, reviewer, verdict, label,
    seconds_spent, seconds_leased, comment, source, digest, submitted_at)
  SELECT $1, $4, item_id, id, $3, reviewer, $5, $6, $7,
    -- not below zero: after a failover the clock may be a little behind
    greatest(0, extract(epoch FROM submitted_at - leased_at)), $8, $9, $10, submitted_at
  FROM taken
), settled AS (
  UPDATE items SET state = $11, settled_at = taken.submitted_at
  FROM taken WHERE items.project_id = $1 AND items.id = taken.item_id
), resolved AS (
  INSERT INTO resolutions (project_id, item_id, outcome, label, agreed, judge, blind, resolved_at)
  SELECT $1, item_id, $12, $13, $14, $15, $16, submitted_at FROM taken
), withdrawn AS (
  UPDATE assignments SET state = 'withdrawn', reviewer = NULL, leased_at = NULL, lease_until = NULL
  WHERE project_id = $1 AND item_id = (SELECT item_id FROM taken) AND id <> $2
    AND state IN ('open', 'leased')
)
SELECT submitted_at FROM taken
"""
