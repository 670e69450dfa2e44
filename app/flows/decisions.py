"""Reading decisions back."""

import uuid

from app.core.errors import NotFound
from app.core.routing.decision import Decision
from app.flows.context import Context
from app.flows.predict import Answered
from app.flows.waiting import until_over
from app.store import recorded_decisions as store
from app.store.decisions import kept_keys


async def find(
    ctx: Context, project_id: uuid.UUID, decision_id: uuid.UUID, wait_s: float = 0
) -> Answered:
    """One decision; with `wait_s`, once its human answer is there or the time is over.

    Raises:
        NotFound: none of that id in the project.
    """
    decision = await until_over(
        lambda: _found(ctx, project_id, decision_id),
        lambda found: found.item is None or found.resolution is not None,
        wait_s,
    )
    return await _answered(ctx, project_id, decision)


async def find_by_request_key(
    ctx: Context, project_id: uuid.UUID, request_key: str
) -> list[Answered]:
    """The decision under a caller's own id, or nothing."""
    return await lookup(ctx, project_id, [], [request_key])


async def lookup(
    ctx: Context, project_id: uuid.UUID, ids: list[uuid.UUID], request_keys: list[str]
) -> list[Answered]:
    """Many decisions by their ids or request keys; what is not there is left out."""
    async with ctx.db.read() as tx:
        kept = await kept_keys(tx, [(project_id, key) for key in request_keys])
        wanted = [*ids, *(entry.decision_id for entry in kept.values())]
        found = await store.decisions_by_id(tx, project_id, wanted)
    return [await _answered(ctx, project_id, decision) for decision in found.values()]


async def list_decisions(
    ctx: Context,
    project_id: uuid.UUID,
    wanted: store.Filter,
    after: uuid.UUID | None,
    limit: int,
) -> tuple[list[Answered], uuid.UUID | None]:
    """A page of decisions, and the id to go on after."""
    async with ctx.db.read() as tx:
        found, last = await store.list_decisions(tx, project_id, wanted, after, limit)
    return [await _answered(ctx, project_id, decision) for decision in found], last


async def _found(ctx: Context, project_id: uuid.UUID, decision_id: uuid.UUID) -> Decision:
    async with ctx.db.read() as tx:
        found = await store.decisions_by_id(tx, project_id, [decision_id])
    if decision_id not in found:
        raise NotFound(f"No decision {decision_id}.")
    return found[decision_id]


async def _answered(ctx: Context, project_id: uuid.UUID, decision: Decision) -> Answered:
    policy = None
    if decision.policy_id is not None:
        policy = await ctx.views.policy(project_id, decision.policy_id)
    return Answered(decision, policy, first=False)
