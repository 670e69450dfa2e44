"""Counts of decisions by hour: folded exactly once, read exactly at any moment.

A commit of the hot path adds its decisions and one `inbox` row that counts them, in one
transaction; it never updates a shared row. `fold` takes inbox rows away and adds them up in
`decision_counts`. Why nothing is lost or doubled:

- A row is deleted and its counts are added by one transaction, so whoever is killed in between has
  done neither, and the row is still there.
- Folders take their rows with SKIP LOCKED, so no two hold the same row, however many there are.
- Sums do not depend on the order in which rows are added.
- Keys are written in their order, so two folders wait for each other but never in a circle.
- A read is one statement over `decision_counts` and the inbox, and a statement sees one snapshot:
  there each count is either still in the inbox or already folded, never both and never neither.
  So what is read does not depend on whether a worker runs, or how far behind it is.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    String,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.core.learning.period import Period, Unit
from app.store.engine import Reader, Writer
from app.store.ids import time_of
from app.store.stream_counts import add_deltas, share_first_open

# a key of the counts; `hour` may also be read as `day`
By = Literal["bucket", "model", "model_version", "label", "route", "reason", "stratum"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which decisions and items a figure speaks of; None and empty leave nothing out.

    `queue` is the name of one: a decision is counted before it has a queue, so only figures about
    items know it.
    """

    model: str | None = None
    model_version: str | None = None
    label: str | None = None
    segment: Mapping[str, str] = field(default_factory=dict)
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """How many decisions, and how many of them were drawn for an audit."""

    decisions: int
    audited: int


async def projects_waiting(tx: Reader) -> list[uuid.UUID]:
    """The projects that have inbox rows to fold."""
    rows = await tx.raw.fetch(
        "SELECT id FROM projects p "
        "WHERE EXISTS (SELECT FROM inbox i WHERE i.project_id = p.id) ORDER BY id"
    )
    return [row["id"] for row in rows]


async def fold(tx: Writer, project_id: uuid.UUID, rows_max: int, *, pass_over: bool = True) -> int:
    """Fold up to `rows_max` inbox rows of a project, with what they say of streams.

    Args:
        tx: a transaction.
        project_id: whose.
        rows_max: so many at most.
        pass_over: rows that another folder holds; otherwise wait for it.

    Returns:
        How many were folded.
    """
    open_ = await share_first_open(tx, project_id)
    rows = await tx.raw.fetch(_FOLD if pass_over else _FOLD_WAITING, project_id, rows_max)
    deltas = [delta for row in rows for delta in row["streams"] or ()]
    await add_deltas(tx, project_id, deltas, open_)
    return len(rows)


async def waiting_rows(tx: Reader, project_id: uuid.UUID) -> int:
    """Inbox rows that are not folded yet."""
    return int(
        await tx.raw.fetchval("SELECT count(*) FROM inbox WHERE project_id = $1", project_id)
    )


async def fold_lag_s(tx: Reader, project_id: uuid.UUID) -> float:
    """How long the oldest inbox row has been waiting, in seconds; 0 when there is none.

    By the clock of the replica that wrote it.
    """
    row = await tx.raw.fetchrow(
        "SELECT id, coalesce($2::timestamptz, statement_timestamp()) AS now FROM inbox "
        "WHERE project_id = $1 ORDER BY id LIMIT 1",
        project_id,
        tx.now,
    )
    if row is None:
        return 0.0
    return float(max(0.0, (row["now"] - time_of(row["id"])).total_seconds()))


