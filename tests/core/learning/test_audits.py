"""Which audits an estimate may use, hour by hour."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.learning.agreement import audit_agreement
from app.core.learning.audits import AuditedHour, CountedHour, audited_share, probability_in

ONE = datetime(2026, 11, 23, 1, tzinfo=UTC)
TWO, THREE, FOUR = (ONE + timedelta(hours=n) for n in (1, 2, 3))
KEY = "sentiment@3 accept 0.05"
OTHER = "sentiment@3 accept 0.5"


def counted(hour: datetime, decisions: int, stratum: str = KEY) -> CountedHour:
    return CountedHour(hour, stratum, decisions)


def audited(
    hour: datetime,
    *,
    right: int = 0,
    wrong: int = 0,
    undecided: int = 0,
    under_way: int = 0,
    stratum: str = KEY,
    judge: str = "single",
) -> AuditedHour:
    by = judge if right or wrong else None
    return AuditedHour(hour, stratum, right, wrong, undecided, under_way, by)


def test_strata_are_summed_over_hours_and_weighted_by_size() -> None:
    sizes = [counted(ONE, 900), counted(TWO, 50), counted(TWO, 50, OTHER)]
    audits = [
        audited(ONE, right=40, wrong=1),
        audited(TWO, right=7),
        audited(TWO, right=20, wrong=5, stratum=OTHER, judge="panel"),
    ]

    share = audited_share(sizes, audits, FOUR)

    assert share.estimate.value == pytest.approx(0.0297917, abs=1e-6)
    assert (share.covered_until, share.judges) == (FOUR, ["panel", "single"])


def test_agreement_is_what_is_left_of_the_error() -> None:
    sizes, audits = [counted(ONE, 100)], [audited(ONE, right=15, wrong=5)]

    share = audited_share(sizes, audits, FOUR, audit_agreement)

    assert share.estimate.value == 0.75


def test_nothing_from_the_first_hour_with_an_audit_under_way_on_is_used() -> None:
    sizes = [counted(hour, 100) for hour in (ONE, TWO, THREE)]
    audits = [
        audited(ONE, right=10),
        audited(TWO, right=9, under_way=1),
        audited(THREE, wrong=10, judge="panel"),
    ]

    share = audited_share(sizes, audits, FOUR)

    assert (share.estimate.accepted, share.estimate.value) == (100, 0)
    assert (share.covered_until, share.judges) == (TWO, ["single"])


def test_an_estimate_that_waits_for_its_first_audits_says_so() -> None:
    share = audited_share([counted(ONE, 100)], [audited(ONE, right=9, under_way=1)], FOUR)

    assert (share.estimate.value, share.reason, share.covered_until) == (
        None,
        "audits_under_way",
        ONE,
    )


def test_audits_of_a_stratum_without_a_size_neither_count_nor_hold_up() -> None:
    audits = [audited(ONE, right=10), audited(ONE, wrong=9, under_way=1, stratum=OTHER)]

    share = audited_share([counted(ONE, 100)], audits, FOUR)

    assert (share.estimate.value, share.covered_until) == (0, FOUR)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        pytest.param([], "no_accepted", id="nothing was accepted"),
        pytest.param([counted(ONE, 100)], "no_audits", id="nothing was audited"),
    ],
)
def test_without_audits_there_is_a_reason_instead(sizes: list[CountedHour], reason: str) -> None:
    share = audited_share(sizes, [], FOUR)

    assert (share.estimate.value, share.reason, share.judges) == (None, reason, [])


@pytest.mark.parametrize(
    ("stratum", "probability"),
    [
        ("sentiment@3 accept 0.02", 0.02),
        ("sentiment@3 reject 1e-05", 1e-5),
        ("a policy @2 accept 1", 1.0),
    ],
)
def test_a_stratum_ends_with_its_probability(stratum: str, probability: float) -> None:
    assert probability_in(stratum) == probability
