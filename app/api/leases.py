"""What a labeling tool calls: claim, extend, release, submit."""

import re
import uuid
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from app.api.auth import Ctx, Reviewing, context
from app.api.queues import LeaseSeconds, QueueName
from app.api.text import NAME_PATTERN, LabelText, OwnId, Prose, Storable
from app.core.access import Caller, Scope
from app.core.review.states import ItemState
from app.core.review.task import Circumstances, Lease, ModelAnswer, Task
from app.core.review.verdict import Answer, Verdict
from app.flows import leases as flows
from app.flows.authenticate import authenticate
from app.flows.context import Context
from app.flows.verdicts import submit
from app.store.verdicts import StoredVerdict

router = APIRouter(tags=["review"])

B = TypeVar("B", bound=BaseModel)
NAME = re.compile(NAME_PATTERN)

# a token counts the leases of one assignment, in a bigint
Token = Annotated[int, Field(strict=True, ge=1, lt=2**63, description="As the lease gave it.")]
SECONDS_SPENT_LIMIT = 86_400.0


class ClaimIn(BaseModel):
    """Who wants work, and how much."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"reviewer": "r-17", "max": 5, "lease_s": 900, "wait_s": 20}},
    )

    reviewer: OwnId = Field(description="Your own id of the person; noted when it is new.")
    max: int = Field(1, ge=1, le=1000, description="Assignments at most.")
    lease_s: LeaseSeconds | None = Field(None, description="Null: as the queue says.")
    wait_s: FiniteFloat = Field(0, ge=0, le=3600, description="Seconds to wait for the first one.")
    resume: bool = Field(
        False,
        description="Give back the leases that this reviewer holds already (a lost response "
        "strands nobody), and claim new ones only up to `max`.",
    )

    def claim(self) -> flows.Claim:
        """As the flow takes it."""
        return flows.Claim(self.reviewer, self.max, self.lease_s, self.wait_s, self.resume)


class BlindTaskOut(BaseModel):
    """What a reviewer sees of a blind item: nothing that hints at the model's answer."""

    id: uuid.UUID
    queue: str
    subject: Any
    labels: list[str] = Field(description="The labels to choose from; empty where any will do.")
    guidelines: str | None
    context_key: str | None
    due_at: datetime
    blind: bool

    @classmethod
    def of(cls, task: Task) -> "BlindTaskOut":
        """From the task as it may be shown."""
        shown: dict[str, Any] = {
            "id": task.item_id,
            "queue": task.queue,
            "subject": task.subject,
            "labels": list(task.labels),
            "guidelines": task.guidelines,
            "context_key": task.context_key,
            "due_at": task.due_at,
            "blind": task.blind,
        }
        if task.circumstances is None:
            return cls(**shown)
        return TaskOut(**shown, **_circumstances(task.circumstances))


class TaskOut(BlindTaskOut):
    """What a reviewer sees of an item that is not blind."""

    kind: str
    reason: str
    priority: int
    features: dict[str, Any] | None
    segment: dict[str, str] | None
    decision_id: uuid.UUID | None


class ShownPredictionOut(BaseModel):
    """What the model said."""

    model: str
    model_version: str
    label: str | None
    confidence: float | None
    scores: dict[str, float] | None

    @classmethod
    def of(cls, said: ModelAnswer) -> "ShownPredictionOut":
        """From the model's answer."""
        return cls(
            model=said.model,
            model_version=said.model_version,
            label=said.label,
            confidence=said.confidence,
            scores=said.scores,
        )


class LeaseOut(BaseModel):
    """One leased assignment, with everything that showing the task needs."""

    assignment_id: uuid.UUID
    token: int = Field(description="Send it with every call about this lease.")
    expires_at: datetime
    item: TaskOut | BlindTaskOut
    prediction: ShownPredictionOut | None = Field(description="Null on a blind item.")

    @classmethod
    def of(cls, lease: Lease) -> "LeaseOut":
        """From the lease of a task as it may be shown."""
        said = lease.task.prediction
        return cls(
            assignment_id=lease.assignment_id,
            token=lease.token,
            expires_at=lease.expires_at,
            item=BlindTaskOut.of(lease.task),
            prediction=ShownPredictionOut.of(said) if said is not None else None,
        )


class LeasesOut(BaseModel):
    """What was claimed; empty when there was nothing to claim."""

    leases: list[LeaseOut]


class ExtendIn(BaseModel):
    """Which lease to keep for longer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"token": 7}})

    token: Token
    lease_s: LeaseSeconds | None = Field(
        None, description="Seconds from now; null: as the queue says. It never ends sooner."
    )


class ExtendedOut(BaseModel):
    """When the lease ends now."""

    assignment_id: uuid.UUID
    token: int
    expires_at: datetime


class ReleaseIn(BaseModel):
    """Which lease to give back."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"token": 7, "skip": True}}
    )

    token: Token
    skip: bool = Field(False, description="Do not offer the item to this reviewer again.")


