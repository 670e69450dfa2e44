"""References: what a model was validated on, made once and never changed."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from msgspec import Meta, Struct
from pydantic import BaseModel, Field

from app.api.admission import NDJSON, sends_lines
from app.api.auth import Ctx, Managing, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.policies import NUMBER_MAX
from app.api.predictions import CHUNK_ROWS, split_lines
from app.api.text import NAME_PATTERN
from app.api.wire import decode_outline, may_hold_nul, refuse_nul
from app.core.drift.reference import Reference, looks_at
from app.core.drift.rows import ReferenceRow
from app.core.errors import Invalid, Loc, OverruleError, TooLarge
from app.core.routing.prediction import Key
from app.flows import references as flow
from app.store.references import Summary

router = APIRouter(tags=["drift"])

BODY_BYTES_MAX = 8 * 2**20

ReferenceName = Annotated[str, Path(pattern=NAME_PATTERN, description="The reference's name.")]
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
OfModel = Annotated[
    str | None, Query(min_length=1, max_length=256, description="With NDJSON: as in the body.")
]
OfSegment = Annotated[str | None, Query(max_length=513, description="With NDJSON: as in the body.")]
SegmentText = Annotated[
    Annotated[str, Meta(max_length=513)] | None,
    Meta(description="As `key:value`: only predictions of it."),
]


class TimeRange(Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """When predictions were received."""

    since: Annotated[datetime, Meta(tz=True, description="Included.")]
    to: Annotated[datetime, Meta(tz=True, description="Excluded.")]

    def asked(self) -> flow.Range:
        """As a flow takes it."""
        return flow.Range(self.since, self.to)


class PutReference(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either rows, or the range of recorded predictions that takes their place."""

    model: Annotated[Key, Meta(description="Whose predictions are compared with it.")]
    model_version: Annotated[
        Key | None, Meta(description="Only those of this version; null: of any.")
    ] = None
    segment: SegmentText = None
    rows: list[msgspec.Raw] | None = None
    from_predictions: TimeRange | None = None


class StreamOut(BaseModel):
    """One stream of a reference."""

    stream: str = Field(examples=["feature:n_tokens"])
    kind: str = Field(description="`categorical`, `numeric`, `component`, `confidence` or `share`.")
    cells: int = Field(description="Length of its histogram.")
    counted: int = Field(description="Predictions counted in it.")
    missing: int | None = Field(
        description="Of them, those without the signal; null where such are not counted."
    )
    testable: bool
    why: str | None = Field(description="It is not: `reference_too_small` is below 1,000.")


class LeftOutOut(BaseModel):
    """A feature that is not watched."""

    feature: str
    why: str = Field(description="`too_many_features` (100) or `too_many_texts` (10,000).")


class ReferenceOut(BaseModel):
    """A version of a reference, without its streams; all of it is immutable."""

    id: uuid.UUID
    name: str
    version: int
    model: str
    model_version: str | None
    segment: str | None
    detector: uuid.UUID | None = Field(description="The model's, when it was made.")
    predictions: int = Field(description="From how many it was made.")
    digest: str = Field(
        description="SHA-256 over model, model_version, segment, detector and streams as canonical "
        "JSON (RFC 8785)."
    )
    source: dict[str, Any] = Field(
        description="`rows`, or `predictions` with their range; `complete` is false where the "
        "range has more and the newest were taken."
    )
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, reference: Summary) -> "ReferenceOut":
        """From what is stored."""
        return cls(**_fields_of(reference))


class ReferenceDetail(ReferenceOut):
    """A version of a reference with its streams."""

    streams: list[StreamOut]
    left_out: list[LeftOutOut]
    document: dict[str, Any] = Field(description="Bins and counts of the streams.")

    @classmethod
    def whole(cls, reference: Reference) -> "ReferenceDetail":
        """From what is stored."""
        return cls(
            **_fields_of(reference),
            streams=[
                StreamOut(**msgspec.structs.asdict(look)) for look in looks_at(reference.document)
            ],
            left_out=[
                LeftOutOut(**msgspec.structs.asdict(one)) for one in reference.document.left_out
            ],
            document=msgspec.to_builtins(reference.document),
        )


