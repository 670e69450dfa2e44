"""Events: what happened, written with what it happened to, and read as a feed.

A reader keeps the id of the last event that it has seen and asks for what came after. So an event
may never appear behind one that was readable before it: one transaction of a project at a time
writes events, until its commit, and each id is above the one before, whatever the clocks of the
replicas say. Write events last in a transaction, for others wait for its end.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from app.store.engine import Reader, Writer
from app.store.ids import new_id

KEPT = timedelta(days=7)
# of advisory locks with two numbers; the other one is the project
EVENTS_LOCK = 1
# removed by one transaction
EXPIRED_MAX = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `type` is a word of the catalogue, such as `monitor.changed`."""

    id: uuid.UUID
    type: str
    data: dict[str, Any]
    created_at: datetime


async def add_event(
    tx: Writer, project_id: uuid.UUID, type_: str, data: Mapping[str, Any] | Struct
) -> uuid.UUID:
    """Write one event of this transaction, and its id.

    Args:
        tx: the transaction that does what the event tells of.
        project_id: whose.
        type_: a word of the catalogue.
        data: plain values, ids and times; they become JSON.
    """
    await tx.raw.execute(
        "SELECT pg_advisory_xact_lock($1, hashtext($2::text))", EVENTS_LOCK, str(project_id)
    )
    last = await tx.raw.fetchval(
        "SELECT id FROM outbox WHERE project_id = $1 ORDER BY id DESC LIMIT 1", project_id
    )
    minted = new_id()
    id_ = minted if last is None or last < minted else uuid.UUID(int=last.int + 1)
    await tx.raw.execute(
        """
        INSERT INTO outbox (project_id, id, type, data, created_at)
        VALUES ($1, $2, $3, $4::text::jsonb, coalesce($5, statement_timestamp()))
        """,
        project_id,
        id_,
        type_,
        msgspec.json.encode(data).decode(),
        tx.now,
    )
    return id_


async def list_events(
    tx: Reader, project_id: uuid.UUID, after: uuid.UUID | None, limit: int, type_: str | None
) -> list[Event]:
    """Events behind `after`, in the order in which they were committed."""
    rows = await tx.raw.fetch(
        """
        SELECT id, type, data, created_at FROM outbox
        WHERE project_id = $1 AND ($2::uuid IS NULL OR id > $2) AND ($4::text IS NULL OR type = $4)
        ORDER BY id LIMIT $3
        """,
        project_id,
        after,
        limit,
        type_,
    )
    return [Event(**dict(row)) for row in rows]


async def remove_old_events(tx: Writer) -> int:
    """Remove events that were kept long enough, of any project; and how many."""
    status = await tx.raw.execute(
        """
        DELETE FROM outbox o USING (
          SELECT project_id, id FROM outbox
          WHERE created_at < coalesce($1, statement_timestamp()) - $2::interval
          LIMIT $3 FOR UPDATE SKIP LOCKED
        ) old
        WHERE o.project_id = old.project_id AND o.id = old.id
        """,
        tx.now,
        KEPT,
        EXPIRED_MAX,
    )
    return int(status.split()[-1])
