import uuid
from typing import Any

import pytest

from app.core.errors import ExtensionsUsedUp, Invalid, LeaseLost
from app.core.review.lease import Held, extension_length, lease_length
from app.core.review.queue import Queue, lease_bounds
from app.core.review.states import AssignmentState

QUEUE = Queue(uuid.UUID(int=1), "triage", False, "single", 60, 600, 2, 3600, None)
LEASED = Held(AssignmentState.LEASED, token=7, running=True, extensions=1)


@pytest.mark.parametrize(
    ("lease_s", "lease_s_max", "expected"),
    [
        pytest.param(None, None, (900, 3600), id="defaults"),
        pytest.param(7200, None, (7200, 7200), id="a longer lease lifts the longest one"),
        pytest.param(None, 60, (60, 60), id="a lower longest lease lowers the usual one"),
        pytest.param(60, 60, (60, 60), id="both equal"),
    ],
)
def test_what_a_queue_leaves_out_fits_what_it_says(
    lease_s: int | None, lease_s_max: int | None, expected: Any
) -> None:
    assert lease_bounds(lease_s, lease_s_max) == expected


def test_a_usual_lease_longer_than_the_longest_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        lease_bounds(61, 60)

    assert refused.value.places[0][0] == ("lease_s",)


@pytest.mark.parametrize(("asked_s", "expected"), [(None, 60), (1, 1), (600, 600)])
def test_a_lease_lasts_as_asked_up_to_the_longest(asked_s: int | None, expected: int) -> None:
    assert lease_length(QUEUE, asked_s) == expected


def test_a_lease_longer_than_the_longest_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        lease_length(QUEUE, 601)

    assert refused.value.places[0][0] == ("lease_s",)


def test_a_live_lease_is_extended_by_what_is_asked() -> None:
    assert extension_length(QUEUE, LEASED, 7, 120) == 120


@pytest.mark.parametrize(
    "held",
    [
        pytest.param(Held(AssignmentState.LEASED, 8, True, 0), id="claimed again since"),
        pytest.param(Held(AssignmentState.LEASED, 7, False, 0), id="ran out"),
        pytest.param(Held(AssignmentState.OPEN, 7, False, 0), id="released"),
        pytest.param(Held(AssignmentState.SUBMITTED, 7, False, 0), id="submitted"),
        pytest.param(Held(AssignmentState.WITHDRAWN, 7, False, 0), id="withdrawn"),
    ],
)
def test_a_lost_lease_is_not_extended(held: Held) -> None:
    with pytest.raises(LeaseLost):
        extension_length(QUEUE, held, 7, None)


def test_a_lease_is_extended_only_as_often_as_the_queue_allows() -> None:
    used_up = Held(AssignmentState.LEASED, 7, running=True, extensions=2)

    with pytest.raises(ExtensionsUsedUp):
        extension_length(QUEUE, used_up, 7, None)
