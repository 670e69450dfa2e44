"""A prediction becomes a decision: decided, committed, then answered."""

import asyncio
import uuid
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import Struct

from app.core.drift.judged import Judged
from app.core.drift.watching import Watch, counted
from app.core.errors import OverruleError, RequestKeyConflict, Unavailable
from app.core.routing.counts import count_key, declared_segment
from app.core.routing.decision import Asked, Decision, decide, decision_of
from app.core.routing.draw import Chance, day_of, ready_day_key
from app.core.routing.monitors import MonitorStates, Needed, Seen
from app.core.routing.policy import Policy
from app.core.routing.prediction import Prediction, Signals, signals_of
from app.flows.context import Context
from app.flows.judging import judge, turns
from app.store.decision_rows import Beside, NewDecision, new_decision
from app.store.decisions import Kept
from app.store.ids import new_id, utc_now
from app.store.policies import RoutingView
from app.store.recorded_decisions import decisions_by_id

T = TypeVar("T")

# decided at a stretch: some milliseconds, which is what a single prediction may have to wait
TURN_ROWS = 100
_NO_STATES = MonitorStates()


class Deciding(Struct, frozen=True):
    """The policy versions of one model: what decides, and what is evaluated beside it.

    Each with its id; None where there is none.
    """

    active: tuple[uuid.UUID, Policy] | None
    shadow: tuple[uuid.UUID, Policy] | None
    is_slow: bool
    needed: tuple[Needed, ...]
    declared: tuple[str, ...]
    watch: Watch | None

    @classmethod
    def by(
        cls,
        active: tuple[uuid.UUID, Policy] | None,
        shadow: tuple[uuid.UUID, Policy] | None,
        watch: Watch | None = None,
    ) -> "Deciding":
        """Slow when one of them is; the monitors of both are recorded.

        Segments are those of the one that decides: what is beside it changes nothing.
        """
        policies = [of[1] for of in (active, shadow) if of is not None]
        return cls(
            active,
            shadow,
            any(policy.is_slow for policy in policies),
            tuple(dict.fromkeys(one for policy in policies for one in policy.monitors)),
            policies[0].segments if policies else (),
            watch,
        )


class Answered(Struct, frozen=True, gc=False):
    """A decision for the caller; `first` when this very request made it."""

    decision: Decision
    policy: Policy | None
    first: bool


async def predict(
    ctx: Context,
    project_id: uuid.UUID,
    predictions: Iterable[Prediction | OverruleError],
    answer: Callable[[Answered], T],
) -> list[T | OverruleError]:
    """Decide and commit predictions, each for itself.

    Each is read, decided and answered before the next is read (but see `turns`), so that what lies
    between is let go at once; only what is to be written, and the answer, wait for the commit.

    Args:
        ctx: the service.
        project_id: the caller's.
        predictions: what was posted, at most `commit_rows_max`; an error stands for one that cannot
            be read, and is its result.
        answer: what the caller hears of a decision. It is called before the commit, and once more
            where the decision turns out not to be the first.

    Returns:
        Per prediction, in order, the answer of its decision (on disk by now) or why there is none.

    Raises:
        Unavailable: the database is away or too much is waiting; nothing was taken.
    """
    view = await ctx.views.projects.get(project_id)
    policies: dict[str, Deciding] = {}
    results: list[T | OverruleError] = []
    rows: list[NewDecision] = []
    places: list[int] = []
    async for turn in turns(ctx, project_id, view.detectors, predictions, TURN_ROWS):
        for prediction, judged in turn:
            if isinstance(prediction, OverruleError):
                results.append(prediction)
                continue
            deciding = policies.get(prediction.model)
            if deciding is None:
                deciding = await _deciding(ctx, project_id, view, prediction.model)
                policies[prediction.model] = deciding
            if deciding.is_slow:
                # the others get their turn between two rows: one costly policy may not stop them
                await asyncio.sleep(0)
            try:
                answered, row = _decided(project_id, view, deciding, prediction, judged)
            except OverruleError as error:
                results.append(error)
                continue
            places.append(len(results))
            rows.append(row)
            results.append(answer(answered))
    if rows:
        committed = await ctx.gatherer.commit(rows)
        others = {
            place: (row, result)
            for place, row, result in zip(places, rows, committed, strict=True)
            if result is not True
        }
        for place, heard in (await _not_first(ctx, project_id, others)).items():
            results[place] = answer(heard) if isinstance(heard, Answered) else heard
    return results


