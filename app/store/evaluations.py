"""Closing of buckets: which may be closed, and what their evaluations write.

A bucket closes in two steps, so that what was counted before its end is in it. First it is noted
which transactions are under way; a commit of predictions that began before is one of them. Once all
of those have ended, their inbox rows can be seen, are folded, and the bucket is closed by the same
transaction that evaluates it. A transaction that takes longer than `STALL` holds nobody up: what it
still brings counts in the first open bucket, as moved.

Transaction ids are those of the whole server: any long transaction delays, none is waited for
longer than that.
"""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from app.core.drift.closing import EvaluatedWindow, MonitorOf, Place, Standing, Standings
from app.core.drift.evaluate import Evaluation
from app.core.drift.monitor import MEMORY, Track
from app.core.drift.watched import watched
from app.core.drift.windows import Timing
from app.store.engine import Reader, Writer
from app.store.ids import lowest_id_at
from app.store.references import references_by_id
from app.store.watched_models import timing_of

STALL = timedelta(seconds=60)
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model whose buckets nobody else closes or adds to until the transaction ends.

    Attributes:
        first_open: buckets before it are closed.
        closing: the last bucket that is being closed; None when the first step is not done.
        may_close: the second step may be done.
    """

    timing: Timing
    first_open: int
    closing: int | None
    may_close: bool


async def models_to_close(tx: Reader) -> list[tuple[uuid.UUID, str]]:
    """(project, model) with a bucket whose next step may be done, of all projects."""
    rows = await tx.raw.fetch(
        f"""
        SELECT project_id, model FROM monitored_models
        WHERE CASE WHEN closing IS NULL
          THEN to_timestamp((first_open + 1) * bucket_s + grace_s) <= {_now(1)}
          ELSE {_may_close(1, 2)} END
        ORDER BY project_id, model
        """,
        tx.now,
        STALL,
    )
    return [tuple(row) for row in rows]


async def hold_models(tx: Writer, project_id: uuid.UUID) -> dict[str, HeldModel]:
    """The models of a project, kept from folds and from other closings.

    All of them, in order: a fold adds to any.
    """
    rows = await tx.raw.fetch(
        f"""
        SELECT model, bucket_s, grace_s, lengths, first_open, closing,
          coalesce({_may_close(2, 3)}, false) AS may_close
        FROM monitored_models WHERE project_id = $1 ORDER BY model FOR NO KEY UPDATE
        """,
        project_id,
        tx.now,
        STALL,
    )
    return {
        row["model"]: HeldModel(
            timing_of(row),
            row["first_open"],
            row["closing"],
            row["may_close"],
        )
        for row in rows
    }


async def begin_closing(tx: Writer, project_id: uuid.UUID, model: str, last: int) -> None:
    """The first step, for all buckets up to `last`."""
    await tx.raw.execute(
        f"""
        UPDATE monitored_models SET closing = $3, closing_since = {_now(4)},
          closing_after = pg_snapshot_xmax(pg_current_snapshot())::text::bigint
        WHERE project_id = $1 AND model = $2
        """,
        project_id,
        model,
        last,
        tx.now,
    )


async def end_closing(tx: Writer, project_id: uuid.UUID, model: str, last: int) -> None:
    """Close all buckets up to `last`; others that are being closed go on being so."""
    await tx.raw.execute(
        """
        UPDATE monitored_models SET first_open = $3 + 1,
          closing = CASE WHEN closing > $3 THEN closing END,
          closing_after = CASE WHEN closing > $3 THEN closing_after END,
          closing_since = CASE WHEN closing > $3 THEN closing_since END
        WHERE project_id = $1 AND model = $2
        """,
        project_id,
        model,
        last,
    )


async def monitors_of(tx: Reader, project_id: uuid.UUID, model: str) -> list[MonitorOf]:
    """The monitors of a model that compare with a reference."""
    rows = await tx.raw.fetch(
        """
        SELECT id, name, signal, reference_id FROM monitors
        WHERE project_id = $1 AND model = $2 AND reference_id IS NOT NULL ORDER BY name
        """,
        project_id,
        model,
    )
    ids = sorted({uuid.UUID(int=row["reference_id"].int) for row in rows})
    references = {one.id: one for one in await references_by_id(tx, project_id, ids)}
    found = []
    for row in rows:
        reference = references.get(row["reference_id"])
        if reference is None:
            # this release cannot read it: another one evaluates it
            continue
        streams = watched(row["signal"], [stream.name for stream in reference.streams])
        found.append(MonitorOf(row["id"], row["name"], reference, tuple(streams)))
    return found


async def standings_of(
    tx: Reader, project_id: uuid.UUID, monitors: Iterable[MonitorOf], versions: Sequence[str]
) -> Standings:
    """The states of monitors, without those of other versions that have fallen silent.

    One that has not in windows of one length comes with all lengths: together they make the state.
    """
    rows = await tx.raw.fetch(
        """
        SELECT monitor_id, model_version, segment, length, track, evaluation_id, since
        FROM monitor_states s
        WHERE project_id = $1 AND monitor_id = ANY($2)
          AND (model_version = ANY($3) OR EXISTS (
            SELECT FROM monitor_states o
            WHERE o.project_id = s.project_id AND o.monitor_id = s.monitor_id
              AND o.model_version = s.model_version AND o.segment = s.segment
              AND (o.track ->> 'untested')::int < $4))
        """,
        project_id,
        [one.id for one in monitors],
        list(versions),
        MEMORY,
    )
    return {
        (Place(row["monitor_id"], row["model_version"], row["segment"]), row["length"]): Standing(
            msgspec.convert(row["track"], Track), row["evaluation_id"], row["since"]
        )
        for row in rows
    }


async def stored_evaluations(
    tx: Reader,
    project_id: uuid.UUID,
    monitors: Iterable[MonitorOf],
    since: datetime,
    until: datetime,
) -> dict[uuid.UUID, tuple[Evaluation, ...]]:
    """Evaluations of windows that end after `since`, and at `until` at the latest."""
    rows = await tx.raw.fetch(
        """
        SELECT id, results FROM evaluations
        WHERE project_id = $1 AND monitor_id = ANY($2) AND id >= $3 AND id < $4
        """,
        project_id,
        [one.id for one in monitors],
        # they begin with the end of the window, in milliseconds
        lowest_id_at(since + MILLISECOND),
        lowest_id_at(until + MILLISECOND),
    )
    return {row["id"]: msgspec.convert(row["results"], tuple[Evaluation, ...]) for row in rows}


async def add_evaluations(
    tx: Writer, project_id: uuid.UUID, evaluated: Sequence[EvaluatedWindow]
) -> None:
    """Keep evaluations; one that is there stays as it is."""
    await tx.raw.executemany(
        f"""
        INSERT INTO evaluations (project_id, id, monitor_id, reference_id, model_version, segment,
          first_bucket, last_bucket, state, results, evaluated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, {_now(11)})
        ON CONFLICT DO NOTHING
        """,
        [
            (
                project_id,
                one.id,
                one.place.monitor,
                one.reference,
                one.place.model_version,
                one.place.segment,
                *one.window,
                one.state,
                _json(one.results),
                tx.now,
            )
            for one in evaluated
        ],
    )


async def put_standings(
    tx: Writer, project_id: uuid.UUID, standings: Sequence[tuple[Place, int, Standing]]
) -> None:
    """Store states, in the order in which everybody does."""
    await tx.raw.executemany(
        """
        INSERT INTO monitor_states (project_id, monitor_id, model_version, segment, length, state,
          track, evaluation_id, since)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9)
        ON CONFLICT (project_id, monitor_id, model_version, segment, length)
        DO UPDATE SET state = excluded.state, track = excluded.track,
          evaluation_id = excluded.evaluation_id, since = excluded.since
        """,
        [
            (
                project_id,
                place.monitor,
                place.model_version,
                place.segment,
                length,
                standing.track.state,
                _json(standing.track),
                standing.evaluation,
                standing.since,
            )
            for place, length, standing in standings
        ],
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _now(parameter: int) -> str:
    return f"coalesce(${parameter}::timestamptz, statement_timestamp())"


def _may_close(now: int, stall: int) -> str:
    """Whether what was under way at the first step is over, or takes too long."""
    return (
        "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint >= closing_after "
        f"OR closing_since <= {_now(now)} - ${stall}::interval)"
    )
