"""The state of a monitor, for one model version, segment and length of window.

The table is the rule; `openapi/monitor-states.md` is printed from it. What happened is read off
the last windows that could be tested: a drift must be seen in two of three, or be severe, before it
may change routing, and three in a row must be calm before routing goes back. A window with too few
counts says nothing: it neither raises nor clears.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from app.core.drift.evaluate import THRESHOLDS, Evaluation, Severity, at_least

MEMORY = 3
"""Windows that a state rests on."""
CONFIRMING = 2
"""Of them, those with a drift that confirm it."""


class MonitorState(StrEnum):
    """What is known of a stream, from nothing to certain drift; only `drifting` moves routing."""

    COLLECTING = "collecting"
    STABLE = "stable"
    WARNING = "warning"
    DRIFTING = "drifting"


class MonitorEvent(StrEnum):
    """What a window adds up to, together with those before it."""

    SETTLE = "settle"
    """the first window with enough counts, and nothing in it"""
    SUSPECT = "suspect"
    """a shift, or a drift that no other window confirms yet"""
    CONFIRM = "confirm"
    """drift in two of the last three windows, or a severe one"""
    EASE = "ease"
    """three windows with less than half of what makes a drift"""
    CLEAR = "clear"
    """three windows with less than half of what makes a shift"""
    STARVE = "starve"
    """three windows in a row with too few counts"""


TRANSITIONS: Mapping[tuple[MonitorState, MonitorEvent], MonitorState] = {
    (MonitorState.COLLECTING, MonitorEvent.SETTLE): MonitorState.STABLE,
    (MonitorState.COLLECTING, MonitorEvent.SUSPECT): MonitorState.WARNING,
    (MonitorState.COLLECTING, MonitorEvent.CONFIRM): MonitorState.DRIFTING,
    (MonitorState.STABLE, MonitorEvent.SUSPECT): MonitorState.WARNING,
    (MonitorState.STABLE, MonitorEvent.CONFIRM): MonitorState.DRIFTING,
    (MonitorState.STABLE, MonitorEvent.STARVE): MonitorState.COLLECTING,
    (MonitorState.WARNING, MonitorEvent.CONFIRM): MonitorState.DRIFTING,
    (MonitorState.WARNING, MonitorEvent.CLEAR): MonitorState.STABLE,
    (MonitorState.DRIFTING, MonitorEvent.EASE): MonitorState.WARNING,
    (MonitorState.DRIFTING, MonitorEvent.CLEAR): MonitorState.STABLE,
}


class Judged(Struct, frozen=True):
    """What one window says to the monitor.

    Attributes:
        severity: None when too little was counted to test.
        quiet: nothing reaches half of what makes a shift.
        eased: nothing reaches half of what makes a drift.
    """

    severity: Severity | None
    quiet: bool
    eased: bool


class Track(Struct, frozen=True):
    """A state and the windows that it rests on; what is stored between two windows.

    Attributes:
        state: the present one.
        recent: the last three windows that could be tested, oldest first.
        untested: how many in a row could not, since.
    """

    state: MonitorState = MonitorState.COLLECTING
    recent: tuple[Judged, ...] = ()
    untested: int = 0


def judge(evaluations: Iterable[Evaluation]) -> Judged:
    """One window of a monitor: the worst of its streams that could be tested."""
    tested = [(e, e.severity) for e in evaluations if e.severity is not None]
    if not tested:
        return Judged(None, quiet=False, eased=False)
    order = list(Severity)
    strongest = max(e.g_lcb or 0.0 for e, _ in tested)
    return Judged(
        max((severity for _, severity in tested), key=order.index),
        quiet=strongest < THRESHOLDS[Severity.SHIFT] / 2
        and not any(e.has_unseen for e, _ in tested),
        eased=strongest < THRESHOLDS[Severity.DRIFT] / 2,
    )


def advance(track: Track, window: Judged) -> Track:
    """The track after one more window; windows are taken in the order of their ends."""
    if window.severity is None:
        recent, untested = track.recent, track.untested + 1
    else:
        recent, untested = (*track.recent, window)[-MEMORY:], 0
    event = event_of(track.state, recent, untested)
    state = track.state if event is None else TRANSITIONS[track.state, event]
    return Track(state, recent, untested)


def event_of(state: MonitorState, recent: Sequence[Judged], untested: int) -> MonitorEvent | None:
    """What the windows mean in a state; None when they leave it as it is."""
    if untested:
        # silence is no sign of recovery: only what was stable goes back to collecting
        starved = untested >= MEMORY and state is MonitorState.STABLE
        return MonitorEvent.STARVE if starved else None
    if state is MonitorState.DRIFTING:
        return _relief(recent)
    if _is_confirmed(recent):
        return MonitorEvent.CONFIRM
    if state is MonitorState.WARNING:
        return MonitorEvent.CLEAR if _all_quiet(recent) else None
    if at_least(recent[-1].severity, Severity.SHIFT):
        return MonitorEvent.SUSPECT
    return MonitorEvent.SETTLE if state is MonitorState.COLLECTING else None


def combined(states: Iterable[MonitorState]) -> MonitorState:
    """The one state of a monitor with windows of several lengths: the most alarming.

    What one length cannot tell yet, another may: `collecting` only when all are.
    """
    order = list(MonitorState)
    return max(states, key=order.index, default=MonitorState.COLLECTING)


def effective(state: MonitorState, *, muted_until: datetime | None, now: datetime) -> MonitorState:
    """The state that a decision uses and records: while muted, nothing alarms."""
    alarming = state in (MonitorState.WARNING, MonitorState.DRIFTING)
    muted = muted_until is not None and now < muted_until
    return MonitorState.STABLE if alarming and muted else state


def page() -> str:
    """The table as a page with a state diagram, in Markdown and Mermaid."""
    return "\n".join(
        [
            "# States of a monitor",
            "",
            "Printed from `app/core/drift/monitor.py`; do not edit.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            f"    [*] --> {MonitorState.COLLECTING}",
            *(
                f"    {state} --> {target}: {event}"
                for (state, event), target in TRANSITIONS.items()
            ),
            "```",
            "",
        ]
    )


def _relief(recent: Sequence[Judged]) -> MonitorEvent | None:
    if _all_quiet(recent):
        return MonitorEvent.CLEAR
    eased = len(recent) == MEMORY and all(window.eased for window in recent)
    return MonitorEvent.EASE if eased else None


def _all_quiet(recent: Sequence[Judged]) -> bool:
    return len(recent) == MEMORY and all(window.quiet for window in recent)


def _is_confirmed(recent: Sequence[Judged]) -> bool:
    drifts = sum(at_least(window.severity, Severity.DRIFT) for window in recent)
    return drifts >= CONFIRMING or at_least(recent[-1].severity, Severity.SEVERE)
