"""An operator stops a busy server: what it took on is finished, and nothing keeps running."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.conftest import Installed, Start
from tests.e2e.kept import Kept
from tests.e2e.load import Load
from tests.e2e.service import processes

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LONG_POLL_S = 2


async def test_a_server_that_is_told_to_stop_answers_what_it_accepted_and_leaves_nothing_running(
    start: Start, data_dir: Path, installed: Installed, mark: str
) -> None:
    """Slow: starts a server and ends it in good order."""
    service = start(data_dir)
    key = service.new_project(installed.admin_key)
    load = Load(service.client(key), service_stays=False)

    async with load.running(), service.client(key) as patient:
        await load.answers(decisions=300, verdicts=40)
        asked = {"reviewer": "r-99", "wait_s": LONG_POLL_S}
        polled = asyncio.create_task(patient.post("/v1/queues/audits/leases", json=asked))
        await load.answers(decisions=20, verdicts=5)
        service.process.terminate()
        waited_out = await polled
    exit_code = service.process.wait()
    left = processes(mark, data_dir.parent)
    kept = await Kept.read(data_dir, key)

    assert exit_code == 0
    assert left == []
    assert (waited_out.status_code, waited_out.json()) == (200, {"leases": []})
    assert load.mistakes == []
    kept.expect_promises_of(load)
    # and nothing was taken whose caller heard no answer
    assert set(kept.decisions) == set(load.decided.items())
