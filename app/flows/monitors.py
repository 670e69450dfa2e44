"""Monitors: making and changing them, and looking at what they say."""

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.access import Caller
from app.core.drift.history import CHANGED, Change
from app.core.drift.watched import (
    AUDITED,
    MONITORS_MAX,
    TimingAsked,
    check_signal,
    settled,
    watched,
)
from app.core.drift.windows import Timing, first_open
from app.core.errors import (
    Invalid,
    MonitorFixed,
    MonitorInUse,
    MonitorsFull,
    NotFound,
    TimingFixed,
)
from app.core.routing.life import VersionState
from app.core.routing.policy import compile_policy
from app.flows.context import Context
from app.store import monitor_history as history
from app.store import monitors as store
from app.store import outbox, policies
from app.store.engine import Reader, Writer, retried
from app.store.ids import new_id
from app.store.keys import lock_project, log_change
from app.store.metrics import present
from app.store.references import ReferenceHead, find_head

COLLECTING = "collecting"


@dataclass(frozen=True, slots=True)
class Asked:
    """All that a PUT says of a monitor.

    Attributes:
        reference: its name, with `@version` or the latest.
        certified_error: of the signal `concept` alone.
    """

    model: str
    signal: str
    reference: str | None
    certified_error: float | None
    timing: TimingAsked


@dataclass(frozen=True, slots=True)
class Shown:
    """A monitor and its states, as of `now`."""

    monitor: store.Monitor
    states: list[history.LengthState]
    now: datetime


@retried
async def put(ctx: Context, caller: Caller, name: str, asked: Asked) -> tuple[Shown, bool]:
    """Make a monitor, or let one compare with another reference; and whether it is new.

    With another reference or bound its states start again at collecting; evaluations stay.

    Raises:
        Invalid: what is asked for makes no sense, or its reference is not there.
        MonitorFixed: the monitor is there and watches something else.
        TimingFixed: the model has other buckets or windows.
        MonitorsFull: the model has too many already.
    """
    check_signal(
        asked.signal,
        has_reference=asked.reference is not None,
        certified_error=asked.certified_error,
    )
    async with ctx.db.write() as tx:
        reference = await _reference_of(tx, caller.project, asked)
        await _hold_model(tx, caller.project, asked)
        before = await store.find_monitor(tx, caller.project, name)
        if before is None:
            await _add(tx, caller, name, asked, reference)
        else:
            await _change(tx, caller, before, asked, reference)
        now = await shown(tx, caller.project, name)
    ctx.views.forget()
    return now, before is None


async def get(ctx: Context, project_id: uuid.UUID, name: str) -> Shown:
    """One monitor with its states.

    Raises:
        NotFound: no such monitor.
    """
    async with ctx.db.read() as tx:
        return await shown(tx, project_id, name)


async def list_monitors(
    ctx: Context, project_id: uuid.UUID, model: str | None, after: uuid.UUID | None, limit: int
) -> list[Shown]:
    """A page of monitors with their states."""
    async with ctx.db.read() as tx:
        found = await store.list_monitors(tx, project_id, model, after, limit)
        states = await history.states_of(tx, project_id, [one.id for one in found])
        now = await present(tx)
    return [Shown(one, [s for s in states if s.monitor_id == one.id], now) for one in found]


async def list_evaluations(
    ctx: Context,
    project_id: uuid.UUID,
    name: str,
    wanted: history.Wanted,
    *,
    after: uuid.UUID | None,
    limit: int,
) -> tuple[store.Monitor, list[history.Evaluated]]:
    """A page of a monitor's evaluations, newest first.

    Raises:
        NotFound: no such monitor.
    """
    async with ctx.db.read() as tx:
        monitor = await found(tx, project_id, name)
        page = await history.list_evaluations(
            tx, project_id, monitor.id, wanted, after=after, limit=limit
        )
    return monitor, page


@retried
async def remove(ctx: Context, caller: Caller, name: str) -> None:
    """Remove a monitor with its states; its evaluations stay, since decisions name them.

    Raises:
        NotFound: no such monitor.
        MonitorInUse: an active or shadow policy relies on it.
    """
    async with ctx.db.write() as tx:
        # first, as whoever activates a policy does
        await lock_project(tx, caller.project)
        monitor = await locked(tx, caller.project, name)
        if users := await _users_of(tx, caller.project, monitor):
            raise MonitorInUse(
                f"{name!r} is named by {', '.join(users)}; activate policies without it first."
            )
        await history.forget_states(tx, caller.project, monitor.id)
        await store.remove_monitor(tx, caller.project, monitor.id)
        await log(tx, caller, monitor, "removed", before=_logged(monitor))
    ctx.views.forget()


async def found(tx: Reader, project_id: uuid.UUID, name: str) -> store.Monitor:
    """The monitor of that name.

    Raises:
        NotFound: there is none.
    """
    monitor = await store.find_monitor(tx, project_id, name)
    if monitor is None:
        raise NotFound(f"No monitor {name!r}.")
    return monitor


async def locked(tx: Writer, project_id: uuid.UUID, name: str) -> store.Monitor:
    """The same, held together with its model until the commit.

    Raises:
        NotFound: there is none.
    """
    monitor = await store.lock_monitor(tx, project_id, name)
    if monitor is None:
        raise NotFound(f"No monitor {name!r}.")
    return monitor


async def restart(tx: Writer, project_id: uuid.UUID, monitor: store.Monitor) -> None:
    """Let a monitor start again at collecting, and tell of every state that it leaves."""
    for version, segment, state in await history.forget_states(tx, project_id, monitor.id):
        if state != COLLECTING:
            change = Change(
                monitor=monitor.name,
                model=monitor.model,
                model_version=version,
                segment=segment or None,
                before=state,
                after=COLLECTING,
            )
            await outbox.add_event(tx, project_id, CHANGED, change)


