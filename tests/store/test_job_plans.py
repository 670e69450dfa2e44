"""What a worker looks for is found at once, however many jobs are over."""

from typing import Any

import pytest

from app.core.jobs import Job
from app.store.engine import Database, Reader, Writer
from app.store.jobs import add_job, claim_job, projects_due, unfinished_jobs
from tests.store.metric_rows import Rows

OVER = 5000
WAITING = 5


class Explained:
    """A driver's connection that notes which scans each statement makes, and what they read."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.scans: list[tuple[str, int]] = []

    async def fetch(self, query: str, *values: Any) -> Any:
        await self._note(query, *values)
        return await self._raw.fetch(query, *values)

    async def fetchrow(self, query: str, *values: Any) -> Any:
        await self._note(query, *values)
        return await self._raw.fetchrow(query, *values)

    async def fetchval(self, query: str, *values: Any) -> Any:
        await self._note(query, *values)
        return await self._raw.fetchval(query, *values)

    async def _note(self, query: str, *values: Any) -> None:
        plan = await self._raw.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", *values)
        self._walk(plan[0]["Plan"])

    def _walk(self, node: dict[str, Any]) -> None:
        if node["Node Type"].endswith("Scan") and node.get("Relation Name") == "jobs":
            read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            self.scans.append((node.get("Index Name", node["Node Type"]), int(read)))
        for child in node.get("Plans", ()):
            self._walk(child)


@pytest.fixture
async def job(db: Database) -> Job:
    """One of the few that wait behind thousands that are over."""
    rows = await Rows.of_new_project(db)
    async with db.write() as tx:
        await tx.raw.execute(
            """
            INSERT INTO jobs (project_id, id, kind, arguments, state, attempts, created_by,
              started_at, finished_at, result)
            SELECT $1, gen_random_uuid(), 'count', '{}', 'done', 1, 'key:test',
              statement_timestamp(), statement_timestamp(), '{}'
            FROM generate_series(1, $2)
            """,
            rows.project,
            OVER,
        )
        for _ in range(WAITING):
            job = await add_job(tx, rows.project, "count", None, "key:test")
        await tx.raw.execute("ANALYZE jobs")
    return job


async def _due(tx: Reader, _: Job) -> Any:
    return await projects_due(tx, ["count"])


async def _claim(tx: Any, job: Job) -> Any:
    return await claim_job(tx, job.project_id, ["count"], 30)


async def _unfinished(tx: Reader, job: Job) -> Any:
    return await unfinished_jobs(tx, job.project_id)


@pytest.mark.parametrize("look", [_due, _claim, _unfinished])
async def test_jobs_that_are_over_are_not_read(db: Database, job: Job, look: Any) -> None:
    async with db.write() as tx:
        explained = Explained(tx.raw)
        await look(Writer(tx.conn, explained, tx.now), job)

    assert "ix_jobs_due" in {name for name, _ in explained.scans}
    assert max(read for _, read in explained.scans) <= WAITING
