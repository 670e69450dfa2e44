"""Counts of streams by bucket of time: added exactly once, and never to a bucket that is closed.

They travel in the inbox rows of the hot path, as counts of decisions do, and are added by the
transaction that deletes those. Why a closed bucket never changes: a folder holds a share lock on
the rows of `monitored_models` while it adds, and whoever moves `first_open` needs them alone.

The order of locks is the same for all: models by name, inbox rows, counts of decisions, counts of
streams by their keys. So folders and those who close wait for each other, never in a circle.
"""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

from app.core.drift.closing import Series
from app.core.drift.watching import Delta, SeriesKey, folded
from app.store.engine import Reader, Writer

Open = Mapping[str, int]


async def share_first_open(tx: Writer, project_id: uuid.UUID) -> Open:
    """By model, the first bucket that is not closed, and stays so until this transaction ends."""
    rows = await tx.raw.fetch(
        "SELECT model, first_open FROM monitored_models WHERE project_id = $1 "
        "ORDER BY model FOR SHARE",
        project_id,
    )
    return {row["model"]: row["first_open"] for row in rows}


async def add_deltas(
    tx: Writer, project_id: uuid.UUID, deltas: Sequence[Delta], open_: Open
) -> None:
    """Add what inbox rows say.

    Args:
        tx: the transaction that deletes them.
        project_id: whose.
        deltas: of them.
        open_: as `share_first_open` gave it to this transaction.
    """
    if not deltas:
        return
    rows = await tx.raw.fetch(
        "SELECT id, model FROM drift_references WHERE project_id = $1 AND id = ANY($2)",
        project_id,
        list({uuid.UUID(delta[0]) for delta in deltas}),
    )
    # a model whose first monitor is younger than this transaction has closed nothing yet
    first_open = {row["id"]: open_[row["model"]] for row in rows if row["model"] in open_}
    await tx.raw.executemany(
        _ADD,
        [
            (
                project_id,
                key.reference,
                key.model_version,
                key.segment,
                bucket,
                has.predictions,
                has.late,
                has.moved,
                has.counts,
            )
            for (key, bucket), has in folded(deltas, first_open).items()
        ],
    )


async def buckets_between(
    tx: Reader, project_id: uuid.UUID, references: Sequence[uuid.UUID], first: int, last: int
) -> Series:
    """What the buckets from `first` to `last` have, of all versions and segments."""
    rows = await tx.raw.fetch(
        """
        SELECT reference_id, model_version, segment, bucket, predictions, counts
        FROM stream_counts
        WHERE project_id = $1 AND reference_id = ANY($2) AND bucket BETWEEN $3 AND $4
        """,
        project_id,
        list(references),
        first,
        last,
    )
    found: defaultdict[SeriesKey, dict[int, tuple[int, list[int]]]] = defaultdict(dict)
    for reference, model_version, segment, bucket, predictions, counts in rows:
        key = SeriesKey(uuid.UUID(int=reference.int), model_version, segment)
        found[key][bucket] = predictions, counts
    return found


async def busy_buckets(
    tx: Reader,
    project_id: uuid.UUID,
    references: Sequence[uuid.UUID],
    first: int,
    last: int,
    *,
    limit: int,
) -> list[int]:
    """The first buckets between `first` and `last` in which anything was counted."""
    rows = await tx.raw.fetch(
        """
        SELECT bucket FROM stream_counts
        WHERE project_id = $1 AND reference_id = ANY($2) AND bucket BETWEEN $3 AND $4
        GROUP BY bucket ORDER BY bucket LIMIT $5
        """,
        project_id,
        list(references),
        first,
        last,
        limit,
    )
    return [row["bucket"] for row in rows]


_ADD = """
INSERT INTO stream_counts AS c (project_id, reference_id, model_version, segment, bucket,
  predictions, late, moved, counts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (project_id, reference_id, model_version, segment, bucket)
DO UPDATE SET predictions = c.predictions + excluded.predictions, late = c.late + excluded.late,
  moved = c.moved + excluded.moved,
  counts = ARRAY(SELECT mine + added FROM unnest(c.counts, excluded.counts) AS cell (mine, added))
"""
