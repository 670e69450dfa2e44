"""Measures as they are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.core.learning.agreement import RoutedAgreement
from app.core.learning.audits import AuditedShare
from app.core.learning.period import Period, Unit
from app.flows import metrics as flows
from app.flows.estimated_error import Unlabelled
from app.store.counts import Counted
from app.store.metrics import Effort, QueueLoad, Turnaround

ROUTES = ("accept", "review", "reject")
CONFIDENCE = 0.95


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
        return cls(audits=audited(agreement.audits), reviews=routed(agreement.reviews))


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


class WithoutLabelsOut(BaseModel):
    """The mean of 1 - confidence: an error that nobody has checked, and that never certifies."""

    value: float | None
    low: float | None = Field(description="99 % range of the realised share around it.")
    high: float | None
    predictions: int = Field(description="With a confidence, that it was made from.")
    basis: Literal["all", "audited"] = Field(
        description="`all` accepted decisions of the range; of more than 200,000 those drawn for "
        "an audit, weighted."
    )
    assumes: str = Field(
        description="It is blind to a change of what inputs mean, and as good as the confidence "
        "is calibrated."
    )

    @classmethod
    def of(cls, found: Unlabelled) -> "WithoutLabelsOut":
        """From the estimate."""
        estimate = found.estimate
        return cls(
            value=estimate.error,
            low=None if estimate.interval is None else estimate.interval.low,
            high=None if estimate.interval is None else estimate.interval.high,
            predictions=estimate.predictions,
            basis=found.basis,
            assumes=estimate.assumes,
        )


class AcceptedErrorAnswer(AcceptedErrorOut, Range):
    """The error of what was accepted, over a range."""

    without_labels: WithoutLabelsOut | None = Field(
        description="What the model's own confidence says of the whole range. Null for one queue."
    )


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
            **range_of(found.period),
            decisions=decisions,
            by_reason=None if found.by_reason is None else _reasons(found.by_reason, total),
            queues=[QueueLoadOut.of(load) for load in found.queues],
            turnaround=TurnaroundOut.of(found.turnaround),
            **effort_of(found.effort),
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
            **effort_of(point.effort),
            agreement=AgreementOut.of(point.agreement),
            accepted_error=AcceptedErrorOut.of(point.accepted_error),
        )


class SeriesOut(Range):
    """Figures by hour or by day, in the order of time, empty buckets included."""

    bucket: Unit
    points: list[PointOut]


def range_of(period: Period) -> dict[str, datetime]:
    """The fields of a range."""
    return {"from_": period.start, "to": period.end}


def _share(counted: Counted, total: int) -> Share:
    share = counted.decisions / total if total else None
    return Share(decisions=counted.decisions, share=share)


def _reasons(by_reason: Mapping[str, Counted], total: int) -> list[ReasonOut]:
    return [
        ReasonOut(reason=reason, **_share(counted, total).model_dump())
        for reason, counted in by_reason.items()
    ]


def effort_of(effort: Effort) -> dict[str, Any]:
    """The fields of an effort."""
    return {"human_seconds": effort.human_seconds, "verdicts": effort.verdicts}


def audited(share: AuditedShare) -> EstimateOut:
    """What audits say, as it is shown."""
    found = share.estimate
    return EstimateOut(
        value=found.value, low=found.low, high=found.high, n=found.audited, reason=share.reason
    )


def routed(found: RoutedAgreement) -> EstimateOut:
    """What reviews say, as it is shown."""
    return EstimateOut(
        value=found.value, low=found.low, high=found.high, n=found.compared, reason=found.reason
    )
