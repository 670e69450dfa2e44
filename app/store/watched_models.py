"""What watches the predictions of a model: its timing and the references of its monitors."""

import uuid
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


def timing_of(row: Any) -> Timing:
    """As a row with the columns of `monitored_models` has it."""
    return Timing(row["bucket_s"], row["grace_s"], tuple(sorted(row["lengths"])))


def _watched(row: Any) -> WatchedModel:
    return WatchedModel(timing_of(row), tuple(uuid.UUID(int=one.int) for one in row["references"]))
