"""What monitors change in a decision: the drift responses of a policy whose states hold.

    on_drift:
      - {monitor: confidence, when: drifting, raise_confidence_to: 0.95, audit_probability: 0.1}
      - {monitor: embedding, when: drifting, segment: source, route: review, queue: rare}

They only make a decision more careful, and of several the most careful counts. They depend on the
recorded states alone, so a decision can be made again, and when the states clear, routing is as it
was.
"""

from collections.abc import Sequence

from msgspec import Struct

from app.core.routing.document import DriftResponse
from app.core.routing.monitors import COLLECTING, DRIFTING, WARNING, Seen
from app.core.routing.rules.base import FIRED, PASSED, Observed

KIND = "on_drift"
# which states an entry holds in, by what is written as `when`
HOLDS = {WARNING: frozenset({WARNING, DRIFTING}), DRIFTING: frozenset({DRIFTING})}


class Stricter(Struct, frozen=True, gc=False):
    """What the responses that hold make of a decision.

    Attributes:
        states: of all responses, in their order: fired while they hold, else passed.
        observed: the state that each saw.
        confidence: no threshold that `raise_confidence_to` means is lower; 0 raises none.
        audit: no audit probability is lower; 0 raises none.
        review: the first that sends to review what would be accepted; None where none does.
    """

    states: tuple[int, ...] = ()
    observed: tuple[str, ...] = ()
    confidence: float = 0.0
    audit: float = 0.0
    review: DriftResponse | None = None


# without responses
UNCHANGED = Stricter()


def trace_name(number: int) -> str:
    """How a response is called in a trace: its place in the document, which is no rule's id."""
    return f"{KIND}[{number}]"


def reason_of(monitor: str) -> str:
    """The reason of a decision that is reviewed because of a monitor; no rule's id either."""
    return f"{KIND}:{monitor}"


def stricter(responses: Sequence[DriftResponse], monitors: Sequence[Seen]) -> Stricter:
    """What responses make of a decision; a monitor that was not seen is taken for collecting.

    Args:
        responses: of the policy.
        monitors: the states that the decision relies on.
    """
    seen = {(monitor.name, monitor.segment): monitor.state for monitor in monitors}
    return stricter_seeing(
        responses,
        [seen.get((response.monitor, response.segment), COLLECTING) for response in responses],
    )


def stricter_seeing(responses: Sequence[DriftResponse], observed: Sequence[Observed]) -> Stricter:
    """The same, from the state that each response saw, as a trace has it."""
    states = []
    confidence = audit = 0.0
    review: DriftResponse | None = None
    for response, state in zip(responses, observed, strict=True):
        if state not in HOLDS[response.when]:
            states.append(PASSED)
            continue
        states.append(FIRED)
        confidence = max(confidence, response.raise_confidence_to or 0.0)
        audit = max(audit, response.audit_probability or 0.0)
        if review is None and response.route is not None:
            review = response
    return Stricter(tuple(states), tuple(map(str, observed)), confidence, audit, review)
