"""A prediction becomes a decision: decided, committed, then answered."""

import uuid
from datetime import date
from functools import lru_cache

from msgspec import Struct

from app.core.errors import OverruleError, RequestKeyConflict, Unavailable
from app.core.routing.counts import count_key, declared_segment
from app.core.routing.decision import Asked, Decision, decide
from app.core.routing.draw import day_key
from app.core.routing.policy import Policy
from app.core.routing.prediction import Prediction, digest_of, signals_of
from app.flows.context import Context
from app.flows.gather import Result
from app.store.decisions import Kept, NewDecision
from app.store.ids import new_id, utc_now
from app.store.policies import RoutingView
from app.store.recorded_decisions import decisions_by_id


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
        try:
            row = _prepare(project_id, view, policies.get(prediction.model), prediction)
        except OverruleError as error:
            results.append(error)
            continue
        rows.append(row)
        results.append(None)
    if rows:
        committed = await _answers(ctx, project_id, rows, await ctx.gatherer.commit(rows))
        answers = iter(committed)
        return [next(answers) if result is None else result for result in results]
    return [result for result in results if result is not None]


async def dry_run(ctx: Context, project_id: uuid.UUID, prediction: Prediction) -> Answered:
    """Decide and store nothing.

    Raises:
        Invalid: the prediction cannot be taken.
    """
    view = await ctx.views.projects.get(project_id)
    active = (await _policies(ctx, project_id, view, [prediction])).get(prediction.model)
    row = _prepare(project_id, view, active, prediction)
    return Answered(row.decision, active[1] if active is not None else None, first=True)


async def _policies(
    ctx: Context, project_id: uuid.UUID, view: RoutingView, predictions: list[Prediction]
) -> dict[str, tuple[uuid.UUID, Policy]]:
    """The active policies of the models that these predictions are of."""
    policies = {}
    for model in {prediction.model for prediction in predictions}:
        policy_id = view.active.get(model)
        if policy_id is not None:
            policy = await ctx.views.policy(project_id, policy_id)
            if policy is not None:
                policies[model] = policy_id, policy
    return policies


def _prepare(
    project_id: uuid.UUID,
    view: RoutingView,
    active: tuple[uuid.UUID, Policy] | None,
    prediction: Prediction,
) -> NewDecision:
    """Decide one prediction, with all that is recorded beside it."""
    policy_id, policy = active if active is not None else (None, None)
    signals = signals_of(prediction)
    decision_id = new_id()
    decided_at = utc_now()
    outcome = decide(
        policy,
        prediction,
        signals,
        decision_id=decision_id.bytes,
        key_of_day=_day_key(view.secret, _day_of(decision_id)),
    )
    queue = view.queues[outcome.queue] if outcome.queue is not None else None
    item = Asked(new_id(), queue.name, outcome.route == "review") if queue is not None else None
    decision = Decision(
        id=decision_id,
        request_key=prediction.request_key,
        model=prediction.model,
        model_version=prediction.model_version,
        label=signals.label,
        confidence=signals.confidence,
        route=outcome.route,
        reason=outcome.reason,
        states=outcome.states,
        observed=outcome.observed,
        policy_id=policy_id,
        audited=outcome.audited,
        audit_probability=outcome.audit_probability,
        shadow=prediction.shadow,
        item=item,
        resolution=None,
        decided_at=decided_at,
    )
    segment = declared_segment(policy, prediction)
    return NewDecision(
        project_id=project_id,
        decision=decision,
        prediction=prediction,
        outcome=outcome,
        digest=digest_of(prediction),
        count_key=count_key(decision, segment, outcome.stratum),
        queue=queue,
        assignment_id=new_id() if queue is not None else None,
    )


async def _answers(
    ctx: Context, project_id: uuid.UUID, rows: list[NewDecision], committed: list[Result]
) -> list[Answered | OverruleError]:
    """What each caller hears: its own decision, the first one, or why there is none."""
    repeated = [
        result.decision_id
        for row, result in zip(rows, committed, strict=True)
        if isinstance(result, Kept) and result.digest == row.digest
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
            policy = await _policy_of(ctx, project_id, row.decision)
            answers.append(Answered(row.decision, policy, first=True))
        elif result.digest != row.digest:
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


def _day_of(decision_id: uuid.UUID) -> date:
    return _utc_day((decision_id.int >> 80) // 86_400_000)


@lru_cache(maxsize=8)
def _utc_day(days_since_1970: int) -> date:
    return date.fromordinal(_EPOCH + days_since_1970)


_EPOCH = date(1970, 1, 1).toordinal()
_day_key = lru_cache(maxsize=4096)(day_key)
