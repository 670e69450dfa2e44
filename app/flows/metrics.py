"""What the service measures: each answer from one snapshot, so that its figures fit together.

Estimates are computed in a thread: the first one imports scipy, a long series takes a while, and
predictions share this process.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.core.learning.accepted_error import accepted_error
from app.core.learning.agreement import RoutedAgreement, audit_agreement, routed_agreement
from app.core.learning.audits import (
    NOT_BY_QUEUE,
    AuditedHour,
    AuditedShare,
    CountedHour,
    audited_share,
)
from app.core.learning.period import Period, Unit, period_of
from app.flows.context import Context
from app.store import counts as count_store
from app.store import metrics as store
from app.store.counts import Counted, Selection
from app.store.engine import Reader
from app.store.metrics import Compared, Effort, ItemFlow, QueueLoad, Turnaround

ACCEPT = "accept"
REJECT = "reject"
REASONS_MAX = 100

NO_TURNAROUND = Turnaround(None, None, None, 0)
NO_EFFORT = Effort(0.0, 0)
NO_FLOW = ItemFlow(0, 0)


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions by route; `shadow` predictions stand beside and are in none of the others."""

    by_route: Mapping[str, Counted]
    shadow: int

    @property
    def total(self) -> int:
        """Without shadow predictions."""
        return sum(counted.decisions for counted in self.by_route.values())

    @property
    def audited(self) -> int:
        """How many were drawn for an audit."""
        return sum(counted.audited for counted in self.by_route.values())


