"""When a job is tried again, and what its caller may know of a failure."""

from app.core.errors import Invalid
from app.core.jobs import ATTEMPTS_MAX, failure_of, retry_after_s


def test_pauses_between_attempts_double_up_to_a_limit() -> None:
    pauses = [retry_after_s(attempts) or 0.0 for attempts in range(1, ATTEMPTS_MAX)]

    assert pauses == [2.0, 4.0, 8.0, 16.0]


def test_the_last_attempt_has_no_other() -> None:
    assert retry_after_s(ATTEMPTS_MAX) is None


def test_a_refusal_is_told_with_its_places() -> None:
    failure = failure_of(Invalid("Is required.", loc=("rules", 0, "id")))

    assert (failure.code, failure.detail) == ("invalid", "Is required.")
    assert failure.places == [(("rules", 0, "id"), "Is required.")]


def test_nothing_is_told_of_what_went_wrong_inside() -> None:
    failure = failure_of(ZeroDivisionError("secret-5e1"))

    assert failure.code == "internal"
    assert "secret" not in failure.detail
