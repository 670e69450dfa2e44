"""Every error is a problem document: a fact of the core, a status of the edge."""

import pytest

from app.api.problems import STATUS, ProblemResponse, problem_of, problem_response, status_of
from app.core import errors


def leaves() -> list[type[errors.OverruleError]]:
    """Every error class that there is, the root left out."""
    found, look_at = [], [errors.OverruleError]
    while look_at:
        children = look_at.pop().__subclasses__()
        found += children
        look_at += children
    return found


@pytest.mark.parametrize("error", leaves(), ids=lambda error: error.__name__)
def test_every_error_has_a_status_and_says_what_it_means(
    error: type[errors.OverruleError],
) -> None:
    assert any(issubclass(error, family) for family, _ in STATUS), "add its family to STATUS"
    assert error.__doc__, "say in a docstring what it means"


def test_codes_are_unique() -> None:
    codes = [error.code for error in leaves()]

    assert len(codes) == len(set(codes))


def test_more_special_family_comes_before_the_general_one() -> None:
    assert status_of(errors.Malformed("Not JSON.")) == 400
    assert status_of(errors.Invalid("Wrong.")) == 422
    assert status_of(errors.LeaseLost("Gone.")) == 409
    assert status_of(errors.Overloaded("Later.")) == 503


def test_problem_names_places_and_the_request() -> None:
    error = errors.Invalid.of([(("rules", 0), "Wrong."), (("name",), "Wrong too.")])

    assert problem_of(error, "req-1") == {
        "type": "urn:overrule:problem:invalid",
        "title": "Invalid",
        "status": 422,
        "code": "invalid",
        "detail": "2 fields are wrong.",
        "errors": [
            {"loc": ["rules", 0], "detail": "Wrong."},
            {"loc": ["name"], "detail": "Wrong too."},
        ],
        "instance": "req-1",
    }


def test_only_what_may_be_sent_again_says_when() -> None:
    busy = problem_response(errors.Overloaded("Later."), None)
    unknown = problem_response(errors.Unauthenticated("Who?"), None)
    wrong = problem_response(errors.Invalid("Wrong."), None)

    assert busy.headers["retry-after"] == "1"
    assert unknown.headers["www-authenticate"] == "Bearer"
    assert not {"retry-after", "www-authenticate"} & set(wrong.headers)


def test_text_that_utf_8_cannot_carry_is_replaced() -> None:
    assert ProblemResponse({"detail": "\ud800ä"}).body == '{"detail":"?ä"}'.encode()
