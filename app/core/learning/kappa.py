"""Cohen's kappa: agreement of two reviewers beyond what their label habits give by chance."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal


@dataclass(frozen=True, slots=True)
class Kappa:
    """Kappa in [-1, 1] (0: chance, 1: full agreement) with its interval.

    `value`, `low` and `high` are all None when there is a `reason`.
    """

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    reason: Literal["no_pairs", "one_category"] | None


def cohen_kappa(pairs: Mapping[tuple[str, str], int], *, confidence: float = 0.95) -> Kappa:
    """Kappa of how often the first reviewer gave one label and the second another (Cohen 1960).

    kappa = (observed - chance) / (1 - chance), where chance is the agreement of two reviewers who
    label at random with these two reviewers' own label shares. The interval is the large-sample
    one (Fleiss, Cohen and Everitt 1969): do not lean on it below some 30 pairs, nor at full
    agreement (width 0). When both gave one and the same label throughout, chance is 1 and kappa
    does not exist.
    """
    total = sum(pairs.values())
    if total == 0:
        return Kappa(None, None, None, 0, "no_pairs")
    shares = {pair: count / total for pair, count in pairs.items() if count}
    if len({label for pair in shares for label in pair}) == 1:
        return Kappa(None, None, None, total, "one_category")
    first, second = _margins(shares)
    observed = sum(share for (a, b), share in shares.items() if a == b)
    chance = sum(first[label] * second[label] for label in first)
    value = (observed - chance) / (1 - chance)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * sqrt(
        max(0.0, _spread(shares, first, second, value, chance)) / total
    )
    return Kappa(value, max(-1.0, value - reach), min(1.0, value + reach), total, None)


def _margins(
    shares: Mapping[tuple[str, str], float],
) -> tuple[Counter[str], Counter[str]]:
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    for (a, b), share in shares.items():
        # typeshed lets a Counter hold whole numbers only; these are shares.
        first[a] += share  # type: ignore[assignment]
        second[b] += share  # type: ignore[assignment]
    return first, second


def _spread(
    shares: Mapping[tuple[str, str], float],
    first: Mapping[str, float],
    second: Mapping[str, float],
    kappa: float,
    chance: float,
) -> float:
    """The variance of kappa times the number of pairs (Fleiss, Cohen and Everitt 1969)."""
    rest = 1 - kappa
    spread = -((kappa - chance * rest) ** 2)
    for (a, b), share in shares.items():
        if a == b:
            spread += share * (1 - (first[a] + second[b]) * rest) ** 2
        else:
            spread += share * rest**2 * (first.get(b, 0.0) + second.get(a, 0.0)) ** 2
    return spread / (1 - chance) ** 2
