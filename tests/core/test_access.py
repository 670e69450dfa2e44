"""Keys: their text, and what of it is checked."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.access import Caller, Scope, key_text, parse_key, secret_digest, secret_matches

ID = uuid.UUID("019aaaaa-0000-7000-8000-000000000001")


@given(st.uuids(), st.binary(min_size=32, max_size=32))
def test_text_of_a_key_reads_back_as_its_id_and_secret(key_id: uuid.UUID, secret: bytes) -> None:
    text = key_text(key_id, secret)

    assert parse_key(text) == (key_id, secret)
    assert text.startswith("ovr_")
    assert text.isascii()


GOOD = key_text(ID, bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ovr",
        "ovr_" + ID.hex,
        GOOD.replace("ovr_", "xyz_"),
        GOOD.replace(ID.hex, ID.hex[:-1]),
        GOOD.replace(ID.hex, "z" * 32),
        GOOD + "ä",
        GOOD[:-1] + "$",
        GOOD[:-2],
        "\x00",
    ],
    ids=[
        "empty",
        "prefix alone",
        "no secret",
        "another prefix",
        "short id",
        "id not hexadecimal",
        "not ASCII",
        "not base64",
        "cut off",
        "NUL",
    ],
)
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    assert parse_key(text) is None


def test_a_secret_matches_its_own_digest_only() -> None:
    digest = secret_digest(b"a" * 32)

    assert secret_matches(b"a" * 32, digest)
    assert not secret_matches(b"b" * 32, digest)
    assert b"a" * 32 not in digest


def test_caller_is_named_by_its_key_and_an_admin_has_no_project() -> None:
    caller = Caller(ID, None, frozenset({Scope.ADMIN}))

    assert caller.name == f"key:{ID}"
    with pytest.raises(AssertionError, match="admin key"):
        _ = caller.project
    assert Caller(ID, ID, frozenset({Scope.READ})).project == ID