async def dry_run(ctx: Context, project_id: uuid.UUID, prediction: Prediction) -> Answered:
    """Decide and store nothing.

    Raises:
        Invalid: the prediction cannot be taken.
    """
    view = await ctx.views.projects.get(project_id)
    deciding = await _deciding(ctx, project_id, view, prediction.model)
    judged: Judged | None = None
    if view.detectors:
        ((row, judged),) = await judge(ctx, project_id, view.detectors, [prediction])
        if isinstance(row, OverruleError):
            raise row
    answered, _ = _decided(project_id, view, deciding, prediction, judged)
    return answered


async def _deciding(ctx: Context, project_id: uuid.UUID, view: RoutingView, model: str) -> Deciding:
    """The policies of a model, and what watches it."""
    watched = view.watched.get(model)
    return Deciding.by(
        await _compiled(ctx, project_id, view.active.get(model)),
        await _compiled(ctx, project_id, view.shadow.get(model)),
        await ctx.views.watch(project_id, watched) if watched is not None else None,
    )


async def _compiled(
    ctx: Context, project_id: uuid.UUID, policy_id: uuid.UUID | None
) -> tuple[uuid.UUID, Policy] | None:
    if policy_id is None:
        return None
    policy = await ctx.views.policy(project_id, policy_id)
    return (policy_id, policy) if policy is not None else None


def _decided(
    project_id: uuid.UUID,
    view: RoutingView,
    policies: Deciding,
    prediction: Prediction,
    judged: Judged | None,
) -> tuple[Answered, NewDecision]:
    """Decide one prediction: the answer, and what is to be written."""
    policy_id, policy = policies.active or (None, None)
    monitors: tuple[Seen, ...] = ()
    if policies.needed:
        states = view.monitors.get(prediction.model, _NO_STATES)
        segment = prediction.segment or {}
        monitors = states.seen(
            policies.needed, policies.declared, prediction.model_version, segment
        )
    unfamiliar, components = (
        (judged.unfamiliar, judged.components) if judged is not None else (None, None)
    )
    signals = signals_of(prediction, unfamiliar, monitors)
    decision_id = new_id()
    chance = Chance(ready_day_key(view.secret, day_of(decision_id)), decision_id.bytes)
    outcome = decide(policy, signals, chance)
    queue = view.queues[outcome.queue] if outcome.queue is not None else None
    item = Asked(new_id(), queue.name, outcome.route == "review") if queue is not None else None
    received_at = utc_now()
    decision = decision_of(
        decision_id, signals, outcome, policy_id=policy_id, item=item, decided_at=received_at
    )
    watch, occurred_at = policies.watch, prediction.occurred_at
    row = new_decision(
        project_id,
        decision,
        prediction,
        count_key(decision, declared_segment(policy, prediction)),
        counted=counted(watch, signals, components, received_at, occurred_at)
        if watch is not None
        else None,
        beside=_beside(policies.shadow, signals, chance) if policies.shadow is not None else None,
        queue=queue,
    )
    return Answered(decision, policy, first=True), row


def _beside(shadow: tuple[uuid.UUID, Policy], signals: Signals, chance: Chance) -> Beside:
    """What the shadow policy says, with the same draws."""
    policy_id, policy = shadow
    outcome = decide(policy, signals, chance)
    return Beside(policy_id, outcome.route, outcome.reason)


async def _not_first(
    ctx: Context, project_id: uuid.UUID, others: dict[int, tuple[NewDecision, Kept | OverruleError]]
) -> dict[int, Answered | OverruleError]:
    """What callers hear whose row was not inserted: the first decision, or why there is none."""
    repeated = [
        result.decision_id
        for row, result in others.values()
        if isinstance(result, Kept) and result.digest == row.digest
    ]
    firsts: dict[uuid.UUID, Decision] = {}
    if repeated:
        async with ctx.db.read() as tx:
            firsts = await decisions_by_id(tx, project_id, repeated)
    heard: dict[int, Answered | OverruleError] = {}
    for place, (row, result) in others.items():
        if isinstance(result, OverruleError):
            heard[place] = result
        elif result.digest != row.digest:
            heard[place] = _conflict(row.request_key)
        elif result.decision_id in firsts:
            first = firsts[result.decision_id]
            heard[place] = Answered(first, await _policy_of(ctx, project_id, first), first=False)
        else:
            heard[place] = Unavailable("The first decision is being removed; send it again.")
    return heard


async def _policy_of(ctx: Context, project_id: uuid.UUID, decision: Decision) -> Policy | None:
    if decision.policy_id is None:
        return None
    return await ctx.views.policy(project_id, decision.policy_id)


def _conflict(request_key: str) -> RequestKeyConflict:
    return RequestKeyConflict(
        f"The request key {request_key!r} already stands for other content; nothing was changed. "
        "Send the same content, or a new key.",
        loc=("request_key",),
    )
