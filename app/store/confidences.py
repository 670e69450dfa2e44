"""Sums of the confidence of accepted decisions: what the model itself says of its errors."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Double, cast, func, select, text
from sqlalchemy.dialects.postgresql import JSONB

from app.core.drift.estimated import UNIT, Confidences
from app.core.learning.period import Period
from app.store.counts import Selection, of_model
from app.store.engine import Reader
from app.store.ids import lowest_id_at
from app.store.tables import decisions, items

# between minting a decision's id and reading the clock for its time; both by one replica
APART = timedelta(minutes=1)


async def accepted_confidences(
    tx: Reader, project_id: uuid.UUID, period: Period, which: Selection
) -> list[int]:
    """`confidence_sums` of the accepted decisions that have a confidence.

    Reads every decision of the range.
    """
    columns = decisions.c
    conditions = [
        columns.project_id == project_id,
        columns.id >= lowest_id_at(period.start - APART),
        columns.id < lowest_id_at(period.end + APART),
        columns.decided_at >= period.start,
        columns.decided_at < period.end,
        columns.route == "accept",
        ~columns.shadow,
        columns.confidence.is_not(None),
        *of_model(columns, which),
    ]
    if which.segment:
        segment = cast(columns.prediction, JSONB)["segment"]
        conditions.append(segment.contains(dict(which.segment)))
    row: Any = await tx.execute(select(*_sums(columns.confidence)).where(*conditions))
    return list(row.one())


async def audited_confidences(
    tx: Reader, project_id: uuid.UUID, period: Period, which: Selection
) -> list[Confidences]:
    """The same from those drawn for an audit, answered or not, each with its weight."""
    columns = items.c
    conditions = [
        columns.project_id == project_id,
        text("items.kind = 'audit'"),
        columns.decided_at >= period.start,
        columns.decided_at < period.end,
        columns.route == "accept",
        columns.confidence.is_not(None),
        *of_model(columns, which),
    ]
    if which.segment:
        conditions.append(columns.segment.contains(dict(which.segment)))
    probability = columns.inclusion_probability
    rows: Any = await tx.execute(
        select(probability, *_sums(columns.confidence))
        .where(*conditions)
        .group_by(probability)
        .order_by(probability)
    )
    return [Confidences(sums, 1 / share) for share, *sums in rows]


def _sums(confidence: Any) -> list[Any]:
    # float noise beyond the ends is clipped, as it is for rules
    clipped = func.least(cast(1.0, Double), func.greatest(cast(0.0, Double), confidence))
    return [
        func.count(),
        *(
            func.coalesce(cast(func.sum(func.round(term * UNIT)), BigInteger), 0)
            for term in (clipped, clipped * (1 - clipped))
        ),
    ]
