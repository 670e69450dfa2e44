"""Detectors of unfamiliar inputs: asked for, fitted by a job, and taken out of use."""

import asyncio
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from app.core.access import Caller
from app.core.drift.familiar import Recorded, Training
from app.core.drift.judged import DetectorEvent, DetectorState, after
from app.core.errors import Invalid, NotFound, Overloaded, OverruleError, Unavailable
from app.core.jobs import UNFINISHED_MAX, Job, Report
from app.core.learning.period import EARLIEST, LATEST
from app.core.routing.prediction import Scores, ScoresAre
from app.flows.context import Context
from app.store import detectors as store
from app.store import jobs as job_store
from app.store.detectors import Detector
from app.store.engine import Writer, retried
from app.store.ids import lowest_id_at, new_id
from app.store.keys import lock_project, log_change

if TYPE_CHECKING:
    from app.core.drift.detector_fit import Fitted, Shape, Vectors

KIND = "fit_detector"
# each may hold its rows in the database until it is fitted
FITTING_MAX = 4
LENGTH_MAX = timedelta(days=366)


class Span(Struct, frozen=True):
    """The recorded predictions of a model from `since` until `until`, the newest first."""

    since: datetime
    until: datetime


class Arguments(Struct, frozen=True):
    """What the job is asked for; `span` is None where rows were sent."""

    detector: uuid.UUID
    span: Span | None


@retried
async def put(
    ctx: Context, caller: Caller, name: str, model: str, rows: Training | Span
) -> Detector:
    """Ask for the next version of a detector; a job fits it.

    Once it is ready it takes the place of the model's present one, whatever that is called.

    Raises:
        Invalid: the range is empty or of another time.
        Overloaded: too much of the project waits to be fitted.
    """
    project_id, detector_id = caller.project, new_id()
    span = _checked(rows) if isinstance(rows, Span) else None
    async with ctx.db.write() as tx:
        await lock_project(tx, project_id)
        await _check_load(tx, project_id)
        latest = await store.latest_detector(tx, project_id, name)
        job = await job_store.add_job(
            tx, project_id, KIND, Arguments(detector_id, span), caller.name
        )
        detector = await store.add_detector(
            tx,
            project_id,
            detector_id,
            name=name,
            version=latest.version + 1 if latest is not None else 1,
            model=model,
            training=msgspec.msgpack.encode(rows) if isinstance(rows, Training) else None,
            source=_source(rows),
            job_id=job.id,
            created_by=caller.name,
        )
        await _log(tx, project_id, caller.name, detector, "put")
    return detector


async def find(ctx: Context, project_id: uuid.UUID, name: str) -> Detector:
    """The latest version of that name.

    Raises:
        NotFound: none in the project.
    """
    async with ctx.db.read() as tx:
        found = await store.latest_detector(tx, project_id, name)
    if found is None:
        raise _not_found(name)
    return found


async def list_detectors(
    ctx: Context, project_id: uuid.UUID, after_id: uuid.UUID | None, limit: int
) -> list[Detector]:
    """All versions of all detectors, in the order in which they were made."""
    async with ctx.db.read() as tx:
        return await store.list_detectors(tx, project_id, after_id, limit)


@retried
async def retire(ctx: Context, caller: Caller, name: str) -> Detector:
    """Take the version that is ready out of use; other replicas follow within `cache_s`.

    Where none is, the latest version is looked at: retired already, it stays so.

    Raises:
        NotFound: none of that name in the project.
        StateConflict: no version of it was ready yet.
    """
    project_id = caller.project
    async with ctx.db.write() as tx:
        await lock_project(tx, project_id)
        detector = await store.latest_detector(
            tx, project_id, name, DetectorState.READY
        ) or await store.latest_detector(tx, project_id, name)
        if detector is None:
            raise _not_found(name)
        retired = await _moved(tx, project_id, caller.name, detector, DetectorEvent.RETIRE)
    ctx.views.forget()
    return retired


