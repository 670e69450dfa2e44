"""Measures: what was decided, what waits, how long answers take, and what acceptance costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, Field

from app.api.auth import Ctx, Reading
from app.api.decisions import parse_segment
from app.core.errors import Invalid
from app.core.learning.agreement import RoutedAgreement
from app.core.learning.audits import AuditedShare
from app.core.learning.period import Period, Unit
from app.flows import metrics as flows
from app.store.counts import Counted, Selection
from app.store.metrics import Effort, QueueLoad, Turnaround

router = APIRouter(tags=["metrics"])

SEGMENTS_MAX = 20
ROUTES = ("accept", "review", "reject")
CONFIDENCE = 0.95

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
        AwareDatetime | None,
        Query(
            alias="from",
            description="Beginning of the range, rounded down to the hour; 7 days before its end "
            "unless given.",
        ),
    ] = None,
    end: Annotated[
        AwareDatetime | None,
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


class Range(BaseModel):
    """The range that was measured, in whole hours or days."""

    from_: datetime = Field(serialization_alias="from", description="Included.")
    to: datetime = Field(description="Excluded.")


class Share(BaseModel):
    """A count, and its share of all."""

    decisions: int
    share: float | None = Field(description="Of the total; null when that is 0.")


class DecisionsOut(BaseModel):
    """Decisions by route."""

    total: int = Field(description="Shadow predictions left out.")
    by_route: dict[str, Share] = Field(description="`accept`, `review` and `reject`.")
    audited: int = Field(description="Drawn by chance to be judged although nobody had to ask.")
    shadow: int = Field(description="Shadow predictions, beside the total.")

    @classmethod
    def of(cls, decisions: flows.Decisions) -> "DecisionsOut":
        """From what was counted."""
        total = decisions.total
        nothing = Counted(0, 0)
        return cls(
            total=total,
            by_route={
                route: _share(decisions.by_route.get(route, nothing), total) for route in ROUTES
            },
            audited=decisions.audited,
            shadow=decisions.shadow,
        )


class ReasonOut(Share):
    """How often one reason decided."""

    reason: str = Field(description="Id of the rule that decided, `default` or `no-policy`.")


class QueueLoadOut(BaseModel):
    """How full a queue is now, and what came and went within the range."""

    queue: str
    depth: int = Field(description="Assignments that wait or are being worked on, now.")
    oldest_age_s: float | None = Field(
        description="Seconds since the oldest unsettled item was queued; null when there is none."
    )
    inflow: int = Field(description="Items queued within the range.")
    outflow: int = Field(description="Items settled within the range.")

    @classmethod
    def of(cls, load: QueueLoad) -> "QueueLoadOut":
        """From what was measured."""
        return cls(
            queue=load.queue,
            depth=load.depth,
            oldest_age_s=load.oldest_age_s,
            inflow=load.inflow,
            outflow=load.outflow,
        )


class TurnaroundOut(BaseModel):
    """Seconds from queued to resolved, of the items resolved within the range."""

    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    n: int = Field(description="Items resolved.")
    reason: str | None = Field(description="`nothing_resolved` when there are no percentiles.")

    @classmethod
    def of(cls, waited: Turnaround) -> "TurnaroundOut":
        """From what was measured."""
        return cls(
            p50_s=waited.p50_s,
            p90_s=waited.p90_s,
            p99_s=waited.p99_s,
            n=waited.n,
            reason=None if waited.n else "nothing_resolved",
        )


class EffortOut(BaseModel):
    """What reviewers spent within the range."""

    human_seconds: float = Field(
        description="Sum over verdicts of `seconds_spent` where it was sent; else of the seconds "
        "since the lease began or since the reviewer's verdict before, whichever is less."
    )
    verdicts: int = Field(description="Verdicts submitted.")


class EstimateOut(BaseModel):
    """A share with its 95 % interval for one look; all null when there is a `reason`."""

    value: float | None
    low: float | None
    high: float | None
    n: int = Field(description="Answers that it rests on.")
    reason: str | None = Field(description="Why there is none; else null.")


class AgreementOut(BaseModel):
    """How often the human's label is the model's: two figures that must not be pooled."""

    audits: EstimateOut = Field(
        description="Of decisions that nobody was asked about: from blind audits, weighted by "
        "their strata."
    )
    reviews: EstimateOut = Field(
        description="Of the reviews resolved: a selection made by the policy, unweighted."
    )

    @classmethod
    def of(cls, agreement: flows.Agreement) -> "AgreementOut":
        """From both figures."""
        return cls(audits=_audited(agreement.audits), reviews=_routed(agreement.reviews))


class AcceptedErrorOut(BaseModel):
    """The share of accepted decisions that a human would call wrong, estimated from audits."""

    value: float | None = Field(description="Post-stratified: each stratum by its known size.")
    low: float | None = Field(description="Lower end of the 95 % interval, for one look.")
    high: float | None = Field(description="Upper end; undecided audits count as wrong in it.")
    accepted: int = Field(description="Accepted decisions that it speaks of.")
    audited: int = Field(description="Audits with a usable answer.")
    undecided: int = Field(description="Audits overdue, or answered without a label.")
    reason: str | None = Field(
        description="Why there is none: `no_accepted`, `no_audits`, `audits_under_way`, "
        "`not_by_queue`; else null."
    )
    covered_until: datetime | None = Field(
        description="It speaks of decisions before. Later ones wait until every audit of the hours "
        "before is answered or overdue: hard audits take longer, and must not be left out."
    )
    judges: list[str] = Field(description="Who gave the answers: `single`, `panel` …")
    confidence: float = Field(CONFIDENCE, description="Of the interval.")

    @classmethod
    def of(cls, error: AuditedShare) -> "AcceptedErrorOut":
        """From the estimate."""
        return cls(
            value=error.estimate.value,
            low=error.estimate.low,
            high=error.estimate.high,
            accepted=error.estimate.accepted,
            audited=error.estimate.audited,
            undecided=error.estimate.undecided,
            reason=error.reason,
            covered_until=error.covered_until,
            judges=list(error.judges),
        )


class AcceptedErrorAnswer(AcceptedErrorOut, Range):
    """The error of what was accepted, over a range."""


class AgreementAnswer(AgreementOut, Range):
    """Agreement over a range."""


class TurnaroundAnswer(TurnaroundOut, EffortOut, Range):
    """Waiting and working over a range."""


class SummaryOut(EffortOut, Range):
    """Everything at a glance."""

    decisions: DecisionsOut | None = Field(description="Null for one queue.")
    by_reason: list[ReasonOut] | None = Field(
        description="The 100 most frequent reasons; null for one queue."
    )
    queues: list[QueueLoadOut]
    turnaround: TurnaroundOut
    agreement: AgreementOut
    accepted_error: AcceptedErrorOut

    @classmethod
    def of(cls, found: flows.Summary) -> "SummaryOut":
        """From all figures."""
        decisions = None if found.decisions is None else DecisionsOut.of(found.decisions)
        total = 0 if decisions is None else decisions.total
        return cls(
            **_range(found.period),
            decisions=decisions,
            by_reason=None if found.by_reason is None else _reasons(found.by_reason, total),
            queues=[QueueLoadOut.of(load) for load in found.queues],
            turnaround=TurnaroundOut.of(found.turnaround),
            **_effort(found.effort),
            agreement=AgreementOut.of(found.agreement),
            accepted_error=AcceptedErrorOut.of(found.accepted_error),
        )


class PointOut(EffortOut):
    """One bucket."""

    at: datetime = Field(description="Its beginning.")
    decisions: DecisionsOut | None = Field(description="Null for one queue.")
    inflow: int = Field(description="Items queued.")
    outflow: int = Field(description="Items settled.")
    depth: int = Field(description="Unsettled items at its end.")
    turnaround: TurnaroundOut
    agreement: AgreementOut
    accepted_error: AcceptedErrorOut

    @classmethod
    def of(cls, point: flows.Point) -> "PointOut":
        """From the figures of the bucket."""
        return cls(
            at=point.at,
            decisions=None if point.decisions is None else DecisionsOut.of(point.decisions),
            inflow=point.inflow,
            outflow=point.outflow,
            depth=point.depth,
            turnaround=TurnaroundOut.of(point.turnaround),
            **_effort(point.effort),
            agreement=AgreementOut.of(point.agreement),
            accepted_error=AcceptedErrorOut.of(point.accepted_error),
        )


class SeriesOut(Range):
    """Figures by hour or by day, in the order of time, empty buckets included."""

    bucket: Unit
    points: list[PointOut]


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
        **_range(found.period),
        bucket=found.unit,
        points=[PointOut.of(point) for point in found.points],
    )


@router.get("/v1/metrics/accepted-error")
async def accepted_error(ctx: Ctx, caller: Reading, asked: Asked) -> AcceptedErrorAnswer:
    """Estimate the error of what was accepted, from audits."""
    period, error = await flows.accepted_error_of(
        ctx, caller.project, asked.which, start=asked.start, end=asked.end
    )
    return AcceptedErrorAnswer(**_range(period), **AcceptedErrorOut.of(error).model_dump())


@router.get("/v1/metrics/agreement")
async def agreement(ctx: Ctx, caller: Reading, asked: Asked) -> AgreementAnswer:
    """Say how often humans agree with the model, in audits and in reviews."""
    period, found = await flows.agreement(
        ctx, caller.project, asked.which, start=asked.start, end=asked.end
    )
    return AgreementAnswer(
        **_range(period), audits=_audited(found.audits), reviews=_routed(found.reviews)
    )


@router.get("/v1/metrics/turnaround")
async def turnaround(ctx: Ctx, caller: Reading, asked: Asked) -> TurnaroundAnswer:
    """Say how long items waited for their answer, and what the answers took."""
    period, waited, worked = await flows.turnaround(
        ctx, caller.project, asked.which, start=asked.start, end=asked.end
    )
    return TurnaroundAnswer(
        **_range(period), **TurnaroundOut.of(waited).model_dump(), **_effort(worked)
    )


def _range(period: Period) -> dict[str, datetime]:
    return {"from_": period.start, "to": period.end}


def _share(counted: Counted, total: int) -> Share:
    share = counted.decisions / total if total else None
    return Share(decisions=counted.decisions, share=share)


def _reasons(by_reason: Mapping[str, Counted], total: int) -> list[ReasonOut]:
    return [
        ReasonOut(reason=reason, **_share(counted, total).model_dump())
        for reason, counted in by_reason.items()
    ]


def _effort(effort: Effort) -> dict[str, Any]:
    return {"human_seconds": effort.human_seconds, "verdicts": effort.verdicts}


def _audited(share: AuditedShare) -> EstimateOut:
    found = share.estimate
    return EstimateOut(
        value=found.value, low=found.low, high=found.high, n=found.audited, reason=share.reason
    )


def _routed(found: RoutedAgreement) -> EstimateOut:
    return EstimateOut(
        value=found.value, low=found.low, high=found.high, n=found.compared, reason=found.reason
    )
