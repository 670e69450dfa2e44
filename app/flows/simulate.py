"""What-if: a policy over recorded decisions, as a job, or over posted rows, at once."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from app.core.access import Caller
from app.core.drift.judged import Judged
from app.core.errors import Invalid, Loc, Overloaded, OverruleError
from app.core.jobs import UNFINISHED_MAX, Job, Report
from app.core.learning.period import EARLIEST, LATEST, Unit, period_of
from app.core.routing.decision import decide
from app.core.routing.document import parse
from app.core.routing.draw import Chance, DayKey, ready_day_key
from app.core.routing.monitors import MonitorStates, Seen
from app.core.routing.policy import Policy, policy_of
from app.core.routing.prediction import Prediction, recorded, signals_of
from app.core.routing.whatif.simulation import Frame, Simulation, simulation_of
from app.core.routing.whatif.sweep import (
    Sweep,
    plain_evaluation,
    sweep_of,
    swept_evaluation,
)
from app.core.routing.whatif.tally import HOUR_MS, Past, Question, Tally, fold
from app.flows import policies
from app.flows.context import Context
from app.flows.judging import Row, turns
from app.flows.predict import TURN_ROWS
from app.store import jobs as job_store
from app.store import simulations as store
from app.store.counts import Selection, decisions_by
from app.store.engine import Reader
from app.store.ids import lowest_id_at, utc_now

KIND = "simulation"
DEFAULT_LENGTH = timedelta(days=7)
LENGTH_MAX = timedelta(days=366)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class AskedSweep(Struct, frozen=True):
    """Which rule's thresholds, written out or as a number of steps."""

    rule: str
    thresholds: list[float] | None
    steps: int | None


class AskedPolicy(Struct, frozen=True):
    """A policy document, and the version that it is; None for one that is no version."""

    document: Any
    name: str
    version: int | None

    def compiled(self) -> Policy:
        """Ready to decide."""
        # a document that is no version has none in its strata either, and nobody reads them
        return policy_of(parse(self.document), self.name, self.version or 0)


class Arguments(Struct, frozen=True):
    """What a simulation of recorded decisions is asked for."""

    policy: AskedPolicy
    since: datetime
    until: datetime
    sweep: AskedSweep | None


async def policy_named(ctx: Context, project_id: uuid.UUID, name: str, number: int) -> AskedPolicy:
    """A version of a policy.

    Raises:
        NotFound: no such version.
    """
    version = await policies.find(ctx, project_id, name, number)
    return AskedPolicy(version.document, version.name, version.version)


async def policy_written(ctx: Context, project_id: uuid.UUID, document: Any) -> AskedPolicy:
    """A document that need not be a version.

    Raises:
        Invalid: every mistake, by its place.
    """
    try:
        async with ctx.db.read() as tx:
            checked = await policies.checked(tx, project_id, document)
        return AskedPolicy(document, checked.head.name, None)
    except Invalid as error:
        raise Invalid.of([(("document", *loc), why) for loc, why in error.places]) from None


async def queue_simulation(
    ctx: Context,
    caller: Caller,
    policy: AskedPolicy,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    sweep: AskedSweep | None = None,
) -> Job:
    """Queue the simulation of a policy over the recorded decisions of its model.

    Args:
        ctx: the service.
        caller: who asks.
        policy: what is simulated.
        since: the beginning of the range; a week before its end when None.
        until: its end; now when None.
        sweep: the thresholds of one rule, for a curve.

    Raises:
        Invalid: the range is empty or too long, or the rule cannot be swept.
        Overloaded: the project has too many jobs that are not over.
    """
    _sweep(policy.compiled(), sweep)
    arguments = Arguments(policy, *_range(since, until, utc_now()), sweep)
    async with ctx.db.write() as tx:
        if await job_store.unfinished_jobs(tx, caller.project) >= UNFINISHED_MAX:
            raise Overloaded(f"{UNFINISHED_MAX} jobs of the project wait already; try again later.")
        return await job_store.add_job(tx, caller.project, KIND, arguments, caller.name)


