"""Queues: settings and figures."""

import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Ctx, Managing, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.text import Name, Prose
from app.flows import queues as flows

router = APIRouter(tags=["review"])

LEASE_S_LIMIT = 86_400
EXTENSIONS_LIMIT = 1_000
DUE_S_LIMIT = 366 * 86_400

QueueName = Annotated[Name, Path(description="The queue's name.")]
LeaseSeconds = Annotated[int, Field(strict=True, ge=1, le=LEASE_S_LIMIT)]


class QueueIn(BaseModel):
    """All settings of a queue; what is left out takes its default."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"lease_s": 900, "due_s": 14400, "blind": False}},
    )

    blind: bool = Field(
        False, description="Reviewers do not see the model's answer. Audits are always blind."
    )
    judge: Literal["single", "panel"] = Field(
        "single", description="`panel` where each verdict is several people's common answer."
    )
    lease_s: LeaseSeconds | None = Field(
        None, description="Seconds of a lease that asks for none; 900 unless the longest is less."
    )
    lease_s_max: LeaseSeconds | None = Field(
        None, description="Seconds of the longest lease; 3600 unless the usual one is longer."
    )
    extensions_max: int = Field(
        10, ge=0, le=EXTENSIONS_LIMIT, description="How often one lease may be extended."
    )
    due_s: int = Field(86_400, ge=1, le=DUE_S_LIMIT, description="Seconds from queued to due.")
    guidelines: Prose | None = Field(
        None, description="What a reviewer should know: a text, or the address of one."
    )

    def settings(self) -> flows.QueueSettings:
        """As the flow takes them."""
        return flows.QueueSettings(**self.model_dump())


class QueueOut(BaseModel):
    """A queue: its settings, and how full it is."""

    id: uuid.UUID
    name: str
    blind: bool
    judge: Literal["single", "panel"]
    lease_s: int
    lease_s_max: int
    extensions_max: int
    due_s: int
    guidelines: str | None
    depth: int = Field(description="Assignments that wait or are being worked on.")
    oldest_age_s: float | None = Field(
        description="Age of its oldest unsettled item; null when there is none."
    )
    inflow_per_h: int = Field(description="Items queued in the last hour.")
    outflow_per_h: int = Field(description="Items settled in the last hour.")

    @classmethod
    def of(cls, now: flows.QueueNow) -> "QueueOut":
        """From the stored queue and its figures."""
        return cls(
            id=now.queue.id,
            name=now.queue.name,
            blind=now.queue.blind,
            judge="panel" if now.queue.judge == "panel" else "single",
            lease_s=now.queue.lease_s,
            lease_s_max=now.queue.lease_s_max,
            extensions_max=now.queue.extensions_max,
            due_s=now.queue.due_s,
            guidelines=now.queue.guidelines,
            depth=now.figures.depth,
            oldest_age_s=now.figures.oldest_age_s,
            inflow_per_h=now.figures.inflow_per_h,
            outflow_per_h=now.figures.outflow_per_h,
        )


@router.put(
    "/v1/queues/{queue}",
    responses={201: {"model": QueueOut, "description": "The queue is new."}},
)
async def put_queue(
    ctx: Ctx, caller: Managing, queue: QueueName, body: QueueIn, response: Response
) -> QueueOut:
    """Make a queue, or replace all settings of one."""
    now, new = await flows.put_queue(ctx, caller, queue, body.settings())
    response.status_code = 201 if new else 200
    return QueueOut.of(now)


@router.get("/v1/queues")
async def list_queues(
    ctx: Ctx, caller: Reading, limit: Limit = PAGE_ROWS, cursor: Cursor = None
) -> Page[QueueOut]:
    """List queues with their settings and figures."""
    rows = await flows.list_queues(ctx, caller.project, after("queues", cursor), limit)
    return Page(
        items=[QueueOut.of(row) for row in rows],
        next_cursor=next_cursor("queues", [row.queue.id for row in rows], limit),
    )


@router.get("/v1/queues/{queue}")
async def get_queue(ctx: Ctx, caller: Reading, queue: QueueName) -> QueueOut:
    """One queue with its settings and figures."""
    return QueueOut.of(await flows.get_queue(ctx, caller.project, queue))
