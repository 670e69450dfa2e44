"""Detectors of unfamiliar inputs: fitted by a job, then each prediction of the model is judged."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from msgspec import Meta, Struct
from pydantic import BaseModel, Field

from app.api.admission import sends_lines
from app.api.auth import Ctx, Managing, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.predictions import CHUNK_BYTES, CHUNK_ROWS, split_lines
from app.api.references import TimeRange
from app.api.text import NAME_PATTERN
from app.api.wire import decode, decode_outline, may_hold_nul, refuse_nul
from app.core.drift.familiar import FamiliarRow, Sent, Training
from app.core.drift.judged import DetectorState
from app.core.errors import Invalid, OverruleError
from app.core.routing.prediction import Key
from app.flows import detectors as flow
from app.store.detectors import Detector

router = APIRouter(tags=["drift"])

DetectorName = Annotated[str, Path(pattern=NAME_PATTERN, description="The detector's name.")]


class PutDetector(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Familiar inputs: either rows, or the range of recorded predictions that takes their place."""

    model: Annotated[Key, Meta(description="Whose predictions are judged.")]
    # rows stay undecoded, to be read in a thread
    rows: list[msgspec.Raw] | None = None
    from_predictions: TimeRange | None = None


class DetectorOut(BaseModel):
    """One version of a detector; once it is ready only its state changes."""

    id: uuid.UUID
    name: str
    version: int
    model: str
    state: DetectorState = Field(
        description="`fitting`, then `ready` or `failed`; `retired` once a newer one of the model "
        "is ready, or by hand. A model has at most one that is ready."
    )
    job: uuid.UUID = Field(description="The job that fits it; its problem says why it failed.")
    source: dict[str, Any] = Field(description="How many `rows`, or which `from_predictions`.")
    digest: str | None = Field(description="SHA-256 over what was fitted; null until then.")
    summary: dict[str, Any] | None = Field(
        description="What it is: the kind of `score`, on how many rows it was fitted and "
        "calibrated, how many were left out, and the smallest p-value that it can give. Null until "
        "it is fitted."
    )
    created_at: datetime
    created_by: str
    ready_at: datetime | None = Field(description="When it was fitted.")

    @classmethod
    def of(cls, detector: Detector) -> "DetectorOut":
        """From what is stored."""
        return cls(
            id=detector.id,
            name=detector.name,
            version=detector.version,
            model=detector.model,
            state=detector.state,
            job=detector.job_id,
            source=detector.source,
            digest=detector.digest.hex() if detector.digest is not None else None,
            summary=detector.summary,
            created_at=detector.created_at,
            created_by=detector.created_by,
            ready_at=detector.ready_at,
        )


_detector = msgspec.json.Decoder(PutDetector)
_row = msgspec.json.Decoder(FamiliarRow)


@router.put(
    "/v1/detectors/{name}",
    status_code=202,
    responses={
        202: {
            "headers": {
                "Location": {"description": "Address of the job.", "schema": {"type": "string"}}
            }
        }
    },
)
async def put_detector(  # noqa: PLR0917 - one parameter per field
    ctx: Ctx,
    caller: Managing,
    name: DetectorName,
    request: Request,
    response: Response,
    model: Annotated[
        str | None, Query(min_length=1, max_length=256, description="With NDJSON: as in the body.")
    ] = None,
) -> DetectorOut:
    """Fit the next version of a detector of inputs that are unlike familiar ones.

    Familiar are rows: all with an embedding, better with labels too; or all with scores. At least
    2,000 and at most 50,000, in JSON or as `application/x-ndjson`, one a line, with `model` in the
    query. Or recorded predictions, the newest of the range.

    Answered with 202 while a job fits it. Then it takes the place of the model's present one, each
    prediction of the model gets a p-value, and rules `out_of_distribution` look at it.
    """
    if sends_lines(request):
        if model is None:
            raise Invalid("NDJSON needs the model here.", loc=("query", "model"))
        lines = split_lines(request.stream(), ctx.settings.line_bytes_max)
        rows: Training | flow.Span = await _training(lines)
    else:
        if model is not None:
            raise Invalid("A JSON body names the model itself.", loc=("query", "model"))
        raw = await request.body()
        body = decode_outline(_detector, raw)
        if may_hold_nul(raw):
            await asyncio.to_thread(refuse_nul, raw)
        model, rows = body.model, await _familiar(body)
    detector = await flow.put(ctx, caller, name, model, rows)
    response.headers["Location"] = f"/v1/jobs/{detector.job_id}"
    return DetectorOut.of(detector)


@router.get("/v1/detectors")
async def list_detectors(
    ctx: Ctx, caller: Reading, limit: Limit = PAGE_ROWS, cursor: Cursor = None
) -> Page[DetectorOut]:
    """List all versions of all detectors, in the order in which they were made."""
    rows = await flow.list_detectors(ctx, caller.project, after("detectors", cursor), limit)
    return Page(
        items=[DetectorOut.of(row) for row in rows],
        next_cursor=next_cursor("detectors", [row.id for row in rows], limit),
    )


@router.get("/v1/detectors/{name}")
async def get_detector(ctx: Ctx, caller: Reading, name: DetectorName) -> DetectorOut:
    """Its latest version."""
    return DetectorOut.of(await flow.find(ctx, caller.project, name))


@router.post("/v1/detectors/{name}/retire")
async def retire_detector(ctx: Ctx, caller: Managing, name: DetectorName) -> DetectorOut:
    """Take the version that is ready out of use.

    Predictions of its model are then not judged, and rules `out_of_distribution` not applicable.
    409 when no version was ready yet.
    """
    return DetectorOut.of(await flow.retire(ctx, caller, name))


async def _familiar(body: PutDetector) -> Training | flow.Span:
    if (body.rows is None) == (body.from_predictions is None):
        raise Invalid("Give either rows or from_predictions.", loc=("rows",))
    if body.from_predictions is not None:
        return flow.Span(body.from_predictions.since, body.from_predictions.to)
    return await _training(_each(body.rows or []))


async def _each(rows: Sequence[msgspec.Raw]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


async def _training(lines: AsyncIterator[Any]) -> Training:
    """Rows packed in a thread, a few hundred at a time."""
    sent = Sent()
    chunk: list[Any] = []
    begin = size = 0
    async for line in lines:
        chunk.append(line)
        size += 0 if isinstance(line, OverruleError) else memoryview(line).nbytes
        if len(chunk) == CHUNK_ROWS or size > CHUNK_BYTES:
            await asyncio.to_thread(_pack, sent, chunk, begin)
            begin += len(chunk)
            chunk, size = [], 0
    await asyncio.to_thread(_pack, sent, chunk, begin)
    return sent.training()


def _pack(sent: Sent, lines: Sequence[Any], begin: int) -> None:
    for place, line in enumerate(lines, begin):
        try:
            if isinstance(line, OverruleError):
                raise line
            sent.add(decode(_row, bytes(line)))
        except OverruleError as error:
            places = error.places or [((), error.detail)]
            error.places = [(("rows", place, *loc), why) for loc, why in places]
            raise
