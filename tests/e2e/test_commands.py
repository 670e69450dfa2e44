"""Commands that can be given twice, and sentences for what cannot be done."""

import socket
from pathlib import Path

import pytest

from tests.e2e.service import run

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_migrating_twice_changes_nothing(data_dir: Path, mark: str) -> None:
    """Slow: two commands that each start the database."""
    first = run("migrate", "--data-dir", str(data_dir), mark=mark)
    second = run("migrate", "--data-dir", str(data_dir), mark=mark)

    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout == "The database is at the newest schema.\n"


def test_an_address_that_is_taken_is_told_before_anything_is_started(
    folder: Path, mark: str
) -> None:
    """Slow: a process of Python."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failed = run("serve", "--port", str(port), "--data-dir", str(folder / "new"), mark=mark)

    assert failed.returncode == 1
    assert failed.stderr == (
        f"Cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Choose another address with --host and --port.\n"
    )
    assert not (folder / "new").exists()


# a value is not quoted: it may hold a password
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OVERRULE_PORT", "70000", "OVERRULE_PORT: Input should be less than or equal to 65535."),
        (
            "OVERRULE_DATABASE_URL",
            "secret",
            (
                "The database's address does not read like "
                "postgresql://user:password@host:5432/name, perhaps with ?sslmode=require. "
                "Mend OVERRULE_DATABASE_URL or OVERRULE_MIGRATE_URL."
            ),
        ),
        (
            "OVERRULE_DATABASE_URL",
            "postgresql://r-17:secret@127.0.0.1:1/none",
            "The database cannot be reached: [Errno 111] Connect call failed ('127.0.0.1', 1).",
        ),
    ],
    ids=["out of bounds", "no address", "nobody there"],
)
def test_a_setting_that_cannot_be_used_is_told_in_a_sentence(
    mark: str, name: str, value: str, sentence: str
) -> None:
    """Slow: a process of Python."""
    failed = run("migrate", mark=mark, **{name: value})

    assert (failed.returncode, failed.stderr) == (1, f"{sentence}\n")
