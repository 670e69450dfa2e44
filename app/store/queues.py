"""Queues: their settings, and how full they are."""

import uuid
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from app.core.review.queue import Queue
from app.store.engine import Reader, Writer
from app.store.tables import queues


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How full a queue is, by the database's clock.

    Attributes:
        depth: assignments that are open or leased.
        oldest_age_s: age of its longest waiting unsettled item; None when nothing waits.
        inflow_per_h: items queued in the last hour.
        outflow_per_h: items settled in the last hour.
    """

    depth: int
    oldest_age_s: float | None
    inflow_per_h: int
    outflow_per_h: int


async def queues_by_name(tx: Reader, project_id: uuid.UUID) -> dict[str, Queue]:
    """All queues of a project."""
    rows = await tx.raw.fetch(f"{_QUEUES} WHERE project_id = $1 ORDER BY name", project_id)
    return {row["name"]: _queue(row) for row in rows}


async def find_queue(tx: Reader, project_id: uuid.UUID, name: str) -> Queue | None:
    """The queue of that name."""
    row = await tx.raw.fetchrow(f"{_QUEUES} WHERE project_id = $1 AND name = $2", project_id, name)
    return _queue(row) if row else None


async def list_queues(
    tx: Reader, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[Queue]:
    """Queues in the order in which they were made."""
    rows = await tx.raw.fetch(
        f"{_QUEUES} WHERE project_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        project_id,
        after,
        limit,
    )
    return [_queue(row) for row in rows]


async def add_queue(tx: Writer, project_id: uuid.UUID, queue: Queue) -> bool:
    """Add a queue; False when there is one of its name, which stays as it is."""
    statement = insert(queues).values(project_id=project_id, **asdict(queue))
    result = await tx.execute(
        statement.on_conflict_do_nothing(index_elements=["project_id", "name"])
    )
    return result.rowcount == 1


async def lock_queue(tx: Writer, project_id: uuid.UUID, name: str) -> Queue | None:
    """The queue of that name, kept from other changes of its settings until the commit.

    Not FOR UPDATE: an item's foreign key only has to know that the queue stays, so predictions
    are taken meanwhile.
    """
    row = await tx.raw.fetchrow(
        f"{_QUEUES} WHERE project_id = $1 AND name = $2 FOR NO KEY UPDATE", project_id, name
    )
    return _queue(row) if row else None


async def replace_settings(tx: Writer, project_id: uuid.UUID, queue: Queue) -> None:
    """Give the queue of that id all the settings of `queue`."""
    await tx.execute(
        update(queues)
        .where(queues.c.project_id == project_id, queues.c.id == queue.id)
        .values(**asdict(queue))
    )


async def queue_figures(
    tx: Reader, project_id: uuid.UUID, queue_ids: list[uuid.UUID]
) -> dict[uuid.UUID, QueueFigures]:
    """How full each of these queues is.

    What was queued in the last hour is either still unsettled or was settled within that hour,
    so two small indexes answer and no index over all items is needed.
    """
    rows = await tx.raw.fetch(_FIGURES, project_id, queue_ids, tx.now)
    return {
        row["queue_id"]: QueueFigures(
            row["depth"], row["oldest_age_s"], row["inflow_per_h"], row["outflow_per_h"]
        )
        for row in rows
    }


_QUEUES = """
SELECT id, name, blind, judge, lease_s, lease_s_max, extensions_max, due_s, guidelines
FROM queues
"""

_FIGURES = """
WITH clock AS (SELECT coalesce($3::timestamptz, statement_timestamp()) AS now),
settled AS (
  SELECT i.queue_id, count(*) AS outflow,
    count(*) FILTER (WHERE i.queued_at > clock.now - interval '1 hour') AS inflow
  FROM items i, clock
  WHERE i.project_id = $1 AND i.settled_at > clock.now - interval '1 hour'
    AND i.queue_id = ANY ($2::uuid[])
  GROUP BY i.queue_id
)
SELECT q.id AS queue_id,
  (SELECT count(*) FROM assignments a
    WHERE a.project_id = $1 AND a.queue_id = q.id AND a.state = 'open')
  + (SELECT count(*) FROM assignments a
    WHERE a.project_id = $1 AND a.queue_id = q.id AND a.state = 'leased') AS depth,
  (SELECT extract(epoch FROM clock.now - min(i.queued_at))::float8 FROM items i
    WHERE i.project_id = $1 AND i.queue_id = q.id AND i.state IN ('open', 'disputed'))
    AS oldest_age_s,
  (SELECT count(*) FROM items i
    WHERE i.project_id = $1 AND i.queue_id = q.id AND i.state IN ('open', 'disputed')
      AND i.queued_at > clock.now - interval '1 hour')
  + coalesce(settled.inflow, 0) AS inflow_per_h,
  coalesce(settled.outflow, 0) AS outflow_per_h
FROM unnest($2::uuid[]) AS q (id)
CROSS JOIN clock
LEFT JOIN settled ON settled.queue_id = q.id
"""


def _queue(row: Any) -> Queue:
    return Queue(**dict(row))
