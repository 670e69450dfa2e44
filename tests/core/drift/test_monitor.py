from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.drift.evaluate import Evaluation, Severity, StreamWindow, evaluate
from app.core.drift.monitor import (
    TRANSITIONS,
    Judged,
    MonitorEvent,
    MonitorState,
    Track,
    advance,
    combined,
    effective,
    event_of,
    judge,
    page,
)
from app.core.drift.spec import CategoricalBins, NumericBins

PAGE = Path(__file__).parents[3] / "openapi" / "monitor-states.md"
COMMAND = (
    "python -c 'from app.core.drift.monitor import page; print(page(), end=\"\")'"
    " > openapi/monitor-states.md"
)

WINDOWS = {
    "calm": Judged(Severity.NONE, quiet=True, eased=True),
    # more than half of a shift, and not proven to be one
    "hint": Judged(Severity.NONE, quiet=False, eased=True),
    "shift": Judged(Severity.SHIFT, quiet=False, eased=True),
    # more than half of a drift
    "strong": Judged(Severity.SHIFT, quiet=False, eased=False),
    "drift": Judged(Severity.DRIFT, quiet=False, eased=False),
    "severe": Judged(Severity.SEVERE, quiet=False, eased=False),
    "thin": Judged(None, quiet=False, eased=False),
}


def after(windows: str) -> Track:
    track = Track()
    for name in windows.split():
        track = advance(track, WINDOWS[name])
    return track


@pytest.mark.parametrize(
    ("windows", "state"),
    [
        ("", "collecting"),
        ("thin thin", "collecting"),
        ("calm", "stable"),
        ("hint", "stable"),
        ("shift", "warning"),
        # one drift is unconfirmed
        ("drift", "warning"),
        ("calm drift", "warning"),
        ("drift drift", "drifting"),
        ("calm drift calm drift", "drifting"),
        # two of the last three, and not of the last four
        ("drift calm calm drift", "warning"),
        ("severe", "drifting"),
        ("calm severe", "drifting"),
        # shifts alone never change routing
        ("shift strong shift strong shift", "warning"),
        # a window with too little is none of the three
        ("drift thin thin thin thin drift", "drifting"),
        # three calm ones clear, two do not
        ("shift calm calm", "warning"),
        ("shift calm calm calm", "stable"),
        ("severe calm calm", "drifting"),
        ("severe calm calm calm", "stable"),
        # a drift that nothing confirms is forgotten with the third window
        ("drift calm calm calm", "stable"),
        # more than half of what raised it keeps it
        ("shift hint hint hint hint", "warning"),
        ("severe strong strong strong strong", "drifting"),
        ("severe calm strong calm calm", "drifting"),
        # less than half of a drift, and still a shift
        ("severe shift shift shift", "warning"),
        ("severe calm hint calm", "warning"),
        ("severe shift shift shift calm calm calm", "stable"),
        # silence is no sign of recovery
        ("severe thin thin thin thin", "drifting"),
        ("shift thin thin thin thin", "warning"),
        ("severe calm thin calm thin calm", "stable"),
        # what was stable is unknown after three windows
        ("calm thin thin", "stable"),
        ("calm thin thin thin", "collecting"),
        ("calm thin thin calm thin", "stable"),
        ("calm thin thin thin calm", "stable"),
        ("calm thin thin thin drift", "warning"),
    ],
)
def test_state_follows_from_the_windows(windows: str, state: str) -> None:
    assert after(windows).state == state


def test_every_state_can_be_reached_and_left() -> None:
    reached = {MonitorState.COLLECTING}

    for _ in MonitorState:
        reached |= {target for (state, _), target in TRANSITIONS.items() if state in reached}

    assert reached == set(MonitorState) == {state for state, _ in TRANSITIONS}


def test_every_event_happens_somewhere() -> None:
    assert {event for _, event in TRANSITIONS} == set(MonitorEvent)


def test_windows_cause_exactly_the_events_of_the_table() -> None:
    caused = set()
    tested = [window for window in WINDOWS.values() if window.severity is not None]

    for state, length, untested in product(MonitorState, (1, 2, 3), range(5)):
        for recent in product(tested, repeat=length):
            event = event_of(state, recent, untested)
            caused |= {(state, event)} if event else set()

    assert caused == set(TRANSITIONS)


def test_only_three_windows_are_remembered() -> None:
    track = after("drift thin shift calm hint thin")

    assert track.recent == tuple(WINDOWS[name] for name in ("shift", "calm", "hint"))
    assert track.untested == 1


def test_track_survives_its_way_through_json() -> None:
    track = after("calm drift thin")

    text = msgspec.json.encode(track)

    assert msgspec.json.decode(text, type=Track) == track


def evaluated(*windows: list[int]) -> list[Evaluation]:
    bins = NumericBins((1.0, 2.0, 3.0, 4.0))
    reference = [2000, 2000, 2000, 2000, 2000, 0]
    return evaluate([StreamWindow(str(i), bins, reference, [*w, 0]) for i, w in enumerate(windows)])


CALM = [200, 200, 200, 200, 200]
DRIFT = [340, 280, 200, 100, 80]
THIN = [1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("windows", "judged"),
    [
        pytest.param([CALM], "calm", id="calm"),
        # the worst stream speaks for the monitor
        pytest.param([CALM, DRIFT, THIN], "drift", id="one of several"),
        pytest.param([CALM, THIN], "calm", id="the one that can be tested"),
        pytest.param([THIN, THIN], "thin", id="none can be tested"),
        pytest.param([], "thin", id="no stream"),
        # g_lcb 0.0117: no shift yet, and more than half of one
        pytest.param([[255, 228, 200, 172, 145]], "hint", id="half of a shift"),
        # g_lcb 0.0996: almost a drift
        pytest.param([[310, 260, 200, 130, 100]], "strong", id="half of a drift"),
    ],
)
def test_monitor_is_judged_by_the_worst_of_its_streams(windows: list[Any], judged: str) -> None:
    assert judge(evaluated(*windows)) == WINDOWS[judged]


def test_new_categories_keep_a_monitor_from_being_quiet() -> None:
    bins = CategoricalBins(("a", "b"), ())

    evaluations = evaluate(
        [StreamWindow("lang", bins, [5000, 4000, 1000, 0, 0], [480, 400, 100, 0, 20])]
    )

    assert judge(evaluations) == WINDOWS["shift"]


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([], "collecting"),
        (["collecting", "collecting"], "collecting"),
        # the day tells what the hour cannot
        (["collecting", "stable"], "stable"),
        (["warning", "stable"], "warning"),
        (["drifting", "collecting"], "drifting"),
    ],
)
def test_most_alarming_length_of_window_speaks_for_the_monitor(
    states: list[Any], state: str
) -> None:
    assert combined(MonitorState(name) for name in states) == state


@pytest.mark.parametrize("state", MonitorState)
def test_muted_monitor_alarms_nobody_until_the_mute_ends(state: MonitorState) -> None:
    now = datetime(2026, 11, 23, 10, tzinfo=UTC)
    soon = now + timedelta(microseconds=1)

    muted = effective(state, muted_until=soon, now=now)

    assert muted == (MonitorState.COLLECTING if state == "collecting" else MonitorState.STABLE)
    assert effective(state, muted_until=now, now=now) == state
    assert effective(state, muted_until=None, now=now) == state


def test_the_committed_diagram_is_the_one_of_the_table() -> None:
    assert PAGE.read_text() == page(), f"write it anew: {COMMAND}"