async def work(ctx: Context, job: Job, report: Report) -> Any:
    """Fit a detector; its result is what is shown of it.

    Progress is in rows: each is read, and then learnt from or held out.

    Raises:
        Invalid: nothing can be fitted on the rows.
    """
    asked = msgspec.convert(job.arguments, Arguments)
    async with ctx.db.read() as tx:
        detector = await store.find_detector(tx, job.project_id, asked.detector)
    assert detector is not None, "it was inserted with its job, and detectors are never removed"
    # begun again after an attempt that was lost behind its last commit
    if detector.state is DetectorState.FITTING:
        try:
            training = await _training(ctx, job, detector, asked.span, report)
            fitted = await _fitted(training, report)
        except OverruleError as error:
            if not isinstance(error, Unavailable):
                await _fail(ctx, job, detector)
            raise
        await _make_ready(ctx, job, detector, fitted, training.left_out)
        ctx.views.forget()
        async with ctx.db.read() as tx:
            detector = await store.find_detector(tx, job.project_id, asked.detector)
        assert detector is not None, "detectors are never removed"
    return {
        "detector": str(detector.id),
        "name": detector.name,
        "version": detector.version,
        "state": detector.state,
        "summary": detector.summary,
    }


async def _training(
    ctx: Context, job: Job, detector: Detector, span: Span | None, report: Report
) -> Training:
    """The rows to fit on."""
    if span is not None:
        return await _recorded(ctx, job.project_id, detector.model, span, report)
    async with ctx.db.read() as tx:
        packed = await store.training_of(tx, job.project_id, detector.id)
    if packed is None:
        raise Unavailable("Another attempt has just fitted it.")
    return msgspec.msgpack.decode(packed, type=Training)


class _Scores(Struct):
    """What is read of a recorded prediction here."""

    scores: Scores | None = None
    scores_are: ScoresAre = "probabilities"


_scores = msgspec.json.Decoder(_Scores)


async def _recorded(
    ctx: Context, project_id: uuid.UUID, model: str, span: Span, report: Report
) -> Training:
    """Predictions of a range, read backwards from its end until there are enough."""
    low, high = lowest_id_at(span.since), lowest_id_at(span.until)
    collected, seen = Recorded(), 0
    while not collected.full:
        async with ctx.db.read() as tx:
            page = await store.recorded_rows(tx, project_id, model, low, high)
        for row in page:
            if not row["wanted"] or collected.full:
                continue
            seen += 1
            if row["embedding"] is not None:
                collected.add_embedding(row["embedding"], row["label"])
            else:
                kept = _scores.decode(row["prediction"])
                collected.add_scores(kept.scores, kept.scores_are)
        if len(page) < store.PAGE_ROWS:
            break
        high = page[-1]["id"]
        await report(seen, None)
    return collected.training()


async def _fitted(training: Training, report: Report) -> "Fitted":
    """Fit in a thread, so that the other work of this process goes on."""
    rows = len(training.labels)
    await report(rows, 2 * rows)
    if not training.dimension:
        return await asyncio.to_thread(_fit_scores, training)
    shape, held_out = await asyncio.to_thread(_learn, training)
    await report(2 * rows - len(held_out), 2 * rows)
    return await asyncio.to_thread(_calibrate, shape, held_out)


def _learn(training: Training) -> "tuple[Shape, Vectors]":
    # a slow import, here and below: numpy and scipy, for the worker alone
    from app.core.drift.detector_fit import learnt_from  # noqa: PLC0415

    return learnt_from(training)


def _calibrate(shape: "Shape", held_out: "Vectors") -> "Fitted":
    from app.core.drift.detector_fit import calibrated  # noqa: PLC0415

    return calibrated(shape, held_out)


def _fit_scores(training: Training) -> "Fitted":
    from app.core.drift.detector_fit import fit_scores  # noqa: PLC0415

    return fit_scores(training)


