"""Monitors: what they watch, their model's timing, and what operators did to them.

Whoever changes a monitor or its states holds the row of its model (`lock_model`, `lock_monitor`):
so does the closing of a bucket, which evaluates them.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from app.core.drift.windows import Timing
from app.store.engine import Reader, Writer
from app.store.watched_models import timing_of


@dataclass(frozen=True, slots=True)
class Monitor:
    """A monitor as it is stored; `timing` is its model's."""

    id: uuid.UUID
    name: str
    model: str
    signal: str
    reference_id: uuid.UUID | None
    reference: str | None
    reference_version: int | None
    certified_error: float | None
    timing: Timing
    muted_until: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    created_at: datetime
    updated_at: datetime


async def keep_model(
    tx: Writer, project_id: uuid.UUID, model: str, timing: Timing, first_open: int
) -> None:
    """Give a model its timing, unless it has one."""
    await tx.raw.execute(
        """
        INSERT INTO monitored_models (project_id, model, bucket_s, grace_s, lengths, first_open)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
        """,
        project_id,
        model,
        timing.bucket_s,
        timing.grace_s,
        list(timing.lengths),
        first_open,
    )


async def lock_model(tx: Writer, project_id: uuid.UUID, model: str) -> Timing | None:
    """The timing of a model, kept from the closing of buckets and from other changes."""
    row = await tx.raw.fetchrow(
        "SELECT bucket_s, grace_s, lengths FROM monitored_models "
        "WHERE project_id = $1 AND model = $2 FOR NO KEY UPDATE",
        project_id,
        model,
    )
    return timing_of(row) if row else None


async def retime_model(
    tx: Writer, project_id: uuid.UUID, model: str, timing: Timing, first_open: int
) -> None:
    """Give a model without monitors another timing.

    What was counted is removed: under the other timing its buckets would have the numbers of other
    hours.
    """
    await tx.raw.execute(
        """
        UPDATE monitored_models SET bucket_s = $3, grace_s = $4, lengths = $5, first_open = $6,
          closing = NULL, closing_after = NULL, closing_since = NULL
        WHERE project_id = $1 AND model = $2
        """,
        project_id,
        model,
        timing.bucket_s,
        timing.grace_s,
        list(timing.lengths),
        first_open,
    )
    await tx.raw.execute(
        """
        DELETE FROM stream_counts c USING drift_references r
        WHERE c.project_id = $1 AND r.project_id = $1 AND r.model = $2 AND c.reference_id = r.id
        """,
        project_id,
        model,
    )


async def monitor_count(tx: Reader, project_id: uuid.UUID, model: str) -> int:
    """How many monitors a model has."""
    return int(
        await tx.raw.fetchval(
            "SELECT count(*) FROM monitors WHERE project_id = $1 AND model = $2", project_id, model
        )
    )


async def find_monitor(tx: Reader, project_id: uuid.UUID, name: str) -> Monitor | None:
    """The monitor of that name."""
    row = await tx.raw.fetchrow(
        f"{_MONITORS} WHERE m.project_id = $1 AND m.name = $2", project_id, name
    )
    return _monitor(row) if row else None


async def lock_monitor(tx: Writer, project_id: uuid.UUID, name: str) -> Monitor | None:
    """The same, with its model, kept from the closing of buckets and from other changes."""
    model = await tx.raw.fetchval(
        "SELECT model FROM monitors WHERE project_id = $1 AND name = $2", project_id, name
    )
    # a monitor's model never changes
    if model is None or await lock_model(tx, project_id, model) is None:
        return None
    await tx.raw.execute(
        "SELECT FROM monitors WHERE project_id = $1 AND name = $2 FOR NO KEY UPDATE",
        project_id,
        name,
    )
    return await find_monitor(tx, project_id, name)


async def list_monitors(
    tx: Reader, project_id: uuid.UUID, model: str | None, after: uuid.UUID | None, limit: int
) -> list[Monitor]:
    """Monitors in the order in which they were made."""
    rows = await tx.raw.fetch(
        f"{_MONITORS} WHERE m.project_id = $1 AND ($2::text IS NULL OR m.model = $2) "
        "AND ($3::uuid IS NULL OR m.id > $3) ORDER BY m.id LIMIT $4",
        project_id,
        model,
        after,
        limit,
    )
    return [_monitor(row) for row in rows]


