"""What the monitors of audited errors know from day to day.

Their windows are days of UTC, of one length: a bucket is the number of days since 1970.
"""

import uuid
from datetime import datetime
from typing import Any

import msgspec

from app.core.drift.audited import Learned
from app.store.engine import Reader, Writer

LENGTH = 1


async def hold_monitor(tx: Writer, project_id: uuid.UUID, name: str) -> bool:
    """Keep a monitor from other workers and changes; False when another worker has it."""
    row = await tx.raw.fetchrow(
        "SELECT FROM monitors WHERE project_id = $1 AND name = $2 FOR NO KEY UPDATE SKIP LOCKED",
        project_id,
        name,
    )
    return row is not None


async def learned(tx: Reader, project_id: uuid.UUID, monitor_id: uuid.UUID) -> dict[str, Learned]:
    """What is known, by model version."""
    rows = await tx.raw.fetch(
        "SELECT model_version, track FROM monitor_states WHERE project_id = $1 AND monitor_id = $2",
        project_id,
        monitor_id,
    )
    return {row["model_version"]: msgspec.convert(row["track"], Learned) for row in rows}


async def last_days(tx: Reader, project_id: uuid.UUID, monitor_id: uuid.UUID) -> dict[str, int]:
    """The last day that was evaluated, by model version; also before the states were restarted."""
    rows = await tx.raw.fetch(
        "SELECT model_version, max(last_bucket) FROM evaluations "
        "WHERE project_id = $1 AND monitor_id = $2 GROUP BY model_version",
        project_id,
        monitor_id,
    )
    return {row[0]: row[1] for row in rows}


async def save_day(
    tx: Writer,
    project_id: uuid.UUID,
    monitor_id: uuid.UUID,
    model_version: str,
    *,
    id_: uuid.UUID,
    day: int,
    ended: datetime,
    learned: Learned,
    changed: bool,
    numbers: dict[str, Any],
) -> None:
    """Write what one day brought: its evaluation, and the state."""
    await tx.raw.execute(
        """
        INSERT INTO evaluations (project_id, id, monitor_id, model_version, segment, first_bucket,
          last_bucket, state, results, evaluated_at)
        VALUES ($1, $2, $3, $4, '', $5, $5, $6, $7::text::jsonb,
          coalesce($8, statement_timestamp()))
        """,
        project_id,
        id_,
        monitor_id,
        model_version,
        day,
        learned.state,
        msgspec.json.encode([numbers]).decode(),
        tx.now,
    )
    # the evaluation that brought a state about stays until the next state
    await tx.raw.execute(
        """
        INSERT INTO monitor_states AS s (project_id, monitor_id, model_version, segment, length,
          state, track, evaluation_id, since)
        VALUES ($1, $2, $3, '', $4, $5, $6::text::jsonb, $7, $8)
        ON CONFLICT (project_id, monitor_id, model_version, segment, length)
        DO UPDATE SET state = excluded.state, track = excluded.track,
          evaluation_id = CASE WHEN $9 THEN excluded.evaluation_id ELSE s.evaluation_id END,
          since = CASE WHEN $9 THEN excluded.since ELSE s.since END
        """,
        project_id,
        monitor_id,
        model_version,
        LENGTH,
        learned.state,
        msgspec.json.encode(learned).decode(),
        id_,
        ended,
        changed,
    )
