"""Why a decision is what it is: in sentences, made again, and as a receipt."""

import uuid
from datetime import datetime

from msgspec import Struct

from app.core.errors import NotFound
from app.core.routing.decision import Decision
from app.core.routing.draw import Chance, DayKey, day_key, day_of
from app.core.routing.explain import Explanation
from app.core.routing.explain import explain as explanation_of
from app.core.routing.prediction import Recorded
from app.core.routing.receipt import Receipt, WrittenPolicy, receipt_of
from app.core.routing.replay import Replayed
from app.core.routing.replay import replay as replayed
from app.flows.context import Context
from app.store.metrics import present
from app.store.policies import version_by_id
from app.store.recorded_decisions import decisions_by_id, kept_prediction


class Explained(Struct, frozen=True):
    """A decision with its explanation and the policy version that made it."""

    decision: Decision
    policy: WrittenPolicy | None
    explanation: Explanation


async def explain(ctx: Context, project_id: uuid.UUID, decision_id: uuid.UUID) -> Explained:
    """Why a decision is what it is, for people.

    Raises:
        NotFound: none of that id in the project.
    """
    kept = await _kept(ctx, project_id, decision_id)
    policy_id = kept.decision.policy_id
    compiled = await ctx.views.policy(project_id, policy_id) if policy_id is not None else None
    return Explained(kept.decision, kept.policy, explanation_of(kept.decision, compiled))


async def replay(ctx: Context, project_id: uuid.UUID, decision_id: uuid.UUID) -> Replayed:
    """Make a decision again from what is stored, and compare.

    Raises:
        NotFound: none of that id in the project.
    """
    kept = await _kept(ctx, project_id, decision_id)
    chance = Chance(DayKey(kept.key_of_day), decision_id.bytes)
    return replayed(kept.receipt(), chance)


async def receipt(ctx: Context, project_id: uuid.UUID, decision_id: uuid.UUID) -> Receipt:
    """What an auditor needs to make a decision again without this service.

    Raises:
        NotFound: none of that id in the project.
    """
    return (await _kept(ctx, project_id, decision_id)).receipt()


class _Kept(Struct, frozen=True):
    """All that is stored of a decision; `now` is the database's."""

    decision: Decision
    prediction: Recorded
    policy: WrittenPolicy | None
    key_of_day: bytes
    now: datetime

    def receipt(self) -> Receipt:
        return receipt_of(self.decision, self.prediction, self.policy, self.key_of_day, self.now)


async def _kept(ctx: Context, project_id: uuid.UUID, decision_id: uuid.UUID) -> _Kept:
    view = await ctx.views.projects.get(project_id)
    async with ctx.db.read() as tx:
        decision = (await decisions_by_id(tx, project_id, [decision_id])).get(decision_id)
        prediction = await kept_prediction(tx, project_id, decision_id)
        if decision is None or prediction is None:
            raise NotFound(f"No decision {decision_id}.")
        policy = None
        if decision.policy_id is not None:
            version = await version_by_id(tx, project_id, decision.policy_id)
            assert version is not None, "versions are never removed"
            policy = WrittenPolicy(
                version.name, version.version, version.digest.hex(), version.document
            )
        now = await present(tx)
    return _Kept(decision, prediction, policy, day_key(view.secret, day_of(decision_id)), now)