async def audited_monitors(tx: Reader, signals: Sequence[str]) -> list[tuple[uuid.UUID, str, str]]:
    """(project, model, name) of the monitors of these signals, of all projects."""
    rows = await tx.raw.fetch(
        "SELECT project_id, model, name FROM monitors WHERE signal = ANY ($1::text[]) "
        "ORDER BY project_id, model, name",
        list(signals),
    )
    return [tuple(row) for row in rows]


async def monitors_on(tx: Reader, project_id: uuid.UUID, reference_id: uuid.UUID) -> list[Monitor]:
    """The monitors that compare with a reference, by their names."""
    rows = await tx.raw.fetch(
        f"{_MONITORS} WHERE m.project_id = $1 AND m.reference_id = $2 ORDER BY m.name",
        project_id,
        reference_id,
    )
    return [_monitor(row) for row in rows]


async def add_monitor(
    tx: Writer,
    project_id: uuid.UUID,
    *,
    id_: uuid.UUID,
    name: str,
    model: str,
    signal: str,
    reference_id: uuid.UUID | None,
    certified_error: float | None,
) -> bool:
    """Add a monitor; False when there is one of its name, which stays as it is."""
    status = await tx.raw.execute(
        """
        INSERT INTO monitors (project_id, id, name, model, signal, reference_id, settings,
          created_at, updated_at)
        SELECT $1, $2, $3, $4, $5, $6, $7::text::jsonb, now, now
        FROM (SELECT coalesce($8::timestamptz, statement_timestamp()) AS now) AS clock
        ON CONFLICT (project_id, name) DO NOTHING
        """,
        project_id,
        id_,
        name,
        model,
        signal,
        reference_id,
        _settings(certified_error),
        tx.now,
    )
    return bool(status == "INSERT 0 1")


async def change_monitor(
    tx: Writer,
    project_id: uuid.UUID,
    id_: uuid.UUID,
    *,
    reference_id: uuid.UUID | None,
    certified_error: float | None,
) -> None:
    """Let a monitor compare with another reference or bound."""
    await tx.raw.execute(
        """
        UPDATE monitors SET reference_id = $3, settings = $4::text::jsonb,
          updated_at = coalesce($5, statement_timestamp())
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        id_,
        reference_id,
        _settings(certified_error),
        tx.now,
    )


async def acknowledge_monitor(tx: Writer, project_id: uuid.UUID, id_: uuid.UUID, by: str) -> None:
    """Note who has seen its present states."""
    await tx.raw.execute(
        """
        UPDATE monitors SET acknowledged_at = coalesce($4, statement_timestamp()),
          acknowledged_by = $3
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        id_,
        by,
        tx.now,
    )


async def mute_monitor(
    tx: Writer, project_id: uuid.UUID, id_: uuid.UUID, until: datetime | None
) -> None:
    """Mute a monitor until a time; None lets it speak again."""
    await tx.raw.execute(
        "UPDATE monitors SET muted_until = $3 WHERE project_id = $1 AND id = $2",
        project_id,
        id_,
        until,
    )


async def remove_monitor(tx: Writer, project_id: uuid.UUID, id_: uuid.UUID) -> None:
    """Remove a monitor without states; its evaluations stay, since decisions name them."""
    await tx.raw.execute("DELETE FROM monitors WHERE project_id = $1 AND id = $2", project_id, id_)


_MONITORS = """
SELECT m.id, m.name, m.model, m.signal, m.reference_id, r.name AS reference,
  r.version AS reference_version, (m.settings ->> 'certified_error')::float8 AS certified_error,
  m.muted_until, m.acknowledged_at, m.acknowledged_by, m.created_at, m.updated_at,
  mm.bucket_s, mm.grace_s, mm.lengths
FROM monitors m
JOIN monitored_models mm ON mm.project_id = m.project_id AND mm.model = m.model
LEFT JOIN drift_references r ON r.project_id = m.project_id AND r.id = m.reference_id
"""


def _monitor(row: Any) -> Monitor:
    values = dict(row)
    timing = timing_of(row)
    for name in ("bucket_s", "grace_s", "lengths"):
        del values[name]
    return Monitor(**values, timing=timing)


def _settings(certified_error: float | None) -> str:
    settings = {} if certified_error is None else {"certified_error": certified_error}
    return msgspec.json.encode(settings).decode()
