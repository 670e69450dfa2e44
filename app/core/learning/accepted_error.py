"""The share of accepted predictions that a human would call wrong, estimated from audits.

Accepted decisions are audited by chance with a known probability, so a few verdicts speak for all
of them. Strata are audited at different rates; their sizes are known exactly, since every decision
is counted, so each stratum's own error share is weighted by its size (post-stratification).

Strata with few audits are treated in two steps. Pools are made by numbers that no verdict can move
(accepted decisions times audit probability), so that verdicts cannot choose their pool:

1. Strata of equal probability are pooled, smallest first, until ten audits are expected. A pool of
   equal probability is itself an equal-probability sample, so this assumes nothing about their
   errors.
2. A pool that still expects fewer than ten audits, or has none usable, is *thin*. Its error may
   differ from all others and nothing would show it. So its own exact interval, (0, 1) without
   audits, is added to the interval of the rest, each by its share of the decisions. That covers
   even a stratum that is wrong throughout and was never audited.

The interval of the well audited pools is Korn and Graubard's. Its variance uses (k + 1) / (n + 2)
for the error share of each pool: with k / n a pool without a wrong audit would count as known
exactly, and rare errors in a seldom audited stratum would be missed (measured: 71 % coverage).

The interval is for one look. Whoever watches until it looks good needs an anytime-valid bound. It
makes no use of decisions being finitely many, so it also holds for the rate behind them and is a
little wide.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from app.core.learning.intervals import (
    Interval,
    clopper_pearson,
    effective_size,
    korn_graubard,
)

EXPECTED_AUDITS_MIN = 10
"""A pool that expects fewer audits is thin. With ten, the chance of none at all is e**-10."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """Accepted decisions that were audited with one probability, and what became of their audits.

    Only decisions old enough that their audits are answered or overdue belong in it.
    """

    key: str
    """Unique within one estimate."""
    accepted: int
    """Accepted decisions, audited or not: exact."""
    audited: int
    """Audits with a usable answer."""
    wrong: int
    """Those of them where the human gave another label than the model."""
    undecided: int
    """Audits that are overdue, or answered `cannot_tell` or `invalid`."""
    probability: float
    """The chance of an audit, in (0, 1]."""

    def __post_init__(self) -> None:
        counts_fit = 0 <= self.wrong <= self.audited and self.undecided >= 0
        if not (counts_fit and self.audited + self.undecided <= self.accepted):
            raise ValueError(f"the counts of stratum {self.key!r} contradict each other")
        if not 0 < self.probability <= 1:
            raise ValueError(f"the probability of stratum {self.key!r} is outside (0, 1]")

    @property
    def expected_audits(self) -> float:
        """How many audits chance gives on average."""
        return self.accepted * self.probability


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share of the accepted decisions, with its interval and what it rests on.

    `value`, `low` and `high` are shares in [0, 1], all None when there is a `reason`.
    """

    value: float | None
    low: float | None
    high: float | None
    audited: int
    undecided: int
    accepted: int
    reason: Literal["no_accepted", "no_audits"] | None


def accepted_error(strata: Iterable[Stratum], *, confidence: float = 0.95) -> Estimate:
    """Estimate the error share of all accepted decisions of `strata`.

    Worked example: of 950 accepted at probability 0.05, 48 audited and 1 wrong; of 50 accepted at
    0.5, 25 audited and 5 wrong: 0.95 * 1/48 + 0.05 * 5/25 = 0.0298, where the plain 6/73 = 0.082
    would mislead.

    Undecided audits are left out of the value. In the interval they take the side that hurts: all
    wrong in the upper end, all right in the lower end, for slow and doubtful verdicts are the hard
    ones.
    """
    strata = [stratum for stratum in strata if stratum.accepted]
    audited = sum(stratum.audited for stratum in strata)
    undecided = sum(stratum.undecided for stratum in strata)
    accepted = sum(stratum.accepted for stratum in strata)
    if not audited:
        reason: Literal["no_accepted", "no_audits"] = "no_audits" if accepted else "no_accepted"
        return Estimate(None, None, None, audited, undecided, accepted, reason)
    pools = _pool_equal_probabilities(strata)
    dense = [pool for pool in pools if not _is_thin(pool)]
    thin = [pool for pool in pools if _is_thin(pool)]
    value = _point(dense, thin)
    low = _interval(*_settle(dense, thin, as_wrong=False), confidence).low
    high = _interval(*_settle(dense, thin, as_wrong=True), confidence).high
    return Estimate(value, low, high, audited, undecided, accepted, None)


