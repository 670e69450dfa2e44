"""Monitors: what watches a model, what it says, and what operators do about it."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.api.auth import Ctx, Managing, Reading
from app.api.monitors_out import AcceptedOut, EvaluationOut, MonitorOut, MonitorSummaryOut
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.text import Moment, Name, OwnId, Storable, Time, check_range
from app.core.drift.concept import MARGIN
from app.core.drift.watched import (
    BUCKET_S_MAX,
    GRACE_S_MAX,
    LENGTH_MAX,
    LENGTHS_MAX,
    MUTE_MAX,
    TimingAsked,
)
from app.flows import monitor_acts, monitors
from app.store.monitor_history import Wanted

router = APIRouter(tags=["drift"])

MonitorName = Annotated[Name, Path(description="The monitor's name.")]
ReferenceName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}(@[0-9]{1,9})?$")
]
HOURS_MAX = MUTE_MAX / timedelta(hours=1)


class MonitorIn(BaseModel):
    """What a monitor watches, and when it looks."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {
                "model": "sentiment",
                "signal": "confidence",
                "reference": "validated",
                "bucket_s": 3600,
                "grace_s": 900,
                "windows": [1, 24],
            }
        },
    )

    model: OwnId
    signal: Annotated[Storable, StringConstraints(max_length=300)] = Field(
        description="`label`, `confidence`, `disagreement`, `features` (all of them), "
        "`feature:<name>`, `embedding`, `out_of_distribution` or `missing`: each is compared with "
        "a reference. `concept`: the audited error against `certified_error`; `gap`: the audited "
        "error against the model's own confidence; both take whole days of UTC."
    )
    reference: ReferenceName | None = Field(
        None, description="`name`, its latest version now, or `name@version`."
    )
    certified_error: float | None = Field(
        None,
        ge=0,
        le=1 - 2 * MARGIN,
        description="Of `concept`: the upper bound of the error that was certified, a share. The "
        f"alarm is for an error above it by more than {MARGIN}.",
    )
    bucket_s: int | None = Field(
        None,
        strict=True,
        ge=1,
        le=BUCKET_S_MAX,
        description="Seconds of a bucket; 3600 for a model's first monitor. All monitors of a "
        "model share the three settings of time.",
    )
    grace_s: int | None = Field(
        None,
        strict=True,
        ge=0,
        le=GRACE_S_MAX,
        description="Seconds after its end for which a bucket stays open, and by which "
        "`occurred_at` may differ from the receipt; 900 for a model's first monitor.",
    )
    windows: (
        Annotated[
            list[Annotated[int, Field(strict=True, ge=1, le=LENGTH_MAX)]],
            Field(min_length=1, max_length=LENGTHS_MAX),
        ]
        | None
    ) = Field(
        None, description="Lengths of its windows in buckets; [1, 24] for a model's first monitor."
    )

    def asked(self) -> monitors.Asked:
        """As the flow takes it."""
        lengths = tuple(self.windows) if self.windows is not None else None
        return monitors.Asked(
            model=self.model,
            signal=self.signal,
            reference=self.reference,
            certified_error=self.certified_error,
            timing=TimingAsked(self.bucket_s, self.grace_s, lengths),
        )


