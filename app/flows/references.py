"""References: made from posted rows or from recorded predictions; and ranges compared at once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from app.core.access import Caller
from app.core.drift.build import ROWS_MAX, Rows
from app.core.drift.compare import Compared, compare_windows
from app.core.drift.judged import Judged
from app.core.drift.reference import (
    Document,
    LeftOut,
    Reference,
    digest_of,
    streams_of,
)
from app.core.drift.rows import ReferenceRow, prediction_of
from app.core.drift.spec import merged
from app.core.drift.streams import Cells, Observation, Stream, cells_of, counts_of, observation_of
from app.core.errors import Invalid, Loc, NotFound
from app.core.learning.period import EARLIEST, LATEST
from app.core.routing.prediction import Prediction, signals_of
from app.flows.context import Context
from app.store import detectors
from app.store import references as store
from app.store.engine import retried
from app.store.ids import lowest_id_at
from app.store.keys import lock_project, log_change

LOOKED_AT_MAX = 1_000_000
LENGTH_MAX = timedelta(days=366)

Take = Callable[[Iterable[Observation]], None]


class Scope(Struct, frozen=True):
    """Whose predictions a reference speaks of; None: of all versions, of all segments."""

    model: str
    model_version: str | None = None
    segment: tuple[str, str] | None = None

    @property
    def segment_text(self) -> str | None:
        """As `key:value`."""
        return None if self.segment is None else ":".join(self.segment)


class Range(Struct, frozen=True):
    """When predictions were received: from `since`, included, to `until`, excluded."""

    since: datetime
    until: datetime


class Source(Struct, frozen=True, omit_defaults=True, rename={"since": "from", "until": "to"}):
    """Where the rows of a reference came from.

    Attributes:
        kind: `rows` that were posted, or recorded `predictions`.
        since: of recorded predictions.
        until: of recorded predictions.
        looked_at: recorded predictions of whatever model that were looked at.
        complete: false: the range has more, and the newest were taken.
    """

    kind: str
    since: datetime | None = None
    until: datetime | None = None
    looked_at: int | None = None
    complete: bool = True


class Put(Struct, frozen=True):
    """What a PUT found or made."""

    reference: Reference
    new: bool


class Sides(Struct, frozen=True):
    """Two ranges compared.

    Attributes:
        compared: stream by stream.
        left_out: features that were not compared.
        reference: where the reference's predictions came from, and how many there were.
        window: the same of the window.
    """

    compared: Compared
    left_out: tuple[LeftOut, ...]
    reference: tuple[Source, int]
    window: tuple[Source, int]


async def put_rows(
    ctx: Context,
    caller: Caller,
    name: str,
    scope: Scope,
    chunks: AsyncIterator[list[tuple[Loc, ReferenceRow]]],
) -> Put:
    """Make the next version of a reference from posted rows.

    Args:
        ctx: the service.
        caller: who makes it.
        name: the reference's.
        scope: whose predictions they are.
        chunks: the rows, each with its place in the request.

    Raises:
        Invalid: a row cannot be taken, or there is none.
        TooLarge: there are too many.
    """
    judge = await _judge(ctx, caller.project, scope.model)
    rows = Rows(judge.digest)

    def add(chunk: list[tuple[Loc, ReferenceRow]]) -> None:
        places = [loc for loc, _ in chunk]
        predictions = [prediction_of(row, scope.model) for _, row in chunk]
        rows.add_all(judge.posted(predictions, places))

    async for chunk in chunks:
        await asyncio.to_thread(add, chunk)
    return await _put(ctx, caller, name, _Made(scope, judge, rows, Source("rows")))


async def put_predictions(
    ctx: Context, caller: Caller, name: str, scope: Scope, asked: Range
) -> Put:
    """Make the next version of a reference from recorded predictions, the newest 100,000.

    Raises:
        Invalid: the range is none, or has no predictions.
    """
    _check_range(asked, ("from_predictions",))
    judge = await _judge(ctx, caller.project, scope.model)
    rows = Rows(judge.digest)
    source = await _Recorded(ctx, caller.project, scope, judge).read(asked, rows.add_all)
    _refuse_none(len(rows), ("from_predictions",))
    return await _put(ctx, caller, name, _Made(scope, judge, rows, source))


async def compare_ranges(
    ctx: Context, project_id: uuid.UUID, scope: Scope, reference: Range, window: Range
) -> Sides:
    """Compare the predictions of two ranges, in bins that the first of them makes.

    Raises:
        Invalid: a range is none; or there are no predictions in the first.
    """
    _check_range(reference, ("reference",))
    _check_range(window, ("window",))
    judge = await _judge(ctx, project_id, scope.model)
    rows = Rows(judge.digest)
    recorded = _Recorded(ctx, project_id, scope, judge)
    reference_source = await recorded.read(reference, rows.add_all)
    _refuse_none(len(rows), ("reference",))
    document = await asyncio.to_thread(rows.document)
    tally = _Tally(document, judge.id)
    window_source = await recorded.read(window, tally.add_all)
    compared = await asyncio.to_thread(compare_windows, document, tally.counts)
    return Sides(
        compared,
        document.left_out,
        (reference_source, len(rows)),
        (window_source, tally.rows),
    )


async def find(
    ctx: Context, project_id: uuid.UUID, name: str, version: int | None = None
) -> Reference:
    """One version of a reference; the latest unless its number is given.

    Raises:
        NotFound: no such version.
    """
    async with ctx.db.read() as tx:
        if version is None:
            found = await store.latest_reference(tx, project_id, name)
        else:
            found = await store.find_reference(tx, project_id, name, version)
    if found is None:
        which = f"reference {name!r}" if version is None else f"version {version} of {name!r}"
        raise NotFound(f"No {which}.")
    return found


async def list_references(
    ctx: Context, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[store.Summary]:
    """A page of all versions of all references."""
    async with ctx.db.read() as tx:
        return await store.list_references(tx, project_id, after, limit)


class _Judge:
    """Reads what streams look at off predictions, with the model's detector where it has one."""

    def __init__(self, detector: Any) -> None:
        self._detector = detector
        self.id: uuid.UUID | None = detector.id if detector is not None else None
        self.digest: str | None = detector.digest if detector is not None else None

    def posted(
        self, predictions: Sequence[Prediction], places: Sequence[Loc]
    ) -> Iterable[Observation]:
        """Of predictions that are refused where the detector cannot judge them.

        Raises:
            Invalid: the first that cannot be taken, by its place.
        """
        judged = self._judged(predictions)
        for prediction, one, place in zip(predictions, judged, places, strict=True):
            try:
                if isinstance(one, Invalid):
                    raise one
                yield _observed(prediction, one)
            except Invalid as error:
                raise Invalid.of([((*place, *loc), why) for loc, why in error.places]) from None

    def recorded(self, predictions: Sequence[Prediction]) -> Iterable[Observation]:
        """Of predictions that were taken before: what cannot be judged is without a score."""
        for prediction, one in zip(predictions, self._judged(predictions), strict=True):
            yield _observed(prediction, None if isinstance(one, Invalid) else one)

    def _judged(self, predictions: Sequence[Prediction]) -> Sequence[Judged | Invalid | None]:
        if self._detector is None:
            return [None] * len(predictions)
        judged: list[Judged | Invalid | None] = self._detector.judge(predictions)
        return judged


