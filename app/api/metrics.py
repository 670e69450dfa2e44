"""Measures: what was decided, what waits, how long answers take, and what acceptance costs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from app.api.auth import Ctx, Reading
from app.api.decisions import parse_segment
from app.api.metrics_out import (
    AcceptedErrorAnswer,
    AcceptedErrorOut,
    AgreementAnswer,
    PointOut,
    SeriesOut,
    SummaryOut,
    TurnaroundAnswer,
    TurnaroundOut,
    WithoutLabelsOut,
    audited,
    effort_of,
    range_of,
    routed,
)
from app.api.text import Time
from app.core.errors import Invalid
from app.core.learning.period import Unit
from app.flows import metrics as flows
from app.flows.estimated_error import error_without_labels_of
from app.store.counts import Selection

router = APIRouter(tags=["metrics"])

SEGMENTS_MAX = 20

Text = Annotated[str | None, Query(max_length=256)]


@dataclass(frozen=True, slots=True)
class Filters:
    """What a request asks for."""

    which: Selection
    start: datetime | None
    end: datetime | None


def filters(  # noqa: PLR0917 - FastAPI passes them by name
    model: Text = None,
    model_version: Text = None,
    label: Annotated[
        str | None, Query(max_length=256, description="The label that the model gave.")
    ] = None,
    segment: Annotated[
        list[Annotated[str, Field(max_length=513)]],
        Query(
            max_length=SEGMENTS_MAX,
            description="`key:value` of a segment that the policy declares; several must all hold.",
            examples=["source:tweets"],
        ),
    ] = [],  # noqa: B006 - FastAPI copies defaults
    queue: Annotated[
        str | None,
        Query(
            max_length=128,
            description="Name of a queue. Figures about decisions are then null: a decision is "
            "counted before it has a queue.",
        ),
    ] = None,
    start: Annotated[
        Time | None,
        Query(
            alias="from",
            description="Beginning of the range, rounded down to the hour; 7 days before its end "
            "unless given.",
        ),
    ] = None,
    end: Annotated[
        Time | None,
        Query(alias="to", description="End of the range, rounded up to the hour; else now."),
    ] = None,
) -> Filters:
    """The filters that all measures share."""
    parsed = [pair for text in segment for pair in (parse_segment(text) or {}).items()]
    if len(dict(parsed)) < len(parsed):
        raise Invalid(
            "A decision has one value per segment: name each key once.", loc=("query", "segment")
        )
    return Filters(Selection(model, model_version, label, dict(parsed), queue), start, end)


Asked = Annotated[Filters, Depends(filters)]


@router.get("/v1/metrics/summary")
async def summary(ctx: Ctx, caller: Reading, asked: Asked) -> SummaryOut:
    """Give all figures over one range."""
    found = await flows.summary(ctx, caller.project, asked.which, start=asked.start, end=asked.end)
    return SummaryOut.of(found)


@router.get("/v1/metrics/timeseries")
async def timeseries(
    ctx: Ctx,
    caller: Reading,
    asked: Asked,
    bucket: Annotated[Unit, Query(description="Length of a bucket; days are UTC.")] = Unit.HOUR,
) -> SeriesOut:
    """Give the figures by hour or by day; at most 1,000 buckets."""
    found = await flows.timeseries(
        ctx, caller.project, asked.which, bucket, start=asked.start, end=asked.end
    )
    return SeriesOut(
        **range_of(found.period),
        bucket=found.unit,
        points=[PointOut.of(point) for point in found.points],
    )


@router.get("/v1/metrics/accepted-error")
async def accepted_error(ctx: Ctx, caller: Reading, asked: Asked) -> AcceptedErrorAnswer:
    """Estimate the error of what was accepted, from audits.

    Beside it stands what the model's own confidence says without any label.
    """
    period, error = await flows.accepted_error_of(
        ctx, caller.project, asked.which, start=asked.start, end=asked.end
    )
    unlabelled = await error_without_labels_of(ctx, caller.project, period, asked.which)
    return AcceptedErrorAnswer(
        **range_of(period),
        **AcceptedErrorOut.of(error).model_dump(),
        without_labels=WithoutLabelsOut.of(unlabelled) if unlabelled is not None else None,
    )


@router.get("/v1/metrics/agreement")
async def agreement(ctx: Ctx, caller: Reading, asked: Asked) -> AgreementAnswer:
    """Say how often humans agree with the model, in audits and in reviews."""
    period, found = await flows.agreement(
        ctx, caller.project, asked.which, start=asked.start, end=asked.end
    )
    return AgreementAnswer(
        **range_of(period), audits=audited(found.audits), reviews=routed(found.reviews)
    )


@router.get("/v1/metrics/turnaround")
async def turnaround(ctx: Ctx, caller: Reading, asked: Asked) -> TurnaroundAnswer:
    """Say how long items waited for their answer, and what the answers took."""
    period, waited, worked = await flows.turnaround(
        ctx, caller.project, asked.which, start=asked.start, end=asked.end
    )
    return TurnaroundAnswer(
        **range_of(period), **TurnaroundOut.of(waited).model_dump(), **effort_of(worked)
    )
