"""What the closing of buckets brings: evaluations of the windows that end, states, and changes.

All that one model version has in windows that end together is one family of tests: all monitors,
references, segments and lengths. A stream that two monitors watch is one test.

What is evaluated depends on the counts alone, never on who closes, how many buckets at once, or how
late. A window without predictions is evaluated for what has a state, until it has been silent for
`MEMORY` windows: after those another says nothing new, and a gap of days costs nothing. A segment
gets its first state with its first window of `WINDOW_MIN` predictions, so that names which occur
once make no states.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import add

import msgspec
from msgspec import Struct

from app.core.drift.evaluate import WINDOW_MIN, Evaluation, StreamWindow, evaluate
from app.core.drift.history import Change, evaluation_id
from app.core.drift.monitor import MEMORY, MonitorState, Track, advance, combined, judge
from app.core.drift.reference import Reference
from app.core.drift.streams import split
from app.core.drift.watching import SeriesKey
from app.core.drift.windows import Timing, Window, start_of, windows_ended
from app.core.routing.monitors import WHOLE


class MonitorOf(Struct, frozen=True):
    """A monitor as far as counts go: what it compares with, and the streams that it watches."""

    id: uuid.UUID
    name: str
    reference: Reference
    streams: tuple[str, ...]


class Place(Struct, frozen=True, order=True):
    """What has a state: a monitor, a model version, and its whole or one of its segments."""

    monitor: uuid.UUID
    model_version: str
    segment: str


class Standing(Struct, frozen=True):
    """The state of a place for one length of window.

    Attributes:
        track: the state and what it rests on.
        evaluation: that brought the state about.
        since: the end of its window.
    """

    track: Track
    evaluation: uuid.UUID
    since: datetime


Standings = dict[tuple[Place, int], Standing]
# by bucket: predictions, and the counts of all streams
Series = Mapping[SeriesKey, Mapping[int, tuple[int, Sequence[int]]]]


class EvaluatedWindow(Struct, frozen=True):
    """One window of a place: `results` of the monitor's streams, `state` of its length after it."""

    id: uuid.UUID
    place: Place
    reference: uuid.UUID
    window: Window
    results: tuple[Evaluation, ...]
    state: MonitorState


@dataclass(frozen=True)
class Closing:
    """What there is when buckets close.

    Attributes:
        model: whose predictions were counted.
        timing: of its monitors.
        monitors: of the model.
        series: what was counted in the windows that end.
        stored: evaluations that are there already: who wrote first is right.
        standings: of the monitors; `evaluate_ended` brings them up to date.
    """

    model: str
    timing: Timing
    monitors: Sequence[MonitorOf]
    series: Series
    stored: Mapping[uuid.UUID, tuple[Evaluation, ...]]
    standings: Standings
    evaluated: list[EvaluatedWindow] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    moved: set[tuple[Place, int]] = field(default_factory=set)


@dataclass(frozen=True)
class _Look:
    """One window of a place that is to be evaluated."""

    monitor: MonitorOf
    place: Place
    window: Window
    counts: Mapping[str, StreamWindow]


def evaluate_ended(closing: Closing, first: int, last: int) -> None:
    """Evaluate all windows that end with the buckets from `first` to `last`, in their order.

    What comes of it is in `evaluated`, `changes` and `standings`, those that moved in `moved`.
    """
    for windows in _ends(closing, first, last):
        versions = {key.model_version for key in closing.series}
        versions |= {place.model_version for place, _ in closing.standings}
        for version in sorted(versions):
            looks = _looks(closing, version, windows)
            results = _results(looks)
            before = {look.place: _state(closing, look.place) for look in looks}
            ids = [_note(closing, look, own) for look, own in zip(looks, results, strict=True)]
            _note_changes(closing, looks, ids, before)


