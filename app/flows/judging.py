"""Predictions judged by their models' detectors, together, before each is decided."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import chain, islice, repeat

from app.core.drift.judged import Judged
from app.core.errors import Invalid, OverruleError
from app.core.routing.prediction import Prediction, Unfamiliar
from app.flows.context import Context
from app.store.decisions import kept_keys

# an error stands for a prediction that cannot be taken
Row = Prediction | OverruleError
JudgedRow = tuple[Row, Judged | None]


async def turns(
    ctx: Context,
    project_id: uuid.UUID,
    detectors: Mapping[str, uuid.UUID],
    rows: Iterable[Row],
    turn_rows: int,
) -> AsyncIterator[Iterable[JudgedRow]]:
    """Rows with what the detector of their model says, some at a time; None without a detector.

    Where no model has one, rows are read one by one, none before the one before it was decided.
    Otherwise those of a turn are read and judged together: a fourth of what one costs alone.
    Between two turns others have theirs: a batch may not stop them.

    Args:
        ctx: the service.
        project_id: the caller's.
        detectors: by model, the ids of those that are ready.
        rows: what was posted; each turn must be read to its end.
        turn_rows: of one turn.
    """
    remaining = iter(rows)
    is_first = True
    for first in remaining:
        if not is_first:
            await asyncio.sleep(0)
        is_first = False
        turn = chain((first,), islice(remaining, turn_rows - 1))
        if detectors:
            yield await judge(ctx, project_id, detectors, list(turn))
        else:
            yield zip(turn, repeat(None), strict=False)


async def judge(
    ctx: Context, project_id: uuid.UUID, detectors: Mapping[str, uuid.UUID], rows: list[Row]
) -> list[JudgedRow]:
    """Rows with what the detector of their model says.

    One that its detector cannot take is refused, unless its request key already stands for a
    decision: the same request is answered as the first time, whatever has become ready since.
    """
    judged: list[JudgedRow] = [(row, None) for row in rows]
    by_model: dict[str, list[tuple[int, Prediction]]] = {}
    for place, row in enumerate(rows):
        if isinstance(row, Prediction) and row.model in detectors:
            by_model.setdefault(row.model, []).append((place, row))
    refused: list[tuple[int, Prediction, Invalid]] = []
    for model, chosen in by_model.items():
        found = await _judged(ctx, project_id, detectors[model], [row for _, row in chosen])
        for (place, row), one in zip(chosen, found, strict=True):
            if isinstance(one, Invalid):
                refused.append((place, row, one))
            else:
                judged[place] = row, one
    if refused:
        async with ctx.db.read() as tx:
            kept = await kept_keys(tx, [(project_id, row.request_key) for _, row, _ in refused])
        for place, row, error in refused:
            if (project_id, row.request_key) in kept:
                judged[place] = row, _missing(detectors[row.model])
            else:
                judged[place] = error, None
    return judged


async def _judged(
    ctx: Context, project_id: uuid.UUID, detector_id: uuid.UUID, predictions: list[Prediction]
) -> list[Judged | Invalid]:
    detector = await ctx.views.detector(project_id, detector_id)
    if detector is None:
        return [_missing(detector_id)] * len(predictions)
    return detector.judge(predictions)


def _missing(detector_id: uuid.UUID) -> Judged:
    return Judged(Unfamiliar(None, None, detector_id))
