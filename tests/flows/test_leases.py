"""Claims that wait, claims that meet, and clocks that do not agree."""

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from app.core.errors import DatabaseUnavailable, LeaseLost
from app.core.review.queue import Queue
from app.core.review.task import Lease
from app.core.review.verdict import Answer, Verdict
from app.flows import leases as flows
from app.flows.context import Context
from app.flows.verdicts import submit
from app.store.ids import utc_now
from tests.store.review_rows import NOON, add_items, add_project, add_triage

NEGATIVE = Verdict(Answer.CORRECT, "negative")


@dataclass
class Desk:
    """A project with one queue, as flows see it."""

    ctx: Context
    project: uuid.UUID
    queue: Queue

    @classmethod
    async def of(cls, ctx: Context) -> "Desk":
        project = await add_project(ctx.db)
        return cls(ctx, project, await add_triage(ctx.db, project))

    async def items(self, count: int = 1, slots: int = 1) -> list[uuid.UUID]:
        return await add_items(self.ctx.db, self.project, self.queue, count, slots=slots)

    async def claim(self, reviewer: str, count: int = 1, wait_s: float = 0) -> list[Lease]:
        asked = flows.Claim(reviewer, count, None, wait_s, resume=False)
        return await flows.claim(self.ctx, self.project, "triage", asked)

    async def claim_and_hang_up(self, reviewer: str) -> list[Lease]:
        async def has_left() -> bool:
            return True

        asked = flows.Claim(reviewer, 1, None, 30, resume=False)
        return await flows.claim(self.ctx, self.project, "triage", asked, has_left)

    async def submit(self, lease: Lease, verdict: Verdict = NEGATIVE):
        return await submit(self.ctx, self.project, lease.assignment_id, lease.token, verdict)

    async def claimed_at(self, reviewer: str) -> datetime:
        async with self.ctx.db.read() as tx:
            found: datetime = await tx.raw.fetchval(
                "SELECT claimed_at FROM reviewers WHERE project_id = $1 AND id = $2",
                self.project,
                reviewer,
            )
        return found

    async def settled(self) -> list[tuple[str, int, int]]:
        """(state, verdicts, resolutions) of each item."""
        async with self.ctx.db.read() as tx:
            rows = await tx.raw.fetch(
                """
                SELECT i.state,
                  (SELECT count(*) FROM verdicts v WHERE v.item_id = i.id) AS verdicts,
                  (SELECT count(*) FROM resolutions r WHERE r.item_id = i.id) AS resolutions
                FROM items i WHERE project_id = $1
                """,
                self.project,
            )
        return [tuple(row) for row in rows]


@pytest.fixture
async def desk(ctx: Context) -> Desk:
    return await Desk.of(ctx)


@pytest.fixture
async def busy_desk(committed_ctx: Context) -> Desk:
    return await Desk.of(committed_ctx)


def waiting(desk: Desk) -> list[int]:
    """How many claims wait, for each queue that is looked at."""
    return [len(watched.waiting) for watched in desk.ctx.watch._queues.values()]


async def all_wait(desk: Desk, claims: int) -> None:
    """Return once so many claims wait in this process."""
    # an event to wait for would be a hook in the service that only this test uses
    while sum(waiting(desk)) < claims:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_a_claim_that_waits_gets_what_comes_meanwhile(desk: Desk):
    claiming = asyncio.create_task(desk.claim("r-1", wait_s=30))
    await all_wait(desk, 1)

    [item_id] = await desk.items()

    assert [lease.task.item_id for lease in await claiming] == [item_id]


async def test_a_claim_that_waits_gets_a_lease_that_runs_out_meanwhile(desk: Desk):
    desk.ctx.db.now = NOON
    await desk.items()
    await desk.claim("r-1")
    claiming = asyncio.create_task(desk.claim("r-2", wait_s=30))
    await all_wait(desk, 1)

    desk.ctx.db.now = NOON + timedelta(seconds=60)

    assert [lease.token for lease in await claiming] == [2]


async def test_who_has_hung_up_while_waiting_is_given_nothing(desk: Desk) -> None:
    gone = asyncio.create_task(desk.claim_and_hang_up("r-1"))
    await all_wait(desk, 1)

    await desk.items()

    assert await gone == []
    assert len(await desk.claim("r-2")) == 1


async def test_a_claim_that_waited_in_vain_is_answered_with_nothing(desk: Desk):
    assert await desk.claim("r-1", wait_s=0.01) == []


