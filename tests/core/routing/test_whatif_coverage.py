"""The interval of what escapes, against a truth that only the test knows."""

import random

import pytest

from app.core.routing.policy import Policy
from app.core.routing.whatif.tally import Past
from tests.core.routing.cases import policy, rule
from tests.core.routing.whatif_cases import Answers, past, simulated

RUNS = 320
DECISIONS = 600
AUDITED = 0.15


def deciding(threshold: float) -> Policy:
    return policy(
        rule(id="unsure", confidence={"below": threshold}),
        rule(id="some", sample={"share": 0.05}),
        audit={"probability": AUDITED},
    )


RECORDED = deciding(0.7)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.5, 0.85])
def test_the_interval_of_what_escapes_covers_the_truth(threshold: float) -> None:
    """Slow: hundreds of simulations."""
    chance = random.Random(20261123)
    confidences = [0.4 + 0.6 * chance.random() for _ in range(DECISIONS)]
    rows = [past(RECORDED, n, confidence=sure) for n, sure in enumerate(confidences)]
    simulated_policy = deciding(threshold)
    # what the sample takes away is drawn by chance: the others have the same true share
    accepted = [n for n, sure in enumerate(confidences) if sure >= threshold]
    covered = 0

    for _ in range(RUNS):
        wrong = [chance.random() < 0.5 * (1 - sure) for sure in confidences]
        escaped = simulated(simulated_policy, rows, _answers(rows, wrong, chance)).escaped_error
        assert escaped.low is not None
        assert escaped.high is not None
        truth = sum(wrong[n] for n in accepted) / len(accepted)
        covered += escaped.low <= truth <= escaped.high

    assert covered / RUNS >= 0.93


def _answers(rows: list[Past], wrong: list[bool], chance: random.Random) -> Answers:
    """Reviews are judged, and of the others those that chance chooses."""
    return {
        id_: "wrong" if wrong[n] else "right"
        for n, (id_, _, route, *_) in enumerate(rows)
        if route == "review" or chance.random() < AUDITED
    }
