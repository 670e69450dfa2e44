"""Whatever reviewers do in whatever order, the database does what a small model of it does."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from app.core.errors import OverruleError
from app.core.review.verdict import Answer, Verdict
from app.flows import leases as flows
from app.flows.context import Context
from app.flows.verdicts import submit
from app.settings import Settings
from tests.conftest import RollingBack
from tests.store.review_rows import NOON, add_items, add_project, add_triage

ITEMS, SLOTS = 3, 2
LEASE_S, EXTENSIONS_MAX = 60, 2


@dataclass
class Slot:
    """One assignment of the model."""

    item: int
    state: str = "open"
    reviewer: str | None = None
    token: int = 0
    until: datetime | None = None
    extensions: int = 0
    skipped: set[str] = field(default_factory=set)


@dataclass
class Model:
    """The queue as it should be."""

    now: datetime = NOON
    slots: list[Slot] = field(
        default_factory=lambda: [Slot(item) for item in range(ITEMS) for _ in range(SLOTS)]
    )
    verdicts: dict[tuple[int, int], Verdict] = field(default_factory=dict)

    def expire(self) -> int:
        ran_out = [s for s in self.slots if s.until is not None and s.until <= self.now]
        for slot in ran_out:
            slot.state, slot.reviewer, slot.until = "open", None, None
        return len(ran_out)

    def claim(self, reviewer: str, count: int) -> list[tuple[int, int]]:
        self.expire()
        claimed: list[tuple[int, int]] = []
        for place, slot in enumerate(self.slots):
            if len(claimed) < count and slot.state == "open" and self._may(reviewer, slot.item):
                slot.state, slot.reviewer, slot.extensions = "leased", reviewer, 0
                slot.token, slot.until = slot.token + 1, self.now + timedelta(seconds=LEASE_S)
                claimed.append((place, slot.token))
        return claimed

    def live(self, reviewer: str) -> list[tuple[int, int]]:
        return [
            (place, slot.token)
            for place, slot in enumerate(self.slots)
            if slot.reviewer == reviewer and slot.until is not None and slot.until > self.now
        ]

    def extend(self, place: int, token: int) -> str:
        slot = self.slots[place]
        if (place, token) not in self.live(slot.reviewer or ""):
            return "lease_lost"
        if slot.extensions == EXTENSIONS_MAX:
            return "extensions_used_up"
        slot.extensions, slot.until = slot.extensions + 1, self.now + timedelta(seconds=LEASE_S)
        return "done"

    def release(self, place: int, token: int, *, skip: bool) -> str:
        slot = self.slots[place]
        if (place, token) not in self.live(slot.reviewer or ""):
            return "lease_lost"
        if skip:
            slot.skipped.add(slot.reviewer or "")
        slot.state, slot.reviewer, slot.until = "open", None, None
        return "done"

    def submit(self, place: int, token: int, verdict: Verdict) -> str:
        slot = self.slots[place]
        if first := self.verdicts.get((place, token)):
            return "done" if first == verdict else "verdict_conflict"
        if (place, token) not in self.live(slot.reviewer or ""):
            return "lease_lost"
        for other in self.slots:
            if other.item == slot.item and other is not slot:
                other.state, other.reviewer, other.until = "withdrawn", None, None
        slot.state, slot.until = "submitted", None
        self.verdicts[place, token] = verdict
        return "done"

    def _may(self, reviewer: str, item: int) -> bool:
        return not any(
            slot.reviewer == reviewer or reviewer in slot.skipped
            for slot in self.slots
            if slot.item == item
        )


class QueueMachine(RuleBasedStateMachine):
    """Drives the flows against PostgreSQL and the model side by side."""

    leases = Bundle("leases")

    def __init__(self, runner: asyncio.Runner, database_url: str, settings: Settings) -> None:
        super().__init__()
        self.runner = runner
        self.model = Model()
        self.db = RollingBack(database_url, settings)
        self.db.now = NOON
        self.ctx = Context.over(self.db, settings)
        self.run(self._begin())

    def run(self, step: Any) -> Any:
        return self.runner.run(step)

    async def _begin(self) -> None:
        await self.db.begin()
        self.project = await add_project(self.db)
        queue = await add_triage(
            self.db, self.project, lease_s=LEASE_S, extensions_max=EXTENSIONS_MAX
        )
        await add_items(self.db, self.project, queue, ITEMS, slots=SLOTS)
        self.places = [row["id"] for row in await self._assignments()]

    async def _assignments(self) -> Any:
        async with self.db.read() as tx:
            return await tx.raw.fetch(
                "SELECT * FROM assignments WHERE project_id = $1 ORDER BY rank, slot", self.project
            )

    def teardown(self) -> None:
        self.run(self.db.roll_back())

    def outcome(self, flow: Any) -> str:
        """`done`, or the code of what the flow refused with."""
        try:
            self.run(flow)
        except OverruleError as error:
            return error.code
        return "done"

    @rule(
        target=leases,
        reviewer=st.sampled_from(["r-1", "r-2", "r-3"]),
        count=st.integers(1, 3),
        resume=st.booleans(),
    )
    def claim(self, reviewer: str, count: int, *, resume: bool) -> Any:
        asked = flows.Claim(reviewer, count, None, 0, resume)
        held = self.model.live(reviewer) if resume else []

        leases = self.run(flows.claim(self.ctx, self.project, "triage", asked))

        expected = held + self.model.claim(reviewer, count - len(held))
        claimed = [(self.places.index(lease.assignment_id), lease.token) for lease in leases]
        assert claimed == expected
        return multiple(*claimed[len(held) :])

    @rule(lease=leases)
    def extend(self, lease: tuple[int, int]) -> None:
        place, token = lease
        flow = flows.extend(self.ctx, self.project, self.places[place], token, None)
        assert self.outcome(flow) == self.model.extend(place, token)

    @rule(lease=leases, skip=st.booleans())
    def release(self, lease: tuple[int, int], *, skip: bool) -> None:
        place, token = lease
        flow = flows.release(self.ctx, self.project, self.places[place], token, skip=skip)
        assert self.outcome(flow) == self.model.release(place, token, skip=skip)

    @rule(lease=leases, label=st.sampled_from(["negative", "positive"]))
    def submit(self, lease: tuple[int, int], label: str) -> None:
        place, token = lease
        verdict = Verdict(Answer.CORRECT, label)
        flow = submit(self.ctx, self.project, self.places[place], token, verdict)
        assert self.outcome(flow) == self.model.submit(place, token, verdict)

    @rule()
    def expire(self) -> None:
        assert self.run(flows.expire(self.ctx)) == self.model.expire()

    @rule(seconds=st.sampled_from([1, 30, 60, 61]))
    def advance(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)
        self.db.now = self.model.now

    @invariant()
    def the_database_is_as_the_model_says(self) -> None:
        rows = self.run(self._assignments())
        assert [
            (r["state"], r["reviewer"], r["token"], r["lease_until"], set(r["skipped_by"]))
            for r in rows
        ] == [(s.state, s.reviewer, s.token, s.until, s.skipped) for s in self.model.slots]

    @invariant()
    def an_item_is_settled_once_by_the_one_verdict_on_it(self) -> None:
        async def settled() -> Any:
            async with self.db.read() as tx:
                return await tx.raw.fetch(
                    """
                    SELECT i.state,
                      (SELECT count(*) FROM verdicts v WHERE v.item_id = i.id) AS verdicts,
                      (SELECT count(*) FROM resolutions r WHERE r.item_id = i.id) AS resolutions
                    FROM items i WHERE project_id = $1
                    """,
                    self.project,
                )

        rows = [tuple(row) for row in self.run(settled())]
        assert set(rows) <= {("open", 0, 0), ("resolved", 1, 1)}
        assert rows.count(("resolved", 1, 1)) == len(self.model.verdicts)


@pytest.mark.slow
def test_reviewers_in_any_order_get_what_the_model_says(database_url: str, settings: Settings):
    """Slow, since it takes three hundred steps."""
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            # made anew for each example; the function asks for no class, its types do
            lambda: QueueMachine(runner, database_url, settings),  # type: ignore[arg-type]
            settings=hypothesis_settings(
                max_examples=20, stateful_step_count=15, deadline=None, derandomize=True
            ),
        )
