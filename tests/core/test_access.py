"""Keys: their text, and what of it is checked."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.access import (
    Caller,
    Scope,
    check_name,
    key_text,
    parse_key,
    secret_digest,
    secret_matches,
)
from app.core.errors import Invalid

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


@pytest.mark.parametrize("name", ["a", "0", "team.a_b-c", "a" * 128])
def test_a_name_is_taken(name: str) -> None:
    check_name(name, ("name",))


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "-a", ".a", "a\n", "a" * 129, "\u00e4", "a\x00"]
)
def test_what_is_no_name_is_refused_with_its_place(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_name(name, ("project",))

    assert [place for place, _ in refused.value.places] == [("project",)]


def test_caller_is_named_by_its_key_and_an_admin_has_no_project() -> None:
    caller = Caller(ID, None, frozenset({Scope.ADMIN}))

    assert caller.name == f"key:{ID}"
    with pytest.raises(AssertionError, match="admin key"):
        _ = caller.project
    assert Caller(ID, ID, frozenset({Scope.READ})).project == ID
