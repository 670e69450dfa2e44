"""Rows for tests of the figures: raw, since they must lie in chosen hours of the past."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from app.core.learning.period import Period
from app.core.routing.decision import UNROUTED
from app.core.routing.document import DEFAULT_AUDITS
from app.store.counts import Selection, decisions_by
from app.store.engine import Database
from app.store.ids import new_id
from app.store.keys import create_project

# the hour in which everything happens unless a test says otherwise, and the present of the tests
TEN = datetime(2026, 11, 23, 10, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = Period(TEN.replace(hour=0), TEN.replace(hour=0) + timedelta(days=1))
SELDOM = "sentiment@1 accept 0.05"
OFTEN = "sentiment@1 accept 0.5"


@dataclass(frozen=True)
class CountRow:
    """What one entry of `inbox.counts` says."""

    hour: datetime = TEN
    model: str = "sentiment"
    model_version: str = "1"
    label: str = "positive"
    segment: Mapping[str, str] = field(default_factory=dict)
    route: str = "accept"
    reason: str = "default"
    stratum: str = SELDOM
    shadow: bool = False
    decisions: int = 1
    audited: int = 0

    def entry(self) -> list[Any]:
        return [
            self.hour.strftime("%Y-%m-%dT%H:00:00Z"),
            self.model,
            self.model_version,
            self.label,
            json.dumps(dict(sorted(self.segment.items())), separators=(",", ":")),
            self.route,
            self.reason,
            self.stratum,
            self.shadow,
            self.decisions,
            self.audited,
        ]


class Rows:
    """Adds rows of one project."""

    def __init__(self, db: Database, project: uuid.UUID) -> None:
        self.db = db
        self.project = project

    @classmethod
    async def of_new_project(cls, db: Database) -> "Rows":
        async with db.write() as tx:
            project = await create_project(tx, f"p-{uuid.uuid4().hex[:8]}")
        return cls(db, project.id)

    async def inbox(self, *counted: CountRow) -> None:
        """One commit."""
        async with self.db.write() as tx:
            await tx.raw.execute(
                "INSERT INTO inbox (project_id, id, counts) VALUES ($1, $2, $3::text::jsonb)",
                self.project,
                new_id(),
                json.dumps([row.entry() for row in counted]),
            )

    async def item(
        self,
        *,
        kind: str = "review",
        queue: str = UNROUTED,
        decided_at: datetime = TEN,
        waited_s: float = 0,
        state: str = "open",
        due: timedelta = timedelta(days=1),
        stratum: str = SELDOM,
        label: str = "positive",
        segment: Mapping[str, str] | None = None,
        model_version: str = "1",
        route: str = "accept",
    ) -> uuid.UUID:
        """One item, queued when it was decided, settled `waited_s` later unless it is open."""
        item_id = new_id()
        settled_at = decided_at + timedelta(seconds=waited_s)
        async with self.db.write() as tx:
            await tx.raw.execute(
                """
                INSERT INTO items (project_id, id, kind, state, queue_id, model, model_version,
                  label, segment, route, reason, inclusion_probability, stratum, priority, blind,
                  blocking, decided_at, queued_at, due_at, settled_at)
                SELECT $1, $2, $3, $4, q.id, 'sentiment', $6, $7, $8::text::jsonb, $9, 'default',
                  0.05, $10, 50, $3 = 'audit', $3 <> 'audit', $11, $11, $12, $13
                FROM queues q WHERE q.project_id = $1 AND q.name = $5
                """,
                self.project,
                item_id,
                kind,
                state,
                queue,
                model_version,
                label,
                json.dumps(dict(segment)) if segment else None,
                route,
                stratum,
                decided_at,
                decided_at + due,
                settled_at if state in {"resolved", "cancelled"} else None,
            )
        return item_id

    async def resolved(
        self,
        *,
        agreed: bool | None = True,
        outcome: str = "labeled",
        judge: str = "single",
        **item: Any,
    ) -> uuid.UUID:
        """A settled item with its resolution."""
        item_id = await self.item(state="resolved", **item)
        async with self.db.write() as tx:
            await tx.raw.execute(
                """
                INSERT INTO resolutions (project_id, item_id, outcome, label, agreed, judge, blind,
                  resolved_at)
                VALUES ($1, $2, $3, CASE WHEN $3 = 'labeled' THEN 'x' END, $4, $5, true, $6)
                """,
                self.project,
                item_id,
                outcome,
                agreed if outcome == "labeled" else None,
                judge,
                item.get("decided_at", TEN),
            )
        return item_id

    async def audits(self, count: int, *, wrong: int = 0, **item: Any) -> None:
        """Answered audits."""
        for n in range(count):
            await self.resolved(kind="audit", queue=DEFAULT_AUDITS, agreed=n >= wrong, **item)

    async def assignment(self, item_id: uuid.UUID, state: str) -> None:
        """An assignment that waits, or is leased until noon."""
        leased = state == "leased"
        async with self.db.write() as tx:
            await tx.raw.execute(
                """
                INSERT INTO assignments (project_id, id, item_id, queue_id, rank, state, reviewer,
                  lease_until)
                SELECT $1, $2, id, queue_id, 1, $4, $5, $6
                FROM items WHERE project_id = $1 AND id = $3
                """,
                self.project,
                new_id(),
                item_id,
                state,
                "r-17" if leased else None,
                NOON if leased else None,
            )

    async def verdict(
        self,
        item_id: uuid.UUID,
        *,
        at: datetime,
        leased_s: float,
        spent_s: float | None = None,
        reviewer: str = "r-17",
        revision: int = 1,
        assignment_id: uuid.UUID | None = None,
    ) -> uuid.UUID:
        """A submitted verdict; its assignment, the first time."""
        async with self.db.write() as tx:
            if assignment_id is None:
                assignment_id = new_id()
                await tx.raw.execute(
                    """
                    INSERT INTO assignments (project_id, id, item_id, queue_id, rank, state,
                      reviewer, submitted_at)
                    SELECT $1, $2, $3, queue_id, 1, 'submitted', $4, $5
                    FROM items WHERE project_id = $1 AND id = $3
                    """,
                    self.project,
                    assignment_id,
                    item_id,
                    reviewer,
                    at,
                )
            await tx.raw.execute(
                """
                INSERT INTO verdicts (project_id, id, item_id, assignment_id, revision, token,
                  reviewer, verdict, seconds_spent, seconds_leased, digest, submitted_at)
                VALUES ($1, $2, $3, $4, $5, 1, $6, 'confirm', $7, $8, '', $9)
                """,
                self.project,
                new_id(),
                item_id,
                assignment_id,
                revision,
                reviewer,
                spent_s,
                leased_s,
                at,
            )
        return assignment_id


async def decisions_of(rows: Rows, which: Selection | None = None, *, shadow: bool = False) -> int:
    """How many decisions the project made on the day of the tests."""
    async with rows.db.read() as tx:
        found = await decisions_by(tx, rows.project, DAY, which or Selection(), (), shadow=shadow)
    return sum(counted.decisions for counted in found.values())
