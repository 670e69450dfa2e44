"""Monitors of audited errors: whether a model errs more than certified, or than it says itself."""

import asyncio
import uuid
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta

from app.core.drift.audited import (
    DAYS_MAX,
    Day,
    Learned,
    complete_days,
    last_over,
    learn_concept,
    learn_gap,
    number_of,
)
from app.core.drift.concept import detector
from app.core.drift.history import CHANGED, Change, evaluation_id
from app.core.drift.watched import AUDITED, CONCEPT
from app.core.drift.windows import Window
from app.core.learning.accepted_error import Stratum
from app.core.learning.audits import CountedHour
from app.core.learning.period import Period, Unit
from app.flows.context import Context
from app.flows.each import each
from app.store import audited_states as store
from app.store import confidences, outbox
from app.store.counts import Selection, decisions_by
from app.store.engine import Reader, Writer, retried
from app.store.metrics import audited_hours, present
from app.store.monitors import Monitor, audited_monitors, find_monitor

EVERY_S = 60.0
# of one version and transaction: meanwhile a change of the monitor waits
DAYS_AT_ONCE = 7
HOUR = timedelta(hours=1)


async def run_once(ctx: Context) -> int:
    """Let every monitor of audited errors take the days that are complete by now.

    Returns:
        How many days were taken; 0 when none is left to this worker.

    Raises:
        Exception: the first failure, once every other monitor had its turn.
    """
    async with ctx.db.read() as tx:
        monitors = await audited_monitors(tx, AUDITED)
    return await each(monitors, lambda of: _learn(ctx, of[0], of[2]))


@retried
async def _learn(ctx: Context, project_id: uuid.UUID, name: str) -> int:
    async with ctx.db.write() as tx:
        if not await store.hold_monitor(tx, project_id, name):
            return 0
        monitor = await find_monitor(tx, project_id, name)
        assert monitor is not None, "it is held"
        taken = 0
        changes: list[Change] = []
        for version, days in (await _days_by_version(tx, project_id, monitor)).items():
            changes += await _take(tx, project_id, monitor, version, days[:DAYS_AT_ONCE])
            taken += len(days[:DAYS_AT_ONCE])
        for change in changes:
            await outbox.add_event(tx, project_id, CHANGED, change)
    if taken:
        ctx.views.forget()
    return taken


async def _days_by_version(
    tx: Reader, project_id: uuid.UUID, monitor: Monitor
) -> dict[str, list[tuple[date, tuple[Stratum, ...]]]]:
    """Days that are complete and were not taken yet, in order."""
    now = await present(tx)
    first = max(monitor.created_at.date(), now.date() - timedelta(days=DAYS_MAX))
    end = last_over(now) + timedelta(days=1)
    if first >= end:
        return {}
    period = Period(_midnight(first), _midnight(end))
    taken = await store.last_days(tx, project_id, monitor.id)
    sizes = await decisions_by(
        tx,
        project_id,
        period,
        Selection(monitor.model),
        ("model_version", "bucket", "stratum", "route"),
        unit=Unit.DAY,
    )
    counted: defaultdict[str, list[CountedHour]] = defaultdict(list)
    for (version, at, stratum, route), size in sizes.items():
        if route == "accept" and number_of(at.date()) > taken.get(version, -1):
            counted[version].append(CountedHour(at, stratum, size.decisions))
    found = {}
    for version, own in sorted(counted.items()):
        start = min(size.hour for size in own)
        which = Selection(monitor.model, version)
        audited = await audited_hours(tx, project_id, Period(start, period.end), which)
        found[version] = complete_days(own, audited, now)
    return found


async def _take(
    tx: Writer,
    project_id: uuid.UUID,
    monitor: Monitor,
    version: str,
    days: list[tuple[date, tuple[Stratum, ...]]],
) -> list[Change]:
    """Take days one after the other; the changes of state that they bring."""
    changes = []
    before = (await store.learned(tx, project_id, monitor.id)).get(version) or _nothing(monitor)
    learn = learn_concept if monitor.signal == CONCEPT else learn_gap
    for at, strata in days:
        sums = (0, 0, 0)
        if monitor.signal != CONCEPT:
            sums = await _confidences(tx, project_id, Selection(monitor.model, version), at)
        # the first interval imports scipy, and predictions may share this process
        lesson = await asyncio.to_thread(learn, before, Day(at, strata, sums))
        start = _midnight(at)
        end = start + timedelta(days=1)
        number = number_of(at)
        id_ = evaluation_id(monitor.id, version, "", Window(number, number), end)
        changed = lesson.learned.state != before.state
        await store.save_day(
            tx,
            project_id,
            monitor.id,
            version,
            id_=id_,
            day=number,
            ended=end,
            learned=lesson.learned,
            changed=changed,
            numbers=lesson.numbers,
        )
        if changed:
            change = Change(
                monitor=monitor.name,
                model=monitor.model,
                model_version=version,
                segment=None,
                before=before.state,
                after=lesson.learned.state,
                evaluation=id_,
                window_start=start,
                window_end=end,
            )
            changes.append(change)
        before = lesson.learned
    return changes


def _nothing(monitor: Monitor) -> Learned:
    if monitor.signal != CONCEPT:
        return Learned()
    assert monitor.certified_error is not None, "a monitor of concept drift has a bound"
    return Learned(detector=detector(monitor.certified_error))


async def _confidences(
    tx: Reader, project_id: uuid.UUID, which: Selection, day: date
) -> tuple[int, int, int]:
    """Sums over a day, hour by hour: no statement reads more decisions than an hour has."""
    number = total = spread = 0
    start = _midnight(day)
    for hour in range(24):
        period = Period(start + hour * HOUR, start + (hour + 1) * HOUR)
        n, c, s = await confidences.accepted_confidences(tx, project_id, period, which)
        number, total, spread = number + n, total + c, spread + s
    return number, total, spread


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
