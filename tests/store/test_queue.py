"""Claiming, keeping, giving back and answering assignments, one transaction after the other."""

import uuid
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
import pytest

from app.core.review.queue import Queue
from app.core.review.states import ASSIGNMENT_TRANSITIONS, AssignmentEvent, AssignmentState
from app.core.review.task import Circumstances, Lease, ModelAnswer
from app.store.assignments import (
    REOPENED_MAX,
    claimants_served,
    expire_leases,
    extend_lease,
    live_leases,
    lock_held,
    release_lease,
)
from app.store.engine import Database
from app.store.ids import new_id
from app.store.items import find_item
from app.store.queues import queue_figures
from app.store.verdicts import lock_target, verdict_under
from tests.store.review_rows import (
    NOON,
    add_items,
    add_project,
    add_triage,
    claim,
    judge,
)


@dataclass
class Desk:
    """A project with one queue, and a clock at noon."""

    db: Database
    project: uuid.UUID
    queue: Queue

    async def items(self, count: int = 1, slots: int = 1, **facts) -> list[uuid.UUID]:
        return await add_items(self.db, self.project, self.queue, count, slots=slots, **facts)

    async def claim(self, reviewer: str, count: int = 1) -> list[Lease]:
        return await claim(self.db, self.project, self.queue, reviewer, count=count)

    async def extend(self, lease: Lease, lease_s: int = 60):
        async with self.db.write() as tx:
            return await extend_lease(tx, self.project, lease.assignment_id, lease.token, lease_s)

    async def release(self, lease: Lease, *, skip: bool = False) -> bool:
        async with self.db.write() as tx:
            return await release_lease(
                tx, self.project, lease.assignment_id, lease.token, skip=skip
            )

    async def expire(self) -> int:
        async with self.db.write() as tx:
            return await expire_leases(tx, 100)

    async def judge(self, lease: Lease) -> bool:
        return await judge(self.db, self.project, lease.assignment_id, lease.token)

    async def happen(self, event: AssignmentEvent | None, lease: Lease, sibling: Lease) -> None:
        """Let something happen to a leased assignment, of whose item somebody else has another."""
        match event:
            case AssignmentEvent.CLAIM:
                await self.claim("r-3")
            case AssignmentEvent.EXTEND:
                await self.extend(lease)
            case AssignmentEvent.RELEASE:
                await self.release(lease)
            case AssignmentEvent.EXPIRE:
                self.advance(minutes=2)
                await self.expire()
            case AssignmentEvent.SUBMIT:
                await self.judge(lease)
            case AssignmentEvent.WITHDRAW:
                await self.judge(sibling)
            case None:
                pass

    def advance(self, **time: float) -> None:
        assert self.db.now is not None
        self.db.now += timedelta(**time)


@pytest.fixture
async def desk(db: Database) -> Desk:
    db.now = NOON
    project = await add_project(db)
    return Desk(db, project, await add_triage(db, project))


async def test_a_claim_takes_what_is_first_in_the_queue(desk: Desk):
    item_ids = await desk.items(3)

    leases = await desk.claim("r-1", 2)

    assert [lease.task.item_id for lease in leases] == item_ids[:2]
    assert {lease.token for lease in leases} == {1}
    assert {lease.expires_at for lease in leases} == {NOON + timedelta(seconds=60)}


async def test_a_lease_carries_everything_that_showing_the_task_needs(desk: Desk):
    [item_id] = await desk.items()

    [lease] = await desk.claim("r-1")

    task = lease.task
    assert (task.item_id, task.queue, task.subject) == (item_id, "triage", {"text": "great"})
    assert (task.labels, task.guidelines) == ((), "https://example.org/how")
    assert (task.context_key, task.blind) == ("thread-9", False)
    assert task.prediction == ModelAnswer("sentiment", "1", "positive", 0.6, {"positive": 0.6})
    assert task.circumstances == Circumstances(
        "review", "low-confidence", 50, {"n_tokens": 5}, {"source": "tweets"}, None
    )


