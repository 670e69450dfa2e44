"""What watches the predictions of a model: its timing and the references of its monitors."""

import uuid
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from app.core.drift.windows import Timing
from app.store.engine import Reader


class WatchedModel(Struct, frozen=True):
    """The timing of a model's monitors, and the ids of their references in order."""

    timing: Timing
    references: tuple[uuid.UUID, ...]


async def watched_models(tx: Reader, project_id: uuid.UUID) -> dict[str, WatchedModel]:
    """By model; a model without a monitor that compares with a reference is left out."""
    rows = await tx.raw.fetch(
        """
        SELECT w.model, w.bucket_s, w.grace_s, w.lengths,
          array_agg(DISTINCT m.reference_id ORDER BY m.reference_id) AS references
        FROM monitored_models w JOIN monitors m USING (project_id, model)
        WHERE w.project_id = $1 AND m.reference_id IS NOT NULL
        GROUP BY w.project_id, w.model
        """,
        project_id,
    )
    return {row["model"]: _watched(row) for row in rows}


def timing_of(bucket_s: int, grace_s: int, lengths: Sequence[int]) -> Timing:
    """As a row of `monitored_models` has it."""
    return Timing(bucket_s, grace_s, tuple(sorted(lengths)))


def _watched(row: Any) -> WatchedModel:
    timing = timing_of(row["bucket_s"], row["grace_s"], row["lengths"])
    return WatchedModel(timing, tuple(uuid.UUID(int=one.int) for one in row["references"]))