@router.put("/v1/references/{name}", status_code=201)
async def put_reference(  # noqa: PLR0917 - one parameter per field
    ctx: Ctx,
    caller: Managing,
    name: ReferenceName,
    request: Request,
    response: Response,
    model: OfModel = None,
    model_version: OfModel = None,
    segment: OfSegment = None,
) -> ReferenceDetail:
    """Make the next version of a reference; 200 with the latest one when it is the same.

    From rows, at most 100,000: in JSON up to 8 MB, or as `application/x-ndjson`, one a line, with
    `model`, `model_version` and `segment` in the query. Or from recorded predictions, the newest
    100,000 of the range. What is too thin to test is told; bins never change.
    """
    if sends_lines(request):
        if model is None:
            raise Invalid("NDJSON needs the model here.", loc=("query", "model"))
        scope = flow.Scope(model, model_version, pair_of(segment, ("query", "segment")))
        lines = split_lines(request.stream(), ctx.settings.line_bytes_max)
        put = await flow.put_rows(ctx, caller, name, scope, _chunks(lines))
    else:
        if not (model is model_version is segment is None):
            raise Invalid("A JSON body names the model itself.", loc=("query",))
        body = await _body(request)
        scope = flow.Scope(body.model, body.model_version, pair_of(body.segment, ("segment",)))
        put = await _put(ctx, caller, name, scope, body)
    response.status_code = 201 if put.new else 200
    return await asyncio.to_thread(ReferenceDetail.whole, put.reference)


@router.get("/v1/references")
async def list_references(
    ctx: Ctx, caller: Reading, limit: Limit = PAGE_ROWS, cursor: Cursor = None
) -> Page[ReferenceOut]:
    """List all versions of all references, in the order in which they were made."""
    rows = await flow.list_references(ctx, caller.project, after("references", cursor), limit)
    return Page(
        items=[ReferenceOut.of(row) for row in rows],
        next_cursor=next_cursor("references", [row.id for row in rows], limit),
    )


@router.get("/v1/references/{name}")
async def get_latest_reference(ctx: Ctx, caller: Reading, name: ReferenceName) -> ReferenceDetail:
    """Its latest version."""
    return ReferenceDetail.whole(await flow.find(ctx, caller.project, name))


@router.get("/v1/references/{name}/versions/{number}")
async def get_reference(
    ctx: Ctx, caller: Reading, name: ReferenceName, number: Number
) -> ReferenceDetail:
    """One version."""
    return ReferenceDetail.whole(await flow.find(ctx, caller.project, name, number))


def pair_of(segment: str | None, loc: Loc) -> tuple[str, str] | None:
    """`source:tweets` as its key and its value.

    Raises:
        Invalid: no colon in it, or nothing on one side.
    """
    if segment is None:
        return None
    key, colon, value = segment.partition(":")
    if not (key and colon and value):
        raise Invalid("Write a segment as key:value.", loc=loc)
    return key, value


def _fields_of(reference: Summary | Reference) -> dict[str, Any]:
    return {
        "id": reference.id,
        "name": reference.name,
        "version": reference.version,
        "model": reference.model,
        "model_version": reference.model_version,
        "segment": reference.segment,
        "detector": reference.detector_id,
        "predictions": reference.predictions,
        "digest": reference.digest.hex(),
        "source": reference.source,
        "created_at": reference.created_at.astimezone(UTC),
        "created_by": reference.created_by,
    }


async def _body(request: Request) -> PutReference:
    raw = await request.body()
    if len(raw) > BODY_BYTES_MAX:
        raise TooLarge(
            f"A reference in JSON has at most {BODY_BYTES_MAX} bytes; send it as {NDJSON}."
        )
    body = decode_outline(_reference, raw)
    if may_hold_nul(raw):
        await asyncio.to_thread(refuse_nul, raw)
    return body


async def _put(ctx: Any, caller: Any, name: str, scope: flow.Scope, body: PutReference) -> flow.Put:
    if (body.rows is None) == (body.from_predictions is None):
        raise Invalid("Give either rows or from_predictions.", loc=("rows",))
    if body.from_predictions is not None:
        return await flow.put_predictions(ctx, caller, name, scope, body.from_predictions.asked())
    return await flow.put_rows(ctx, caller, name, scope, _chunks(_each(body.rows or [])))


async def _each(rows: Sequence[msgspec.Raw]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


async def _chunks(
    lines: AsyncIterator[Any],
) -> AsyncIterator[list[tuple[Loc, ReferenceRow]]]:
    """Rows in small numbers, decoded in a thread."""
    chunk: list[Any] = []
    begin = 0
    async for line in lines:
        chunk.append(line)
        if len(chunk) == CHUNK_ROWS:
            yield await asyncio.to_thread(_decoded, chunk, begin)
            begin += len(chunk)
            chunk = []
    if chunk:
        yield await asyncio.to_thread(_decoded, chunk, begin)


def _decoded(lines: Sequence[Any], begin: int) -> list[tuple[Loc, ReferenceRow]]:
    return [(("rows", begin + at), _row(line, begin + at)) for at, line in enumerate(lines)]


def _row(line: Any, at: int) -> ReferenceRow:
    try:
        if isinstance(line, OverruleError):
            raise line
        row = decode_outline(_line, line)
        if isinstance(line, bytes) and may_hold_nul(line):
            refuse_nul(line)
    except OverruleError as error:
        places = error.places or [((), error.detail)]
        error.places = [(("rows", at, *loc), why) for loc, why in places]
        raise
    return row


_reference = msgspec.json.Decoder(PutReference)
_line = msgspec.json.Decoder(ReferenceRow)
