"""Events: a feed of what happened."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Ctx, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, next_cursor
from app.api.paging import after as after_cursor
from app.flows import events as flows
from app.store.outbox import Event

router = APIRouter(tags=["events"])


class EventOut(BaseModel):
    """Something that happened; kept for 7 days."""

    id: uuid.UUID
    type: str = Field(
        description="`monitor.changed`: a monitor's state of one model version and segment."
    )
    data: dict[str, Any] = Field(description="What there is to say of it, by its type.")
    created_at: datetime

    @classmethod
    def of(cls, event: Event) -> "EventOut":
        """From the stored event."""
        return cls(id=event.id, type=event.type, data=event.data, created_at=event.created_at)


@router.get("/v1/events")
async def list_events(  # noqa: PLR0917 - FastAPI passes them by name
    ctx: Ctx,
    caller: Reading,
    after: Annotated[
        uuid.UUID | None, Query(description="Id of the last event that you have seen.")
    ] = None,
    type_: Annotated[
        str | None,
        Query(alias="type", max_length=64, pattern=r"^[a-z_.]+$", description="Only of this type."),
    ] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[EventOut]:
    """Read what happened, in the order in which it was committed.

    Events are kept for 7 days. Keep the id of the last one that you have seen and ask for those
    `after` it: none ever appears before one that could be read already. `cursor` goes on within one
    walk, and takes the place of `after`.
    """
    last = after_cursor("events", cursor) or after
    found = await flows.list_events(ctx, caller.project, last, limit, type_)
    return Page(
        items=[EventOut.of(event) for event in found],
        next_cursor=next_cursor("events", [event.id for event in found], limit),
    )
