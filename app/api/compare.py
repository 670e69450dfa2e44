"""`POST /v1/drift/compare`: all distances, without a monitor."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from app.api.auth import Ctx, Reading
from app.api.references import SegmentText, TimeRange, pair_of
from app.api.wire import decode, reply
from app.core.drift.compare import CELLS_MAX, compare_counts
from app.core.drift.evaluate import Evaluation
from app.core.drift.reference import LeftOut
from app.core.errors import Invalid, Loc
from app.core.routing.prediction import Key
from app.flows import references as flow

router = APIRouter(tags=["drift"])

COUNT_MAX = 10**12
Counts = Annotated[
    list[Annotated[int, Meta(ge=0, le=COUNT_MAX)]], Meta(min_length=1, max_length=CELLS_MAX)
]


class Compare(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Two histograms with the same cells, or two ranges of a model's recorded predictions."""

    reference: Annotated[Counts | TimeRange, Meta(description="Counts by cell, or a range.")]
    window: Annotated[Counts | TimeRange, Meta(description="Of the same kind.")]
    edges: Annotated[
        Annotated[list[float], Meta(max_length=CELLS_MAX)] | None,
        Meta(
            description="Of histograms, where each cell but the first begins; the ends are open. "
            "With one edge fewer the last cell holds what is missing. Null: cells have no order."
        ),
    ] = None
    model: Annotated[Key | None, Meta(description="Of ranges.")] = None
    model_version: Annotated[Key | None, Meta(description="Of ranges; null: any.")] = None
    segment: SegmentText = None


class ComparedSide(Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """The predictions of one range; `complete` is false where only its newest were taken."""

    since: datetime | None
    until: datetime | None
    predictions: int
    looked_at: int | None
    complete: bool

    @classmethod
    def of(cls, side: tuple[flow.Source, int]) -> "ComparedSide":
        """From where they came from, and how many there were."""
        source, predictions = side
        return cls(source.since, source.until, predictions, source.looked_at, source.complete)


class Comparison(Struct, frozen=True):
    """All distances, stream by stream; Holm's adjustment is over all of them.

    A stream that has too few counts to be tested says why, and has its distances all the same.
    """

    streams: list[Evaluation]
    left_out: tuple[LeftOut, ...] = ()
    reference: ComparedSide | None = None
    window: ComparedSide | None = None


_body = msgspec.json.Decoder(Compare)


@router.post("/v1/drift/compare")
async def compare(ctx: Ctx, caller: Reading, request: Request) -> Response:
    """Tell how far a window is from a reference, with every number.

    Either of two posted histograms, or of two ranges of recorded predictions (the newest 100,000 of
    each), in bins that the first range makes. Nothing is stored.
    """
    body = decode(_body, await request.body())
    if isinstance(body.reference, TimeRange):
        return reply(await _ranges(ctx, caller, body, body.reference), 200)
    if isinstance(body.window, TimeRange):
        raise Invalid("Must be counts, as `reference` is.", loc=("window",))
    for name in ("model", "model_version", "segment"):
        if getattr(body, name) is not None:
            raise Invalid("Posted histograms are of no model.", loc=(name,))
    # its first use imports scipy, which takes a while
    compared = await asyncio.to_thread(compare_counts, body.reference, body.window, body.edges)
    return reply(Comparison(compared.streams), 200)


async def _ranges(ctx: Ctx, caller: Reading, body: Compare, reference: TimeRange) -> Comparison:
    if not isinstance(body.window, TimeRange):
        raise Invalid("Must be a range, as `reference` is.", loc=("window",))
    if body.edges is not None:
        raise Invalid("The first range makes the cells.", loc=("edges",))
    if body.model is None:
        raise Invalid("Ranges need the model.", loc=("model",))
    segment: Loc = ("segment",)
    scope = flow.Scope(body.model, body.model_version, pair_of(body.segment, segment))
    sides = await flow.compare_ranges(
        ctx, caller.project, scope, reference.asked(), body.window.asked()
    )
    return Comparison(
        sides.compared.streams,
        sides.left_out,
        ComparedSide.of(sides.reference),
        ComparedSide.of(sides.window),
    )