class VerdictIn(BaseModel):
    """What the reviewer says."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "token": 7,
                "verdict": "correct",
                "label": "negative",
                "seconds_spent": 12.5,
                "comment": "irony",
            }
        },
    )

    token: Token
    verdict: Answer = Field(
        description="`confirm`: the model's label is right. `correct`: the model's label is wrong; "
        "`label` carries the right one. On a blind item, where the model's label is not shown, "
        "every label is given with `correct`. `cannot_tell`: it cannot be said from what is there. "
        "`invalid`: the input is unusable."
    )
    label: LabelText | None = Field(
        None, description="The right label: with `correct`, and only with it."
    )
    seconds_spent: FiniteFloat | None = Field(None, ge=0, le=SECONDS_SPENT_LIMIT)
    comment: Prose | None = None
    source: Annotated[Storable, Field(max_length=256)] | None = Field(
        None, description="The tool that it came through."
    )

    def given(self) -> Verdict:
        """As the core takes it."""
        return Verdict(self.verdict, self.label, self.seconds_spent, self.comment, self.source)


class VerdictOut(BaseModel):
    """A verdict that was taken."""

    id: uuid.UUID
    assignment_id: uuid.UUID
    item_id: uuid.UUID
    verdict: Answer
    label: str | None
    submitted_at: datetime
    item_state: ItemState

    @classmethod
    def of(cls, stored: StoredVerdict) -> "VerdictOut":
        """From the stored verdict."""
        return cls(
            id=stored.id,
            assignment_id=stored.assignment_id,
            item_id=stored.item_id,
            verdict=stored.answer,
            label=stored.label,
            submitted_at=stored.submitted_at,
            item_state=stored.item_state,
        )


# A claim and a verdict are a reviewer's hot path. They take the fast lane (`QUICKLY`, at the end),
# and their answers are written out here, since FastAPI would check and copy once more what was just
# built.
@router.post("/v1/queues/{queue}/leases", response_model=LeasesOut)
async def claim(
    ctx: Ctx, caller: Reviewing, queue: QueueName, body: ClaimIn, request: Request
) -> Response:
    """Claim assignments for a reviewer, first in the queue first."""
    leases = await flows.claim(
        ctx, caller.project, queue, body.claim(), has_left=request.is_disconnected
    )
    return _written(LeasesOut(leases=[LeaseOut.of(lease) for lease in leases]), 200)


@router.post("/v1/assignments/{assignment_id}/extend")
async def extend(
    ctx: Ctx, caller: Reviewing, assignment_id: uuid.UUID, body: ExtendIn
) -> ExtendedOut:
    """Keep a lease for longer."""
    expires_at = await flows.extend(ctx, caller.project, assignment_id, body.token, body.lease_s)
    return ExtendedOut(assignment_id=assignment_id, token=body.token, expires_at=expires_at)


@router.post("/v1/assignments/{assignment_id}/release", status_code=204)
async def release(ctx: Ctx, caller: Reviewing, assignment_id: uuid.UUID, body: ReleaseIn) -> None:
    """Give a lease back before it ends."""
    await flows.release(ctx, caller.project, assignment_id, body.token, skip=body.skip)


@router.post(
    "/v1/assignments/{assignment_id}/verdict",
    status_code=201,
    response_model=VerdictOut,
    responses={200: {"model": VerdictOut, "description": "The same verdict again."}},
)
async def submit_verdict(
    ctx: Ctx, caller: Reviewing, assignment_id: uuid.UUID, body: VerdictIn
) -> Response:
    """Submit the verdict on a leased assignment; to send it again is safe."""
    stored, first = await submit(ctx, caller.project, assignment_id, body.token, body.given())
    return _written(VerdictOut.of(stored), 201 if first else 200)


def _written(answer: BaseModel, status: int) -> Response:
    return Response(answer.model_dump_json(), status, media_type="application/json")


def _circumstances(why: Circumstances) -> dict[str, Any]:
    return {
        "kind": why.kind,
        "reason": why.reason,
        "priority": why.priority,
        "features": why.features,
        "segment": why.segment,
        "decision_id": why.decision_id,
    }


async def _claim_quickly(request: Request) -> Response | None:
    ctx, caller = await _reviewer(request)
    queue = request.path_params["queue"]
    body = await _read(request, ClaimIn)
    if body is None or not NAME.fullmatch(queue):
        return None
    return await claim(ctx, caller, queue, body, request)


async def _submit_quickly(request: Request) -> Response | None:
    ctx, caller = await _reviewer(request)
    body = await _read(request, VerdictIn)
    try:
        assignment_id = uuid.UUID(request.path_params["assignment_id"])
    except ValueError:
        return None
    return None if body is None else await submit_verdict(ctx, caller, assignment_id, body)


async def _reviewer(request: Request) -> tuple[Context, Caller]:
    ctx = context(request)
    return ctx, await authenticate(ctx, request.headers.get("authorization"), Scope.REVIEW)


async def _read(request: Request, model: type[B]) -> B | None:
    """A body that is as it should be; whatever else it is, the ordinary route explains."""
    if request.headers.get("content-type") != "application/json":
        return None
    try:
        return model.model_validate_json(await request.body())
    except ValidationError:
        return None


# by the name of a route
QUICKLY = {"claim": _claim_quickly, "submit_verdict": _submit_quickly}