def _ends(closing: Closing, first: int, last: int) -> Iterable[list[Window]]:
    """Windows that end together, where one may say something, in the order of their ends.

    Those with predictions, and `MEMORY` after them and after what has a state already.
    """
    busy = {bucket for buckets in closing.series.values() for bucket in buckets}
    ends: set[int] = set()
    for length in closing.timing.lengths:
        tiles = {bucket // length for bucket in busy}
        if closing.standings:
            tiles.add(first // length - 1)
        ends |= {(tile + later + 1) * length - 1 for tile in tiles for later in range(MEMORY + 1)}
    return [windows_ended(end, closing.timing) for end in sorted(ends) if first <= end <= last]


def _looks(closing: Closing, version: str, windows: Sequence[Window]) -> list[_Look]:
    """What is evaluated of a model version, in the order in which all evaluate it."""
    looks = []
    cut: dict[tuple[SeriesKey, Window], dict[str, StreamWindow]] = {}
    for monitor in sorted(closing.monitors, key=lambda one: one.name):
        for segment in _segments(closing, monitor, version):
            place = Place(monitor.id, version, segment)
            key = SeriesKey(monitor.reference.id, version, segment)
            for window in windows:
                predictions = _predictions(closing, key, window)
                standing = closing.standings.get((place, window.length))
                if not _is_news(predictions, segment, standing):
                    continue
                if (key, window) not in cut:
                    cut[key, window] = _cut(closing, monitor.reference, key, window)
                looks.append(_Look(monitor, place, window, cut[key, window]))
    return looks


def _segments(closing: Closing, monitor: MonitorOf, version: str) -> list[str]:
    counted = {
        key.segment
        for key in closing.series
        if key.reference == monitor.reference.id and key.model_version == version
    }
    known = {
        place.segment
        for place, _ in closing.standings
        if place.monitor == monitor.id and place.model_version == version
    }
    return sorted(counted | known)


def _is_news(predictions: int, segment: str, standing: Standing | None) -> bool:
    if standing is not None:
        return predictions > 0 or standing.track.untested < MEMORY
    return predictions >= (1 if segment == WHOLE else WINDOW_MIN)


def _predictions(closing: Closing, key: SeriesKey, window: Window) -> int:
    return sum(predictions for predictions, _ in _buckets(closing, key, window))


def _buckets(
    closing: Closing, key: SeriesKey, window: Window
) -> Iterable[tuple[int, Sequence[int]]]:
    has = closing.series.get(key, {})
    return (has[bucket] for bucket in range(window.first, window.last + 1) if bucket in has)


def _cut(
    closing: Closing, reference: Reference, key: SeriesKey, window: Window
) -> dict[str, StreamWindow]:
    """The streams of a window beside those of the reference."""
    total: Sequence[int] = [0] * len(reference.counts)
    for _, counts in _buckets(closing, key, window):
        total = list(map(add, total, counts))
    own = split(reference.streams, total)
    return {
        kept.stream: StreamWindow(kept.stream, kept.bins, kept.counts, counts)
        for kept, counts in zip(reference.document.streams, own, strict=True)
    }


def _results(looks: Sequence[_Look]) -> list[tuple[Evaluation, ...]]:
    """The evaluations of each look; all looks are one family."""
    # a stream of a window that several monitors look at is the same object
    family = {id(look.counts[name]): look.counts[name] for look in looks for name in _names(look)}
    results = dict(zip(family, evaluate(list(family.values())), strict=True))
    return [tuple(results[id(look.counts[name])] for name in _names(look)) for look in looks]


def _names(look: _Look) -> tuple[str, ...]:
    return look.monitor.streams


def _note(closing: Closing, look: _Look, results: tuple[Evaluation, ...]) -> uuid.UUID:
    """Advance the state of a window's length, and keep what was evaluated."""
    place, end = look.place, start_of(look.window.last + 1, closing.timing)
    id_ = evaluation_id(place.monitor, place.model_version, place.segment, look.window, end)
    kept = closing.stored.get(id_, results)
    at = place, look.window.length
    standing = closing.standings.get(at)
    track = advance(standing.track if standing is not None else Track(), judge(kept))
    if standing is None or standing.track.state != track.state:
        standing = Standing(track, id_, end)
    closing.standings[at] = msgspec.structs.replace(standing, track=track)
    closing.moved.add(at)
    if id_ not in closing.stored:
        reference = look.monitor.reference.id
        closing.evaluated.append(
            EvaluatedWindow(id_, place, reference, look.window, kept, track.state)
        )
    return id_


def _state(closing: Closing, place: Place) -> MonitorState:
    found = (closing.standings.get((place, length)) for length in closing.timing.lengths)
    return combined(standing.track.state for standing in found if standing is not None)


def _note_changes(
    closing: Closing,
    looks: Sequence[_Look],
    ids: Sequence[uuid.UUID],
    before: Mapping[Place, MonitorState],
) -> None:
    ended: defaultdict[Place, list[tuple[_Look, uuid.UUID]]] = defaultdict(list)
    for look, id_ in zip(looks, ids, strict=True):
        ended[look.place].append((look, id_))
    for place, evaluated in ended.items():
        after = _state(closing, place)
        if after != before[place]:
            # of windows that end together the one that says so, and then the shortest
            said = [one for one in evaluated if _says(closing, one[0], after)]
            closing.changes.append(_change(closing, *(said or evaluated)[0], before[place], after))


def _says(closing: Closing, look: _Look, state: MonitorState) -> bool:
    return closing.standings[look.place, look.window.length].track.state is state


def _change(
    closing: Closing, look: _Look, id_: uuid.UUID, before: MonitorState, after: MonitorState
) -> Change:
    return Change(
        monitor=look.monitor.name,
        model=closing.model,
        model_version=look.place.model_version,
        segment=look.place.segment or None,
        before=before,
        after=after,
        evaluation=id_,
        window_start=start_of(look.window.first, closing.timing),
        window_end=start_of(look.window.last + 1, closing.timing),
    )
