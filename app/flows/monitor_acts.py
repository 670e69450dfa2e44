"""What operators do to a monitor that speaks: acknowledge, mute, accept."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core.access import Caller
from app.core.drift.evaluate import REFERENCE_MIN
from app.core.drift.reference import Reference
from app.core.drift.watched import check_mute, watched
from app.core.drift.windows import start_of
from app.core.errors import NothingToAccept
from app.flows import references
from app.flows.context import Context
from app.flows.monitors import Shown, found, locked, log, restart, shown
from app.store import monitor_history as history
from app.store import monitors as store
from app.store.engine import retried
from app.store.metrics import present
from app.store.references import ReferenceHead, find_head


@dataclass(frozen=True, slots=True)
class Accepted:
    """The new reference, and the monitors that compare with it from now on."""

    reference: Reference
    monitors: list[str]


@retried
async def acknowledge(ctx: Context, caller: Caller, name: str) -> Shown:
    """Note that somebody has seen the present states; what routing does stays.

    Raises:
        NotFound: no such monitor.
    """
    async with ctx.db.write() as tx:
        monitor = await locked(tx, caller.project, name)
        await store.acknowledge_monitor(tx, caller.project, monitor.id, caller.name)
        await log(tx, caller, monitor, "acknowledged")
        return await shown(tx, caller.project, name)


@retried
async def mute(ctx: Context, caller: Caller, name: str, until: datetime | timedelta) -> Shown:
    """Take a monitor for stable until a time, or for so long.

    Raises:
        NotFound: no such monitor.
        Invalid: that is past, or too far away.
    """
    async with ctx.db.write() as tx:
        monitor = await locked(tx, caller.project, name)
        now = await present(tx)
        end = now + until if isinstance(until, timedelta) else until
        check_mute(end, now)
        await store.mute_monitor(tx, caller.project, monitor.id, end)
        await log(tx, caller, monitor, "muted", before=monitor.muted_until, after=end)
        muted = await shown(tx, caller.project, name)
    ctx.views.forget()
    return muted


@retried
async def unmute(ctx: Context, caller: Caller, name: str) -> Shown:
    """Let a monitor speak again.

    Raises:
        NotFound: no such monitor.
    """
    async with ctx.db.write() as tx:
        monitor = await locked(tx, caller.project, name)
        if monitor.muted_until is not None:
            await store.mute_monitor(tx, caller.project, monitor.id, None)
            await log(tx, caller, monitor, "unmuted", before=monitor.muted_until)
        heard = await shown(tx, caller.project, name)
    ctx.views.forget()
    return heard


async def accept(ctx: Context, caller: Caller, name: str) -> Accepted:
    """Take the last window that alarmed as the new normal.

    The next version of the reference is made from the predictions recorded in it, of the same
    model, version and segment; every monitor on the old one starts again with the new one, but for
    those whose signal it does not have.

    Raises:
        NotFound: no such monitor.
        NothingToAccept: it does not alarm, or that window is too thin for a reference.
    """
    old, asked = await _window_to_accept(ctx, caller, name)
    segment = old.segment.partition(":") if old.segment is not None else None
    scope = references.Scope(
        old.model, old.model_version, (segment[0], segment[2]) if segment is not None else None
    )
    put = await references.put_predictions(ctx, caller, old.name, scope, asked)
    moved = await _move(ctx, caller, name, old, put.reference)
    ctx.views.forget()
    return Accepted(put.reference, moved)


async def _window_to_accept(
    ctx: Context, caller: Caller, name: str
) -> tuple[ReferenceHead, references.Range]:
    async with ctx.db.read() as tx:
        monitor = await found(tx, caller.project, name)
        if monitor.reference_id is None or monitor.reference is None:
            raise NothingToAccept(
                f"{name!r} compares with no reference; put another certified_error instead."
            )
        alarm = await history.last_alarm(tx, caller.project, monitor.id, monitor.reference_id)
        if alarm is None:
            raise NothingToAccept(f"{name!r} neither warns nor drifts.")
        old = await find_head(tx, caller.project, monitor.reference, monitor.reference_version)
        assert old is not None, "references are never removed"
        counted = await history.predictions_in(tx, caller.project, alarm)
    if counted < REFERENCE_MIN:
        raise NothingToAccept(
            f"The last window that alarmed has {counted} predictions, and a reference that can be "
            f"compared with needs {REFERENCE_MIN}. Make one of a longer range "
            f"(PUT /v1/references/{old.name}) and let the monitor compare with it."
        )
    return old, references.Range(
        start_of(alarm.first_bucket, monitor.timing),
        start_of(alarm.last_bucket + 1, monitor.timing),
    )


@retried
async def _move(
    ctx: Context, caller: Caller, name: str, old: ReferenceHead, new: Reference
) -> list[str]:
    """Let the monitors on one reference compare with another; their names."""
    streams = [stream.name for stream in new.streams]
    async with ctx.db.write() as tx:
        await locked(tx, caller.project, name)
        moved = [
            monitor
            for monitor in await store.monitors_on(tx, caller.project, old.id)
            if watched(monitor.signal, streams)
        ]
        for monitor in moved:
            await store.change_monitor(
                tx,
                caller.project,
                monitor.id,
                reference_id=new.id,
                certified_error=monitor.certified_error,
            )
            await log(
                tx,
                caller,
                monitor,
                "accepted",
                before={"reference": f"{old.name}@{old.version}"},
                after={"reference": f"{new.name}@{new.version}"},
            )
        for monitor in moved:
            await restart(tx, caller.project, monitor)
    return [monitor.name for monitor in moved]
