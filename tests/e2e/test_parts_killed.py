"""PostgreSQL or the worker is killed -9 beneath a server that goes on."""

import asyncio
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from app.store.embedded import EmbeddedPostgres
from tests.e2e.conftest import Installed
from tests.e2e.kept import Kept
from tests.e2e.load import Load, prediction
from tests.e2e.service import Service, copy_of, new_folder, postmaster, processes, until

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

LEASE_S = 1
# an abandoned lease returns within its time plus one second: five times that second
SLACK_S = 5
# a process of Python starts when the machine has time for it
WORKER_START_S = 30


@pytest.fixture(scope="module")
def service(installed: Installed) -> Iterator[Service]:
    """One server for the tests of this file: each has to leave it whole."""
    folder, mark = new_folder(), uuid.uuid4().hex
    started = Service.start(copy_of(installed.data_dir, folder), mark=mark)
    yield started
    exit_code = started.stop()
    left = processes(mark, folder)
    shutil.rmtree(folder)
    assert (exit_code, left) == (0, [])


async def test_a_killed_postgresql_is_back_without_a_restart_and_nothing_answered_is_lost(
    service: Service, installed: Installed
) -> None:
    """Slow: starts a server, and kills its database twice."""
    data_dir, key = service.data_dir, service.new_project(installed.admin_key)
    load = Load(service.client(key), service_stays=True)

    async with load.running():
        await load.answers(decisions=200, verdicts=20)
        os.kill(postmaster(data_dir), signal.SIGKILL)
        await load.answers(decisions=300, verdicts=20)
        # a PostgreSQL that loses one session this way ends all others and recovers by itself
        os.kill(await busy_session(data_dir), signal.SIGKILL)
        await load.answers(decisions=300, verdicts=20)
    async with service.client(key) as http:
        decisions = await load.send_again(http)
        verdicts = await load.submit_again(http)

    assert load.mistakes == []
    assert load.refused > 0, "it was killed without any load"
    load.expect_the_same(decisions, verdicts)
    (await Kept.read(data_dir, key)).expect_promises_of(load)


async def test_a_killed_worker_is_started_again_and_returns_abandoned_leases(
    service: Service, installed: Installed
) -> None:
    """Slow: starts a second worker, and waits for two leases to run out."""
    key = service.new_project(installed.admin_key)
    killed = service.worker
    killed.kill()

    def another() -> Any:
        found = service.worker
        return found if found is not None and found.pid != killed.pid else None

    until(another, WORKER_START_S)
    async with service.client(key) as http:
        await http.post("/v1/predictions", json=prediction())
        await claimed_until_open(http, within_s=WORKER_START_S)
        await claimed_until_open(http, within_s=LEASE_S + SLACK_S)


async def claimed_until_open(http: httpx.AsyncClient, *, within_s: float) -> None:
    """Claim, abandon, and look (without another claim) until the lease is back."""
    asked = {"reviewer": "r-17", "lease_s": LEASE_S}
    claimed = await http.post("/v1/queues/unrouted/leases", json=asked)
    (lease,) = claimed.json()["leases"]
    async with asyncio.timeout(within_s):
        while True:
            item = await http.get(f"/v1/items/{lease['item']['id']}")
            if item.json()["assignments"][0]["state"] == "open":
                return
            await asyncio.sleep(0.05)


async def busy_session(data_dir: Path) -> int:
    """The process id of a session that is within a transaction of the service."""
    server = EmbeddedPostgres.start(data_dir)
    connection = await asyncpg.connect(server.url)
    try:
        while True:
            pid = await connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'overrule' "
                "AND xact_start IS NOT NULL LIMIT 1"
            )
            if pid is not None:
                return int(pid)
    finally:
        await connection.close()
        server.stop()