class MuteIn(BaseModel):
    """Until when a monitor is taken for stable: one of the two."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"hours": 8}})

    until: Moment | None = Field(None, description=f"At most {MUTE_MAX.days} days from now.")
    hours: float | None = Field(None, gt=0, le=HOURS_MAX)

    @model_validator(mode="after")
    def _one_of_them(self) -> "MuteIn":
        if (self.until is None) == (self.hours is None):
            raise ValueError("give either `until` or `hours`")
        return self

    def end(self) -> datetime | timedelta:
        """As the flow takes it."""
        if self.until is not None:
            return self.until
        assert self.hours is not None, "checked above"
        return timedelta(hours=self.hours)


@router.put(
    "/v1/monitors/{name}",
    responses={201: {"model": MonitorOut, "description": "The monitor is new."}},
)
async def put_monitor(
    ctx: Ctx, caller: Managing, name: MonitorName, body: MonitorIn, response: Response
) -> MonitorOut:
    """Make a monitor, or let one compare with another reference.

    What it watches, and of which model, cannot change. With another reference (or
    `certified_error`) its states start again at `collecting`; its evaluations stay.
    """
    shown, new = await monitors.put(ctx, caller, name, body.asked())
    response.status_code = 201 if new else 200
    return MonitorOut.of(shown)


@router.get("/v1/monitors")
async def list_monitors(
    ctx: Ctx,
    caller: Reading,
    model: Annotated[str | None, Query(max_length=256)] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[MonitorSummaryOut]:
    """List monitors, each with its most alarming state."""
    found = await monitors.list_monitors(
        ctx, caller.project, model, after("monitors", cursor), limit
    )
    return Page(
        items=[MonitorSummaryOut.of(shown) for shown in found],
        next_cursor=next_cursor("monitors", [shown.monitor.id for shown in found], limit),
    )


@router.get("/v1/monitors/{name}")
async def get_monitor(ctx: Ctx, caller: Reading, name: MonitorName) -> MonitorOut:
    """One monitor with its states by model version and segment."""
    return MonitorOut.of(await monitors.get(ctx, caller.project, name))


@router.delete("/v1/monitors/{name}", status_code=204)
async def delete_monitor(ctx: Ctx, caller: Managing, name: MonitorName) -> None:
    """Remove a monitor and its states.

    Refused while an active or shadow policy names it. Its evaluations are kept, but no longer
    listed.
    """
    await monitors.remove(ctx, caller, name)


@router.get("/v1/monitors/{name}/evaluations")
async def list_evaluations(  # noqa: PLR0917 - FastAPI passes them by name
    ctx: Ctx,
    caller: Reading,
    name: MonitorName,
    model_version: Annotated[str | None, Query(max_length=256)] = None,
    segment: Annotated[
        str | None,
        Query(
            max_length=513,
            description="`key:value`; empty for the whole of a version; both unless given.",
            examples=["source:tweets"],
        ),
    ] = None,
    length: Annotated[
        int | None, Query(ge=1, le=LENGTH_MAX, description="Of the window, in buckets.")
    ] = None,
    since: Annotated[Time | None, Query(alias="from")] = None,
    until: Annotated[Time | None, Query(alias="to")] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[EvaluationOut]:
    """List what a monitor found, newest window first, from 7 days back unless `from` is given.

    `from` and `to` are about the ends of windows.
    """
    check_range(since, until)
    wanted = Wanted(model_version, segment, length, since, until)
    kept, found = await monitors.list_evaluations(
        ctx, caller.project, name, wanted, after=after("evaluations", cursor), limit=limit
    )
    return Page(
        items=[EvaluationOut.of(kept, one) for one in found],
        next_cursor=next_cursor("evaluations", [one.id for one in found], limit),
    )


@router.post("/v1/monitors/{name}/acknowledge")
async def acknowledge_monitor(ctx: Ctx, caller: Managing, name: MonitorName) -> MonitorOut:
    """Note that you have seen its present states; routing stays as it is."""
    return MonitorOut.of(await monitor_acts.acknowledge(ctx, caller, name))


@router.post("/v1/monitors/{name}/mute")
async def mute_monitor(ctx: Ctx, caller: Managing, name: MonitorName, body: MuteIn) -> MonitorOut:
    """Take a monitor for stable for a time, at most 30 days: routing goes back meanwhile."""
    return MonitorOut.of(await monitor_acts.mute(ctx, caller, name, body.end()))


@router.post("/v1/monitors/{name}/unmute")
async def unmute_monitor(ctx: Ctx, caller: Managing, name: MonitorName) -> MonitorOut:
    """Let a monitor speak again."""
    return MonitorOut.of(await monitor_acts.unmute(ctx, caller, name))


@router.post("/v1/monitors/{name}/accept")
async def accept_monitor(ctx: Ctx, caller: Managing, name: MonitorName) -> AcceptedOut:
    """Take the last window that alarmed as the new normal.

    Makes the next version of its reference from the predictions recorded in that window, and lets
    every monitor on the old version compare with it. Their states start again at `collecting`.
    """
    return AcceptedOut.of(await monitor_acts.accept(ctx, caller, name))
