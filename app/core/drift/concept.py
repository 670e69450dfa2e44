"""Whether the model errs more than when it was certified; only verdicts can see that.

A betting e-detector: each day, bets are laid on the error being above a bound, at odds that are
fair if it is just there. While it is not above, no bet gains on average; when it is, one of them
grows. Shiryaev and Roberts' recursion M = (M + 1) e opens a new bet each day, since nobody knows on
which the change comes. While the error stays at or below the bound, the mean wait until the alarm
is at least 1000 days with audits, and the chance of one within T of them at most T / 1000, whatever
the days look like (Shin, Ramdas and Rinaldo 2022). A binomial test at 5 % each day alarms falsely
in a third of all years.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

BETS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""A bet of b is the best where the error has become 1 + b times the bound."""
ALARM = 1000.0
MARGIN = 0.01
"""How far above the certified bound the error may lie before it counts as drift."""
STAKE_MAX = 0.75
"""What one decision may take from a bet, or an unequally audited one add, as a share of it."""


@dataclass(frozen=True, slots=True)
class AuditedDay:
    """One stratum of one day's accepted decisions, once each audit is answered or overdue.

    Attributes:
        probability: of an audit, in (0, 1].
        decisions: accepted ones, audited or not.
        audited: audits with a usable answer. Overdue and undecided ones are not among them: they
            are no evidence of a change (in a certificate's bound they count as wrong).
        wrong: those where the human gave another label than the model.
    """

    probability: float
    decisions: int
    audited: int
    wrong: int

    def __post_init__(self) -> None:
        counts_fit = 0 <= self.wrong <= self.audited <= self.decisions
        if not counts_fit or not 0 < self.probability <= 1:
            raise ValueError(f"not an audited day: {self}")


class Detector(Struct, frozen=True):
    """What is kept from day to day.

    Attributes:
        bound: b0, a share: the certified upper bound and the margin.
        levels: ln(1 + M) of each bet.
        days: how many had audits.
    """

    bound: float
    levels: tuple[float, ...] = (0.0,) * len(BETS)
    days: int = 0

    @property
    def evidence(self) -> float:
        """The mean of M over the bets."""
        # beyond e**700 a double overflows; the alarm went off long before
        return sum(math.expm1(min(level, 700.0)) for level in self.levels) / len(self.levels)

    @property
    def is_alarmed(self) -> bool:
        """Whether the error is above the bound, as far as one may ever be sure."""
        return self.evidence >= ALARM


def detector(certified: float) -> Detector:
    """A detector without evidence.

    Args:
        certified: 95 % upper bound of the error when it was certified, a share.

    Raises:
        ValueError: with the margin it is no bound below 1.
    """
    bound = certified + MARGIN
    if not 0 < bound < 1:
        raise ValueError(f"an error of {bound} cannot be exceeded")
    return Detector(bound)


def step(before: Detector, day: Sequence[AuditedDay]) -> Detector:
    """The detector after one more day, given by its strata; days are taken in order.

    A day without an audit leaves it as it is: opening bets without evidence would alarm in the end.
    """
    if not any(stratum.audited for stratum in day):
        return before
    levels = tuple(
        _softplus(level + _log_e(day, before.bound, bet))
        for level, bet in zip(before.levels, BETS, strict=True)
    )
    return Detector(before.bound, levels, before.days + 1)


def _log_e(day: Sequence[AuditedDay], bound: float, bet: float) -> float:
    """The logarithm of what a bet gains in a day.

    With one audit probability for all, the audits are a fair sample of the day:
    e = (1 + b (1 - b0))**k (1 - b b0)**(n - k). With several, each accepted decision counts with
    x / probability if it was audited and 0 if not, and the bet is the same in every stratum: one
    that depended on the decision's own probability would gain without drift.
    """
    lowest = min(stratum.probability for stratum in day)
    if all(stratum.probability == lowest for stratum in day):
        audited = sum(stratum.audited for stratum in day)
        wrong = sum(stratum.wrong for stratum in day)
        return _gain([(audited, wrong, 1.0)], bound, bet)
    # in units of the rarest audit's weight the bets mean the same multiples of the bound
    scaled = min(bet * lowest, STAKE_MAX / (1 / lowest - bound))
    return _gain(((s.decisions, s.wrong, 1 / s.probability) for s in day), bound, scaled)


def _gain(strata: Iterable[tuple[int, int, float]], bound: float, bet: float) -> float:
    stake = min(bet, STAKE_MAX / bound)
    return math.fsum(
        wrong * math.log1p(stake * (weight - bound)) + (n - wrong) * math.log1p(-stake * bound)
        for n, wrong, weight in strata
    )


def _softplus(x: float) -> float:
    """ln(1 + e**x), also where e**x overflows: from ln((M + 1) e) to ln(1 + M)."""
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))
