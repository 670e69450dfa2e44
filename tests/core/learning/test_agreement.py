import pytest

from app.core.learning.accepted_error import Stratum, accepted_error
from app.core.learning.agreement import audit_agreement, routed_agreement

STRATA = [Stratum("often", 950, 48, 1, 3, 0.05), Stratum("seldom", 50, 25, 5, 0, 0.5)]


def test_agreement_of_blind_audits_is_what_their_error_leaves() -> None:
    agreement = audit_agreement(STRATA)

    error = accepted_error(STRATA)
    assert error.low is not None
    assert error.high is not None
    assert agreement.value == pytest.approx(1 - 0.0297917, abs=1e-6)
    assert (agreement.low, agreement.high) == (1 - error.high, 1 - error.low)
    assert (agreement.audited, agreement.undecided, agreement.accepted) == (73, 3, 1000)


def test_agreement_without_audits_is_none_with_the_reason() -> None:
    agreement = audit_agreement([Stratum("s", 100, 0, 0, 0, 0.1)])

    assert (agreement.value, agreement.low, agreement.high) == (None, None, None)
    assert agreement.reason == "no_audits"


def test_agreement_of_routed_reviews_is_the_plain_share_with_wilsons_interval() -> None:
    agreement = routed_agreement(81, 263)

    # Newcombe 1998 prints 0.2553 to 0.3662 for 81 of 263.
    assert agreement.value == pytest.approx(81 / 263)
    assert (agreement.low, agreement.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (agreement.compared, agreement.reason) == (263, None)


def test_agreement_without_routed_reviews_is_none_with_the_reason() -> None:
    agreement = routed_agreement(0, 0)

    assert (agreement.value, agreement.low, agreement.high) == (None, None, None)
    assert agreement.reason == "no_reviews"
