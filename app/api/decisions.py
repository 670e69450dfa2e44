"""Reading decisions: one, by the caller's own id, many, or a list."""

import uuid
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.auth import Ctx, Reading
from app.api.decision_out import DecisionOut
from app.api.paging import PAGE_ROWS, Cursor, Limit, after, cursor_of
from app.api.text import OwnId, Time, check_range
from app.api.wire import reply
from app.core.errors import Invalid
from app.flows import decisions as flow
from app.store.recorded_decisions import Filter

router = APIRouter(tags=["decisions"])

WAIT_S_MAX = 30


class DecisionPage(msgspec.Struct, frozen=True):
    """One page of decisions; next_cursor is null on the last one."""

    items: list[DecisionOut]
    next_cursor: str | None


class LookupIn(BaseModel):
    """Ids and request keys, at most 1,000 of each."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"request_keys": ["req-81c"]}}
    )

    ids: list[uuid.UUID] = Field([], max_length=1000)
    request_keys: list[OwnId] = Field([], max_length=1000)


Text = Annotated[str | None, Query(max_length=256)]


@router.get("/v1/decisions/{decision_id}")
async def get_decision(
    ctx: Ctx,
    caller: Reading,
    decision_id: uuid.UUID,
    wait_s: Annotated[
        float, Query(ge=0, le=WAIT_S_MAX, description="Seconds to wait for the human answer.")
    ] = 0,
) -> Response:
    """One decision, with its human answer once it is there."""
    return reply(DecisionOut.of(await flow.find(ctx, caller.project, decision_id, wait_s)), 200)


@router.get("/v1/decisions")
async def list_decisions(  # noqa: PLR0917 - one parameter per filter
    ctx: Ctx,
    caller: Reading,
    request_key: Text = None,
    model: Text = None,
    model_version: Text = None,
    route: Literal["accept", "review", "reject"] | None = None,
    reason: Text = None,
    label: Text = None,
    segment: Annotated[str | None, Query(examples=["source:tweets"], max_length=513)] = None,
    audited: bool | None = None,
    since: Annotated[Time | None, Query(alias="from")] = None,
    until: Annotated[Time | None, Query(alias="to")] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Response:
    """List decisions in the order of time, from 7 days back unless `from` is given."""
    if request_key is not None:
        found = await flow.find_by_request_key(ctx, caller.project, request_key)
        return reply(DecisionPage([DecisionOut.of(one) for one in found], None), 200)
    check_range(since, until)
    wanted = Filter(
        model=model,
        model_version=model_version,
        route=route,
        reason=reason,
        label=label,
        audited=audited,
        segment=parse_segment(segment),
        since=since,
        until=until,
    )
    found, last = await flow.list_decisions(
        ctx, caller.project, wanted, after("decisions", cursor), limit
    )
    page = DecisionPage(
        [DecisionOut.of(one) for one in found],
        cursor_of("decisions", last) if last is not None else None,
    )
    return reply(page, 200)


@router.post("/v1/decisions/lookup")
async def lookup_decisions(ctx: Ctx, caller: Reading, body: LookupIn) -> Response:
    """Many decisions at once; what is not there is left out."""
    found = await flow.lookup(ctx, caller.project, body.ids, body.request_keys)
    return reply(DecisionPage([DecisionOut.of(one) for one in found], None), 200)


def parse_segment(text: str | None) -> dict[str, str] | None:
    """`source:tweets` as {"source": "tweets"}.

    Raises:
        Invalid: no colon in it.
    """
    if text is None:
        return None
    key, colon, value = text.partition(":")
    if not (key and colon and value):
        raise Invalid("Write a segment as key:value.", loc=("query", "segment"))
    return {key: value}
