"""`disagreement: {measure: vote_entropy, above: 0.5}`."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from app.core.routing.disagreement import (
    Distribution,
    consensus_entropy,
    divergences,
    normalised,
    pairwise,
    vote_entropy,
)
from app.core.routing.draw import Chance
from app.core.routing.prediction import Member, Signals, top_of
from app.core.routing.rules.base import (
    FIRED,
    MISSING,
    NOT_APPLICABLE,
    PASSED,
    Condition,
    Finding,
    Look,
    Segment,
    Specification,
)

MEMBERS_MIN = 2
# ln 1000: no more labels can be sent
NATS_MAX = 6.91

Measure = Literal["vote_entropy", "consensus_entropy", "mean_kl", "max_kl", "pairwise"]


class Disagreement(Specification, frozen=True, forbid_unknown_fields=True):
    """The members of the ensemble differ by more than a threshold.

    `vote_entropy` and `pairwise` compare the labels that members give (the top of their scores
    where they give none) and go from 0 to 1. `consensus_entropy`, `mean_kl` and `max_kl` compare
    probabilities, in nats; members with a label alone are left out of them. With fewer than two
    members to compare the signal is missing.

    The entropy of votes is divided by ln K. K is the number of labels that the policy declares,
    votes for others added, or else the number of different labels that the prediction names.
    """

    kind: ClassVar[str] = "disagreement"

    measure: Measure
    above: Annotated[float, Meta(ge=0, le=NATS_MAX)]

    def check(
        self,
        labels: frozenset[str] | None,  # noqa: ARG002
        segments: frozenset[str],  # noqa: ARG002
    ) -> str | None:
        """What goes up to 1 cannot be above more."""
        if self.measure in _BY_SCORES or self.above <= 1:
            return None
        return f"{self.measure} goes from 0 to 1."

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """By votes or by scores."""
        if self.measure == "vote_entropy":
            return self._look_at_entropy_of_votes(labels)
        return self._look_at_pairs if self.measure == "pairwise" else self._look_at_scores

    def threshold(self, label: str | None, segment: Segment) -> float:  # noqa: ARG002
        """The same for every label."""
        return self.above

    def covers(self, other: Condition) -> bool:
        """Its threshold is at least as low, for the same measure."""
        return (
            isinstance(other, Disagreement)
            and self.measure == other.measure
            and self.above <= other.above
        )

    def sentence(self) -> str:
        """For people."""
        unit = " nats" if self.measure in _BY_SCORES else ""
        return f"{_NAMES[self.measure]} above {self.above:g}{unit}"

    def _look_at_entropy_of_votes(self, labels: frozenset[str] | None) -> Look:
        def look(signals: Signals, chance: Chance) -> Finding:  # noqa: ARG001
            entropy = entropy_of_votes(signals, labels)
            return (MISSING, None) if entropy is None else self._found(entropy)

        return look

    def _look_at_pairs(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        votes = _votes(signals)
        return (MISSING, None) if len(votes) < MEMBERS_MIN else self._found(pairwise(votes))

    def _look_at_scores(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        scores_are = signals.prediction.scores_are
        if scores_are == "independent":
            return NOT_APPLICABLE, None
        members = [m.scores for m in signals.prediction.members or () if m.scores is not None]
        # a list of the best scores does not tell what is left for the others
        if len(members) < MEMBERS_MIN or scores_are == "top_k":
            return MISSING, None
        return self._found(_BY_SCORES[self.measure]([normalised(scores) for scores in members]))

    def _found(self, value: float) -> Finding:
        return (FIRED if value > self.above else PASSED), value


def entropy_of_votes(signals: Signals, labels: frozenset[str] | None = None) -> float | None:
    """Entropy of the members' votes as a share of ln K; None with fewer than two members.

    Args:
        signals: of the prediction.
        labels: those that count for K beside those voted for; None: those that the prediction
            names.
    """
    votes = _votes(signals)
    if len(votes) < MEMBERS_MIN:
        return None
    known = _named(signals) if labels is None else labels.union(votes)
    return vote_entropy(votes, len(known))


def _mean_kl(members: Sequence[Distribution]) -> float:
    return sum(divergences(members)) / len(members)


def _max_kl(members: Sequence[Distribution]) -> float:
    return max(divergences(members))


_BY_SCORES: dict[str, Callable[[Sequence[Distribution]], float]] = {
    "consensus_entropy": consensus_entropy,
    "mean_kl": _mean_kl,
    "max_kl": _max_kl,
}
_NAMES: dict[str, str] = {
    "vote_entropy": "entropy of the members' votes",
    "pairwise": "share of pairs of members that disagree",
    "consensus_entropy": "entropy of the members' mean",
    "mean_kl": "mean divergence of members from their mean",
    "max_kl": "largest divergence of a member from the mean",
}


def _votes(signals: Signals) -> list[str]:
    return [_vote(member) for member in signals.prediction.members or ()]


def _vote(member: Member) -> str:
    if member.label is not None:
        return member.label
    assert member.scores is not None, "a member has a label or scores"
    return top_of(member.scores)


def _named(signals: Signals) -> set[str]:
    """Every label that the prediction or one of its members names."""
    named = set(signals.scores or ())
    if signals.label is not None:
        named.add(signals.label)
    for member in signals.prediction.members or ():
        named.update(member.scores or ())
        if member.label is not None:
            named.add(member.label)
    return named
