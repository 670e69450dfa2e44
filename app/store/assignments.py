"""Claiming, extending, releasing and expiring: who holds which assignment.

Why nobody is handed what somebody else holds, and nobody waits:

- **Claiming** locks open assignments with SKIP LOCKED and turns them into leases in the same
  statement, so two claims never see the same row as free, and a claim never waits for an
  assignment. It locks exactly what it takes: a claim that locked more than it needs would let the
  queue look empty to the others for as long as its transaction lasts.
- **One reviewer, one lease per item.** Only the lowest open slot of an item counts, so two claims
  cannot take two slots of one item at once, unless one of them has reopened a lower slot that the
  other does not see yet. All claims of one reviewer pass through the lock on the reviewer's row,
  taken one statement earlier, so each sees what the one before it took. Should some other writer
  break the rule, the partial unique index `uq_assignments_one_per_reviewer` refuses the row, and
  the claim is run again.
- **Reopening** what has run out happens in the claim itself, before it looks, so leases come back
  without a worker. It skips what is locked: whoever has locked it (a submit, another claim) will
  settle it.
- **Every later write** carries the token of the lease and the condition that it still runs.
  No row back means that the lease is lost. The token grows with each claim and is never reused.
- **No deadlock**: a claim waits only for its reviewer's row, whose holder is another claim that is
  past its own waiting. A submit (`app/store/verdicts.py`) waits for its item, then for its
  assignment, and nothing that holds an assignment ever waits for an item.

Times are the database's own (`Reader.now` is null in production), whatever a replica's clock says.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import asyncpg

from app.core.review.lease import Held
from app.core.review.queue import Queue
from app.core.review.states import AssignmentState
from app.core.review.task import Circumstances, Lease, ModelAnswer, Task, shown
from app.store.engine import Reader, Writer

# leases that one claim brings back: bounds the time that this adds to it
REOPENED_MAX = 100


@dataclass(frozen=True, slots=True)
class HeldIn:
    """An assignment as a reviewer's call finds it, with its queue."""

    held: Held
    queue: Queue


async def begin_claim(
    tx: Writer, project_id: uuid.UUID, queue_id: uuid.UUID, reviewer: str
) -> None:
    """Reopen what has run out in the queue, and let one claim of this reviewer at a time through.

    A reviewer who claims for the first time is noted here.
    """
    await tx.raw.execute(_BEGIN_CLAIM, project_id, queue_id, reviewer, tx.now)


async def claim_open(
    tx: Writer, project_id: uuid.UUID, queue: Queue, reviewer: str, *, count: int, lease_s: int
) -> list[Lease]:
    """Lease up to `count` open assignments to a reviewer, first in the queue first.

    `begin_claim` comes first in the same transaction.

    Raises:
        asyncpg.SerializationError: another writer was quicker; run the claim again.
    """
    try:
        rows = await tx.raw.fetch(
            _claim_statement(count), project_id, queue.id, reviewer, lease_s, tx.now
        )
    except asyncpg.UniqueViolationError as error:
        raise asyncpg.SerializationError("the reviewer got this item elsewhere") from error
    return [_lease(row, queue) for row in rows]


async def live_leases(
    tx: Reader, project_id: uuid.UUID, queue: Queue, reviewer: str
) -> list[Lease]:
    """The leases of the queue that a reviewer holds now, as they were claimed."""
    rows = await tx.raw.fetch(_LIVE, project_id, queue.id, reviewer, tx.now)
    return [_lease(row, queue) for row in rows]


async def claimants_served(
    tx: Reader, project_id: uuid.UUID, queue_id: uuid.UUID, reviewers: list[str]
) -> set[str]:
    """Those of the reviewers for whom a claim would find something now."""
    rows = await tx.raw.fetch(_SERVED, project_id, queue_id, reviewers, tx.now)
    return {row["reviewer"] for row in rows}


async def expire_leases(tx: Writer, limit: int) -> int:
    """Reopen up to `limit` leases that have run out, whatever their queue or project; how many."""
    reopened: int = await tx.raw.fetchval(_EXPIRE, limit, tx.now)
    return reopened