async def test_those_who_wait_on_a_queue_share_one_look_and_hold_no_connection(desk: Desk):
    claiming = [asyncio.create_task(desk.claim(f"r-{n}", wait_s=30)) for n in range(20)]
    await all_wait(desk, 20)

    assert waiting(desk) == [20]
    # more of them than a replica has connections, and yet one is free at once
    await desk.items(20)
    assert all(await asyncio.gather(*claiming))


async def test_nobody_looks_when_nobody_waits(desk: Desk):
    await desk.claim("r-1", wait_s=0.01)

    while waiting(desk):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_who_could_not_claim_what_came_is_not_woken(desk: Desk):
    await desk.items(1, slots=1)
    [lease] = await desk.claim("r-1")
    claiming = asyncio.create_task(desk.claim("r-1", wait_s=0.4))
    await all_wait(desk, 1)
    claimed_at = await desk.claimed_at("r-1")

    await flows.release(desk.ctx, desk.project, lease.assignment_id, lease.token, skip=True)

    assert await claiming == []
    assert await desk.claimed_at("r-1") == claimed_at
    assert len(await desk.claim("r-2")) == 1


async def test_who_waits_hears_that_the_database_is_away(desk: Desk, monkeypatch):
    async def away(*_: object) -> set[str]:
        raise DatabaseUnavailable("The database cannot be reached; send it again.")

    monkeypatch.setattr("app.flows.queue_watch.claimants_served", away)

    with pytest.raises(DatabaseUnavailable):
        await desk.claim("r-1", wait_s=30)


async def test_a_claim_finds_expired_leases_although_no_worker_runs(desk: Desk):
    desk.ctx.db.now = NOON
    await desk.items(3)
    await desk.claim("r-1", 3)

    desk.ctx.db.now = NOON + timedelta(seconds=60)

    assert len(await desk.claim("r-2", 3)) == 3


async def test_the_worker_reopens_what_nobody_claims(desk: Desk):
    desk.ctx.db.now = NOON
    await desk.items(3)
    await desk.claim("r-1", 2)
    desk.ctx.db.now = NOON + timedelta(seconds=60)

    assert await flows.expire(desk.ctx) == 2
    assert await flows.expire(desk.ctx) == 0


@pytest.mark.parametrize("skew", [timedelta(minutes=-5), timedelta(minutes=5)])
async def test_a_replica_whose_clock_is_wrong_expires_nothing_early(desk: Desk, skew: timedelta):
    # the database's clock is five minutes away from the clock of this process
    by_database = utc_now() + skew
    desk.ctx.db.now = by_database
    await desk.items()

    [lease] = await desk.claim("r-1")
    desk.ctx.db.now = by_database + timedelta(seconds=59)
    reopened = await flows.expire(desk.ctx)
    others = await desk.claim("r-2")
    stored, _ = await desk.submit(lease)

    assert lease.expires_at == by_database + timedelta(seconds=60)
    assert (reopened, others) == (0, [])
    assert stored.submitted_at == by_database + timedelta(seconds=59)
    async with desk.ctx.db.read() as tx:
        assert await tx.raw.fetchval("SELECT seconds_leased FROM verdicts") == 59


async def test_the_same_verdict_many_times_at_once_is_taken_once(busy_desk: Desk):
    await busy_desk.items()
    [lease] = await busy_desk.claim("r-1")

    answers = await asyncio.gather(*(busy_desk.submit(lease) for _ in range(20)))

    assert Counter(first for _, first in answers) == {True: 1, False: 19}
    assert len({(stored.id, stored.submitted_at) for stored, _ in answers}) == 1
    assert await busy_desk.settled() == [("resolved", 1, 1)]


async def test_reviewers_who_do_everything_at_once_never_deadlock(busy_desk: Desk, monkeypatch):
    # nothing is run again: a deadlock would come out
    monkeypatch.setattr("app.store.engine.RETRIED", ())
    await busy_desk.items(60, slots=3)
    chance = random.Random(7)

    async def work(reviewer: str) -> None:
        while leases := await busy_desk.claim(reviewer, 4):
            for lease in chance.sample(leases, len(leases)):
                try:
                    if chance.random() < 0.2:
                        await flows.release(
                            busy_desk.ctx,
                            busy_desk.project,
                            lease.assignment_id,
                            lease.token,
                            skip=True,
                        )
                    else:
                        await busy_desk.submit(lease)
                except LeaseLost:
                    pass
            await flows.expire(busy_desk.ctx)

    # each reviewer at two screens, so that also one's own claims meet
    await asyncio.gather(*(work(f"r-{n % 4}") for n in range(8)))

    assert set(await busy_desk.settled()) <= {("resolved", 1, 1), ("open", 0, 0)}
    assert ("resolved", 1, 1) in await busy_desk.settled()