async def work(ctx: Context, job: Job, report: Report) -> Any:
    """Do a queued simulation; its result is a `Simulation`.

    Raises:
        Invalid: the policy or a recorded prediction is refused by now.
    """
    asked = msgspec.convert(job.arguments, Arguments)
    simulation = await simulate_recorded(ctx, job.project_id, asked, report)
    return msgspec.to_builtins(simulation)


async def simulate_recorded(
    ctx: Context, project_id: uuid.UUID, asked: Arguments, report: Report
) -> Simulation:
    """Fold the recorded decisions of the range, page by page.

    Folding is done in a thread while the next page is being read, so that the other work of this
    process goes on.
    """
    policy = asked.policy.compiled()
    sweep = _sweep(policy, asked.sweep)
    low, high = lowest_id_at(asked.since), lowest_id_at(asked.until)
    secret = (await ctx.views.projects.get(project_id)).secret
    async with ctx.db.read() as tx:
        total = await _about_how_many(tx, project_id, policy.model, asked)
        under_way = await store.first_under_way(tx, project_id, policy.model, low, high)
    covered_until = Unit.HOUR.beginning(under_way) if under_way is not None else None
    question = _question(policy, sweep, secret, covered_until)
    tally = Tally()
    async with aclosing(_pages(ctx, project_id, policy.model, low, high)) as pages:
        async for page in pages:
            tally.add(await asyncio.to_thread(fold, question, page.decisions, page.said))
            await report(tally.routes.total(), max(total, tally.routes.total()))
    async with ctx.db.read() as tx:
        seconds = await store.seconds_by_queue(tx, project_id, asked.since, asked.until)
    await report(tally.routes.total(), tally.routes.total())
    frame = Frame(
        policy=asked.policy.name,
        version=asked.policy.version,
        model=policy.model,
        since=asked.since,
        until=asked.until,
        covered_until=covered_until or asked.until,
        seconds=seconds,
        sweep=sweep,
    )
    return await asyncio.to_thread(simulation_of, tally, frame)


async def simulate_rows(
    ctx: Context,
    project_id: uuid.UUID,
    policy: AskedPolicy,
    rows: list[Prediction],
    sweep: AskedSweep | None = None,
) -> Simulation:
    """Compare what a policy would do with posted predictions and what the active one would.

    Nothing is stored, and nobody was asked about them, so their errors are not known. A row's draws
    depend on its content: the same rows give the same answer.

    Raises:
        Invalid: a row is of another model, or cannot be taken; or the rule cannot be swept.
    """
    simulated = policy.compiled()
    swept = _sweep(simulated, sweep)
    view = await ctx.views.projects.get(project_id)
    active_id = view.active.get(simulated.model)
    active = await ctx.views.policy(project_id, active_id) if active_id is not None else None
    question = _question(simulated, swept, view.secret, None)
    present = _Present(
        simulated,
        active,
        view.monitors.get(simulated.model, MonitorStates()),
        question.key_of(EPOCH.date()),
    )
    judged = [
        one
        async for turn in turns(ctx, project_id, view.detectors, rows, TURN_ROWS)
        for one in turn
    ]
    async with ctx.db.read() as tx:
        seconds = await store.seconds_by_queue(tx, project_id, None, None)
    frame = Frame(
        policy=policy.name,
        version=policy.version,
        model=simulated.model,
        since=None,
        until=None,
        covered_until=None,
        seconds=seconds,
        sweep=swept,
    )

    def simulated_now() -> Simulation:
        past = [present.as_past(row, said, ("rows", at)) for at, (row, said) in enumerate(judged)]
        return simulation_of(fold(question, past, {}), frame)

    return await asyncio.to_thread(simulated_now)


def _sweep(policy: Policy, asked: AskedSweep | None) -> Sweep | None:
    return None if asked is None else sweep_of(policy, asked.rule, asked.thresholds, asked.steps)