async def test_the_labels_of_a_task_are_those_of_the_policy_that_decided(desk: Desk):
    policy_id = new_id()
    async with desk.db.write() as tx:
        await tx.raw.execute(
            """
            INSERT INTO policy_versions (project_id, id, name, version, model, document, digest,
              created_by)
            VALUES ($1, $2, 'sentiment', 1, 'sentiment', '{"labels": ["bad", "good"]}', $3, 'test')
            """,
            desk.project,
            policy_id,
            bytes(32),
        )
    await desk.items(policy_id=policy_id)

    [lease] = await desk.claim("r-1")

    assert lease.task.labels == ("bad", "good")


async def test_a_blind_lease_shows_nothing_of_the_model(desk: Desk):
    desk.queue = await add_triage(desk.db, desk.project, name="blind", blind=True)
    await desk.items()

    [lease] = await desk.claim("r-1")

    assert (lease.task.prediction, lease.task.circumstances) == (None, None)


async def test_a_leased_assignment_is_not_claimed_again(desk: Desk):
    await desk.items()
    await desk.claim("r-1")

    assert await desk.claim("r-2") == []


async def test_another_queue_or_project_is_never_served(desk: Desk):
    await desk.items()
    elsewhere = await add_project(desk.db)
    other = await add_triage(desk.db, desk.project, name="other")

    assert await claim(desk.db, desk.project, other, "r-1") == []
    assert await claim(desk.db, elsewhere, desk.queue, "r-1") == []


async def test_a_reviewer_gets_one_assignment_of_an_item_and_others_get_the_rest(desk: Desk):
    await desk.items(2, slots=2)

    first = await desk.claim("r-1", 4)
    second = await desk.claim("r-2", 4)
    third = await desk.claim("r-3", 4)

    assert len({lease.task.item_id for lease in first}) == len(first) == 2
    assert len({lease.task.item_id for lease in second}) == len(second) == 2
    assert third == []


async def test_who_submitted_an_item_gets_no_other_assignment_of_it(desk: Desk):
    await desk.items(1, slots=2)
    [lease] = await desk.claim("r-1")
    async with desk.db.write() as tx:
        # as an item that needs a second verdict would be left
        await tx.raw.execute(
            "UPDATE assignments SET state = 'submitted', submitted_at = $2, lease_until = NULL "
            "WHERE id = $1",
            lease.assignment_id,
            NOON,
        )

    assert await desk.claim("r-1") == []
    assert len(await desk.claim("r-2")) == 1


async def test_what_was_skipped_goes_to_somebody_else_only(desk: Desk):
    await desk.items(1, slots=2)
    [lease] = await desk.claim("r-1")

    assert await desk.release(lease, skip=True)

    assert await desk.claim("r-1") == []
    assert len(await desk.claim("r-2")) == 1


async def test_what_was_released_may_come_back_under_a_new_token(desk: Desk):
    await desk.items()
    [lease] = await desk.claim("r-1")

    assert await desk.release(lease)
    [again] = await desk.claim("r-1")

    assert again.assignment_id == lease.assignment_id
    assert again.token == lease.token + 1


async def test_an_abandoned_lease_is_claimed_as_soon_as_it_has_run_out(desk: Desk):
    await desk.items()
    await desk.claim("r-1")

    desk.advance(seconds=59.999)
    before = await desk.claim("r-2")
    desk.advance(seconds=0.001)
    after = await desk.claim("r-2")

    assert before == []
    assert [lease.token for lease in after] == [2]


async def test_a_claim_reopens_a_bounded_number_of_leases(desk: Desk):
    await desk.items(REOPENED_MAX + 1)
    await desk.claim("r-1", REOPENED_MAX + 1)
    desk.advance(minutes=2)

    first = await desk.claim("r-2", REOPENED_MAX + 1)
    second = await desk.claim("r-2", REOPENED_MAX + 1)

    assert (len(first), len(second)) == (REOPENED_MAX, 1)