@retried
async def _make_ready(
    ctx: Context, job: Job, detector: Detector, fitted: "Fitted", left_out: int
) -> None:
    """Let it judge its model's predictions, unless a newer one does so already."""
    project_id, actor = job.project_id, f"job:{job.id}"
    async with ctx.db.write() as tx:
        await lock_project(tx, project_id)
        found = await store.find_detector(tx, project_id, detector.id)
        if found is None or found.state is not DetectorState.FITTING:
            return
        present = await store.ready_detector(tx, project_id, detector.model)
        is_newest = present is None or present.id < detector.id
        if present is not None and is_newest:
            await _moved(tx, project_id, actor, present, DetectorEvent.REPLACE)
        event = DetectorEvent.FIT if is_newest else DetectorEvent.REPLACE
        await store.keep_fitted(
            tx,
            project_id,
            detector.id,
            after(detector.state, event),
            digest=fitted.digest,
            fitted=fitted.blob,
            summary={**fitted.summary, "left_out": left_out},
        )
        kept = await store.find_detector(tx, project_id, detector.id)
        assert kept is not None, "it was found before"
        await _log(tx, project_id, actor, kept, event, before=detector.state)


@retried
async def _fail(ctx: Context, job: Job, detector: Detector) -> None:
    async with ctx.db.write() as tx:
        await lock_project(tx, job.project_id)
        found = await store.find_detector(tx, job.project_id, detector.id)
        if found is not None and found.state is DetectorState.FITTING:
            await _moved(tx, job.project_id, f"job:{job.id}", found, DetectorEvent.FAIL)


async def _moved(
    tx: Writer, project_id: uuid.UUID, actor: str, detector: Detector, event: DetectorEvent
) -> Detector:
    state = after(detector.state, event)
    if state is detector.state:
        return detector
    await store.set_state(tx, project_id, detector.id, state)
    moved = await store.find_detector(tx, project_id, detector.id)
    assert moved is not None, "detectors are never removed"
    await _log(tx, project_id, actor, moved, event, before=detector.state)
    return moved


async def _log(
    tx: Writer,
    project_id: uuid.UUID,
    actor: str,
    detector: Detector,
    event: str,
    *,
    before: DetectorState | None = None,
) -> None:
    await log_change(
        tx,
        project_id=project_id,
        actor=actor,
        action=f"detector.{event}",
        target=f"detector:{detector.name}@{detector.version}",
        before={"state": before} if before is not None else None,
        after={
            "state": detector.state,
            "model": detector.model,
            "digest": detector.digest.hex() if detector.digest is not None else None,
        },
    )


async def _check_load(tx: Writer, project_id: uuid.UUID) -> None:
    if await store.being_fitted(tx, project_id) >= FITTING_MAX:
        raise Overloaded(f"{FITTING_MAX} detectors of the project are being fitted; wait for them.")
    if await job_store.unfinished_jobs(tx, project_id) >= UNFINISHED_MAX:
        raise Overloaded(f"{UNFINISHED_MAX} jobs of the project wait already; try again later.")


def _checked(span: Span) -> Span:
    for name, moment in (("from", span.since), ("to", span.until)):
        if not EARLIEST <= moment <= LATEST:
            raise Invalid(
                "A time between the years 2000 and 2200 is needed.", loc=("from_predictions", name)
            )
    if span.since >= span.until:
        raise Invalid("`from` must be before `to`.", loc=("from_predictions", "from"))
    if span.until - span.since > LENGTH_MAX:
        raise Invalid(
            f"A range has at most {LENGTH_MAX.days} days.", loc=("from_predictions", "from")
        )
    return span


def _source(rows: Training | Span) -> Any:
    """Where the rows come from, as it is shown."""
    if isinstance(rows, Span):
        return {"from_predictions": {"from": rows.since, "to": rows.until}}
    return {"rows": len(rows.labels)}


def _not_found(name: str) -> NotFound:
    return NotFound(f"No detector {name!r}.")
