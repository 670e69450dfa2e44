"""A prediction becomes a decision: decided, committed, then answered."""

import asyncio
import uuid

from msgspec import Struct

from app.core.errors import OverruleError, RequestKeyConflict, Unavailable
from app.core.routing.counts import count_key, declared_segment
from app.core.routing.decision import Asked, Decision, decide, decision_of
from app.core.routing.draw import Chance, day_of, ready_day_key
from app.core.routing.policy import Policy
from app.core.routing.prediction import Prediction, Signals, recorded, signals_of
from app.flows.context import Context
from app.flows.gather import Result
from app.store.decision_rows import Beside, NewDecision
from app.store.decisions import Kept
from app.store.ids import new_id, utc_now
from app.store.policies import RoutingView
from app.store.recorded_decisions import decisions_by_id


class Deciding(Struct, frozen=True):
    """The policy versions of one model: what decides, and what is evaluated beside it.

    Each with its id; None where there is none.
    """

    active: tuple[uuid.UUID, Policy] | None
    shadow: tuple[uuid.UUID, Policy] | None

    @property
    def is_slow(self) -> bool:
        """Whether one of them takes milliseconds for a prediction."""
        return any(of is not None and of[1].is_slow for of in (self.active, self.shadow))

    @property
    def policy(self) -> Policy | None:
        """The version that decides."""
        return self.active[1] if self.active is not None else None


class Answered(Struct, frozen=True, gc=False):
    """A decision for the caller; `first` when this very request made it."""

    decision: Decision
    policy: Policy | None
    first: bool


async def predict(
    ctx: Context, project_id: uuid.UUID, predictions: list[Prediction]
) -> list[Answered | OverruleError]:
    """Decide and commit predictions, each for itself.

    Args:
        ctx: the service.
        project_id: the caller's.
        predictions: what was posted, at most `commit_rows_max`.

    Returns:
        Per prediction, in order, the decision (on disk by now) or why there is none.

    Raises:
        Unavailable: the database is away or too much is waiting; nothing was taken.
    """
    view = await ctx.views.projects.get(project_id)
    policies = await _policies(ctx, project_id, view, predictions)
    results: list[Answered | OverruleError | None] = []
    rows: list[NewDecision] = []
    for prediction in predictions:
        deciding = policies[prediction.model]
        if deciding.is_slow:
            # between two rows the others get their turn: one costly policy must not stop them all
            await asyncio.sleep(0)
        try:
            row = _prepare(project_id, view, deciding, prediction)
        except OverruleError as error:
            results.append(error)
            continue
        rows.append(row)
        results.append(None)
    if rows:
        committed = await ctx.gatherer.commit(rows)
        answers = iter(await _answers(ctx, project_id, policies, rows, committed))
        return [next(answers) if result is None else result for result in results]
    return [result for result in results if result is not None]


async def dry_run(ctx: Context, project_id: uuid.UUID, prediction: Prediction) -> Answered:
    """Decide and store nothing.

    Raises:
        Invalid: the prediction cannot be taken.
    """
    view = await ctx.views.projects.get(project_id)
    policies = (await _policies(ctx, project_id, view, [prediction]))[prediction.model]
    row = _prepare(project_id, view, policies, prediction)
    return Answered(row.decision, policies.policy, first=True)


async def _policies(
    ctx: Context, project_id: uuid.UUID, view: RoutingView, predictions: list[Prediction]
) -> dict[str, Deciding]:
    """The policies of the models that these predictions are of."""
    return {
        model: Deciding(
            await _compiled(ctx, project_id, view.active.get(model)),
            await _compiled(ctx, project_id, view.shadow.get(model)),
        )
        for model in {prediction.model for prediction in predictions}
    }


async def _compiled(
    ctx: Context, project_id: uuid.UUID, policy_id: uuid.UUID | None
) -> tuple[uuid.UUID, Policy] | None:
    if policy_id is None:
        return None
    policy = await ctx.views.policy(project_id, policy_id)
    return (policy_id, policy) if policy is not None else None


def _prepare(
    project_id: uuid.UUID, view: RoutingView, policies: Deciding, prediction: Prediction
) -> NewDecision:
    """Decide one prediction, with all that is recorded beside it."""
    policy_id, policy = policies.active or (None, None)
    signals = signals_of(prediction)
    decision_id = new_id()
    chance = Chance(ready_day_key(view.secret, day_of(decision_id)), decision_id.bytes)
    outcome = decide(policy, signals, chance)
    queue = view.queues[outcome.queue] if outcome.queue is not None else None
    item = Asked(new_id(), queue.name, outcome.route == "review") if queue is not None else None
    decision = decision_of(
        decision_id, signals, outcome, policy_id=policy_id, item=item, decided_at=utc_now()
    )
    return NewDecision(
        project_id=project_id,
        decision=decision,
        prediction=prediction,
        recorded=recorded(prediction),
        count_key=count_key(decision, declared_segment(policy, prediction)),
        beside=_beside(policies.shadow, signals, chance) if policies.shadow is not None else None,
        queue=queue,
        assignment_id=new_id() if queue is not None else None,
    )


def _beside(shadow: tuple[uuid.UUID, Policy], signals: Signals, chance: Chance) -> Beside:
    """What the shadow policy says, with the same draws."""
    policy_id, policy = shadow
    outcome = decide(policy, signals, chance)
    return Beside(policy_id, outcome.route, outcome.reason)


async def _answers(
    ctx: Context,
    project_id: uuid.UUID,
    policies: dict[str, Deciding],
    rows: list[NewDecision],
    committed: list[Result],
) -> list[Answered | OverruleError]:
    """What each caller hears: its own decision, the first one, or why there is none."""
    repeated = [
        result.decision_id
        for row, result in zip(rows, committed, strict=True)
        if isinstance(result, Kept) and result.digest == row.recorded.digest
    ]
    firsts: dict[uuid.UUID, Decision] = {}
    if repeated:
        async with ctx.db.read() as tx:
            firsts = await decisions_by_id(tx, project_id, repeated)
    answers: list[Answered | OverruleError] = []
    for row, result in zip(rows, committed, strict=True):
        if isinstance(result, OverruleError):
            answers.append(result)
        elif not isinstance(result, Kept):
            answers.append(Answered(row.decision, policies[row.decision.model].policy, first=True))
        elif result.digest != row.recorded.digest:
            answers.append(_conflict(row.decision.request_key))
        elif result.decision_id in firsts:
            first = firsts[result.decision_id]
            answers.append(Answered(first, await _policy_of(ctx, project_id, first), first=False))
        else:
            answers.append(Unavailable("The first decision is being removed; send it again."))
    return answers


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
