"""Figures about items and verdicts; those about decisions are in `counts.py`.

Nothing here reads decisions, and every query goes over an index that holds no more than its range:
settled items, audits, verdicts by time, and what is open. The words of a partial index's condition
are written out, not bound, or PostgreSQL could not tell that the index applies.
"""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    Double,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    text,
    true,
    union_all,
)

from app.core.learning.audits import AuditedHour
from app.core.learning.period import Period, Unit
from app.store.counts import Selection
from app.store.engine import Reader
from app.store.tables import assignments, items, projects, queues, resolutions, verdicts


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """How full a queue is, and what came and went within the range.

    `oldest_age_s` is the age in seconds of the oldest unsettled item; None when there is none.
    """

    queue: str
    depth: int
    oldest_age_s: float | None
    inflow: int
    outflow: int


@dataclass(frozen=True, slots=True)
class Turnaround:
    """Seconds from queued to resolved: percentiles over `n` items; None when there are none."""

    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Effort:
    """Seconds that reviewers spent on `verdicts` verdicts."""

    human_seconds: float
    verdicts: int


@dataclass(frozen=True, slots=True)
class Compared:
    """Resolved reviews in which the human's label and the model's can be compared."""

    agreed: int
    compared: int


@dataclass(frozen=True, slots=True)
class ItemFlow:
    """Items that were queued and settled within a bucket."""

    inflow: int
    outflow: int


async def present(tx: Reader) -> datetime:
    """The database's clock."""
    now: datetime = await tx.raw.fetchval(
        "SELECT coalesce($1::timestamptz, statement_timestamp())", tx.now
    )
    return now


async def project_name(tx: Reader, project_id: uuid.UUID) -> str:
    """The name of a project."""
    row = await tx.execute(select(projects.c.name).where(projects.c.id == project_id))
    return str(row.scalar_one())


async def queue_loads(
    tx: Reader, project_id: uuid.UUID, period: Period, which: Selection
) -> list[QueueLoad]:
    """Each queue's load now, and its flow within the range, in the order of their names."""
    depth = _depths(project_id, which).subquery()
    oldest = _oldest(project_id, which).subquery()
    flow = _flows(project_id, which, period).subquery()
    query: Any = (
        select(
            queues.c.name,
            func.coalesce(depth.c.depth, 0),
            cast(func.extract("epoch", _now(tx) - oldest.c.queued_at), Double),
            func.coalesce(flow.c.inflow, 0),
            func.coalesce(flow.c.outflow, 0),
        )
        .outerjoin_from(queues, depth, depth.c.queue_id == queues.c.id)
        .outerjoin(oldest, oldest.c.queue_id == queues.c.id)
        .outerjoin(flow, flow.c.queue_id == queues.c.id)
        .where(queues.c.project_id == project_id)
        .order_by(queues.c.name)
    )
    if which.queue is not None:
        query = query.where(queues.c.name == which.queue)
    rows: Any = await tx.execute(query)
    return [
        QueueLoad(name, waiting, None if age_s is None else max(0.0, age_s), inflow, outflow)
        for name, waiting, age_s, inflow, outflow in rows
    ]


async def item_flows(
    tx: Reader, project_id: uuid.UUID, period: Period, which: Selection, unit: Unit
) -> tuple[int, dict[datetime, ItemFlow]]:
    """How many items were unsettled when the range began, and what came and went by bucket."""
    moved = _since(project_id, which, period.start).subquery()
    moments = union_all(
        select(moved.c.queued_at.label("at"), literal(1).label("came"), literal(0).label("went")),
        select(moved.c.settled_at, literal(0), literal(1)).where(moved.c.settled_at.is_not(None)),
    ).subquery()
    bucket = _bucket(moments.c.at, unit)
    query: Any = (
        select(bucket, func.sum(moments.c.came), func.sum(moments.c.went))
        .where(moments.c.at >= period.start, moments.c.at < period.end)
        .group_by(bucket)
    )
    before = select(func.count()).where(moved.c.queued_at < period.start)
    rows: Any = await tx.execute(query)
    flows = {at: ItemFlow(came, went) for at, came, went in rows}
    return (await tx.execute(before)).scalar_one(), flows


