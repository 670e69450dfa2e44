"""Why a decision is what it is: explain, replay, receipt."""

import uuid
from typing import Annotated

from fastapi import APIRouter
from msgspec import Meta, Struct
from starlette.responses import Response

from app.api.auth import Ctx, Reading
from app.api.decision_out import PolicyRef
from app.api.wire import reply
from app.core.routing.document import Route
from app.core.routing.explain import ExplainedAudit, ExplainedRule
from app.core.routing.replay import Difference, Replayed
from app.flows import explain as flow

router = APIRouter(tags=["decisions"])


class ExplanationOut(Struct, frozen=True):
    """A decision in sentences."""

    decision: uuid.UUID
    route: Route
    reason: str
    summary: Annotated[str, Meta(description="What was decided and why, in one sentence.")]
    rules: Annotated[list[ExplainedRule], Meta(description="In the order of the policy.")]
    audit: ExplainedAudit
    policy: PolicyRef | None

    @classmethod
    def of(cls, explained: flow.Explained) -> "ExplanationOut":
        """From a decision and its explanation."""
        decision, explanation, policy = explained.decision, explained.explanation, explained.policy
        return cls(
            decision=decision.id,
            route=decision.outcome.route,
            reason=decision.outcome.reason,
            summary=explanation.summary,
            rules=explanation.rules,
            audit=explanation.audit,
            policy=PolicyRef(policy.name, policy.version) if policy is not None else None,
        )


class ReplayOut(Struct, frozen=True):
    """Whether a decision comes out again as it was recorded."""

    decision: uuid.UUID
    agrees: bool
    differences: Annotated[list[Difference], Meta(description="Empty when it agrees.")]
    notes: Annotated[
        list[str], Meta(description="Sentences on what could not be compared, and why.")
    ]

    @classmethod
    def of(cls, decision_id: uuid.UUID, replayed: Replayed) -> "ReplayOut":
        """From what came out."""
        return cls(decision_id, not replayed.differences, replayed.differences, replayed.notes)


@router.get("/v1/decisions/{decision_id}/explain")
async def explain_decision(ctx: Ctx, caller: Reading, decision_id: uuid.UUID) -> Response:
    """Why a decision is what it is, rule by rule, in sentences."""
    explained = await flow.explain(ctx, caller.project, decision_id)
    return reply(ExplanationOut.of(explained), 200)


@router.post("/v1/decisions/{decision_id}/replay")
async def replay_decision(ctx: Ctx, caller: Reading, decision_id: uuid.UUID) -> Response:
    """Make a decision again from what is stored, and compare it with what was recorded.

    Numbers agree when all their bits do. Nothing is changed.
    """
    replayed = await flow.replay(ctx, caller.project, decision_id)
    return reply(ReplayOut.of(decision_id, replayed), 200)


@router.get("/v1/decisions/{decision_id}/receipt")
async def get_receipt(ctx: Ctx, caller: Reading, decision_id: uuid.UUID) -> Response:
    """All that a decision was made of; `overrule verify` checks it offline.

    It holds the prediction as it was sent, subject and features included. The key of the day's
    draws is in it once that UTC day is over.
    """
    return reply(await flow.receipt(ctx, caller.project, decision_id), 200)