async def log(
    tx: Writer,
    caller: Caller,
    monitor: store.Monitor,
    what: str,
    *,
    before: Any = None,
    after: Any = None,
) -> None:
    """Note who did what to a monitor."""
    await log_change(
        tx,
        project_id=caller.project,
        actor=caller.name,
        action=f"monitor.{what}",
        target=f"monitor:{monitor.name}",
        before=before,
        after=after,
    )


async def shown(tx: Reader, project_id: uuid.UUID, name: str) -> Shown:
    """A monitor with its states.

    Raises:
        NotFound: there is none of that name.
    """
    monitor = await found(tx, project_id, name)
    states = await history.states_of(tx, project_id, [monitor.id])
    return Shown(monitor, states, await present(tx))


async def _reference_of(tx: Reader, project_id: uuid.UUID, asked: Asked) -> ReferenceHead | None:
    """The reference that is asked for, with streams that the signal stands for."""
    if asked.reference is None:
        return None
    name, at, number = asked.reference.partition("@")
    reference = await find_head(tx, project_id, name, int(number) if at else None)
    if reference is None:
        remedy = "; see GET /v1/references" if at else f" (PUT /v1/references/{name})"
        raise Invalid(f"There is no reference {asked.reference!r}{remedy}.", loc=("reference",))
    if reference.model != asked.model:
        raise Invalid(f"It is a reference of the model {reference.model!r}.", loc=("reference",))
    if not watched(asked.signal, reference.streams):
        raise Invalid(
            f"{reference.name}@{reference.version} has no stream of {asked.signal!r}: the "
            "predictions that it was built from had no such signal, or the model no detector.",
            loc=("signal",),
        )
    return reference


async def _hold_model(tx: Writer, project_id: uuid.UUID, asked: Asked) -> None:
    """Hold the model's row until the commit; make it, or give it the timing, where there is none.

    Raises:
        TimingFixed: it has another timing, and monitors.
    """
    now = await present(tx)
    first = settled(asked.timing, None)
    await store.keep_model(tx, project_id, asked.model, first, first_open(now, first))
    timing = await store.lock_model(tx, project_id, asked.model)
    assert timing is not None, "it was made above"
    wanted = settled(asked.timing, timing)
    if wanted == _in_order(timing):
        return
    if await store.monitor_count(tx, project_id, asked.model):
        raise TimingFixed(
            f"All monitors of {asked.model!r} share bucket_s {timing.bucket_s}, grace_s "
            f"{timing.grace_s} and windows {sorted(timing.lengths)}: leave them out, or remove "
            "the model's monitors first."
        )
    await store.retime_model(tx, project_id, asked.model, wanted, first_open(now, wanted))


def _in_order(timing: Timing) -> Timing:
    return Timing(timing.bucket_s, timing.grace_s, tuple(sorted(timing.lengths)))


async def _add(
    tx: Writer, caller: Caller, name: str, asked: Asked, reference: ReferenceHead | None
) -> None:
    if await store.monitor_count(tx, caller.project, asked.model) >= MONITORS_MAX:
        raise MonitorsFull(f"A model has at most {MONITORS_MAX} monitors; remove one first.")
    added = await store.add_monitor(
        tx,
        caller.project,
        id_=new_id(),
        name=name,
        model=asked.model,
        signal=asked.signal,
        reference_id=reference.id if reference is not None else None,
        certified_error=asked.certified_error,
    )
    if not added:
        # made in this moment, for another model: this one's row is held
        raise _fixed(name)
    monitor = await found(tx, caller.project, name)
    await log(tx, caller, monitor, "put", after=_logged(monitor))


async def _change(
    tx: Writer,
    caller: Caller,
    before: store.Monitor,
    asked: Asked,
    reference: ReferenceHead | None,
) -> None:
    if (before.model, before.signal) != (asked.model, asked.signal):
        raise _fixed(before.name)
    reference_id = reference.id if reference is not None else None
    if (before.reference_id, before.certified_error) == (reference_id, asked.certified_error):
        return
    await store.change_monitor(
        tx,
        caller.project,
        before.id,
        reference_id=reference_id,
        certified_error=asked.certified_error,
    )
    after = await found(tx, caller.project, before.name)
    await log(tx, caller, after, "put", before=_logged(before), after=_logged(after))
    await restart(tx, caller.project, before)


def _fixed(name: str) -> MonitorFixed:
    return MonitorFixed(f"{name!r} watches something else already; take another name.")


async def _users_of(tx: Reader, project_id: uuid.UUID, monitor: store.Monitor) -> list[str]:
    """The policies in use that rely on a monitor."""
    users = []
    for state in (VersionState.ACTIVE, VersionState.SHADOW):
        version = await policies.version_in(tx, project_id, monitor.model, state)
        if version is not None and monitor.name in await asyncio.to_thread(_named_by, version):
            users.append(f"{version.name}@{version.version}")
    return users


def _named_by(version: policies.PolicyVersion) -> set[str]:
    try:
        policy = compile_policy(version.document, version.name, version.version)
    except Invalid:
        # refused by this release: it decides nothing
        return set()
    return {needed.monitor for needed in policy.monitors}


def _logged(monitor: store.Monitor) -> dict[str, Any]:
    reference = f"{monitor.reference}@{monitor.reference_version}"
    return {
        "model": monitor.model,
        "signal": monitor.signal,
        "reference": None if monitor.signal in AUDITED else reference,
        "certified_error": monitor.certified_error,
    }