async def turnarounds(
    tx: Reader,
    project_id: uuid.UUID,
    period: Period,
    which: Selection,
    unit: Unit | None = None,
) -> dict[datetime | None, Turnaround]:
    """Turnaround of the items resolved within the range: exact percentiles, reviews and audits.

    By the bucket of their resolution; without `unit` of the whole range, under None. A bucket
    without any is left out.
    """
    seconds = cast(func.extract("epoch", items.c.settled_at - items.c.queued_at), Double)
    percentiles = func.percentile_cont(
        cast([0.5, 0.9, 0.99], ARRAY(Double)), type_=ARRAY(Double)
    ).within_group(func.greatest(seconds, 0))
    query = select(percentiles, func.count()).where(
        *_items(project_id, which), *_settled_within(period), text("items.state = 'resolved'")
    )
    return {
        at: Turnaround(p50, p90, p99, n)
        async for at, (p50, p90, p99), n in _rows(tx, query, items.c.settled_at, unit)
    }


async def efforts(
    tx: Reader,
    project_id: uuid.UUID,
    period: Period,
    which: Selection,
    unit: Unit | None = None,
) -> dict[datetime | None, Effort]:
    """Human seconds of the verdicts submitted within the range.

    A verdict counts the seconds that were sent with it; else those since its lease began or since
    the reviewer's verdict before, whichever is less: claiming five at once is not five times the
    work. Idle time within a lease is not taken off. An amended verdict counts once, as first sent.
    """
    since_last = func.extract(
        "epoch",
        verdicts.c.submitted_at
        - func.lag(verdicts.c.submitted_at).over(
            partition_by=verdicts.c.reviewer, order_by=(verdicts.c.submitted_at, verdicts.c.id)
        ),
    )
    # all verdicts of the range, before the filters: the one before may be about another model
    timed = (
        select(
            verdicts.c.item_id,
            verdicts.c.submitted_at,
            func.coalesce(
                verdicts.c.seconds_spent,
                func.least(verdicts.c.seconds_leased, cast(since_last, Double)),
            ).label("seconds"),
        )
        .where(
            verdicts.c.project_id == project_id,
            verdicts.c.submitted_at >= period.start,
            verdicts.c.submitted_at < period.end,
            verdicts.c.revision == 1,
        )
        .subquery()
    )
    query: Any = select(func.sum(timed.c.seconds), func.count()).select_from(timed)
    if which != Selection():
        query = query.join(items, items.c.id == timed.c.item_id).where(*_items(project_id, which))
    return {
        at: Effort(seconds, n)
        async for at, seconds, n in _rows(tx, query, timed.c.submitted_at, unit)
    }


async def compared_reviews(
    tx: Reader,
    project_id: uuid.UUID,
    period: Period,
    which: Selection,
    unit: Unit | None = None,
) -> dict[datetime | None, Compared]:
    """Reviews (not audits) resolved within the range, whose labels can be compared."""
    last = _last_resolution()
    query: Any = (
        select(func.count().filter(last.c.agreed), func.count())
        .join_from(items, last, true())
        .where(
            *_items(project_id, which),
            *_settled_within(period),
            text("items.state = 'resolved'"),
            items.c.kind == "review",
            last.c.agreed.is_not(None),
        )
    )
    return {
        at: Compared(agreed, n)
        async for at, agreed, n in _rows(tx, query, items.c.settled_at, unit)
    }


async def audited_hours(
    tx: Reader, project_id: uuid.UUID, period: Period, which: Selection
) -> list[AuditedHour]:
    """What became of the audits of decisions made within the range, by hour, stratum and judge.

    Overdue is judged by the database's clock.
    """
    last = _last_resolution()
    hour = _bucket(items.c.decided_at, Unit.HOUR)
    resolved = text("items.state = 'resolved'")
    right = func.count().filter(and_(resolved, last.c.agreed))
    wrong = func.count().filter(and_(resolved, ~last.c.agreed))
    under_way = func.count().filter(
        and_(text("items.state IN ('open', 'disputed')"), items.c.due_at > _now(tx))
    )
    judge = case((and_(resolved, last.c.agreed.is_not(None)), last.c.judge))
    query: Any = (
        select(
            hour,
            items.c.stratum,
            right,
            wrong,
            func.count() - right - wrong - under_way,
            under_way,
            judge,
        )
        .outerjoin_from(items, last, true())
        .where(
            *_items(project_id, which),
            text("items.kind = 'audit'"),
            items.c.decided_at >= period.start,
            items.c.decided_at < period.end,
        )
        .group_by(hour, items.c.stratum, judge)
    )
    rows: Any = await tx.execute(query)
    return [
        AuditedHour(at, stratum, yes, no, undecided, pending, by)
        for at, stratum, yes, no, undecided, pending, by in rows
    ]