async def decisions_by(
    tx: Reader,
    project_id: uuid.UUID,
    period: Period,
    which: Selection,
    by: tuple[By, ...],
    *,
    unit: Unit = Unit.HOUR,
    shadow: bool = False,
    rows_max: int | None = None,
) -> dict[tuple[Any, ...], Counted]:
    """Decisions by some of their keys, the most frequent first.

    Args:
        tx: where to read.
        project_id: whose.
        period: by the hour in which they were made.
        which: filters; `queue` is none of them.
        by: the keys to tell apart; `bucket` is the beginning of the hour or day.
        unit: the length of a bucket.
        shadow: shadow predictions instead of real ones.
        rows_max: only so many, the most frequent.
    """
    keys = [_bucket(unit) if key == "bucket" else _COUNTED.c[key] for key in by]
    decisions = func.sum(_COUNTED.c.decisions)
    query: Any = (
        select(*keys, cast(decisions, BigInteger), cast(func.sum(_COUNTED.c.audited), BigInteger))
        .where(_COUNTED.c.shadow == shadow, *_chosen(which))
        .group_by(*keys)
        .having(decisions > 0)
        .order_by(decisions.desc(), *keys)
        .limit(rows_max)
        .params(project=project_id, start=period.start, end=period.end)
    )
    rows: Any = await tx.execute(query)
    return {tuple(row[:-2]): Counted(*row[-2:]) for row in rows}


def of_model(columns: Any, which: Selection) -> list[Any]:
    """The filters by model, version and label, as conditions on the columns of these names."""
    return [
        columns[name] == value
        for name, value in (
            ("model", which.model),
            ("model_version", which.model_version),
            ("label", which.label),
        )
        if value is not None
    ]


def _bucket(unit: Unit) -> Any:
    # written out, not bound: PostgreSQL must see the same expression under SELECT and GROUP BY
    return func.date_trunc(text(f"'{unit.value}'"), _COUNTED.c.hour, text("'UTC'"))


def _chosen(which: Selection) -> list[Any]:
    columns = _COUNTED.c
    conditions = of_model(columns, which)
    if which.segment:
        conditions.append(cast(columns.segment, JSONB).contains(dict(which.segment)))
    return conditions


_COUNTED = (
    text("""
    SELECT hour, model, model_version, label, segment, route, reason, stratum, shadow,
      decisions, audited
    FROM decision_counts
    WHERE project_id = :project AND hour >= :start AND hour < :end
    UNION ALL
    SELECT (e ->> 0)::timestamptz, e ->> 1, e ->> 2, e ->> 3, e ->> 4, e ->> 5, e ->> 6, e ->> 7,
      (e ->> 8)::boolean, (e ->> 9)::bigint, (e ->> 10)::bigint
    FROM inbox CROSS JOIN LATERAL jsonb_array_elements(counts) e
    WHERE project_id = :project
      AND (e ->> 0)::timestamptz >= :start AND (e ->> 0)::timestamptz < :end
    """)
    .bindparams(
        bindparam("project", type_=Uuid),
        bindparam("start", type_=DateTime(timezone=True)),
        bindparam("end", type_=DateTime(timezone=True)),
    )
    .columns(
        hour=DateTime(timezone=True),
        model=Text,
        model_version=Text,
        label=Text,
        segment=String,
        route=Text,
        reason=Text,
        stratum=Text,
        shadow=Boolean,
        decisions=BigInteger,
        audited=BigInteger,
    )
    .subquery("counted")
)

_FOLD = """
WITH taken AS MATERIALIZED (
  SELECT id FROM inbox WHERE project_id = $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM inbox i USING taken WHERE i.project_id = $1 AND i.id = taken.id
  RETURNING i.counts, i.streams
), added AS (
  INSERT INTO decision_counts AS c (project_id, hour, digest, model, model_version, label, segment,
    route, reason, stratum, shadow, decisions, audited)
  SELECT $1, (e ->> 0)::timestamptz,
    -- an entry without its two numbers is its key
    sha256(convert_to((e - 10 - 9)::text, 'UTF8')), e ->> 1, e ->> 2, e ->> 3, e ->> 4, e ->> 5,
    e ->> 6, e ->> 7, (e ->> 8)::boolean, sum((e ->> 9)::bigint), sum((e ->> 10)::bigint)
  FROM gone CROSS JOIN LATERAL jsonb_array_elements(gone.counts) e
  GROUP BY 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  ORDER BY 2, 3
  ON CONFLICT (project_id, hour, digest)
  DO UPDATE SET decisions = c.decisions + excluded.decisions,
    audited = c.audited + excluded.audited
)
SELECT streams FROM gone
"""
_FOLD_WAITING = _FOLD.replace("SKIP LOCKED", "")
