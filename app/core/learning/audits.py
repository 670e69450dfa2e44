"""Which audits an estimate may use by now, and what it says with them.

Audits are answered at different speeds, and the slow ones are the hard ones. An estimate that took
each answer as it comes would hear the easy ones first and report too little error. So it speaks of
decisions whose audits are *complete*: those of every hour before the first one that still has an
audit under way. In there an audit is answered, or overdue, and then it counts as undecided: wrong
in the upper bound. Hours are taken in order, and not each when its own audits happen to be done,
because where an hour holds few audits that would again mean the easy ones first. All audits are
overdue some day, so an estimate is never further behind than its queue's due time.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.core.learning.accepted_error import Estimate, Stratum, accepted_error


@dataclass(frozen=True, slots=True)
class CountedHour:
    """How many decisions of one stratum were made in the hour that begins at `hour`."""

    hour: datetime
    stratum: str
    decisions: int


@dataclass(frozen=True, slots=True)
class AuditedHour:
    """What became of the audits of one stratum and hour, or of those of one judge among them.

    `undecided` are overdue, cancelled, or answered without a label that can be compared;
    `under_way` are neither answered nor overdue. `judge` is None where there was no answer.
    """

    hour: datetime
    stratum: str
    right: int
    wrong: int
    undecided: int
    under_way: int
    judge: str | None


@dataclass(frozen=True, slots=True)
class AuditedShare:
    """An estimate from audits, and what it covers.

    Attributes:
        estimate: share, interval and counts.
        reason: why there is none: `no_accepted`, `no_audits`, `audits_under_way` (what would tell
            is still being worked on), `not_by_queue`.
        covered_until: it speaks of the decisions before, and of none after; None with
            `not_by_queue`.
        judges: who gave the answers.
    """

    estimate: Estimate
    reason: str | None
    covered_until: datetime | None
    judges: Sequence[str]


# a decision is counted by its stratum before anybody is asked, so no queue has counts of its own
NOT_BY_QUEUE = AuditedShare(
    Estimate(None, None, None, 0, 0, 0, "no_accepted"), "not_by_queue", None, ()
)


def audited_share(
    counted: Iterable[CountedHour],
    audited: Iterable[AuditedHour],
    until: datetime,
    estimator: Callable[[Iterable[Stratum]], Estimate] = accepted_error,
) -> AuditedShare:
    """What audits say by now about the decisions of `counted`.

    Args:
        counted: the sizes of strata, by the hour.
        audited: their audits; an hour and stratum without audits may be left out. Audits of a
            stratum without a size are not used: a segment that its policy does not declare was
            not counted.
        until: the end of the range, or the present where the range goes on.
        estimator: `accepted_error` or `audit_agreement`.
    """
    counted = list(counted)
    sized = {size.stratum for size in counted}
    audited = [part for part in audited if part.stratum in sized]
    under_way = [part.hour for part in audited if part.under_way]
    covered_until = min([until, *under_way])
    complete = [part for part in audited if part.hour < covered_until]
    covered = [size for size in counted if size.hour < covered_until]
    estimate = estimator(strata_of(covered, complete))
    reason: str | None = estimate.reason
    if reason is not None and under_way:
        reason = "audits_under_way"
    judges = {part.judge for part in complete if part.judge is not None}
    return AuditedShare(estimate, reason, covered_until, sorted(judges))


def probability_in(stratum: str) -> float:
    """The audit probability that a stratum's key ends with, as in `sentiment@3 accept 0.02`."""
    return float(stratum.rsplit(" ", 1)[1])


def strata_of(counted: Iterable[CountedHour], audited: Iterable[AuditedHour]) -> list[Stratum]:
    """Sizes and answered audits added up over the hours, by stratum; audits under way are none."""
    accepted: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    undecided: Counter[str] = Counter()
    for size in counted:
        accepted[size.stratum] += size.decisions
    for part in audited:
        right[part.stratum] += part.right
        wrong[part.stratum] += part.wrong
        undecided[part.stratum] += part.undecided
    return [
        Stratum(
            key=key,
            accepted=accepted[key],
            audited=right[key] + wrong[key],
            wrong=wrong[key],
            undecided=undecided[key],
            probability=probability_in(key),
        )
        for key in sorted(accepted)
    ]
