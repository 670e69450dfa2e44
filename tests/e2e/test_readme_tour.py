"""The README's tour, word for word, against a real server process."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOUR = re.compile(r"^## A tour in five minutes$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def tour_commands() -> list[str]:
    tour = TOUR.search((ROOT / "README.md").read_text())
    assert tour is not None, "README.md has no section `## A tour in five minutes`"
    return BLOCK.findall(tour.group(1))


@pytest.mark.slow
def test_every_command_of_the_tour_answers(tmp_path: Path) -> None:
    """Takes a few seconds: it starts a service with a database of its own."""
    start, *commands = tour_commands()
    assert start.strip() == "make serve"
    server = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = next(line.split()[1] for line in server.stdout or () if line.startswith("API "))

        said = run_all(commands, tmp_path, address)
    finally:
        server.terminate()
        server.wait(30)
        assert server.stdout is not None
        server.stdout.close()

    assert server.returncode == 0
    first, queue, policy, active, clear, unclear, lease, verdict, read, summary, error = documents(
        said
    )
    assert (first["route"], first["reason"]) == ("review", "no-policy")
    assert queue["name"] == "triage"
    assert (policy["state"], active["state"]) == ("draft", "active")
    assert clear["route"] == "accept"
    assert (unclear["route"], unclear["reason"]) == ("review", "tie")
    assert len(unclear["trace"]) == 3
    assert lease["leases"][0]["prediction"]["label"] == "positive"
    assert verdict["item_state"] == "resolved"
    assert read["items"][0]["resolution"]["label"] == "negative"
    assert summary["decisions"]["total"] == 3
    assert error["accepted"] + (error["reason"] is not None) >= 1
    assert "overrule_" in said


def environment() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("OVERRULE_")},
        "PYTHONPATH": str(ROOT),
    }


def run_all(commands: list[str], folder: Path, address: str) -> str:
    script = "set -eu\n" + "\necho\n".join(commands)
    script = script.replace("http://127.0.0.1:8080", address)
    script = script.replace(".venv/bin/overrule", f"{sys.executable} -m app.cli")
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documents(said: str) -> list[dict[str, Any]]:
    """The JSON documents in what was printed, in order."""
    decoder = json.JSONDecoder()
    found = []
    at = 0
    while (at := said.find("{", at)) != -1:
        try:
            document, end = decoder.raw_decode(said[at:])
        except ValueError:
            at += 1
            continue
        if len(document) > 1 or "leases" in document:
            found.append(document)
        at += end
    return found
