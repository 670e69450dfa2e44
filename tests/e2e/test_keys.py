"""Where a key's text shows up, and how soon a key counts or counts no more."""

import json
import os
import pty
import re
import stat
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Installed, Start
from tests.e2e.service import OVERRULE, REPOSITORY, START_LIMIT_S, address, environment, run

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEY = re.compile(r"ovr_[\w-]+")
# every replica refuses it within a second: five times that
REVOKED_LIMIT_S = 5


def test_off_a_terminal_the_first_key_goes_to_a_file_for_its_owner_only(
    installed: Installed,
) -> None:
    file = installed.data_dir / "first-key"

    assert str(file) in installed.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert KEY.fullmatch(installed.first_key)
    assert not KEY.search(installed.out + installed.err)


def test_on_a_terminal_the_first_key_is_shown_there_and_kept_nowhere(
    folder: Path, mark: str
) -> None:
    """Slow: starts a server in an empty folder."""
    ours, terminal = pty.openpty()
    data_dir = folder / "new"
    process = subprocess.Popen(
        [*OVERRULE, "serve", "--port", "0", "--no-worker", "--data-dir", str(data_dir)],
        cwd=REPOSITORY,
        env=environment(mark),
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(terminal)

    shown = read_until_address(ours)
    keys = KEY.findall(shown)
    url = address(shown)
    answer = httpx.get(f"{url}/v1/queues", headers={"Authorization": f"Bearer {keys[0]}"})
    process.terminate()
    _, err = process.communicate(timeout=START_LIMIT_S)
    os.close(ours)

    assert len(keys) == 1
    assert answer.status_code == 200
    assert not (data_dir / "first-key").exists()
    assert not KEY.search(err)


def test_keys_made_and_revoked_by_the_command_count_at_once_in_a_server_that_runs(
    start: Start, data_dir: Path, installed: Installed, mark: str
) -> None:
    """Slow: starts a server, and two commands."""
    service = start(data_dir, "--no-worker")
    assert service.url

    named = ["--project", "moderation", "--name", "tool", "--scope", "read", "--scope", "predict"]
    made = run("keys", "create", *named, "--json", "--data-dir", str(data_dir), mark=mark)
    key = json.loads(made.stdout)
    with httpx.Client(
        base_url=service.url, headers={"Authorization": f"Bearer {key['key']}"}, timeout=20
    ) as http:
        allowed = http.get("/v1/queues")
        revoked = run("keys", "revoke", key["id"], "--data-dir", str(data_dir), mark=mark)
        deadline = time.monotonic() + REVOKED_LIMIT_S
        while http.get("/v1/queues").status_code == 200:
            assert time.monotonic() < deadline
        refused = http.get("/v1/queues")

    assert (key["project"], key["scopes"]) == ("moderation", ["read", "predict"])
    assert allowed.status_code == 200
    assert revoked.returncode == 0
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    # the second start of this folder: there was a key already
    assert "Key" not in service.out
    assert (data_dir / "first-key").read_text().strip() == installed.first_key
    assert not KEY.search(service.out + service.err + made.stderr)


def test_commands_about_keys_say_what_they_made_and_cut_nothing(folder: Path, mark: str) -> None:
    """Slow: four commands that each start the database."""
    at = ["--data-dir", str(folder / "new")]
    name = "k" * 100
    named = ["--project", "moderation", "--name", name, "--scope", "read", "--scope", "read"]

    made = run("keys", "create", *named, "--json", *at, mark=mark)
    over = run("keys", "create", *named, "--expires-at", "2026-01-01", *at, mark=mark)
    shown = run("keys", "list", *at, mark=mark, COLUMNS="40")

    assert made.stderr == f"Made a new database in {folder / 'new'}.\n"
    key = json.loads(made.stdout)
    assert key["scopes"] == ["read"]
    assert (over.returncode, over.stderr) == (1, "expires_at must lie in the future.\n")
    assert key["id"] in shown.stdout
    assert name in shown.stdout
    assert shown.stderr == ""


def read_until_address(terminal: int) -> str:
    shown = b""
    while not shown.count(b"Docs  "):
        shown += os.read(terminal, 4096)
    return shown.decode()
