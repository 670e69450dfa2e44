"""The server process is killed -9 while it is busy; the next start finds everything it promised."""

from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.e2e.conftest import Installed, Start
from tests.e2e.kept import Kept
from tests.e2e.load import Load
from tests.e2e.service import until

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

WORKER_STOP_S = 15


async def test_a_killed_server_has_lost_and_doubled_nothing_that_it_answered(
    start: Start, data_dir: Path, installed: Installed
) -> None:
    """Slow: starts two servers, one after the other."""
    killed = start(data_dir)
    key = killed.new_project(installed.admin_key)
    worker = killed.worker
    load = Load(killed.client(key), service_stays=False)

    async with load.running():
        await load.answers(decisions=300, verdicts=40)
        killed.kill()
    until(lambda: None if lives(worker) else True, WORKER_STOP_S)
    again = start(data_dir)
    kept = await Kept.read(data_dir, key)
    async with again.client(key) as http:
        decisions = await load.send_again(http)
        verdicts = await load.submit_again(http)
        resumed = {reviewer: await leases_of(http, reviewer) for reviewer in load.held}

    assert load.mistakes == []
    kept.expect_promises_of(load)
    load.expect_the_same(decisions, verdicts)
    submitted = {assignment for assignment, _, _ in kept.verdicts}
    for reviewer, lease in load.held.items():
        held = lease["assignment_id"], lease["token"]
        assert held in resumed[reviewer] or lease["assignment_id"] in submitted
    (await Kept.read(data_dir, key)).expect_promises_of(load)


async def leases_of(http: httpx.AsyncClient, reviewer: str) -> set[tuple[str, int]]:
    asked = {"reviewer": reviewer, "max": 1, "resume": True}
    answer = await http.post("/v1/queues/unrouted/leases", json=asked)
    return {(lease["assignment_id"], lease["token"]) for lease in answer.json()["leases"]}


def lives(process: Any) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
