"""What happens when several connections want the same assignments at the same time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.core.review.task import Lease
from app.settings import Settings
from app.store.assignments import begin_claim, claim_open, expire_leases
from app.store.engine import Database
from app.store.verdicts import lock_target
from tests.store.review_rows import (
    NOON,
    add_items,
    add_project,
    add_triage,
    claim,
    judge,
)

CLAIMERS = 8


@pytest.fixture
async def later(committed_db: Database, database_url: str, settings: Settings):
    """The same database, seen by a replica after all leases taken at noon have run out."""
    database = Database(database_url, settings)
    database.now = NOON + timedelta(seconds=61)
    committed_db.now = NOON
    yield database
    await database.close()


async def test_eight_claimers_claim_all_of_two_hundred_exactly_once(committed_db: Database):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    item_ids = await add_items(committed_db, project, queue, 200)

    async def work(reviewer: str) -> list[Lease]:
        taken: list[Lease] = []
        while leases := await claim(committed_db, project, queue, reviewer, count=3):
            taken += leases
        return taken

    shares = await asyncio.gather(*(work(f"r-{n}") for n in range(CLAIMERS)))

    claimed = [lease.task.item_id for share in shares for lease in share]
    assert sorted(claimed) == item_ids


async def test_a_queue_looks_empty_to_nobody_while_another_claims(committed_db: Database):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    await add_items(committed_db, project, queue, 10)

    async with committed_db.write() as tx:
        await begin_claim(tx, project, queue.id, "r-1")
        await claim_open(tx, project, queue, "r-1", count=5, lease_s=60)
        others = await claim(committed_db, project, queue, "r-2", count=5)

    assert len(others) == 5


async def test_one_reviewer_at_many_screens_never_holds_an_item_twice(committed_db: Database):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    item_ids = await add_items(committed_db, project, queue, 5, slots=3)

    shares = await asyncio.gather(
        *(claim(committed_db, project, queue, "r-1", count=2) for _ in range(CLAIMERS))
    )

    claimed = [lease.task.item_id for share in shares for lease in share]
    assert sorted(claimed) == item_ids


async def test_the_claims_of_one_reviewer_pass_one_by_one(committed_db: Database):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    assert await claim(committed_db, project, queue, "r-1") == []
    await add_items(committed_db, project, queue, 2)

    async with committed_db.write() as tx:
        await begin_claim(tx, project, queue.id, "r-1")
        second = asyncio.create_task(claim(committed_db, project, queue, "r-1"))
        assert await waits_for_a_lock(committed_db, second)
        others = await claim(committed_db, project, queue, "r-2")

    assert len(others) == len(await second) == 1


async def test_expiry_leaves_alone_what_is_being_submitted(committed_db: Database, later: Database):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    await add_items(committed_db, project, queue, 1)
    [lease] = await claim(committed_db, project, queue, "r-1")

    async with committed_db.write() as tx:
        await lock_target(tx, project, lease.assignment_id)
        async with later.write() as other:
            reopened = await expire_leases(other, 100)

    assert reopened == 0


async def test_a_submit_that_waited_for_the_expiry_finds_its_lease_lost(
    committed_db: Database, later: Database
):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    await add_items(committed_db, project, queue, 1)
    [lease] = await claim(committed_db, project, queue, "r-1")

    async with later.write() as tx:
        assert await expire_leases(tx, 100) == 1
        submitting = asyncio.create_task(
            judge(committed_db, project, lease.assignment_id, lease.token)
        )
        assert await waits_for_a_lock(committed_db, submitting)

    assert await submitting is False


async def test_expiry_racing_submits_loses_no_verdict_and_doubles_none(
    committed_db: Database, later: Database
):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    await add_items(committed_db, project, queue, 60)
    leases = await claim(committed_db, project, queue, "r-1", count=60)

    async def expire() -> None:
        async with later.write() as tx:
            await expire_leases(tx, 5)

    submits = [judge(committed_db, project, lease.assignment_id, lease.token) for lease in leases]
    answers = await asyncio.gather(
        *(one for pair in zip(submits, (expire() for _ in submits), strict=True) for one in pair)
    )

    async with committed_db.read() as tx:
        rows = await tx.raw.fetch("SELECT assignment_id FROM verdicts")
        left = await tx.raw.fetchval("SELECT count(*) FROM assignments WHERE state = 'open'")
    said_yes = [lease.assignment_id for lease, yes in zip(leases, answers[::2], strict=True) if yes]
    assert sorted(row["assignment_id"] for row in rows) == sorted(said_yes)
    assert len(said_yes) + left <= 60


async def test_a_verdict_waits_for_the_one_before_it_and_then_finds_itself_withdrawn(
    committed_db: Database,
):
    project = await add_project(committed_db)
    queue = await add_triage(committed_db, project)
    await add_items(committed_db, project, queue, 1, slots=2)
    leases = [(await claim(committed_db, project, queue, f"r-{n}"))[0] for n in (1, 2)]

    answers = await asyncio.gather(
        *(judge(committed_db, project, lease.assignment_id, lease.token) for lease in leases)
    )

    assert sorted(answers) == [False, True]


async def waits_for_a_lock(db: Database, doing: asyncio.Task[Any]) -> bool:
    """True once a transaction waits for another's lock; False when it was done without."""
    while not doing.done():
        async with db.read() as tx:
            if await tx.raw.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                return True
    return False
