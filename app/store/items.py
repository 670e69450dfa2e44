"""Reading items with all that reviewers did about them."""

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from app.store.engine import Reader
from app.store.ids import lowest_id_at, utc_now

T = TypeVar("T")
# items that one page looks through at most, however rare what it looks for is
SCANNED_MAX = 10_000
# how far back a list goes unless it is told
DAYS_SHOWN = 7


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items a list shows; None leaves a field open, `since` but for the last seven days."""

    since: datetime | None = None
    until: datetime | None = None
    queue_id: uuid.UUID | None = None
    state: str | None = None
    kind: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class StoredAssignment:
    """One unit of work on an item."""

    id: uuid.UUID
    slot: int
    state: str
    reviewer: str | None
    leased_at: datetime | None
    lease_until: datetime | None
    submitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class GivenVerdict:
    """One verdict on an item."""

    id: uuid.UUID
    assignment_id: uuid.UUID
    reviewer: str
    verdict: str
    label: str | None
    seconds_spent: float | None
    seconds_leased: float
    comment: str | None
    source: str | None
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class StoredResolution:
    """An item's final human answer."""

    outcome: str
    label: str | None
    agreed: bool | None
    judge: str
    blind: bool
    resolved_at: datetime


@dataclass(frozen=True, slots=True)
class Item:
    """An item with everything that reviewers did about it."""

    id: uuid.UUID
    queue: str
    kind: str
    state: str
    decision_id: uuid.UUID | None
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    scores: dict[str, float] | None
    features: dict[str, Any] | None
    segment: dict[str, str] | None
    route: str
    reason: str
    inclusion_probability: float
    stratum: str
    priority: int
    blind: bool
    blocking: bool
    verdicts_needed: int
    risk: float | None
    context_key: str | None
    input_key: str | None
    subject: Any
    decided_at: datetime
    queued_at: datetime
    due_at: datetime
    settled_at: datetime | None
    assignments: list[StoredAssignment]
    verdicts: list[GivenVerdict]
    resolution: StoredResolution | None


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A page of items, and the id after which the next one begins; None on the last."""

    items: list[Item]
    next_after: uuid.UUID | None


async def find_item(tx: Reader, project_id: uuid.UUID, item_id: uuid.UUID) -> Item | None:
    """One item."""
    found = await _items(tx, project_id, [item_id])
    return found[0] if found else None


async def list_items(
    tx: Reader, project_id: uuid.UUID, which: ItemFilter, after: uuid.UUID | None, limit: int
) -> ItemPage:
    """Items in the order in which they were made.

    A page may be short, or even empty, and yet not the last: it ends when it has looked through
    `SCANNED_MAX` items.
    """
    row = await tx.raw.fetchrow(
        _PAGE,
        project_id,
        after,
        lowest_id_at(which.since or (tx.now or utc_now()) - timedelta(days=DAYS_SHOWN)),
        lowest_id_at(which.until) if which.until else None,
        which.queue_id,
        which.state,
        which.kind,
        which.model,
        limit,
    )
    ids = row["ids"] or []
    next_after = ids[-1] if len(ids) == limit else row["scanned_to"]
    return ItemPage(await _items(tx, project_id, ids), next_after)


async def _items(tx: Reader, project_id: uuid.UUID, ids: list[uuid.UUID]) -> list[Item]:
    rows = await tx.raw.fetch(_ITEMS, project_id, ids)
    assignments = await _by_item(tx, _ASSIGNMENTS, StoredAssignment, project_id, ids)
    verdicts = await _by_item(tx, _VERDICTS, GivenVerdict, project_id, ids)
    # revisions come in order, so the last is the one that stands
    resolutions = await _by_item(tx, _RESOLUTIONS, StoredResolution, project_id, ids)
    return [
        Item(
            **dict(row),
            assignments=assignments[row["id"]],
            verdicts=verdicts[row["id"]],
            resolution=resolutions[row["id"]][-1] if row["id"] in resolutions else None,
        )
        for row in rows
    ]


async def _by_item(
    tx: Reader, statement: str, kind: type[T], project_id: uuid.UUID, ids: list[uuid.UUID]
) -> dict[uuid.UUID, list[T]]:
    found: defaultdict[uuid.UUID, list[T]] = defaultdict(list)
    for row in await tx.raw.fetch(statement, project_id, ids):
        facts = dict(row)
        found[facts.pop("item_id")].append(kind(**facts))
    return found


# `scanned` is read only as far as the page needs it; where it ended is asked for only when the
# page did not fill
_PAGE = f"""
WITH scanned AS MATERIALIZED (
  SELECT id, queue_id, state, kind, model FROM items
  WHERE project_id = $1 AND id >= $3 AND ($2::uuid IS NULL OR id > $2)
    AND ($4::uuid IS NULL OR id < $4)
  ORDER BY id
  LIMIT {SCANNED_MAX:d}
), found AS MATERIALIZED (
  SELECT id FROM scanned
  WHERE ($5::uuid IS NULL OR queue_id = $5) AND ($6::text IS NULL OR state = $6)
    AND ($7::text IS NULL OR kind = $7) AND ($8::text IS NULL OR model = $8)
  LIMIT $9
)
SELECT
  (SELECT array_agg(id ORDER BY id) FROM found) AS ids,
  CASE WHEN (SELECT count(*) FROM found) < $9 THEN
    (SELECT id FROM scanned OFFSET {SCANNED_MAX - 1:d} LIMIT 1) END AS scanned_to
"""

_ITEMS = """
SELECT i.id, q.name AS queue, i.kind, i.state, i.decision_id, i.model, i.model_version, i.label,
  i.confidence, i.scores, i.features, i.segment, i.route, i.reason, i.inclusion_probability,
  i.stratum, i.priority, i.blind, i.blocking, i.verdicts_needed, i.risk, i.context_key,
  i.input_key, i.subject, i.decided_at, i.queued_at, i.due_at, i.settled_at
FROM items i
JOIN queues q ON q.project_id = i.project_id AND q.id = i.queue_id
WHERE i.project_id = $1 AND i.id = ANY ($2::uuid[])
ORDER BY i.id
"""

_ASSIGNMENTS = """
SELECT item_id, id, slot, state, reviewer, leased_at, lease_until, submitted_at
FROM assignments WHERE project_id = $1 AND item_id = ANY ($2::uuid[])
ORDER BY slot, id
"""

_VERDICTS = """
SELECT item_id, id, assignment_id, reviewer, verdict, label, seconds_spent, seconds_leased,
  comment, source, submitted_at
FROM verdicts WHERE project_id = $1 AND item_id = ANY ($2::uuid[])
ORDER BY id
"""

_RESOLUTIONS = """
SELECT item_id, outcome, label, agreed, judge, blind, resolved_at
FROM resolutions WHERE project_id = $1 AND item_id = ANY ($2::uuid[])
ORDER BY revision
"""
