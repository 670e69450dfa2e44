"""Rules that draw: what they draw is fair, recorded, and independent of every other draw."""

import uuid
from typing import Any

import pytest

from app.core.routing.decision import Outcome
from app.core.routing.draw import Chance
from tests.core.routing.cases import KEY_OF_DAY, decided, policy, prediction, rule, states

SHARE = 0.02
MANY = 20_000


def sampling(percent: float) -> dict[str, Any]:
    return {
        "ConditionType": "Sampling",
        "ConditionParameters": {"RandomSamplingPercentage": percent},
    }


def outcomes(by: Any, count: int) -> list[Outcome]:
    posted = prediction(confidence=0.9)
    return [decided(by, posted, uuid.UUID(int=number)) for number in range(count)]


def chi_square(rows: list[tuple[bool, bool]], p: float, q: float) -> float:
    """Against two independent events of known probabilities: 3 degrees of freedom."""
    total = 0.0
    for first in (True, False):
        for second in (True, False):
            expected = len(rows) * (p if first else 1 - p) * (q if second else 1 - q)
            total += (rows.count((first, second)) - expected) ** 2 / expected
    return total


# 1 in 1,000 of fair draws goes past it
CHI_SQUARE_MAX = 16.27


def test_sample_fires_below_its_share_and_keeps_what_it_drew() -> None:
    by = policy(rule(id="watch", sample={"share": 0.5}))
    expected = Chance(KEY_OF_DAY, uuid.UUID(int=7).bytes).draw(b"rule:watch")

    outcome = decided(by, prediction(), uuid.UUID(int=7))

    assert outcome.observed == [expected]
    assert states(outcome) == ["fired" if expected < 0.5 else "passed"]


def test_sampled_decision_has_the_share_as_its_chance_to_be_seen() -> None:
    by = policy(rule(sample={"share": SHARE}))

    sampled = [found for found in outcomes(by, 1_000) if found.route == "review"]

    assert sampled
    assert {found.inclusion_probability for found in sampled} == {SHARE}
    assert {found.stratum for found in sampled} == {f"sentiment@3 review {SHARE}"}


def test_sample_of_all_is_certain() -> None:
    outcome = decided(policy(rule(sample={"share": 1})), prediction())

    assert (outcome.route, outcome.inclusion_probability) == ("review", 1.0)


def test_sample_and_audit_are_drawn_independently() -> None:
    # it accepts, so that the audit is drawn whether the sample fired or not
    by = policy(
        rule(sample={"share": SHARE}, route="accept"), audit={"probability": SHARE, "queue": "q"}
    )

    rows = [(states(found) == ["fired"], found.audited) for found in outcomes(by, MANY)]

    assert chi_square(rows, SHARE, SHARE) < CHI_SQUARE_MAX


@pytest.mark.parametrize(
    "conditions",
    [
        pytest.param([{"sample": {"share": 0.3}}] * 2, id="of two samples"),
        pytest.param(
            [{"activation": {"Conditions": [sampling(30)]}}] * 2, id="of two rules with conditions"
        ),
    ],
)
def test_rules_draw_independently(conditions: list[dict[str, Any]]) -> None:
    by = policy(*(rule(id=f"r-{n}", **one) for n, one in enumerate(conditions)))

    rows = []
    for found in outcomes(by, MANY):
        first, second = (state == "fired" for state in states(found))
        rows.append((first, second))

    assert chi_square(rows, 0.3, 0.3) < CHI_SQUARE_MAX


def test_samplings_within_one_rule_draw_independently() -> None:
    both = {"And": [sampling(50), sampling(50)]}
    by = policy(rule(activation={"Conditions": [both]}))

    fired = sum(found.route == "review" for found in outcomes(by, MANY))

    # 0.25 ± 4 standard errors
    assert abs(fired / MANY - 0.25) < 4 * (0.25 * 0.75 / MANY) ** 0.5


UNSURE = rule(id="unsure", confidence={"below": 1.0})


@pytest.mark.parametrize(
    ("rules", "chance"),
    [
        # one sample: its share
        ([rule(id="a", sample={"share": 0.2})], 0.2),
        # two of them: either may choose it
        ([rule(id="a", sample={"share": 0.2}), rule(id="b", sample={"share": 0.5})], 0.6),
        # it would be reviewed in any case
        ([rule(id="a", sample={"share": 0.2}), UNSURE], 1.0),
        # a rule that accepts by chance takes some away before
        ([rule(id="a", sample={"share": 0.25}, route="accept"), UNSURE], 0.75),
    ],
    ids=["one", "two", "and a rule that holds", "after an accepting one"],
)
def test_a_review_keeps_the_chance_that_it_had_whichever_rule_drew_it(
    rules: list[dict[str, Any]], chance: float
) -> None:
    decisions = outcomes(policy(*rules), 2000)

    reviews = [outcome for outcome in decisions if outcome.route == "review"]
    for outcome in reviews:
        assert outcome.inclusion_probability == pytest.approx(chance)
    # four standard deviations
    reach = 4 * (chance * (1 - chance) / 2000) ** 0.5
    assert len(reviews) / 2000 == pytest.approx(chance, abs=reach + 1e-9)
