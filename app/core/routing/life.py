"""The life of a policy version: its states, and every way from one to another."""

from collections.abc import Mapping
from enum import StrEnum

from app.core.errors import StateConflict


class VersionState(StrEnum):
    """What a version of a policy is used for."""

    DRAFT = "draft"
    SHADOW = "shadow"
    ACTIVE = "active"
    RETIRED = "retired"


class VersionEvent(StrEnum):
    """What happens to a version; `replace` when another one takes its place at its model."""

    ACTIVATE = "activate"
    ROLLBACK = "rollback"
    SHADOW = "shadow"
    RETIRE = "retire"
    REPLACE = "replace"


# of these a model has at most one version: making another one replaces it
ONE_PER_MODEL = frozenset({VersionState.ACTIVE, VersionState.SHADOW})

TRANSITIONS: Mapping[tuple[VersionState, VersionEvent], VersionState] = {
    (VersionState.DRAFT, VersionEvent.ACTIVATE): VersionState.ACTIVE,
    (VersionState.DRAFT, VersionEvent.ROLLBACK): VersionState.ACTIVE,
    (VersionState.DRAFT, VersionEvent.SHADOW): VersionState.SHADOW,
    (VersionState.DRAFT, VersionEvent.RETIRE): VersionState.RETIRED,
    (VersionState.SHADOW, VersionEvent.ACTIVATE): VersionState.ACTIVE,
    (VersionState.SHADOW, VersionEvent.ROLLBACK): VersionState.ACTIVE,
    (VersionState.SHADOW, VersionEvent.SHADOW): VersionState.SHADOW,
    (VersionState.SHADOW, VersionEvent.RETIRE): VersionState.RETIRED,
    (VersionState.SHADOW, VersionEvent.REPLACE): VersionState.DRAFT,
    # not to the shadow: its model would be left without a policy
    (VersionState.ACTIVE, VersionEvent.ACTIVATE): VersionState.ACTIVE,
    (VersionState.ACTIVE, VersionEvent.ROLLBACK): VersionState.ACTIVE,
    (VersionState.ACTIVE, VersionEvent.RETIRE): VersionState.RETIRED,
    (VersionState.ACTIVE, VersionEvent.REPLACE): VersionState.RETIRED,
    (VersionState.RETIRED, VersionEvent.ACTIVATE): VersionState.ACTIVE,
    (VersionState.RETIRED, VersionEvent.ROLLBACK): VersionState.ACTIVE,
    (VersionState.RETIRED, VersionEvent.SHADOW): VersionState.SHADOW,
    (VersionState.RETIRED, VersionEvent.RETIRE): VersionState.RETIRED,
}


def after(state: VersionState, event: VersionEvent) -> VersionState:
    """The state that an event leads to.

    Raises:
        StateConflict: the event cannot happen in that state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateConflict(f"A version that is {state} cannot take {event!s}.") from None
