"""Detectors: what they are fitted on, the fitted blobs, and which one is ready for a model."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from app.core.drift.judged import DetectorState
from app.store.engine import Reader, Writer

PAGE_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Detector:
    """A stored detector without its blobs.

    Attributes:
        source: where the rows come from, as it is shown.
        digest: SHA-256 over the fitted blob; None until it is fitted, as `summary` and `ready_at`.
        job_id: of the job that fits it.
    """

    id: uuid.UUID
    name: str
    version: int
    model: str
    state: DetectorState
    source: dict[str, Any]
    digest: bytes | None
    summary: dict[str, Any] | None
    job_id: uuid.UUID
    created_at: datetime
    created_by: str
    ready_at: datetime | None


async def add_detector(
    tx: Writer,
    project_id: uuid.UUID,
    detector_id: uuid.UUID,
    *,
    name: str,
    version: int,
    model: str,
    training: bytes | None,
    source: Any,
    job_id: uuid.UUID,
    created_by: str,
) -> Detector:
    """Store a detector that is to be fitted; `training` is None where it reads its rows itself."""
    await tx.raw.execute(
        """
        INSERT INTO detectors (project_id, id, name, version, model, training, source, job_id,
          created_by, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8, $9,
          coalesce($10::timestamptz, statement_timestamp()))
        """,
        project_id,
        detector_id,
        name,
        version,
        model,
        training,
        msgspec.json.encode(source).decode(),
        job_id,
        created_by,
        tx.now,
    )
    added = await find_detector(tx, project_id, detector_id)
    assert added is not None, "it was inserted by this transaction"
    return added


async def find_detector(
    tx: Reader, project_id: uuid.UUID, detector_id: uuid.UUID
) -> Detector | None:
    """One by its id."""
    row = await tx.raw.fetchrow(
        f"{_SELECT} WHERE d.project_id = $1 AND d.id = $2", project_id, detector_id
    )
    return _detector(row) if row else None


async def latest_detector(
    tx: Reader, project_id: uuid.UUID, name: str, state: DetectorState | None = None
) -> Detector | None:
    """The newest version of that name, of all or of those in a state."""
    row = await tx.raw.fetchrow(
        f"""
        {_SELECT} WHERE d.project_id = $1 AND d.name = $2 AND ($3::text IS NULL OR d.state = $3)
        ORDER BY d.version DESC LIMIT 1
        """,
        project_id,
        name,
        state,
    )
    return _detector(row) if row else None


async def ready_detector(tx: Reader, project_id: uuid.UUID, model: str) -> Detector | None:
    """The one that judges the predictions of a model."""
    row = await tx.raw.fetchrow(
        f"{_SELECT} WHERE d.project_id = $1 AND d.model = $2 AND d.state = 'ready'",
        project_id,
        model,
    )
    return _detector(row) if row else None


async def list_detectors(
    tx: Reader, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[Detector]:
    """All versions of all detectors, in the order in which they were made."""
    rows = await tx.raw.fetch(
        f"""
        {_SELECT} WHERE d.project_id = $1 AND ($2::uuid IS NULL OR d.id > $2)
        ORDER BY d.id LIMIT $3
        """,
        project_id,
        after,
        limit,
    )
    return [_detector(row) for row in rows]


async def ready_by_model(tx: Reader, project_id: uuid.UUID) -> dict[str, uuid.UUID]:
    """The ids of the detectors that judge predictions."""
    rows = await tx.raw.fetch(
        "SELECT model, id FROM detectors WHERE project_id = $1 AND state = 'ready'", project_id
    )
    return {row["model"]: uuid.UUID(int=row["id"].int) for row in rows}


async def being_fitted(tx: Reader, project_id: uuid.UUID) -> int:
    """How many detectors of a project are waiting to be fitted."""
    count: int = await tx.raw.fetchval(
        f"SELECT count(*) FROM ({_SELECT} WHERE d.project_id = $1) AS d WHERE state = 'fitting'",
        project_id,
    )
    return count


async def training_of(tx: Reader, project_id: uuid.UUID, detector_id: uuid.UUID) -> bytes | None:
    """The rows that were sent for it, packed; None where none were, or it is fitted."""
    training: bytes | None = await tx.raw.fetchval(
        "SELECT training FROM detectors WHERE project_id = $1 AND id = $2", project_id, detector_id
    )
    return training


async def fitted_blob(tx: Reader, project_id: uuid.UUID, detector_id: uuid.UUID) -> bytes | None:
    """The fitted detector; None until it is fitted."""
    blob: bytes | None = await tx.raw.fetchval(
        "SELECT fitted FROM detectors WHERE project_id = $1 AND id = $2", project_id, detector_id
    )
    return blob


async def keep_fitted(
    tx: Writer,
    project_id: uuid.UUID,
    detector_id: uuid.UUID,
    state: DetectorState,
    *,
    digest: bytes,
    fitted: bytes,
    summary: Any,
) -> None:
    """Keep the blob, let go of what it was fitted on, and move it to a state."""
    await tx.raw.execute(
        """
        UPDATE detectors SET state = $3, digest = $4, fitted = $5, summary = $6::text::jsonb,
          training = NULL, ready_at = coalesce($7::timestamptz, statement_timestamp())
        WHERE project_id = $1 AND id = $2
        """,
        project_id,
        detector_id,
        state,
        digest,
        fitted,
        msgspec.json.encode(summary).decode(),
        tx.now,
    )


async def set_state(
    tx: Writer, project_id: uuid.UUID, detector_id: uuid.UUID, state: DetectorState
) -> None:
    """Move it to a state in which nothing is fitted any more."""
    await tx.raw.execute(
        "UPDATE detectors SET state = $3, training = NULL WHERE project_id = $1 AND id = $2",
        project_id,
        detector_id,
        state,
    )


async def recorded_rows(
    tx: Reader, project_id: uuid.UUID, model: str, after: uuid.UUID, before: uuid.UUID
) -> list[Any]:
    """The newest decisions of a range: id, whether of the model, embedding, label, prediction.

    Those of other models are looked at and returned without content, so that a page of a rare model
    costs no more than any other. The prediction is only there where the embedding is not.
    """
    rows: list[Any] = await tx.raw.fetch(
        f"""
        SELECT id, model = $4 AS wanted,
          CASE WHEN model = $4 THEN embedding END AS embedding,
          CASE WHEN model = $4 THEN label END AS label,
          CASE WHEN model = $4 AND embedding IS NULL THEN prediction END AS prediction
        FROM decisions WHERE project_id = $1 AND id > $2 AND id < $3
        ORDER BY id DESC LIMIT {PAGE_ROWS}
        """,
        project_id,
        after,
        before,
        model,
    )
    return rows


# whose job was given up is not being fitted: nobody was left to say so
_SELECT = """
SELECT d.id, d.name, d.version, d.model,
  CASE WHEN d.state = 'fitting' AND j.state = 'failed' THEN 'failed' ELSE d.state END AS state,
  d.source, d.digest, d.summary, d.job_id, d.created_at, d.created_by, d.ready_at
FROM detectors d LEFT JOIN jobs j ON j.project_id = d.project_id AND j.id = d.job_id
"""


def _detector(row: Any) -> Detector:
    return Detector(**{**dict(row), "state": DetectorState(row["state"])})
