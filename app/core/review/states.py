"""The states of items and assignments, and every way from one to another.

The tables are the rule: the core looks transitions up here, the statements in `app/store` are
tested event by event against them, and `openapi/review-states.md` is printed from them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from app.core.errors import StateConflict


class ItemState(StrEnum):
    """Where an item is on its way to a human answer."""

    OPEN = "open"
    DISPUTED = "disputed"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class ItemEvent(StrEnum):
    """What happens to an item."""

    RESOLVE = "resolve"
    DISPUTE = "dispute"
    CANCEL = "cancel"
    REOPEN = "reopen"


class AssignmentState(StrEnum):
    """Where one unit of a reviewer's work is."""

    OPEN = "open"
    LEASED = "leased"
    SUBMITTED = "submitted"
    WITHDRAWN = "withdrawn"


class AssignmentEvent(StrEnum):
    """What happens to an assignment."""

    CLAIM = "claim"
    EXTEND = "extend"
    RELEASE = "release"
    EXPIRE = "expire"
    SUBMIT = "submit"
    WITHDRAW = "withdraw"


S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)

ITEM_TRANSITIONS: Mapping[tuple[ItemState, ItemEvent], ItemState] = {
    (ItemState.OPEN, ItemEvent.RESOLVE): ItemState.RESOLVED,
    (ItemState.OPEN, ItemEvent.DISPUTE): ItemState.DISPUTED,
    (ItemState.OPEN, ItemEvent.CANCEL): ItemState.CANCELLED,
    (ItemState.DISPUTED, ItemEvent.RESOLVE): ItemState.RESOLVED,
    (ItemState.DISPUTED, ItemEvent.CANCEL): ItemState.CANCELLED,
    (ItemState.RESOLVED, ItemEvent.REOPEN): ItemState.OPEN,
    (ItemState.CANCELLED, ItemEvent.REOPEN): ItemState.OPEN,
}

ASSIGNMENT_TRANSITIONS: Mapping[tuple[AssignmentState, AssignmentEvent], AssignmentState] = {
    (AssignmentState.OPEN, AssignmentEvent.CLAIM): AssignmentState.LEASED,
    (AssignmentState.OPEN, AssignmentEvent.WITHDRAW): AssignmentState.WITHDRAWN,
    (AssignmentState.LEASED, AssignmentEvent.EXTEND): AssignmentState.LEASED,
    (AssignmentState.LEASED, AssignmentEvent.RELEASE): AssignmentState.OPEN,
    (AssignmentState.LEASED, AssignmentEvent.EXPIRE): AssignmentState.OPEN,
    (AssignmentState.LEASED, AssignmentEvent.SUBMIT): AssignmentState.SUBMITTED,
    (AssignmentState.LEASED, AssignmentEvent.WITHDRAW): AssignmentState.WITHDRAWN,
}


def after(table: Mapping[tuple[S, E], S], state: S, event: E) -> S:
    """The state that an event leads to.

    Raises:
        StateConflict: the event cannot happen in that state.
    """
    try:
        return table[state, event]
    except KeyError:
        raise StateConflict(f"What is {state} cannot {event}.") from None


def page() -> str:
    """The tables as a page with two state diagrams, in Markdown and Mermaid."""
    return "\n".join(
        [
            "# States of a review",
            "",
            "Printed from `app/core/review/states.py`; do not edit.",
            "",
            *_section("An item", ITEM_TRANSITIONS, ItemState.OPEN),
            *_section("An assignment", ASSIGNMENT_TRANSITIONS, AssignmentState.OPEN),
        ]
    )


def _section(title: str, table: Mapping[tuple[S, E], S], first: S) -> list[str]:
    with_exit = {state for state, _ in table}
    ends = [state for state in type(first) if state not in with_exit]
    return [
        f"## {title}",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {first}",
        *(f"    {state} --> {target}: {event}" for (state, event), target in table.items()),
        *(f"    {end} --> [*]" for end in ends),
        "```",
        "",
    ]
