"""Every way of a policy version from one state to another."""

import pytest

from app.core.errors import StateConflict
from app.core.routing.life import (
    ONE_PER_MODEL,
    TRANSITIONS,
    VersionEvent,
    VersionState,
    after,
)

# all that cannot happen; whatever else is asked of a version can
REFUSED = {
    # its model would be left without a policy
    (VersionState.ACTIVE, VersionEvent.SHADOW),
    # only what is alone at its model is replaced
    (VersionState.DRAFT, VersionEvent.REPLACE),
    (VersionState.RETIRED, VersionEvent.REPLACE),
}


@pytest.mark.parametrize("state", VersionState)
@pytest.mark.parametrize("event", VersionEvent)
def test_every_event_leads_somewhere_or_is_refused(
    state: VersionState, event: VersionEvent
) -> None:
    if (state, event) in REFUSED:
        with pytest.raises(StateConflict, match=f"{state} cannot take {event}"):
            after(state, event)
    else:
        assert after(state, event) in VersionState


def test_every_state_can_be_reached_from_draft() -> None:
    reached = {VersionState.DRAFT}

    for _ in VersionState:
        reached |= {target for (state, _), target in TRANSITIONS.items() if state in reached}

    assert reached == set(VersionState)


def test_what_is_replaced_makes_room() -> None:
    for state in ONE_PER_MODEL:
        assert after(state, VersionEvent.REPLACE) not in ONE_PER_MODEL
