"""Items: what was asked, who answered what, and what settled it."""

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Ctx, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, cursor_of
from app.api.text import Name, OwnId, Time, check_range
from app.core.review.states import AssignmentState, ItemState
from app.core.review.verdict import Answer, Outcome
from app.flows import items as flows
from app.store.items import Item

router = APIRouter(tags=["review"])

Kind = Literal["review", "audit", "gold", "repeat", "flagged"]


class AssignmentOut(BaseModel):
    """One reviewer's unit of work on an item."""

    id: uuid.UUID
    slot: int
    state: AssignmentState
    reviewer: str | None
    leased_at: datetime | None
    lease_until: datetime | None
    submitted_at: datetime | None


class GivenVerdictOut(BaseModel):
    """One verdict on an item."""

    id: uuid.UUID
    assignment_id: uuid.UUID
    reviewer: str
    verdict: Answer
    label: str | None
    seconds_spent: float | None = Field(description="As the reviewer counted.")
    seconds_leased: float = Field(description="As measured from claim to submit.")
    comment: str | None
    source: str | None
    submitted_at: datetime


class ResolutionOut(BaseModel):
    """An item's final human answer."""

    outcome: Outcome
    label: str | None
    agreed: bool | None = Field(
        description="Whether human and model gave the same label; null where one gave none."
    )
    judge: str
    blind: bool
    resolved_at: datetime


class ItemOut(BaseModel):
    """An item with everything that reviewers did about it."""

    id: uuid.UUID
    queue: str
    kind: Kind
    state: ItemState
    decision_id: uuid.UUID | None
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    scores: dict[str, float] | None
    features: dict[str, Any] | None
    segment: dict[str, str] | None
    route: str
    reason: str
    inclusion_probability: float
    stratum: str
    priority: int
    blind: bool
    blocking: bool
    verdicts_needed: int
    risk: float | None
    context_key: str | None
    input_key: str | None
    subject: Any
    decided_at: datetime
    queued_at: datetime
    due_at: datetime
    settled_at: datetime | None
    assignments: list[AssignmentOut]
    verdicts: list[GivenVerdictOut]
    resolution: ResolutionOut | None

    @classmethod
    def of(cls, item: Item) -> "ItemOut":
        """From the stored item; the fields have one name on both sides."""
        return cls(**asdict(item))


@router.get("/v1/items/{item_id}")
async def get_item(ctx: Ctx, caller: Reading, item_id: uuid.UUID) -> ItemOut:
    """One item with its assignments, verdicts and resolution."""
    return ItemOut.of(await flows.get_item(ctx, caller.project, item_id))


@router.get("/v1/items")
async def list_items(
    ctx: Ctx,
    caller: Reading,
    *,
    queue: Annotated[Name | None, Query()] = None,
    state: ItemState | None = None,
    kind: Kind | None = None,
    model: Annotated[OwnId | None, Query()] = None,
    since: Annotated[
        Time | None, Query(alias="from", description="Default: seven days ago.")
    ] = None,
    until: Annotated[Time | None, Query(alias="to")] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[ItemOut]:
    """List items in the order in which they were made.

    A page that looked at 10,000 items ends there: it may be short and still have a next one.
    """
    check_range(since, until)
    wanted = flows.Wanted(queue, state, kind, model, since, until)
    page = await flows.list_items(ctx, caller.project, wanted, after("items", cursor), limit)
    return Page(
        items=[ItemOut.of(item) for item in page.items],
        next_cursor=cursor_of("items", page.next_after) if page.next_after else None,
    )
