"""How many wrong labels a policy would let through, and how many it would catch.

Humans have judged some of the recorded decisions: all that were reviewed, and those accepted and
rejected ones that chance chose for an audit. A simulated route divides each recorded stratum into
parts, and chance knew nothing of that division, so what was judged in a part speaks for the part.
The parts of one simulated route, each weighted by its size, give the estimate
(`accepted_error.py`). Within its stratum every recorded review was judged, also one that a `sample`
rule chose, so these parts have probability 1.

Shadow predictions had no chance to be judged, so nothing is said about their errors.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from app.core.learning.accepted_error import Stratum, accepted_error
from app.core.routing.whatif.tally import Known, Said


class ErrorShare(Struct, frozen=True):
    """The share of wrong labels among some decisions, with its 95 % interval for one look.

    Attributes:
        value: null, as the interval, when there is a `reason`.
        decisions: how many it speaks of.
        judged: how many of them a human gave a label for.
        undecided: asked about, but without such an answer: wrong at the upper end of the interval
            and right at its lower end.
    """

    value: float | None
    low: float | None
    high: float | None
    decisions: int
    judged: int
    undecided: int
    reason: Literal["no_decisions", "no_answers"] | None


class ErrorCount(Struct, frozen=True):
    """How many wrong labels, with the 95 % interval; null where no answer tells."""

    value: float | None
    low: float | None
    high: float | None


def judged(said: Said | None) -> bool:
    """Whether a human's label could be compared with the model's."""
    return said in {"right", "wrong"}


def complete_only(known: Iterable[Known]) -> bool:
    """Whether there are answers about decisions whose answers are complete.

    If so, estimates speak of these alone: the answers that come late are the hard ones. If not,
    they speak of all decisions, and what is under way counts as undecided.
    """
    return any(covered and judged(said) for covered, _, _, said in known)


def error_share(counted: Mapping[Known, int], *, complete: bool) -> ErrorShare:
    """Estimate the share of wrong labels.

    Args:
        counted: how many decisions there are, by what is known of them.
        complete: leave out those whose answers are not complete.
    """
    estimate = accepted_error(_strata(counted, complete=complete))
    return ErrorShare(
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.accepted,
        estimate.audited,
        estimate.undecided,
        _REASONS[estimate.reason],
    )


def error_count(share: ErrorShare, counted: Mapping[Known, int]) -> ErrorCount:
    """The share as a number of decisions; 0 of none, and not known of any that cannot be judged."""
    judgeable = all(inclusion is not None for _, _, inclusion, _ in counted)
    if share.reason == "no_decisions" and judgeable:
        return ErrorCount(0.0, 0.0, 0.0)
    if share.value is None or share.low is None or share.high is None:
        return ErrorCount(None, None, None)
    count = share.decisions
    return ErrorCount(share.value * count, share.low * count, share.high * count)


_REASONS: dict[str | None, Literal["no_decisions", "no_answers"] | None] = {
    "no_accepted": "no_decisions",
    "no_audits": "no_answers",
    None: None,
}


def _strata(counted: Mapping[Known, int], *, complete: bool) -> list[Stratum]:
    by_stratum: dict[tuple[str, float], dict[Said | None, int]] = defaultdict(
        lambda: defaultdict(int)
    )
    for (covered, stratum, inclusion, said), count in counted.items():
        if inclusion is not None and (covered or not complete):
            by_stratum[stratum, inclusion][said] += count
    return [
        Stratum(
            key=stratum,
            accepted=sum(by_said.values()),
            audited=by_said["right"] + by_said["wrong"],
            wrong=by_said["wrong"],
            undecided=by_said["undecided"] + by_said["under_way"],
            probability=inclusion,
        )
        for (stratum, inclusion), by_said in sorted(by_stratum.items())
    ]
