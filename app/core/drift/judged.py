"""What a detector says of a prediction, and the life of a detector.

Apart from the detector itself, which needs numpy (0.1 s): a process imports that when the first
detector is used.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from app.core.errors import StateConflict
from app.core.routing.prediction import Unfamiliar

COMPONENTS_MAX = 8
"""So many components of an embedding are streams of their own."""


class Judged(Struct, frozen=True, gc=False):
    """How strange a prediction is to a detector.

    Attributes:
        unfamiliar: its p-value and score, both None where the prediction has not what is needed.
        components: of its embedding, the first 8 that the detector has; None without one.
    """

    unfamiliar: Unfamiliar
    components: tuple[float, ...] | None = None


class DetectorState(StrEnum):
    """Where a detector is; at most one of a model is `ready`."""

    FITTING = "fitting"
    READY = "ready"
    FAILED = "failed"
    RETIRED = "retired"


class DetectorEvent(StrEnum):
    """What happens to a detector; `replace` when a newer one is ready for its model."""

    FIT = "fit"
    FAIL = "fail"
    REPLACE = "replace"
    RETIRE = "retire"


TRANSITIONS: Mapping[tuple[DetectorState, DetectorEvent], DetectorState] = {
    (DetectorState.FITTING, DetectorEvent.FIT): DetectorState.READY,
    (DetectorState.FITTING, DetectorEvent.FAIL): DetectorState.FAILED,
    # fitted after a newer one was
    (DetectorState.FITTING, DetectorEvent.REPLACE): DetectorState.RETIRED,
    (DetectorState.READY, DetectorEvent.REPLACE): DetectorState.RETIRED,
    (DetectorState.READY, DetectorEvent.RETIRE): DetectorState.RETIRED,
    (DetectorState.RETIRED, DetectorEvent.RETIRE): DetectorState.RETIRED,
}


def after(state: DetectorState, event: DetectorEvent) -> DetectorState:
    """The state that an event leads to.

    Raises:
        StateConflict: the event cannot happen in that state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateConflict(f"A detector that is {state} cannot {event}.") from None
