"""The figures of a short range read a short range, however much lies before it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from app.core.learning.period import Period
from app.core.routing.document import DEFAULT_AUDITS
from app.store import counts, metrics
from app.store.counts import Selection
from app.store.engine import Database, Reader
from tests.store.metric_rows import NOON, Rows

HOURS = 5000
"""One settled audit with its verdict, and one counted key, in each; the last day is asked for."""
LAST_DAY = Period(NOON - timedelta(days=1), NOON)
# a plan reads each row of the range once for each of its branches
ROWS_MAX = 4 * 24


@dataclass
class Explained:
    """A reader that keeps the plan of each statement, with the rows that its scans have read."""

    tx: Reader
    scans: list[tuple[str, int]]

    @property
    def now(self) -> Any:
        return self.tx.now

    async def execute(self, query: Any, _: Any = None) -> Any:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        explained = await self.tx.raw.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}")
        self.note(explained[0]["Plan"])
        return await self.tx.execute(query)

    def note(self, node: dict[str, Any]) -> None:
        # a bitmap heap scan reads what the bitmap index scan below it has found
        if node["Node Type"].endswith("Scan") and node["Node Type"] != "Bitmap Heap Scan":
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            what = node.get("Index Name") or node.get("Relation Name") or node["Node Type"]
            self.scans.append((what, int(read * node["Actual Loops"])))
        for child in node.get("Plans", ()):
            self.note(child)


@pytest.fixture
async def rows(db: Database) -> Rows:
    """Seven months, an hour apart."""
    db.now = NOON
    rows = await Rows.of_new_project(db)
    async with db.write() as tx:
        await tx.raw.execute(_SEED.replace("HOURS", str(HOURS)), rows.project, NOON, DEFAULT_AUDITS)
        for statement in _SEED_MORE:
            await tx.raw.execute(statement, rows.project)
        for table in ("items", "resolutions", "assignments", "verdicts", "decision_counts"):
            await tx.raw.execute(f"ANALYZE {table}")
    return rows


READ: dict[str, tuple[Callable[..., Awaitable[Any]], str]] = {
    "turnaround": (metrics.turnarounds, "ix_items_settled"),
    "agreement of reviews": (metrics.compared_reviews, "ix_items_settled"),
    "queues": (metrics.queue_loads, "ix_items_settled"),
    "audits": (metrics.audited_hours, "ix_items_audits"),
    "human seconds": (metrics.efforts, "ix_verdicts_submitted"),
}


@pytest.mark.parametrize("figure", READ)
async def test_a_figure_reads_its_index_and_no_more_than_its_range(rows: Rows, figure: str) -> None:
    ask, index = READ[figure]

    async with rows.db.read() as tx:
        explained = Explained(tx, [])
        await ask(explained, rows.project, LAST_DAY, Selection())

    assert index in {scan for scan, _ in explained.scans}
    assert sum(read for _, read in explained.scans) <= ROWS_MAX, explained.scans


async def test_counts_read_no_more_than_their_range(rows: Rows) -> None:
    async with rows.db.read() as tx:
        explained = Explained(tx, [])
        await counts.decisions_by(explained, rows.project, LAST_DAY, Selection(), ("route",))  # type: ignore[arg-type]

    assert ("pk_decision_counts", 24) in explained.scans


_SEED = """
INSERT INTO items (project_id, id, kind, state, queue_id, model, model_version, label, route,
  reason, inclusion_probability, stratum, priority, blind, blocking, decided_at, queued_at, due_at,
  settled_at)
SELECT $1, gen_random_uuid(), 'audit', 'resolved', q.id, 'sentiment', '1', 'positive', 'accept',
  'default', 0.05, 's@1 accept 0.05', 50, true, false, at, at, at + interval '1 day',
  at + interval '1 minute'
FROM queues q, generate_series(1, HOURS) n, LATERAL (SELECT $2::timestamptz - n * interval '1 hour' AS at) a
WHERE q.project_id = $1 AND q.name = $3
"""
_SEED_MORE = [
    """
    INSERT INTO resolutions (project_id, item_id, outcome, label, agreed, judge, blind, resolved_at)
    SELECT project_id, id, 'labeled', 'positive', true, 'single', true, settled_at FROM items
    WHERE project_id = $1
    """,
    """
    INSERT INTO assignments (project_id, id, item_id, queue_id, rank, state, reviewer,
      submitted_at)
    SELECT project_id, id, id, queue_id, 1, 'submitted', 'r-17', settled_at FROM items
    WHERE project_id = $1
    """,
    """
    INSERT INTO verdicts (project_id, id, item_id, assignment_id, token, reviewer, verdict,
      seconds_leased, digest, submitted_at)
    SELECT project_id, id, item_id, id, 1, reviewer, 'confirm', 5, '', submitted_at
    FROM assignments WHERE project_id = $1
    """,
    """
    INSERT INTO decision_counts
    SELECT project_id, date_trunc('hour', decided_at), sha256(''), 'sentiment', '1', '', '{}', 'accept',
      'default', 's@1 accept 0.05', false, 20, 1 FROM items WHERE project_id = $1
    """,
]
