"""What a picture of a monitor shows: its worst stream in the last window, and how that came."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from app.core.drift.audited import DAY_S
from app.core.drift.evaluate import Evaluation, Severity
from app.core.drift.monitor import MonitorState
from app.core.drift.reference import Kept
from app.core.drift.spec import Bins
from app.core.drift.streams import Stream, split
from app.core.drift.watched import AUDITED
from app.core.drift.windows import EPOCH
from app.core.errors import Invalid
from app.flows.context import Context
from app.flows.monitors import found
from app.store import monitor_history as history
from app.store.engine import Reader
from app.store.monitors import Monitor

WINDOWS_MAX = 200


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which part of a monitor to show; None leaves it to the state, the most alarming first."""

    model_version: str | None = None
    segment: str | None = None
    length: int | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class Histograms:
    """A stream's counts: of the reference, and of the last window (None: not kept any more)."""

    bins: Bins
    reference: Sequence[int]
    window: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw; `windows` in the order of time, empty before the first evaluation."""

    monitor: Monitor
    stream: str | None
    windows: list[history.Evaluated]
    histograms: Histograms | None = None

    @property
    def is_audited(self) -> bool:
        """Whether it is of errors that audits found, and not of a stream."""
        return self.monitor.signal in AUDITED

    def end_of(self, window: history.Evaluated) -> datetime:
        """When a window ended."""
        seconds = DAY_S if self.is_audited else self.monitor.timing.bucket_s
        return EPOCH + timedelta(seconds=(window.last_bucket + 1) * seconds)

    def start_of(self, window: history.Evaluated) -> datetime:
        """When a window began."""
        seconds = DAY_S if self.is_audited else self.monitor.timing.bucket_s
        return EPOCH + timedelta(seconds=window.first_bucket * seconds)

    def of_stream(self, window: history.Evaluated) -> Evaluation | None:
        """What a window says of the stream."""
        return next((one for one in _results(window) if one.stream == self.stream), None)


async def look(ctx: Context, project_id: uuid.UUID, name: str, chosen: Chosen) -> Picture:
    """The picture of a monitor.

    Raises:
        NotFound: no such monitor.
        Invalid: it watches no such stream.
    """
    async with ctx.db.read() as tx:
        monitor = await found(tx, project_id, name)
        windows = await _windows(tx, project_id, monitor, chosen)
        picture = Picture(monitor, chosen.stream, windows)
        if not windows or picture.is_audited:
            return picture
        picture = replace(picture, stream=_stream(windows[-1], chosen.stream))
        streams, counts = await history.window_counts(tx, project_id, windows[-1])
    return replace(picture, histograms=_histograms(streams, counts, picture.stream))


async def _windows(
    tx: Reader, project_id: uuid.UUID, monitor: Monitor, chosen: Chosen
) -> list[history.Evaluated]:
    """The last windows of one version, segment and length, in the order of time."""
    fitting = [
        state
        for state in await history.states_of(tx, project_id, [monitor.id])
        if chosen.model_version in (None, state.model_version)
        and chosen.segment in (None, state.segment)
        and chosen.length in (None, state.length)
    ]
    order = list(MonitorState)
    # of equals the newest, the whole before its segments, the shortest window
    worst = max(
        fitting,
        key=lambda one: (
            order.index(MonitorState(one.state)),
            one.since,
            not one.segment,
            -one.length,
        ),
        default=None,
    )
    wanted = history.Wanted(chosen.model_version, chosen.segment, chosen.length, since=EPOCH)
    if worst is not None:
        wanted = history.Wanted(worst.model_version, worst.segment, worst.length, since=EPOCH)
    newest = await history.list_evaluations(
        tx,
        project_id,
        monitor.id,
        wanted,
        after=None,
        limit=WINDOWS_MAX if worst is not None else 1,
    )
    return newest[::-1]


def _stream(window: history.Evaluated, asked: str | None) -> str | None:
    """The stream that was asked for, or the worst of the window."""
    if asked is None:
        return worst_stream(window)
    results = _results(window)
    if all(one.stream != asked for one in results):
        names = ", ".join(one.stream for one in results)
        raise Invalid(f"It watches {names}.", loc=("query", "stream"))
    return asked


def worst_stream(window: history.Evaluated) -> str | None:
    """The stream that moved most for certain; None where none was looked at."""
    order = list(Severity)
    worst = max(
        _results(window),
        key=lambda one: (
            order.index(one.severity) if one.severity is not None else -1,
            one.g_lcb or 0.0,
            one.effect,
        ),
        default=None,
    )
    return worst.stream if worst is not None else None


def _results(window: history.Evaluated) -> list[Evaluation]:
    return msgspec.convert(window.results, list[Evaluation])


def _histograms(
    streams: object, counts: Sequence[int] | None, stream: str | None
) -> Histograms | None:
    kept = msgspec.convert(streams, list[Kept])
    place = next((n for n, one in enumerate(kept) if one.stream == stream), None)
    if place is None:
        return None
    window = None
    if counts is not None:
        window = split([Stream(one.stream, one.bins) for one in kept], counts)[place]
    return Histograms(kept[place].bins, kept[place].counts, window)