class _Tally:
    """A window on its way into counts."""

    def __init__(self, document: Document, detector: uuid.UUID | None) -> None:
        self._streams: Sequence[Stream] = streams_of(document)
        self._cells: Cells = cells_of(self._streams, detector)
        self.counts = counts_of(self._streams, [])
        self.rows = 0

    def add_all(self, observed: Iterable[Observation]) -> None:
        """Count rows."""
        cells = [self._cells(one) for one in observed]
        self.rows += len(cells)
        self.counts = merged(self.counts, counts_of(self._streams, cells))


def _observed(prediction: Prediction, judged: Judged | None) -> Observation:
    if judged is None:
        return observation_of(signals_of(prediction))
    return observation_of(signals_of(prediction, judged.unfamiliar), judged.components)


async def _judge(ctx: Context, project_id: uuid.UUID, model: str) -> _Judge:
    """With the detector that the model has now."""
    async with ctx.db.read() as tx:
        detector = await detectors.ready_detector(tx, project_id, model)
        if detector is None:
            return _Judge(None)
        blob = await detectors.fitted_blob(tx, project_id, detector.id)
    assert blob is not None, "a detector that is ready is fitted"
    return _Judge(await asyncio.to_thread(_loaded, blob, detector.id))


def _loaded(blob: bytes, detector_id: uuid.UUID) -> Any:
    from app.core.drift.detector import load  # noqa: PLC0415 - it imports numpy

    return load(blob, detector_id)