NO_DECISIONS = Decisions({}, 0)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Model against human, in two figures that are never pooled."""

    audits: AuditedShare
    reviews: RoutedAgreement


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything at a glance.

    `decisions` and `by_reason` are None for one queue: a decision is counted before it has one.
    """

    period: Period
    decisions: Decisions | None
    by_reason: Mapping[str, Counted] | None
    queues: list[QueueLoad]
    turnaround: Turnaround
    effort: Effort
    agreement: Agreement
    accepted_error: AuditedShare


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket of a series; `depth` is the number of unsettled items at its end."""

    at: datetime
    decisions: Decisions | None
    inflow: int
    outflow: int
    depth: int
    turnaround: Turnaround
    effort: Effort
    agreement: Agreement
    accepted_error: AuditedShare


@dataclass(frozen=True, slots=True)
class Series:
    """Points in the order of time, empty buckets included."""

    period: Period
    unit: Unit
    points: list[Point]


async def summary(
    ctx: Context,
    project_id: uuid.UUID,
    which: Selection,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Summary:
    """All figures over one range, the last seven days unless told otherwise.

    Raises:
        Invalid: the range is empty or out of reach.
    """
    async with ctx.db.snapshot() as tx:
        return await summary_in(tx, project_id, which, start=start, end=end)


async def timeseries(
    ctx: Context,
    project_id: uuid.UUID,
    which: Selection,
    unit: Unit,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Series:
    """The figures by hour or by day.

    Raises:
        Invalid: the range is empty, out of reach, or has too many buckets.
    """
    async with ctx.db.snapshot() as tx:
        now = await store.present(tx)
        period = period_of(start, end, now, unit)
        buckets = period.buckets(unit)
        scope = (tx, project_id, period, which)
        measured = _Measured(
            unit=unit,
            decisions=None if which.queue else await _decisions_by_bucket(*scope, unit),
            items=await store.item_flows(*scope, unit),
            turnarounds=await store.turnarounds(*scope, unit),
            efforts=await store.efforts(*scope, unit),
            reviews=await store.compared_reviews(*scope, unit),
            audits=await _load_audits(*scope, now),
        )
    return Series(period, unit, await asyncio.to_thread(measured.points, buckets))


async def accepted_error_of(
    ctx: Context,
    project_id: uuid.UUID,
    which: Selection,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[Period, AuditedShare]:
    """The error of what was accepted, from audits.

    Raises:
        Invalid: the range is empty or out of reach.
    """
    async with ctx.db.snapshot() as tx:
        now = await store.present(tx)
        period = period_of(start, end, now)
        audits = await _load_audits(tx, project_id, period, which, now)
    return period, await asyncio.to_thread(audits.accepted_error)


async def agreement(
    ctx: Context,
    project_id: uuid.UUID,
    which: Selection,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[Period, Agreement]:
    """How often humans agree with the model: in audits, and in reviews.

    Raises:
        Invalid: the range is empty or out of reach.
    """
    async with ctx.db.snapshot() as tx:
        now = await store.present(tx)
        period = period_of(start, end, now)
        audits = await _load_audits(tx, project_id, period, which, now)
        reviews = await store.compared_reviews(tx, project_id, period, which)
    return period, await asyncio.to_thread(_agreement, audits, reviews.get(None))


async def turnaround(
    ctx: Context,
    project_id: uuid.UUID,
    which: Selection,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> tuple[Period, Turnaround, Effort]:
    """How long items waited for their answer, and what the answers took.

    Raises:
        Invalid: the range is empty or out of reach.
    """
    async with ctx.db.snapshot() as tx:
        period = period_of(start, end, await store.present(tx))
        waited = await store.turnarounds(tx, project_id, period, which)
        worked = await store.efforts(tx, project_id, period, which)
    return (
        period,
        waited.get(None, NO_TURNAROUND),
        worked.get(None, NO_EFFORT),
    )


@dataclass(frozen=True, slots=True)
class _Audits:
    """Sizes of strata and what became of their audits, by the hour."""

    accepted: list[CountedHour]
    rejected: list[CountedHour]
    audited: list[AuditedHour]
    until: datetime
    by_queue: bool

    def accepted_error(self) -> AuditedShare:
        if self.by_queue:
            return NOT_BY_QUEUE
        return audited_share(self.accepted, self.audited, self.until, accepted_error)

    def agreement(self) -> AuditedShare:
        if self.by_queue:
            return NOT_BY_QUEUE
        unasked = [*self.accepted, *self.rejected]
        return audited_share(unasked, self.audited, self.until, audit_agreement)

    def by_bucket(self, buckets: list[datetime], unit: Unit) -> dict[datetime, "_Audits"]:
        """The same for each bucket alone."""
        parts = {
            at: _Audits([], [], [], min(at + unit.length, self.until), self.by_queue)
            for at in buckets
        }
        for size in self.accepted:
            parts[unit.beginning(size.hour)].accepted.append(size)
        for size in self.rejected:
            parts[unit.beginning(size.hour)].rejected.append(size)
        for part in self.audited:
            parts[unit.beginning(part.hour)].audited.append(part)
        return parts


@dataclass(frozen=True, slots=True)
class _Measured:
    """What was read for a series; each by the beginning of its bucket."""

    unit: Unit
    decisions: Mapping[datetime | None, Decisions] | None
    items: tuple[int, Mapping[datetime, ItemFlow]]
    turnarounds: Mapping[datetime | None, Turnaround]
    efforts: Mapping[datetime | None, Effort]
    reviews: Mapping[datetime | None, Compared]
    audits: _Audits

    def points(self, buckets: list[datetime]) -> list[Point]:
        audits = self.audits.by_bucket(buckets, self.unit)
        depth, flows = self.items
        points = []
        for at in buckets:
            flow = flows.get(at, NO_FLOW)
            depth += flow.inflow - flow.outflow
            points.append(self._point(at, flow, depth, audits[at]))
        return points

    def _point(self, at: datetime, flow: ItemFlow, depth: int, audits: _Audits) -> Point:
        decisions = None if self.decisions is None else self.decisions.get(at, NO_DECISIONS)
        return Point(
            at=at,
            decisions=decisions,
            inflow=flow.inflow,
            outflow=flow.outflow,
            depth=depth,
            turnaround=self.turnarounds.get(at, NO_TURNAROUND),
            effort=self.efforts.get(at, NO_EFFORT),
            agreement=_agreement(audits, self.reviews.get(at)),
            accepted_error=audits.accepted_error(),
        )


async def summary_in(
    tx: Reader,
    project_id: uuid.UUID,
    which: Selection,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Summary:
    """All figures over one range, as this transaction sees them."""
    now = await store.present(tx)
    period = period_of(start, end, now)
    scope = (tx, project_id, period, which)
    decisions = by_reason = None
    if which.queue is None:
        decisions = (await _decisions_by_bucket(*scope)).get(None, NO_DECISIONS)
        reasons = await count_store.decisions_by(*scope, ("reason",), rows_max=REASONS_MAX)
        by_reason = {reason: counted for (reason,), counted in reasons.items()}
    audits = await _load_audits(*scope, now)
    reviews = await store.compared_reviews(*scope)
    return Summary(
        period=period,
        decisions=decisions,
        by_reason=by_reason,
        queues=await store.queue_loads(*scope),
        turnaround=(await store.turnarounds(*scope)).get(None, NO_TURNAROUND),
        effort=(await store.efforts(*scope)).get(None, NO_EFFORT),
        agreement=await asyncio.to_thread(_agreement, audits, reviews.get(None)),
        accepted_error=await asyncio.to_thread(audits.accepted_error),
    )


async def _decisions_by_bucket(
    tx: Reader,
    project_id: uuid.UUID,
    period: Period,
    which: Selection,
    unit: Unit | None = None,
) -> dict[datetime | None, Decisions]:
    """Decisions by bucket; those of the whole range under None."""
    scope = (tx, project_id, period, which)
    by: tuple[count_store.By, ...] = ("route",) if unit is None else ("route", "bucket")
    real = await count_store.decisions_by(*scope, by, unit=unit or Unit.HOUR)
    shadow = await count_store.decisions_by(*scope, by, unit=unit or Unit.HOUR, shadow=True)
    by_route: dict[datetime | None, dict[str, Counted]] = defaultdict(dict)
    shadows: dict[datetime | None, int] = defaultdict(int)
    for (route, *at), counted in real.items():
        by_route[at[0] if at else None][route] = counted
    for (_, *at), counted in shadow.items():
        shadows[at[0] if at else None] += counted.decisions
    return {at: Decisions(by_route[at], shadows[at]) for at in {*by_route, *shadows}}


async def _load_audits(
    tx: Reader, project_id: uuid.UUID, period: Period, which: Selection, now: datetime
) -> _Audits:
    until = min(period.end, now)
    if which.queue is not None:
        return _Audits([], [], [], until, by_queue=True)
    sizes = await count_store.decisions_by(
        tx, project_id, period, which, ("bucket", "stratum", "route")
    )
    hours: dict[str, list[CountedHour]] = {ACCEPT: [], REJECT: []}
    for (hour, stratum, route), counted in sizes.items():
        if route in hours:
            hours[route].append(CountedHour(hour, stratum, counted.decisions))
    audited = await store.audited_hours(tx, project_id, period, which)
    return _Audits(hours[ACCEPT], hours[REJECT], audited, until, by_queue=False)


def _agreement(audits: _Audits, reviews: Compared | None) -> Agreement:
    compared = reviews or Compared(0, 0)
    return Agreement(audits.agreement(), routed_agreement(compared.agreed, compared.compared))
