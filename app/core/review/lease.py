"""Leases: how long they may be, and who still holds one.

Whether a lease still runs is for the database's clock to say, so it comes in here as a fact.
"""

from dataclasses import dataclass

from app.core.errors import ExtensionsUsedUp, Invalid, LeaseLost
from app.core.review.queue import Queue
from app.core.review.states import AssignmentState

LOST = "The lease ran out, was released or belongs to somebody else by now; claim again."


@dataclass(frozen=True, slots=True)
class Held:
    """An assignment as a reviewer's call finds it.

    Attributes:
        token: of its latest lease; it grows with each claim.
        running: its lease has not run out by the database's clock; False without a lease.
        extensions: how often the lease was extended.
    """

    state: AssignmentState
    token: int
    running: bool
    extensions: int

    def holds(self, token: int) -> bool:
        """Whether that token is the live lease."""
        return self.state is AssignmentState.LEASED and self.running and self.token == token


def lease_length(queue: Queue, asked_s: int | None) -> int:
    """Seconds of a lease in this queue.

    Raises:
        Invalid: longer than the queue allows.
    """
    if asked_s is None:
        return queue.lease_s
    if asked_s > queue.lease_s_max:
        raise Invalid(
            f"A lease of queue {queue.name!r} lasts {queue.lease_s_max} seconds at most.",
            loc=("lease_s",),
        )
    return asked_s


def extension_length(queue: Queue, held: Held, token: int, asked_s: int | None) -> int:
    """Seconds, counted from now, to which a live lease may be extended.

    Raises:
        LeaseLost: that token holds it no longer.
        ExtensionsUsedUp: it was extended as often as the queue allows.
        Invalid: longer than the queue allows.
    """
    if not held.holds(token):
        raise LeaseLost(LOST)
    if held.extensions >= queue.extensions_max:
        raise ExtensionsUsedUp(
            f"A lease of queue {queue.name!r} is extended {queue.extensions_max} times at most."
        )
    return lease_length(queue, asked_s)