class _Recorded(Struct, frozen=True):
    """The recorded predictions that a scope speaks of."""

    ctx: Context
    project_id: uuid.UUID
    scope: Scope
    judge: _Judge

    async def read(self, asked: Range, take: Take) -> Source:
        """Read a range back from its end, in pages; each is taken in a thread."""
        before: uuid.UUID | None = lowest_id_at(asked.until)
        looked_at = taken = 0
        complete = True
        while before is not None:
            if looked_at >= LOOKED_AT_MAX or taken == ROWS_MAX:
                complete = False
                break
            page = await self._page(lowest_id_at(asked.since), before)
            looked_at += page.looked_at
            before = page.last
            found, complete = await asyncio.to_thread(self._take, page.rows, ROWS_MAX - taken, take)
            taken += found
        return Source("predictions", asked.since, asked.until, looked_at, complete)

    async def _page(self, since: uuid.UUID, before: uuid.UUID) -> store.Page:
        async with self.ctx.db.read() as tx:
            return await store.predictions_before(
                tx,
                self.project_id,
                self.scope.model,
                model_version=self.scope.model_version,
                since=since,
                before=before,
                with_embeddings=self.judge.id is not None,
            )

    def _take(self, rows: Sequence[Any], room: int, take: Take) -> tuple[int, bool]:
        """How many rows of a page were taken, and whether there was room for all."""
        predictions = [store.prediction_of(row["prediction"], row["embedding"]) for row in rows]
        if self.scope.segment is not None:
            key, value = self.scope.segment
            predictions = [one for one in predictions if (one.segment or {}).get(key) == value]
        fitting = predictions[:room]
        take(self.judge.recorded(fitting))
        return len(fitting), len(fitting) == len(predictions)


class _Made(Struct, frozen=True):
    """What a new version is made of."""

    scope: Scope
    judge: _Judge
    rows: Rows
    source: Source


@retried
async def _put(ctx: Context, caller: Caller, name: str, made: _Made) -> Put:
    document = await asyncio.to_thread(made.rows.document)
    project_id, scope = caller.project, made.scope
    digest = digest_of(
        document,
        model=scope.model,
        model_version=scope.model_version,
        segment=scope.segment_text,
        detector=made.judge.digest,
    )
    async with ctx.db.write() as tx:
        await lock_project(tx, project_id)
        latest = await store.latest_reference(tx, project_id, name)
        if latest is not None and latest.digest == digest:
            return Put(latest, new=False)
        reference = await store.add_reference(
            tx,
            project_id,
            name=name,
            version=latest.version + 1 if latest is not None else 1,
            model=scope.model,
            model_version=scope.model_version,
            segment=scope.segment_text,
            detector_id=made.judge.id,
            predictions=len(made.rows),
            document=document,
            digest=digest,
            source=made.source,
            created_by=caller.name,
        )
        await log_change(
            tx,
            project_id=project_id,
            actor=caller.name,
            action="reference.put",
            target=f"reference:{name}@{reference.version}",
            after={"model": scope.model, "digest": digest.hex(), "source": reference.source},
        )
    return Put(reference, new=True)


def _check_range(asked: Range, loc: Loc) -> None:
    for name, moment in (("from", asked.since), ("to", asked.until)):
        if not EARLIEST <= moment <= LATEST:
            raise Invalid("A time between the years 2000 and 2200 is needed.", loc=(*loc, name))
    if asked.since >= asked.until:
        raise Invalid("`from` must be before `to`.", loc=(*loc, "from"))
    if asked.until - asked.since > LENGTH_MAX:
        raise Invalid(f"A range has at most {LENGTH_MAX.days} days.", loc=(*loc, "from"))


def _refuse_none(rows: int, loc: Loc) -> None:
    if not rows:
        raise Invalid("No such predictions were recorded in that range.", loc=loc)