async def test_expiry_reopens_in_all_queues_and_only_what_has_run_out(desk: Desk):
    other = await add_triage(desk.db, desk.project, name="other")
    await desk.items(2)
    await add_items(desk.db, desk.project, other, 1)
    await desk.claim("r-1")
    await claim(desk.db, desk.project, other, "r-1")
    desk.advance(seconds=30)
    await desk.claim("r-2")

    desk.advance(seconds=30)

    assert await desk.expire() == 2
    assert await desk.expire() == 0


async def test_an_extension_counts_from_now_and_never_shortens(desk: Desk):
    await desk.items()
    [lease] = await desk.claim("r-1")
    desk.advance(seconds=30)

    assert await desk.extend(lease, 60) == NOON + timedelta(seconds=90)
    assert await desk.extend(lease, 5) == NOON + timedelta(seconds=90)
    async with desk.db.write() as tx:
        found = await lock_held(tx, desk.project, lease.assignment_id)
    assert found is not None
    assert (found.held.extensions, found.queue) == (2, desk.queue)


async def test_a_new_lease_may_be_extended_as_often_as_the_first(desk: Desk):
    await desk.items()
    [lease] = await desk.claim("r-1")
    await desk.extend(lease)
    await desk.release(lease)

    [again] = await desk.claim("r-1")

    async with desk.db.write() as tx:
        found = await lock_held(tx, desk.project, again.assignment_id)
    assert found is not None
    assert found.held.extensions == 0


async def test_live_leases_come_back_as_they_were_claimed(desk: Desk):
    await desk.items(3)
    leases = await desk.claim("r-1", 2)
    await desk.claim("r-2")

    async with desk.db.read() as tx:
        assert await live_leases(tx, desk.project, desk.queue, "r-1") == leases
    desk.advance(minutes=1)
    async with desk.db.read() as tx:
        assert await live_leases(tx, desk.project, desk.queue, "r-1") == []


async def test_those_are_served_for_whom_a_claim_would_find_something(desk: Desk):
    await desk.items(1, slots=2)
    [first] = await desk.claim("r-1")
    [second] = await desk.claim("r-2")
    await desk.release(second, skip=True)

    async def served() -> set[str]:
        async with desk.db.read() as tx:
            return await claimants_served(tx, desk.project, desk.queue.id, ["r-1", "r-2", "r-3"])

    assert await served() == {"r-3"}
    assert await desk.release(first)
    assert await served() == {"r-1", "r-3"}


async def test_a_verdict_settles_the_item_and_withdraws_what_is_left_of_it(desk: Desk):
    [item_id] = await desk.items(1, slots=3)
    [lease] = await desk.claim("r-1")
    await desk.claim("r-2")
    desk.advance(seconds=12.5)

    assert await desk.judge(lease)

    async with desk.db.read() as tx:
        item = await find_item(tx, desk.project, item_id)
    assert item is not None
    assert (item.state, item.settled_at) == ("resolved", NOON + timedelta(seconds=12.5))
    assert [a.state for a in item.assignments] == ["submitted", "withdrawn", "withdrawn"]
    assert [(v.reviewer, v.label, v.seconds_leased) for v in item.verdicts] == [
        ("r-1", "negative", 12.5)
    ]
    assert item.resolution is not None
    assert (item.resolution.outcome, item.resolution.label) == ("labeled", "negative")
    assert (item.resolution.agreed, item.resolution.judge) == (False, "single")


async def test_a_verdict_is_found_again_by_its_lease_alone(desk: Desk):
    await desk.items()
    [lease] = await desk.claim("r-1")
    await desk.judge(lease)

    async with desk.db.read() as tx:
        found = await verdict_under(tx, desk.project, lease.assignment_id, lease.token)
        assert await verdict_under(tx, desk.project, lease.assignment_id, 2) is None
    assert found is not None
    assert (found.assignment_id, found.item_state) == (lease.assignment_id, "resolved")


@pytest.mark.parametrize("call", ["extend", "release", "judge"])
async def test_a_lost_lease_changes_nothing(desk: Desk, call: str):
    await desk.items()
    [lost] = await desk.claim("r-1")
    desk.advance(minutes=2)
    [held] = await desk.claim("r-2")

    assert not await getattr(desk, call)(lost)

    async with desk.db.read() as tx:
        assert await live_leases(tx, desk.project, desk.queue, "r-2") == [held]


