"""How much the members of an ensemble differ.

By votes (the label that each gives): vote entropy and the share of pairs that differ. By scores
(the distribution that each gives): the entropy of their mean, the consensus, and the
Kullback-Leibler divergences of the members from it. Worked example, three members with the
distributions (.3 .7 0), (.4 .6 0), (.4 0 .6): the consensus is (.366667 .433333 .2), its entropy
1.052139; the mean divergence from it is 0.399843, the largest 0.693972.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

Distribution = Mapping[str, float]


def vote_entropy(votes: Collection[str], labels: int) -> float:
    """Entropy of the votes' shares, as a share of ln K: 0 to 1.

    Two votes of three for one label, K = 3: 0.579380 (Dagan and Engelson 1995).

    Args:
        votes: the label that each member gives; at least one.
        labels: how many labels there are, K; those that were voted for count at least.
    """
    counts = _counts(votes)
    possible = max(labels, len(counts))
    if possible == 1:
        return 0.0
    return min(1.0, _entropy(count / len(votes) for count in counts.values()) / math.log(possible))


def pairwise(votes: Collection[str]) -> float:
    """Share of the pairs of members that give different labels: 0 to 1.

    Args:
        votes: the label that each member gives; at least two.
    """
    members = len(votes)
    alike = sum(count * (count - 1) for count in _counts(votes).values())
    return 1 - alike / (members * (members - 1))


def consensus_entropy(members: Sequence[Distribution]) -> float:
    """Entropy of the members' mean, in nats: 0 to ln K."""
    return _entropy(_mean(members).values())


def divergences(members: Sequence[Distribution]) -> list[float]:
    """KL divergence of each member from the members' mean, in nats: 0 to ln M for M members.

    Their mean is the entropy of the mean less the mean entropy (Jensen-Shannon divergence).
    """
    mean = _mean(members)
    return [
        # float noise can make it -1e-17
        max(
            0.0,
            math.fsum(
                p * math.log(p / mean[label])
                for label, p in member.items()
                # the mean of a smallest number and nothing rounds to nothing
                if p > 0 and mean[label] > 0
            ),
        )
        for member in members
    ]


def normalised(scores: Distribution) -> Distribution:
    """Scores declared as probabilities, made to sum to exactly 1: clipped, and float noise out."""
    clipped = {label: min(1.0, max(0.0, score)) for label, score in scores.items()}
    total = math.fsum(clipped.values())
    return {label: score / total for label, score in clipped.items()}


def _counts(votes: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for vote in votes:
        counts[vote] = counts.get(vote, 0) + 1
    return counts


def _entropy(shares: Iterable[float]) -> float:
    # fsum: the order in which scores were sent must not matter, what is kept does not keep it
    return max(0.0, -math.fsum(share * math.log(share) for share in shares if share > 0))


def _mean(members: Sequence[Distribution]) -> dict[str, float]:
    """A label that a member does not name has no probability there."""
    mean: dict[str, float] = {}
    for member in members:
        for label, p in member.items():
            mean[label] = mean.get(label, 0.0) + p / len(members)
    return mean