async def lock_held(tx: Writer, project_id: uuid.UUID, assignment_id: uuid.UUID) -> HeldIn | None:
    """The assignment and its queue, kept from changes until the commit."""
    row = await tx.raw.fetchrow(_LOCK_HELD, project_id, assignment_id, tx.now)
    if row is None:
        return None
    facts = dict(row)
    held = Held(
        AssignmentState(facts.pop("state")),
        facts.pop("token"),
        facts.pop("running"),
        facts.pop("extensions"),
    )
    return HeldIn(held, Queue(**facts))


async def extend_lease(
    tx: Writer, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int, lease_s: int
) -> datetime | None:
    """Let a live lease end `lease_s` from now, never sooner than before; None when it is lost."""
    until: datetime | None = await tx.raw.fetchval(
        _EXTEND, project_id, assignment_id, token, lease_s, tx.now
    )
    return until


async def release_lease(
    tx: Writer, project_id: uuid.UUID, assignment_id: uuid.UUID, token: int, *, skip: bool
) -> bool:
    """Give a live lease back; with `skip`, never to the same reviewer. False when it is lost."""
    released = await tx.raw.fetchval(_RELEASE, project_id, assignment_id, token, skip, tx.now)
    return released is not None


_BEGIN_CLAIM = f"""
WITH expired AS (
  SELECT id FROM assignments
  WHERE project_id = $1 AND queue_id = $2 AND state = 'leased'
    AND lease_until <= coalesce($4::timestamptz, statement_timestamp())
  ORDER BY lease_until
  LIMIT {REOPENED_MAX:d}
  FOR UPDATE SKIP LOCKED
), reopened AS (
  UPDATE assignments
  SET state = 'open', reviewer = NULL, leased_at = NULL, lease_until = NULL
  WHERE project_id = $1 AND id = ANY (ARRAY (SELECT id FROM expired))
)
INSERT INTO reviewers (project_id, id, claimed_at)
VALUES ($1, $3, coalesce($4::timestamptz, statement_timestamp()))
ON CONFLICT (project_id, id) DO UPDATE SET claimed_at = excluded.claimed_at
"""

# What keeps a reviewer from an assignment: this reviewer has the item, had it, or skipped it, or a
# lower slot of the item is open and goes first. OFFSET 0 keeps the planner from joining: one probe
# of an index per candidate, however large the table is.
_OUT_OF_REACH = """
  EXISTS (
    SELECT FROM assignments other
    WHERE other.project_id = a.project_id AND other.item_id = a.item_id AND (
      (other.state IN ('leased', 'submitted') AND other.reviewer = {reviewer})
      OR {reviewer} = ANY (other.skipped_by)
      OR (other.state = 'open' AND (other.slot, other.id) < (a.slot, a.id)))
    OFFSET 0)
"""

# what a reviewer is shown, looked up by key for each leased row of `claimed`
_WITH_TASK = """
SELECT c.id AS assignment_id, c.token, c.lease_until,
  i.*, coalesce(p.labels, '[]') AS labels
FROM claimed c
CROSS JOIN LATERAL (
  SELECT id AS item_id, policy_id, subject, context_key, due_at, blind, kind, reason, priority,
    features, segment, decision_id, model, model_version, label, confidence, scores
  FROM items WHERE project_id = $1 AND id = c.item_id
  OFFSET 0
) i
LEFT JOIN LATERAL (
  SELECT document -> 'labels' AS labels FROM policy_versions
  WHERE project_id = $1 AND id = i.policy_id
  OFFSET 0
) p ON true
ORDER BY c.rank, c.slot, c.id
"""


@cache
def _claim_statement(count: int) -> str:
    """The claim of up to `count`; a text for each, at most `lease_claim_max` of them.

    With the limit as a parameter PostgreSQL would take it for a tenth of the queue, find the
    general plan too dear, and plan every single claim anew.
    """
    return f"""
WITH chosen AS MATERIALIZED (
  SELECT a.id FROM assignments a
  WHERE a.project_id = $1 AND a.queue_id = $2 AND a.state = 'open'
    AND NOT {_OUT_OF_REACH.format(reviewer="$3")}
  ORDER BY a.rank, a.slot, a.id
  LIMIT {count:d}
  FOR UPDATE OF a SKIP LOCKED
), claimed AS (
  UPDATE assignments
  SET state = 'leased', reviewer = $3, token = token + 1, extensions = 0,
    leased_at = coalesce($5::timestamptz, statement_timestamp()),
    lease_until = coalesce($5::timestamptz, statement_timestamp()) + $4 * interval '1 second'
  WHERE project_id = $1 AND id = ANY (ARRAY (SELECT id FROM chosen))
  RETURNING id, item_id, token, lease_until, rank, slot
)
{_WITH_TASK}"""


