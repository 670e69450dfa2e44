"""States and evaluations of monitors, as people look at them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.store.engine import Reader, Writer
from app.store.ids import lowest_id_at, utc_now

STATES_MAX = 1000
"""Of one monitor that are shown: versions times segments times lengths."""


@dataclass(frozen=True, slots=True)
class LengthState:
    """The state of a monitor for one model version, segment and length of window.

    `since` is the end of the window that brought it about; `noticed_at` when that was evaluated.
    """

    monitor_id: uuid.UUID
    model_version: str
    segment: str
    length: int
    state: str
    since: datetime
    evaluation_id: uuid.UUID
    noticed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One window of a monitor: `results` as JSON gave them, `state` that of its length after it."""

    id: uuid.UUID
    reference_id: uuid.UUID | None
    reference: str | None
    reference_version: int | None
    model_version: str
    segment: str
    first_bucket: int
    last_bucket: int
    state: str
    results: list[dict[str, Any]]
    evaluated_at: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which evaluations; None leaves nothing out.

    Attributes:
        model_version: of them.
        segment: `source:tweets`; empty for the whole of a version.
        length: of their windows, in buckets.
        since: the earliest end of a window.
        until: ends of windows are before it.
    """

    model_version: str | None = None
    segment: str | None = None
    length: int | None = None
    since: datetime | None = None
    until: datetime | None = None


async def states_of(
    tx: Reader, project_id: uuid.UUID, monitor_ids: Sequence[uuid.UUID]
) -> list[LengthState]:
    """States of monitors, by version and segment; at most `STATES_MAX` each, alarms first."""
    rows = await tx.raw.fetch(
        """
        SELECT monitor_id, model_version, segment, length, state, since, evaluation_id,
          (SELECT evaluated_at FROM evaluations e
            WHERE e.project_id = $1 AND e.id = evaluation_id) AS noticed_at
        FROM (
          SELECT *, row_number() OVER (PARTITION BY monitor_id ORDER BY
            array_position(ARRAY['drifting', 'warning', 'stable', 'collecting'], state),
            since DESC, model_version, segment, length) AS place
          FROM monitor_states WHERE project_id = $1 AND monitor_id = ANY ($2::uuid[])
        ) s
        WHERE place <= $3 ORDER BY monitor_id, model_version, segment, length
        """,
        project_id,
        list(monitor_ids),
        STATES_MAX,
    )
    return [LengthState(**dict(row)) for row in rows]


async def forget_states(
    tx: Writer, project_id: uuid.UUID, monitor_id: uuid.UUID
) -> list[tuple[str, str, str]]:
    """Let a monitor start again at collecting.

    Returns:
        (model version, segment, combined state) of what it knew, in that order.
    """
    rows = await tx.raw.fetch(
        """
        WITH gone AS (
          DELETE FROM monitor_states WHERE project_id = $1 AND monitor_id = $2
          RETURNING model_version, segment, state
        )
        SELECT DISTINCT ON (model_version, segment) model_version, segment, state FROM gone
        ORDER BY model_version, segment,
          array_position(ARRAY['drifting', 'warning', 'stable', 'collecting'], state)
        """,
        project_id,
        monitor_id,
    )
    return [tuple(row) for row in rows]


async def list_evaluations(
    tx: Reader,
    project_id: uuid.UUID,
    monitor_id: uuid.UUID,
    wanted: Wanted,
    *,
    after: uuid.UUID | None,
    limit: int,
) -> list[Evaluated]:
    """Evaluations of a monitor, newest first, 7 days back unless `since` is given.

    Their ids begin with the end of the window, so that their order is that of time.
    """
    since = wanted.since or (tx.now or utc_now()) - timedelta(days=7)
    rows = await tx.raw.fetch(
        f"""
        {_EVALUATIONS} WHERE e.project_id = $1 AND e.monitor_id = $2
          AND ($3::uuid IS NULL OR e.id < $3) AND e.id >= $4 AND ($5::uuid IS NULL OR e.id < $5)
          AND ($6::text IS NULL OR e.model_version = $6) AND ($7::text IS NULL OR e.segment = $7)
          AND ($8::int IS NULL OR e.last_bucket - e.first_bucket + 1 = $8)
        ORDER BY e.id DESC LIMIT $9
        """,
        project_id,
        monitor_id,
        after,
        lowest_id_at(since),
        lowest_id_at(wanted.until) if wanted.until is not None else None,
        wanted.model_version,
        wanted.segment,
        wanted.length,
        limit,
    )
    return [Evaluated(**dict(row)) for row in rows]


async def last_alarm(
    tx: Reader, project_id: uuid.UUID, monitor_id: uuid.UUID, reference_id: uuid.UUID
) -> Evaluated | None:
    """The last window with a shift, of a version, segment and length that warns or drifts still.

    Not one that came after it with too few predictions to be tested, or calm but not for long
    enough. Of windows that end together the longest, which has the most predictions.
    """
    row = await tx.raw.fetchrow(
        f"""
        {_EVALUATIONS} JOIN monitor_states s ON s.project_id = e.project_id
          AND s.monitor_id = e.monitor_id AND s.model_version = e.model_version
          AND s.segment = e.segment AND s.length = e.last_bucket - e.first_bucket + 1
        WHERE e.project_id = $1 AND e.monitor_id = $2 AND e.reference_id = $3
          AND s.state IN ('warning', 'drifting')
          AND jsonb_path_exists(e.results, '$[*].severity ? (@ != null && @ != "none")')
        ORDER BY e.last_bucket DESC, e.first_bucket, e.segment <> '', e.segment, e.model_version
        LIMIT 1
        """,
        project_id,
        monitor_id,
        reference_id,
    )
    return Evaluated(**dict(row)) if row else None


async def predictions_in(tx: Reader, project_id: uuid.UUID, evaluated: Evaluated) -> int:
    """How many predictions of all versions were counted against the reference in its window."""
    return int(
        await tx.raw.fetchval(
            """
            SELECT coalesce(sum(predictions), 0) FROM stream_counts
            WHERE project_id = $1 AND reference_id = $2 AND segment = ''
              AND bucket BETWEEN $3 AND $4
            """,
            project_id,
            evaluated.reference_id,
            evaluated.first_bucket,
            evaluated.last_bucket,
        )
    )


async def window_counts(
    tx: Reader, project_id: uuid.UUID, evaluated: Evaluated
) -> tuple[Any, list[int] | None]:
    """The reference's streams as stored, and the counts of a window, all streams' flat.

    The counts are None where nothing was counted.
    """
    row = await tx.raw.fetchrow(
        """
        SELECT r.document -> 'streams' AS streams, (
          SELECT array_agg(total ORDER BY place) FROM (
            SELECT place, sum(cell)::bigint AS total
            FROM stream_counts c,
              LATERAL unnest(c.counts) WITH ORDINALITY AS cells_of (cell, place)
            WHERE c.project_id = $1 AND c.reference_id = $2 AND c.model_version = $3
              AND c.segment = $4 AND c.bucket BETWEEN $5 AND $6
            GROUP BY place
          ) cells
        ) AS counts
        FROM drift_references r WHERE r.project_id = $1 AND r.id = $2
        """,
        project_id,
        evaluated.reference_id,
        evaluated.model_version,
        evaluated.segment,
        evaluated.first_bucket,
        evaluated.last_bucket,
    )
    return row["streams"], row["counts"]


_EVALUATIONS = """
SELECT e.id, e.reference_id, r.name AS reference, r.version AS reference_version,
  e.model_version, e.segment, e.first_bucket, e.last_bucket, e.state, e.results, e.evaluated_at
FROM evaluations e
LEFT JOIN drift_references r ON r.project_id = e.project_id AND r.id = e.reference_id
"""
