"""Two server processes on one database, their clocks ten minutes apart, and no worker."""

import asyncio
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.store.embedded import EmbeddedPostgres
from tests.e2e.conftest import Installed
from tests.e2e.load import prediction
from tests.e2e.service import Service, copy_of, new_folder, processes

# seconds here are those of a busy machine, on which Python alone takes several to start
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SKEWED = [sys.executable, str(Path(__file__).with_name("skewed.py"))]
AHEAD_S, BEHIND_S = "300", "-300"
# a change is seen elsewhere within a second, and a lease returns within its time plus one second:
# five times that second
SLACK_S = 5
LEASE_S = 1
POLICY = {"name": "sentiment", "applies_to": {"model": "sentiment"}, "rules": []}


@dataclass(frozen=True)
class Pair:
    """HTTP to both, with one key."""

    ahead: httpx.AsyncClient
    behind: httpx.AsyncClient

    async def both(self, method: str, path: str, **more: Any) -> list[httpx.Response]:
        return [await http.request(method, path, **more) for http in (self.ahead, self.behind)]


@pytest.fixture(scope="module")
def servers(installed: Installed) -> Iterator[tuple[Service, Service]]:
    """Started once for the tests of this file; each has a project of its own."""
    folder, mark = new_folder(), uuid.uuid4().hex
    database = EmbeddedPostgres.start(copy_of(installed.data_dir, folder))
    ahead, behind = (
        Service.start(
            folder / name,
            "--no-worker",
            mark=mark,
            command=[*SKEWED, off_s],
            OVERRULE_DATABASE_URL=database.url,
        )
        for name, off_s in (("ahead", AHEAD_S), ("behind", BEHIND_S))
    )
    assert ahead.url != behind.url
    yield ahead, behind
    codes = ahead.stop(), behind.stop()
    database.stop()
    left = processes(mark, folder)
    shutil.rmtree(folder)
    assert (codes, left) == ((0, 0), [])


@pytest.fixture
async def pair(servers: tuple[Service, Service], installed: Installed) -> AsyncIterator[Pair]:
    key = servers[0].new_project(installed.admin_key)
    async with servers[0].client(key) as ahead, servers[1].client(key) as behind:
        yield Pair(ahead, behind)


async def test_whatever_decides_by_one_server_soon_decides_by_the_other(pair: Pair) -> None:
    """Slow: waits, once for each change, until the other server looks again."""
    for number in (1, 2):
        document = {**POLICY, "description": f"number {number}"}
        made = await pair.ahead.put("/v1/policies/sentiment", json=document)
        assert made.json()["version"] == number
    changes = [
        ("versions/1/activate", 1),
        ("versions/2/activate", 2),
        ("rollback", 1),
        ("versions/1/retire", None),
    ]

    for change, decides in changes:
        answer = await pair.ahead.post(f"/v1/policies/sentiment/{change}")

        assert answer.status_code == 200
        # where it was changed at once
        assert await deciding(pair.ahead) == decides
        await decides_soon(pair.behind, decides)


async def test_activations_on_both_at_once_leave_one_that_both_use(pair: Pair) -> None:
    """Slow: waits until both servers look again."""
    for number in range(1, 7):
        document = {**POLICY, "description": f"number {number}"}
        await pair.ahead.put("/v1/policies/sentiment", json=document)

    answers = await asyncio.gather(
        *(
            http.post(f"/v1/policies/sentiment/versions/{number}/activate")
            for number in range(1, 7)
            for http in (pair.ahead, pair.behind)
        )
    )

    assert {answer.status_code for answer in answers} == {200}
    listed = (await pair.ahead.get("/v1/policies")).json()["items"]
    (active,) = (found["version"] for found in listed if found["state"] == "active")
    for http in (pair.ahead, pair.behind):
        await decides_soon(http, active)


