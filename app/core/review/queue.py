"""A queue and its settings."""

import uuid
from dataclasses import dataclass

from app.core.errors import Invalid

# the priority takes the leading digits of a rank, the time at which it was queued the rest
RANK_STEP = 10**13
PRIORITY_MAX = 100
# long enough to read a page and short enough that an abandoned one is back within the hour
LEASE_S = 900
LEASE_S_MAX = 3600


@dataclass(frozen=True, slots=True)
class Queue:
    """A named list of open assignments.

    Attributes:
        blind: reviewers do not see the model's answer. An audit is blind in every queue.
        judge: who answers each assignment here: `single`, or `panel` where the tool that polls it
            sends one answer for several people.
        lease_s: length of a lease unless the claim asks for another, up to `lease_s_max`.
        extensions_max: how often one lease may be extended.
        due_s: seconds from queued to due.
    """

    id: uuid.UUID
    name: str
    blind: bool
    judge: str
    lease_s: int
    lease_s_max: int
    extensions_max: int
    due_s: int
    guidelines: str | None


def rank(priority: int, queued_at_ms: int) -> int:
    """Where an assignment stands in its queue: lower goes first.

    Args:
        priority: 0 to 100, higher first.
        queued_at_ms: milliseconds since 1970; older first within a priority.
    """
    return (PRIORITY_MAX - priority) * RANK_STEP + queued_at_ms


def lease_bounds(lease_s: int | None, lease_s_max: int | None) -> tuple[int, int]:
    """The usual and the longest lease of a queue, in seconds; what is left out fits the other.

    Raises:
        Invalid: the usual lease is longer than the longest.
    """
    if lease_s is None:
        lease_s = LEASE_S if lease_s_max is None else min(LEASE_S, lease_s_max)
    if lease_s_max is None:
        lease_s_max = max(LEASE_S_MAX, lease_s)
    if lease_s > lease_s_max:
        raise Invalid(
            f"A lease of {lease_s} seconds is longer than `lease_s_max`, {lease_s_max}.",
            loc=("lease_s",),
        )
    return lease_s, lease_s_max