def _range(
    since: datetime | None, until: datetime | None, now: datetime
) -> tuple[datetime, datetime]:
    for name, moment in (("from", since), ("to", until)):
        if moment is not None and not EARLIEST <= moment <= LATEST:
            raise Invalid("A time between the years 2000 and 2200 is needed.", loc=(name,))
    end = min(until, now) if until is not None else now
    # what is before that no decision can be in, and the job would refuse it
    start = since if since is not None else max(end - DEFAULT_LENGTH, EARLIEST)
    if start >= end:
        raise Invalid("`from` must be before `to`, and not in the future.", loc=("from",))
    if end - start > LENGTH_MAX:
        raise Invalid(f"A range has at most {LENGTH_MAX.days} days.", loc=("from",))
    return start, end


def _question(
    policy: Policy, sweep: Sweep | None, secret: bytes, covered_until: datetime | None
) -> Question:
    return Question(
        evaluate=plain_evaluation(policy) if sweep is None else swept_evaluation(policy, sweep),
        key_of=partial(ready_day_key, secret),
        needed=policy.monitors,
        covered_until_h=None
        if covered_until is None
        else int(covered_until.timestamp()) * 1000 // HOUR_MS,
    )


async def _about_how_many(tx: Reader, project_id: uuid.UUID, model: str, asked: Arguments) -> int:
    """Decisions in the whole hours of the range: at least as many as there are in it."""
    hours = period_of(asked.since, asked.until, asked.until)
    which = Selection(model=model)
    found = [
        await decisions_by(tx, project_id, hours, which, ("route",), shadow=shadow)
        for shadow in (False, True)
    ]
    return sum(counted.decisions for counts in found for counted in counts.values())


async def _pages(
    ctx: Context, project_id: uuid.UUID, model: str, low: uuid.UUID, high: uuid.UUID
) -> AsyncGenerator[store.DecisionPage]:
    """The pages of a range; while one is being worked on the next is read."""

    async def read(after: uuid.UUID) -> store.DecisionPage:
        async with ctx.db.read() as tx:
            return await store.recorded_page(tx, project_id, model, after, high)

    ahead = asyncio.ensure_future(read(low))
    try:
        while True:
            page = await ahead
            if page.last is None:
                yield page
                return
            ahead = asyncio.ensure_future(read(page.last))
            yield page
    finally:
        ahead.cancel()
        await asyncio.wait({ahead})


class _Present(Struct, frozen=True):
    """What posted rows are decided with: the active policy and the monitors as they are now."""

    simulated: Policy
    active: Policy | None
    states: MonitorStates
    key: DayKey

    def as_past(self, row: Row, judged: Judged | None, loc: Loc) -> Past:
        """A posted row as if the active policy had decided it, in the first hour of 1970.

        No decision has an id of that day, so no draw of a decision can be foreseen from it.

        Raises:
            Invalid: it is of another model, or cannot be taken.
        """
        model = self.simulated.model
        if isinstance(row, Prediction) and row.model != model:
            raise Invalid(f"The policy is for the model {model!r}.", loc=(*loc, "model"))
        odd = judged.unfamiliar if judged is not None else None
        try:
            if isinstance(row, OverruleError):
                raise row
            kept = recorded(row)
            id_ = uuid.UUID(bytes=bytes(6) + kept.digest[:10])
            signals = signals_of(row, odd, self._seen(self.active, row))
            outcome = decide(self.active, signals, Chance(self.key, id_.bytes))
        except Invalid as error:
            raise Invalid.of([((*loc, *place), why) for place, why in error.places]) from None
        monitors = msgspec.json.encode(self._seen(self.simulated, row)).decode()
        return (
            id_,
            kept.text,
            outcome.route,
            outcome.reason,
            # nobody was asked about it
            0.0,
            "",
            monitors,
            odd.p if odd is not None else None,
            odd.score if odd is not None else None,
            odd.detector if odd is not None else None,
        )

    def _seen(self, policy: Policy | None, row: Prediction) -> tuple[Seen, ...]:
        if policy is None:
            return ()
        return self.states.seen(
            policy.monitors, policy.segments, row.model_version, row.segment or {}
        )