def _items(project_id: uuid.UUID, which: Selection) -> list[Any]:
    columns = items.c
    conditions = [columns.project_id == project_id]
    if which.model is not None:
        conditions.append(columns.model == which.model)
    if which.model_version is not None:
        conditions.append(columns.model_version == which.model_version)
    if which.label is not None:
        conditions.append(columns.label == which.label)
    if which.segment:
        conditions.append(columns.segment.contains(dict(which.segment)))
    if which.queue is not None:
        named = select(queues.c.id).where(
            queues.c.project_id == project_id, queues.c.name == which.queue
        )
        conditions.append(columns.queue_id == named.scalar_subquery())
    return conditions


def _settled_within(period: Period) -> list[Any]:
    return [items.c.settled_at >= period.start, items.c.settled_at < period.end]


def _depths(project_id: uuid.UUID, which: Selection) -> Any:
    # two branches, since each of the two partial indexes knows one state
    held = union_all(
        *(
            select(assignments.c.queue_id, assignments.c.item_id).where(
                assignments.c.project_id == project_id, text(f"assignments.state = '{state}'")
            )
            for state in ("open", "leased")
        )
    ).subquery()
    query = select(held.c.queue_id, func.count().label("depth")).group_by(held.c.queue_id)
    if which == Selection(queue=which.queue):
        return query
    return query.join_from(held, items, items.c.id == held.c.item_id).where(
        *_items(project_id, which)
    )


def _oldest(project_id: uuid.UUID, which: Selection) -> Any:
    return (
        select(items.c.queue_id, func.min(items.c.queued_at).label("queued_at"))
        .where(*_items(project_id, which), text("items.state IN ('open', 'disputed')"))
        .group_by(items.c.queue_id)
    )


def _flows(project_id: uuid.UUID, which: Selection, period: Period) -> Any:
    moved = _since(project_id, which, period.start).subquery()

    def within(moment: Any) -> Any:
        return func.count().filter(moment >= period.start, moment < period.end)

    return select(
        moved.c.queue_id,
        within(moved.c.queued_at).label("inflow"),
        within(moved.c.settled_at).label("outflow"),
    ).group_by(moved.c.queue_id)


def _since(project_id: uuid.UUID, which: Selection, start: datetime) -> Any:
    """Items that were unsettled at `start` or came later.

    Each is unsettled still, or was settled since: two indexes hold them all, and none over all
    items is needed.
    """
    columns = (items.c.queue_id, items.c.queued_at, items.c.settled_at)
    chosen = _items(project_id, which)
    return union_all(
        select(*columns).where(*chosen, text("items.state IN ('open', 'disputed')")),
        select(*columns).where(*chosen, items.c.settled_at >= start),
    )


def _last_resolution() -> Any:
    return (
        select(resolutions.c.agreed, resolutions.c.judge)
        .where(resolutions.c.project_id == items.c.project_id, resolutions.c.item_id == items.c.id)
        .order_by(resolutions.c.revision.desc())
        .limit(1)
        .lateral("last")
    )


def _now(tx: Reader) -> Any:
    return literal(tx.now) if tx.now is not None else func.statement_timestamp()


def _bucket(moment: Any, unit: Unit) -> Any:
    # written out, not bound: PostgreSQL must see the same expression under SELECT and GROUP BY
    return func.date_trunc(text(f"'{unit.value}'"), moment, text("'UTC'"))


async def _rows(tx: Reader, query: Any, moment: Any, unit: Unit | None) -> AsyncIterator[Any]:
    """Rows of `query`, each behind the beginning of its bucket; None is the whole range.

    A bucket, and a whole range, without anything is left out.
    """
    query = query.having(func.count() > 0)
    if unit is None:
        query = query.add_columns(null())
    else:
        bucket = _bucket(moment, unit)
        query = query.add_columns(bucket).group_by(bucket)
    for row in await tx.execute(query):
        yield row[-1], *row[:-1]
