"""The error of what was accepted as the model's own confidence tells it: without a label."""

import uuid
from dataclasses import dataclass
from typing import Literal

from app.core.drift.estimated import Confidences, WithoutLabels, error_without_labels
from app.core.learning.period import Period
from app.flows.context import Context
from app.store import confidences
from app.store.counts import Selection, decisions_by

EXACT_MAX = 200_000
"""Accepted decisions that are all read; of more, those drawn for an audit speak for them."""

Basis = Literal["all", "audited"]


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """The estimate, and which accepted decisions it was made from."""

    estimate: WithoutLabels
    basis: Basis


async def error_without_labels_of(
    ctx: Context, project_id: uuid.UUID, period: Period, which: Selection
) -> Unlabelled | None:
    """Estimate it over a range; None for one queue, since what is accepted has none."""
    if which.queue is not None:
        return None
    async with ctx.db.snapshot() as tx:
        counted = await decisions_by(tx, project_id, period, which, ("route",))
        accepted = counted.get(("accept",))
        if accepted is not None and accepted.decisions > EXACT_MAX:
            groups = await confidences.audited_confidences(tx, project_id, period, which)
            return Unlabelled(error_without_labels(groups), "audited")
        sums = await confidences.accepted_confidences(tx, project_id, period, which)
    return Unlabelled(error_without_labels([Confidences(sums)]), "all")