async def test_another_project_cannot_reach_an_assignment(desk: Desk):
    await desk.items()
    [lease] = await desk.claim("r-1")
    desk.project = await add_project(desk.db)

    async with desk.db.write() as tx:
        assert await lock_held(tx, desk.project, lease.assignment_id) is None
        assert await lock_target(tx, desk.project, lease.assignment_id) is None
        assert await verdict_under(tx, desk.project, lease.assignment_id, 1) is None
    assert not await desk.release(lease)
    assert not await desk.extend(lease)


async def test_the_database_refuses_two_leases_of_one_reviewer_on_an_item(desk: Desk):
    await desk.items(1, slots=2)
    [lease] = await desk.claim("r-1")

    with pytest.raises(asyncpg.UniqueViolationError, match="uq_assignments_one_per_reviewer"):
        async with desk.db.write() as tx:
            await tx.raw.execute(
                "UPDATE assignments SET state = 'leased', reviewer = 'r-1', lease_until = $2 "
                "WHERE id <> $1",
                lease.assignment_id,
                NOON,
            )


async def test_a_claim_that_breaks_that_rule_is_to_be_run_again(desk: Desk):
    await desk.items(1, slots=2)
    await desk.claim("r-1")
    # stands for a writer that takes the row after the claim has looked at it
    async with desk.db.write() as tx:
        await tx.raw.execute(
            """
            CREATE FUNCTION pg_temp.be_quicker() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.reviewer := 'r-1'; RETURN NEW; END $$;
            CREATE TRIGGER quicker BEFORE UPDATE ON assignments
            FOR EACH ROW EXECUTE FUNCTION pg_temp.be_quicker()
            """
        )

    with pytest.raises(asyncpg.SerializationError):
        await desk.claim("r-2")


async def test_figures_count_what_waits_and_what_moved_within_the_hour(desk: Desk):
    await desk.items(3)
    desk.advance(minutes=30)
    [lease] = await desk.claim("r-1")
    await desk.judge(lease)
    await desk.claim("r-1")
    empty = await add_triage(desk.db, desk.project, name="empty")

    async with desk.db.read() as tx:
        figures = await queue_figures(tx, desk.project, [desk.queue.id, empty.id])

    # the items were queued ninety minutes ago
    assert figures[desk.queue.id].depth == 2
    assert figures[desk.queue.id].oldest_age_s == pytest.approx(5400, abs=0.01)
    assert figures[desk.queue.id].inflow_per_h == 0
    assert figures[desk.queue.id].outflow_per_h == 1
    assert figures[empty.id].oldest_age_s is None
    desk.advance(minutes=-45)
    async with desk.db.read() as tx:
        earlier = await queue_figures(tx, desk.project, [desk.queue.id])
    assert earlier[desk.queue.id].inflow_per_h == 3


# how an assignment that somebody holds gets into a state; None where it is already there
WAYS_TO = {
    AssignmentState.OPEN: AssignmentEvent.RELEASE,
    AssignmentState.LEASED: None,
    AssignmentState.SUBMITTED: AssignmentEvent.SUBMIT,
    AssignmentState.WITHDRAWN: AssignmentEvent.WITHDRAW,
}


@pytest.mark.parametrize("event", AssignmentEvent)
@pytest.mark.parametrize("state", AssignmentState)
async def test_the_statements_do_what_the_table_of_states_says(
    desk: Desk, state: AssignmentState, event: AssignmentEvent
):
    await desk.items(1, slots=2)
    [lease] = await desk.claim("r-1")
    [sibling] = await desk.claim("r-9")
    for step in (WAYS_TO[state], event):
        await desk.happen(step, lease, sibling)

    async with desk.db.write() as tx:
        found = await lock_held(tx, desk.project, lease.assignment_id)
    assert found is not None
    assert found.held.state == ASSIGNMENT_TRANSITIONS.get((state, event), state)