async def test_one_request_key_sent_to_both_fifty_times_at_once_is_one_decision(pair: Pair) -> None:
    """Slow: shares two servers."""
    posted = prediction()

    answers = await asyncio.gather(
        *(http.post("/v1/predictions", json=posted) for http in (pair.ahead, pair.behind) * 25)
    )

    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    listed = await pair.ahead.get("/v1/queues/unrouted")
    assert listed.json()["depth"] == 1


async def test_clocks_that_are_off_end_no_lease_early(pair: Pair) -> None:
    """Slow: shares two servers."""
    for http in (pair.ahead, pair.behind):
        await http.post("/v1/predictions", json=prediction())
    first = await claim(pair.ahead, "r-1", lease_s=60)
    second = await claim(pair.behind, "r-2", lease_s=60)

    offered = [await claim(http, "r-3", lease_s=60) for http in (pair.ahead, pair.behind)]
    verdicts = [await submit(pair.behind, first), await submit(pair.ahead, second)]

    assert offered == [None, None]
    assert verdicts == [201, 201]


async def test_an_abandoned_lease_returns_in_time_without_a_worker(pair: Pair) -> None:
    """Slow: waits for the lease to run out, on both clocks."""
    await pair.ahead.post("/v1/predictions", json=prediction())

    for claimed_on, offered_on in ((pair.ahead, pair.behind), (pair.behind, pair.ahead)):
        abandoned = await claim(claimed_on, "r-1", lease_s=LEASE_S)
        async with asyncio.timeout(LEASE_S + SLACK_S):
            offered = await claim(offered_on, "r-2", lease_s=LEASE_S, wait_s=20)
        late = await submit(claimed_on, abandoned)

        assert offered is not None
        assert abandoned is not None
        assert offered["assignment_id"] == abandoned["assignment_id"]
        assert offered["token"] > abandoned["token"]
        assert late == 409
        await offered_on.post(
            f"/v1/assignments/{offered['assignment_id']}/release", json={"token": offered["token"]}
        )


async def test_clocks_that_are_off_end_no_key_early_or_late(
    servers: tuple[Service, Service], installed: Installed
) -> None:
    """Slow: shares two servers."""
    statuses = {}
    for live_s, looked_at_s in ((60.0, 0.0), (1.0, 1.1)):
        async with servers[0].client(installed.admin_key) as admin:
            ends = datetime.now(UTC) + timedelta(seconds=live_s)
            asked = {"name": "brief", "scopes": ["admin"], "expires_at": ends.isoformat()}
            key = (await admin.post("/v1/keys", json=asked)).json()["key"]
        await asyncio.sleep(looked_at_s)
        async with servers[0].client(key) as ahead, servers[1].client(key) as behind:
            answers = await Pair(ahead, behind).both("GET", "/v1/projects")
        statuses[live_s] = [answer.status_code for answer in answers]

    assert statuses == {60: [200, 200], 1: [401, 401]}


async def deciding(http: httpx.AsyncClient) -> int | None:
    """The version that decides a prediction there now, if any; nothing is stored."""
    answer = await http.post("/v1/predictions?dry_run=true", json=prediction())
    policy = answer.raise_for_status().json()["policy"]
    return policy["version"] if policy is not None else None


async def decides_soon(http: httpx.AsyncClient, version: int | None) -> None:
    async with asyncio.timeout(SLACK_S):
        while await deciding(http) != version:  # noqa: ASYNC110 - HTTP has no event
            await asyncio.sleep(0.02)


async def claim(http: httpx.AsyncClient, reviewer: str, **asked: Any) -> Any:
    """One lease, or None."""
    answer = await http.post("/v1/queues/unrouted/leases", json={"reviewer": reviewer, **asked})
    leases = answer.raise_for_status().json()["leases"]
    return leases[0] if leases else None


async def submit(http: httpx.AsyncClient, lease: Any) -> int:
    body = {"token": lease["token"], "verdict": "confirm"}
    answer = await http.post(f"/v1/assignments/{lease['assignment_id']}/verdict", json=body)
    return answer.status_code
