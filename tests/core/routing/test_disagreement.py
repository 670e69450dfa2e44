"""How much the members of an ensemble differ: measures with known answers, and the rule."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.routing.disagreement import (
    consensus_entropy,
    divergences,
    normalised,
    pairwise,
    vote_entropy,
)
from tests.core.routing.cases import decided, policy, prediction, rule, states

# votes of three members for the classes 0 to 2: nats divided by ln 3
VOTES = [
    ("010", 0.579380),
    ("112", 0.579380),
    ("012", 1),
    ("111", 0),
    ("112", 0.579380),
]
# what three members give for each of four items, and how much they differ, in nats
MEMBERS: list[list[list[float]]] = [
    [[0.3, 0.7, 0], [1, 0, 0], [0.2, 0.2, 0.6], [0.2, 0.7, 0.1]],
    [[0.4, 0.6, 0], [0.2, 0.7, 0.1], [0.3, 0.1, 0.6], [0, 0, 1]],
    [[0.4, 0, 0.6], [0.3, 0.2, 0.5], [0.1, 0, 0.9], [0, 0.1, 0.9]],
]
CONSENSUS = [1.052139, 1.029653, 0.801819, 0.803315]
MEAN_KL = [0.399843, 0.419162, 0.077385, 0.427681]
MAX_KL = [0.693972, 0.693147, 0.156868, 0.705567]

close = pytest.approx
distributions = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.1)


def item(number: int) -> list[dict[str, float]]:
    return [dict(zip("abc", member[number], strict=True)) for member in MEMBERS]


def members(*said: Any) -> list[dict[str, Any]]:
    """Members that say a label, or scores."""
    return [
        {"name": f"m-{number}", ("label" if isinstance(one, str) else "scores"): one}
        for number, one in enumerate(said)
    ]


@pytest.mark.parametrize(("votes", "answer"), VOTES, ids=[votes for votes, _ in VOTES])
def test_vote_entropy_has_the_known_answers(votes: str, answer: float) -> None:
    assert vote_entropy(votes, 3) == close(answer, abs=1e-6)


def test_votes_for_more_labels_than_there_should_be_count_all_of_them() -> None:
    assert vote_entropy("ab", 1) == 1


@pytest.mark.parametrize("number", range(4))
def test_measures_of_scores_have_the_known_answers(number: int) -> None:
    found = divergences(item(number))

    assert consensus_entropy(item(number)) == close(CONSENSUS[number], abs=1e-6)
    assert sum(found) / 3 == close(MEAN_KL[number], abs=1e-6)
    assert max(found) == close(MAX_KL[number], abs=1e-6)


@pytest.mark.parametrize(
    ("votes", "answer"), [("aa", 0), ("ab", 1), ("aab", 2 / 3), ("aabb", 2 / 3), ("abc", 1)]
)
def test_pairwise_is_the_share_of_pairs_that_differ(votes: str, answer: float) -> None:
    assert pairwise(votes) == close(answer)


@given(st.lists(distributions, min_size=2, max_size=6))
def test_mean_divergence_is_the_entropy_of_the_mean_less_the_mean_entropy(
    rows: list[list[float]],
) -> None:
    said = [normalised({str(place): p for place, p in enumerate(row)}) for row in rows]
    alone = [consensus_entropy([one]) for one in said]

    found = divergences(said)

    assert min(found) >= 0
    assert sum(found) / len(said) == close(
        consensus_entropy(said) - sum(alone) / len(said), abs=1e-9
    )


@given(st.lists(st.sampled_from("abcd"), min_size=2, max_size=9), st.integers(1, 9))
def test_measures_of_votes_lie_between_0_and_1(votes: list[str], labels: int) -> None:
    assert 0 <= vote_entropy(votes, labels) <= 1
    assert 0 <= pairwise(votes) <= 1


def test_float_noise_in_the_scores_of_a_member_is_taken_out() -> None:
    noisy = normalised({"a": 1.00002, "b": -0.00001})

    assert noisy == {"a": 1.0, "b": 0.0}


A, B = {"a": 0.8, "b": 0.2}, {"a": 0.4, "b": 0.6}
RULE = [
    # votes: the label, or else the top of the scores
    ("labels", "vote_entropy", members("a", "b"), {}, "fired", 1.0),
    ("all alike", "vote_entropy", members("a", "a", "a"), {}, "passed", 0.0),
    ("scores instead of labels", "pairwise", members(A, B), {}, "fired", 1.0),
    ("some with labels, some with scores", "pairwise", members("a", A, B), {}, "fired", 2 / 3),
    ("independent scores have a top too", "pairwise", members({"a": 7}, {"b": 3}), {"label": "a", "scores_are": "independent"}, "fired", 1.0),
    # K: what the prediction names, as the policy declares no labels
    ("every label that is named counts", "vote_entropy", members("a", "b"), {"scores": {"a": 0.5, "b": 0.3, "c": 0.2}}, "fired", 0.630930),
    # scores: entropy of (.6 .4), and divergences from it
    ("the members' mean", "consensus_entropy", members(A, B), {}, "fired", 0.673012),
    ("mean divergence", "mean_kl", members(A, B), {}, "passed", 0.086305),
    ("largest divergence", "max_kl", members(A, B), {}, "passed", 0.091516),
    ("members with a label alone are left out", "consensus_entropy", members(A, "b", B), {}, "fired", 0.673012),
    # fewer than two to compare
    ("no members", "vote_entropy", None, {}, "missing", None),
    ("one member", "pairwise", members("a"), {}, "missing", None),
    ("labels have no divergence", "mean_kl", members("a", "b"), {}, "missing", None),
    ("one with scores", "max_kl", members(A, "b", "a"), {}, "missing", None),
    ("lists of the best", "mean_kl", members({"a": 0.6}, {"b": 0.5}), {"scores_are": "top_k"}, "missing", None),
    # scores that are no probabilities
    ("independent scores", "mean_kl", members({"a": 7}, {"b": 3}), {"label": "a", "scores_are": "independent"}, "not_applicable", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "said", "posted", "state", "observed"),
    [pytest.param(*rest, id=name) for name, *rest in RULE],
)
def test_rule_compares_what_can_be_compared(
    measure: str, said: Any, posted: dict[str, Any], state: str, observed: float | None
) -> None:
    by = policy(rule(disagreement={"measure": measure, "above": 0.5}, if_missing="pass"))
    posted = {"label": "a", **posted, **({"members": said} if said else {})}

    outcome = decided(by, prediction(**posted))

    assert states(outcome) == [state]
    assert outcome.observed == [close(observed, abs=1e-6) if observed is not None else None]


@pytest.mark.parametrize(
    ("labels", "observed"),
    [
        pytest.param(["a", "b", "c", "d"], 0.5, id="those that the policy declares"),
        pytest.param(["a", "c"], 0.630930, id="and votes for others"),
    ],
)
def test_the_policys_labels_are_what_could_be_voted_for(labels: list[str], observed: float) -> None:
    by = policy(rule(disagreement={"measure": "vote_entropy", "above": 0.9}), labels=labels)

    outcome = decided(by, prediction(label="a", members=members("a", "b")))

    assert outcome.observed == [close(observed, abs=1e-6)]


def test_a_share_above_1_is_refused_and_so_many_nats_are_not() -> None:
    with pytest.raises(Invalid) as refused:
        policy(rule(disagreement={"measure": "vote_entropy", "above": 1.5}))

    assert refused.value.places[0][0] == ("rules", 0, "disagreement")
    assert policy(rule(disagreement={"measure": "mean_kl", "above": 1.5}))