_LIVE = f"""
WITH claimed AS (
  SELECT id, item_id, token, lease_until, rank, slot FROM assignments
  WHERE project_id = $1 AND queue_id = $2 AND state = 'leased' AND reviewer = $3
    AND lease_until > coalesce($4::timestamptz, statement_timestamp())
)
{_WITH_TASK}"""

# in the order of their indexes, else the planner may look for a first row in the whole table
_SERVED = f"""
SELECT r.id AS reviewer FROM unnest($3::text[]) AS r (id)
WHERE EXISTS (
  SELECT FROM assignments a
  WHERE a.project_id = $1 AND a.queue_id = $2 AND a.state = 'open'
    AND NOT {_OUT_OF_REACH.format(reviewer="r.id")}
  ORDER BY a.rank, a.slot, a.id
  OFFSET 0)
OR EXISTS (
  SELECT FROM assignments a
  WHERE a.project_id = $1 AND a.queue_id = $2 AND a.state = 'leased'
    AND a.lease_until <= coalesce($4::timestamptz, statement_timestamp())
  ORDER BY a.lease_until
  OFFSET 0)
"""

# two arrays and no join: the planner may take a join for a large one and read the whole table
_EXPIRE = """
WITH expired AS MATERIALIZED (
  SELECT a.project_id, a.id FROM queues q
  CROSS JOIN LATERAL (
    SELECT project_id, id FROM assignments
    WHERE project_id = q.project_id AND queue_id = q.id AND state = 'leased'
      AND lease_until <= coalesce($2::timestamptz, statement_timestamp())
    ORDER BY lease_until
    LIMIT $1
    FOR UPDATE SKIP LOCKED
  ) a
  LIMIT $1
), reopened AS (
  UPDATE assignments
  SET state = 'open', reviewer = NULL, leased_at = NULL, lease_until = NULL
  WHERE project_id = ANY (ARRAY (SELECT DISTINCT project_id FROM expired))
    AND id = ANY (ARRAY (SELECT id FROM expired))
  RETURNING id
)
SELECT count(*) FROM reopened
"""

_LOCK_HELD = """
SELECT a.state, a.token, a.extensions,
  coalesce(a.lease_until > coalesce($3::timestamptz, statement_timestamp()), false) AS running,
  q.id, q.name, q.blind, q.judge, q.lease_s, q.lease_s_max, q.extensions_max, q.due_s, q.guidelines
FROM assignments a
JOIN queues q ON q.project_id = a.project_id AND q.id = a.queue_id
WHERE a.project_id = $1 AND a.id = $2
FOR UPDATE OF a
"""

# A lease that runs is a leased assignment (ck_assignments_leased), so the state is not asked for:
# that would let the planner take the partial index over all leased and submitted ones.
_EXTEND = """
UPDATE assignments
SET extensions = extensions + 1,
  lease_until = greatest(lease_until,
    coalesce($5::timestamptz, statement_timestamp()) + $4 * interval '1 second')
WHERE project_id = $1 AND id = $2 AND token = $3
  AND lease_until > coalesce($5::timestamptz, statement_timestamp())
RETURNING lease_until
"""

_RELEASE = """
UPDATE assignments
SET state = 'open', reviewer = NULL, leased_at = NULL, lease_until = NULL,
  skipped_by = CASE WHEN $4 THEN skipped_by || reviewer ELSE skipped_by END
WHERE project_id = $1 AND id = $2 AND token = $3
  AND lease_until > coalesce($5::timestamptz, statement_timestamp())
RETURNING id
"""


def _lease(row: Any, queue: Queue) -> Lease:
    task = Task(
        item_id=row["item_id"],
        queue=queue.name,
        subject=row["subject"],
        labels=tuple(row["labels"]),
        guidelines=queue.guidelines,
        context_key=row["context_key"],
        due_at=row["due_at"],
        blind=row["blind"],
        prediction=ModelAnswer(
            row["model"], row["model_version"], row["label"], row["confidence"], row["scores"]
        ),
        circumstances=Circumstances(
            row["kind"],
            row["reason"],
            row["priority"],
            row["features"],
            row["segment"],
            row["decision_id"],
        ),
    )
    return Lease(row["assignment_id"], row["token"], row["lease_until"], shown(task))
