"""References, and the recorded predictions that they are made from."""

import logging
import struct
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import insert, select

from app.core.drift.reference import Document, Reference
from app.core.routing.prediction import Prediction
from app.store.drift_tables import drift_references
from app.store.engine import Reader, Writer
from app.store.ids import new_id

PAGE_ROWS = 2000

log = logging.getLogger(__name__)


class Summary(Struct, frozen=True, kw_only=True):
    """A reference without its streams, for lists."""

    id: uuid.UUID
    name: str
    version: int
    model: str
    model_version: str | None
    segment: str | None
    detector_id: uuid.UUID | None
    predictions: int
    digest: bytes
    source: Any
    created_at: Any
    created_by: str


class ReferenceHead(Struct, frozen=True, kw_only=True):
    """A reference without its histograms: of which model it is, and the names of its streams."""

    id: uuid.UUID
    name: str
    version: int
    model: str
    model_version: str | None
    segment: str | None
    streams: tuple[str, ...]


class Page(Struct, frozen=True):
    """Recorded predictions of one model, the newest first.

    Attributes:
        rows: those that were looked for, with `prediction` and `embedding` as they are kept.
        looked_at: how many of all models were looked at.
        last: the id before which to go on; None at the end.
    """

    rows: Sequence[Any]
    looked_at: int
    last: uuid.UUID | None


async def add_reference(
    tx: Writer, project_id: uuid.UUID, *, document: Document, source: Any, **values: Any
) -> Reference:
    """Store a new version.

    Args:
        tx: the transaction.
        project_id: the project's id.
        document: its streams.
        source: where its rows came from.
        values: the other columns but the time, which is the database's.
    """
    reference_id = new_id()
    await tx.execute(
        insert(drift_references).values(
            project_id=project_id,
            id=reference_id,
            document=msgspec.to_builtins(document),
            source=msgspec.to_builtins(source),
            **values,
        )
    )
    added = await reference_by_id(tx, project_id, reference_id)
    assert added is not None, "it was inserted by this transaction"
    return added


async def reference_by_id(
    tx: Reader, project_id: uuid.UUID, reference_id: uuid.UUID
) -> Reference | None:
    """One version by its id."""
    query = _of(project_id).where(drift_references.c.id == reference_id)
    return _reference((await tx.execute(query)).one_or_none())


async def references_by_id(
    tx: Reader, project_id: uuid.UUID, ids: Sequence[uuid.UUID]
) -> list[Reference]:
    """Versions in the order of their ids, without those that this release cannot read.

    A reference that another release wrote otherwise must not become a refused prediction.
    """
    columns = drift_references.c
    rows = await tx.execute(_of(project_id).where(columns.id.in_(ids)).order_by(columns.id))
    found = []
    for row in rows:
        try:
            found.append(_read(row))
        except msgspec.ValidationError as error:
            log.error("reference %s: %s", row.id, error)  # noqa: TRY400 - one line is enough
    return found


async def latest_reference(tx: Reader, project_id: uuid.UUID, name: str) -> Reference | None:
    """The newest version of that name."""
    query = _of(project_id).where(drift_references.c.name == name)
    newest = query.order_by(drift_references.c.version.desc()).limit(1)
    return _reference((await tx.execute(newest)).one_or_none())


async def find_reference(
    tx: Reader, project_id: uuid.UUID, name: str, version: int
) -> Reference | None:
    """One version by its name and number."""
    query = _of(project_id).where(
        drift_references.c.name == name, drift_references.c.version == version
    )
    return _reference((await tx.execute(query)).one_or_none())


async def find_head(
    tx: Reader, project_id: uuid.UUID, name: str, version: int | None
) -> ReferenceHead | None:
    """A reference by its name, the latest version unless one is given."""
    row = await tx.raw.fetchrow(
        """
        SELECT id, name, version, model, model_version, segment,
          ARRAY(SELECT e ->> 'stream' FROM jsonb_array_elements(document -> 'streams')
            WITH ORDINALITY AS s (e, place) ORDER BY place) AS streams
        FROM drift_references
        WHERE project_id = $1 AND name = $2 AND ($3::int IS NULL OR version = $3)
        ORDER BY version DESC LIMIT 1
        """,
        project_id,
        name,
        version,
    )
    return ReferenceHead(**{**dict(row), "streams": tuple(row["streams"])}) if row else None


async def list_references(
    tx: Reader, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[Summary]:
    """Versions in the order in which they were made."""
    columns = [drift_references.c[name] for name in Summary.__struct_fields__]
    query = select(*columns).where(drift_references.c.project_id == project_id)
    if after is not None:
        query = query.where(drift_references.c.id > after)
    rows = await tx.execute(query.order_by(drift_references.c.id).limit(limit))
    return [Summary(**row._asdict()) for row in rows]


async def predictions_before(
    tx: Reader,
    project_id: uuid.UUID,
    model: str,
    *,
    model_version: str | None,
    since: uuid.UUID,
    before: uuid.UUID,
    with_embeddings: bool,
) -> Page:
    """A page of recorded predictions, back from an id.

    Those of other models are looked at and left out, so that a page of a rare model costs no more
    than any other. Of an embedding that is not asked for only a single number comes back, to tell
    that it was there.
    """
    rows = await tx.raw.fetch(
        f"""
        WITH page AS (
          SELECT id, model = $4 AND ($5::text IS NULL OR model_version = $5) AS wanted,
            prediction, embedding
          FROM decisions WHERE project_id = $1 AND id >= $2 AND id < $3
          ORDER BY id DESC LIMIT {PAGE_ROWS}
        )
        SELECT id, CASE WHEN wanted THEN prediction END AS prediction,
          CASE WHEN wanted THEN CASE WHEN $6 THEN embedding
            ELSE substring(embedding FROM 1 FOR 4) END END AS embedding
        FROM page ORDER BY id DESC
        """,
        project_id,
        since,
        before,
        model,
        model_version,
        with_embeddings,
    )
    return Page(
        [row for row in rows if row["prediction"] is not None],
        len(rows),
        rows[-1]["id"] if len(rows) == PAGE_ROWS else None,
    )


def prediction_of(text: str, embedding: bytes | None) -> Prediction:
    """A recorded prediction as it was posted."""
    prediction = _prediction.decode(text)
    if embedding is None:
        return prediction
    elements = struct.unpack(f"<{len(embedding) // 4}f", embedding)
    return msgspec.structs.replace(prediction, embedding=list(elements))


_prediction = msgspec.json.Decoder(Prediction)


def _of(project_id: uuid.UUID) -> Any:
    columns = [drift_references.c[name] for name in Reference.__struct_fields__]
    return select(*columns).where(drift_references.c.project_id == project_id)


def _reference(row: Any) -> Reference | None:
    return _read(row) if row is not None else None


def _read(row: Any) -> Reference:
    values = row._asdict()
    return Reference(**{**values, "document": msgspec.convert(values["document"], Document)})
