from pathlib import Path
from typing import Any

import pytest

from app.core.errors import StateConflict
from app.core.review.states import (
    ASSIGNMENT_TRANSITIONS,
    ITEM_TRANSITIONS,
    AssignmentEvent,
    AssignmentState,
    ItemEvent,
    ItemState,
    after,
    page,
)

PAGE = Path(__file__).parents[3] / "openapi" / "review-states.md"
COMMAND = (
    "python -c 'from app.core.review.states import page; print(page(), end=\"\")'"
    " > openapi/review-states.md"
)

TABLES = pytest.mark.parametrize(
    ("table", "states", "events", "ends"),
    [
        # nothing is final about an item: a manager may reopen it
        pytest.param(ITEM_TRANSITIONS, ItemState, ItemEvent, set(), id="items"),
        # an assignment is done once: a reopened item gets new ones
        pytest.param(
            ASSIGNMENT_TRANSITIONS,
            AssignmentState,
            AssignmentEvent,
            {AssignmentState.SUBMITTED, AssignmentState.WITHDRAWN},
            id="assignments",
        ),
    ],
)


@TABLES
def test_every_state_can_be_reached_from_open(
    table: Any, states: Any, events: Any, ends: set[AssignmentState]
) -> None:
    reached = {states.OPEN}

    for _ in states:
        reached |= {target for (state, _), target in table.items() if state in reached}

    assert reached == set(states)


@TABLES
def test_only_terminal_states_have_no_exit(
    table: Any, states: Any, events: Any, ends: set[AssignmentState]
) -> None:
    with_exit = {state for state, _ in table}

    assert set(states) - with_exit == ends


@TABLES
def test_every_event_happens_somewhere(
    table: Any, states: Any, events: Any, ends: set[AssignmentState]
) -> None:
    assert {event for _, event in table} == set(events)


@TABLES
def test_what_the_table_does_not_name_is_refused(
    table: Any, states: Any, events: Any, ends: set[AssignmentState]
) -> None:
    refused = [
        (state, event) for state in states for event in events if (state, event) not in table
    ]

    for state, event in refused:
        with pytest.raises(StateConflict, match=f"What is {state} cannot {event}"):
            after(table, state, event)
    assert len(refused) + len(table) == len(states) * len(events)


@TABLES
def test_what_the_table_names_leads_there(
    table: Any, states: Any, events: Any, ends: set[AssignmentState]
) -> None:
    assert {pair: after(table, *pair) for pair in table} == dict(table)


def test_the_committed_diagram_is_the_one_of_the_tables() -> None:
    assert PAGE.read_text() == page(), f"write it anew: {COMMAND}"