def _pool_equal_probabilities(strata: Iterable[Stratum]) -> list[Stratum]:
    ordered = sorted(strata, key=lambda s: (s.probability, s.accepted, s.key))
    levels = groupby(ordered, key=lambda s: s.probability)
    return [pool for _, level in levels for pool in _pool_level(level)]


def _pool_level(level: Iterable[Stratum]) -> list[Stratum]:
    pools: list[Stratum] = []
    for stratum in level:
        if pools and _expects_few(pools[-1]):
            pools[-1] = _merge(pools[-1], stratum)
        else:
            pools.append(stratum)
    if len(pools) > 1 and _expects_few(pools[-1]):
        rest = pools.pop()
        pools[-1] = _merge(pools[-1], rest)
    return pools


def _expects_few(pool: Stratum) -> bool:
    return pool.expected_audits < EXPECTED_AUDITS_MIN


def _merge(one: Stratum, other: Stratum) -> Stratum:
    return replace(
        one,
        accepted=one.accepted + other.accepted,
        audited=one.audited + other.audited,
        wrong=one.wrong + other.wrong,
        undecided=one.undecided + other.undecided,
    )


def _is_thin(pool: Stratum) -> bool:
    return _expects_few(pool) or pool.audited == 0


def _point(dense: Sequence[Stratum], thin: Sequence[Stratum]) -> float:
    """The post-stratified share; a pool without usable audits is taken to be like the others."""
    elsewhere = _share(dense) if dense else _inverse_probability_share(thin)
    shares = [(pool.accepted, _own_share(pool, elsewhere)) for pool in (*dense, *thin)]
    return min(1.0, sum(n * share for n, share in shares) / sum(n for n, _ in shares))


def _share(dense: Sequence[Stratum]) -> float:
    accepted = sum(pool.accepted for pool in dense)
    return sum(pool.accepted / accepted * pool.wrong / pool.audited for pool in dense)


def _inverse_probability_share(pools: Sequence[Stratum]) -> float:
    """Wrong over audited with weights 1 / probability (Hájek 1971)."""
    weight = sum(pool.audited / pool.probability for pool in pools)
    return sum(pool.wrong / pool.probability for pool in pools) / weight


def _own_share(pool: Stratum, elsewhere: float) -> float:
    return pool.wrong / pool.audited if pool.audited else elsewhere


def _settle(
    dense: Sequence[Stratum], thin: Sequence[Stratum], *, as_wrong: bool
) -> tuple[list[Stratum], list[Stratum]]:
    def settled(pool: Stratum) -> Stratum:
        return replace(
            pool,
            audited=pool.audited + pool.undecided,
            wrong=pool.wrong + pool.undecided * as_wrong,
            undecided=0,
        )

    return [settled(pool) for pool in dense], [settled(pool) for pool in thin]


def _interval(dense: Sequence[Stratum], thin: Sequence[Stratum], confidence: float) -> Interval:
    parts = [
        (pool.accepted, clopper_pearson(pool.wrong, pool.audited, confidence=confidence))
        for pool in thin
    ]
    if dense:
        parts.append((sum(pool.accepted for pool in dense), _dense_interval(dense, confidence)))
    accepted = sum(n for n, _ in parts)
    low = sum(n * part.low for n, part in parts) / accepted
    high = sum(n * part.high for n, part in parts) / accepted
    return Interval(low, min(1.0, high))


def _dense_interval(dense: Sequence[Stratum], confidence: float) -> Interval:
    accepted = sum(pool.accepted for pool in dense)
    audited = sum(pool.audited for pool in dense)
    cautious = variance = 0.0
    for pool in dense:
        weight = pool.accepted / accepted
        share = (pool.wrong + 1) / (pool.audited + 2)
        cautious += weight * share
        variance += weight**2 * share * (1 - share) / pool.audited
    effective = effective_size(
        cautious,
        variance,
        size=audited,
        degrees_of_freedom=audited - len(dense),
        confidence=confidence,
    )
    return korn_graubard(_share(dense), effective, confidence=confidence)
