"""Audits are drawn by chance that can be recomputed, with the probability that is recorded."""

import random
import uuid
from datetime import date

import pytest
from scipy.stats import binom

from app.core.routing.draw import Chance, DayKey, day_key
from tests.core.routing.cases import ID, KEY_OF_DAY, decided, policy, prediction, queues_of, rule

# chance of a false alarm of one of these tests, were its seed another
ALPHA = 1e-6
DRAWS = 20_000
# of secret 07…07, 2026-11-23, `audit` and ID: HMAC-SHA-256 worked out apart from this code
DRAWN = 0.03422508079202724


def ids(count: int, seed: int = 7) -> list[bytes]:
    made = random.Random(seed)
    return [made.randbytes(16) for _ in range(count)]


def plausible(count: int, of: int, probability: float) -> bool:
    """Whether a count lies within the exact binomial bounds."""
    return bool(
        binom.ppf(ALPHA / 2, of, probability) <= count <= binom.isf(ALPHA / 2, of, probability)
    )


def test_a_draw_is_the_same_number_whenever_it_is_made() -> None:
    key = DayKey(day_key(b"\x07" * 32, date(2026, 11, 23)))

    assert Chance(key, ID.bytes).draw(b"audit") == DRAWN


def test_another_day_secret_purpose_or_decision_is_another_draw() -> None:
    key = DayKey(day_key(b"\x07" * 32, date(2026, 11, 23)))
    drawn = Chance(key, ID.bytes).draw(b"audit")

    others = {
        Chance(DayKey(day_key(b"\x07" * 32, date(2026, 11, 24))), ID.bytes).draw(b"audit"),
        Chance(DayKey(day_key(b"\x08" * 32, date(2026, 11, 23))), ID.bytes).draw(b"audit"),
        Chance(key, ID.bytes).draw(b"rule:keep-an-eye"),
        Chance(key, uuid.UUID(int=ID.int + 1).bytes).draw(b"audit"),
    }

    assert len(others | {drawn}) == 5


def test_draws_are_uniform() -> None:
    drawn = [Chance(KEY_OF_DAY, id_).draw(b"audit") for id_ in ids(DRAWS)]

    for tenth in range(10):
        count = sum(tenth / 10 <= u < (tenth + 1) / 10 for u in drawn)
        assert plausible(count, DRAWS, 0.1), f"{count} of {DRAWS} draws fell into tenth {tenth}"


def test_two_purposes_are_independent() -> None:
    pairs = [
        (Chance(KEY_OF_DAY, id_).draw(b"audit"), Chance(KEY_OF_DAY, id_).draw(b"rule:sample"))
        for id_ in ids(DRAWS)
    ]

    both_low = sum(u < 0.5 and v < 0.5 for u, v in pairs)

    assert plausible(both_low, DRAWS, 0.25)


@pytest.mark.parametrize(
    ("label", "probability"),
    [
        pytest.param("neutral", 0.1, id="general"),
        pytest.param("threat", 0.5, id="of its own label"),
    ],
)
def test_accepted_decisions_are_audited_with_the_probability_that_is_recorded(
    label: str, probability: float
) -> None:
    by = policy(audit={"probability": 0.1, "per_label": {"threat": 0.5}, "queue": "checks"})
    posted = prediction(label=label)

    outcomes = [decided(by, posted, uuid.UUID(bytes=id_)) for id_ in ids(5_000)]

    assert plausible(sum(outcome.audited for outcome in outcomes), 5_000, probability)
    for outcome in outcomes:
        assert outcome.audit_probability == outcome.inclusion_probability == probability
        assert outcome.audited == (
            outcome.audit_draw is not None and outcome.audit_draw < probability
        )
        assert outcome.queue == ("checks" if outcome.audited else None)
        assert outcome.stratum == f"sentiment@3 accept {probability:g}"


def test_rejected_decisions_have_an_audit_probability_of_their_own() -> None:
    by = policy(
        rule(labels=["spam"], route="reject"),
        audit={"probability": 0.1, "per_label": {"spam": 0.2}, "rejected_probability": 0.3},
    )

    outcomes = [decided(by, prediction(label="spam"), uuid.UUID(bytes=id_)) for id_ in ids(5_000)]

    assert plausible(sum(outcome.audited for outcome in outcomes), 5_000, 0.3)
    assert {(outcome.route, outcome.audit_probability) for outcome in outcomes} == {("reject", 0.3)}


def test_a_decision_without_a_label_is_audited_like_any_other() -> None:
    by = policy(audit={"probability": 0.1, "per_label": {"spam": 0.2}})

    assert decided(by, prediction(output=[1])).audit_probability == 0.1


def test_without_a_word_on_audits_one_in_a_hundred_goes_to_the_builtin_queue() -> None:
    by = policy()

    outcome = decided(by, prediction())

    assert (outcome.audit_probability, by.audit.queue) == (0.01, "audits")
    assert queues_of(by) == {"audits"}


def test_a_review_needs_no_audit() -> None:
    by = policy(rule(labels=["positive"]), audit={"probability": 1})

    outcome = decided(by, prediction())

    assert (outcome.audited, outcome.audit_probability, outcome.audit_draw) == (False, None, None)
    assert outcome.stratum == "sentiment@3 review 1"
