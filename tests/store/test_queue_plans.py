"""Claim and expiry read what they take, however much waits: a scan would grow with the queue."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.core.review.queue import Queue
from app.store import assignments
from app.store.engine import Database, Writer
from tests.store.review_rows import NOON, add_project, add_triage

BATCH = 10
# a generic plan is what a busy connection ends up with: it knows no values
PLANNERS = ("force_custom_plan", "force_generic_plan")


@dataclass(frozen=True)
class Guarded:
    """A statement with its parameters, and what it may read of the assignments.

    Attributes:
        index: what it finds its rows with.
        batch: how many it is after.
        others: further indexes that it looks into, once per row.
    """

    types: str
    statement: str
    values: str
    index: str
    batch: int
    others: set[str]


CLAIM = Guarded(
    "uuid, uuid, text, float8, timestamptz",
    assignments._claim_statement(BATCH),
    "'{project}', '{queue}', 'r-2', 60, NULL",
    "ix_assignments_open",
    BATCH,
    {"ix_assignments_item", "pk_assignments"},
)
EXPIRY_IN_A_CLAIM = Guarded(
    "uuid, uuid, text, timestamptz",
    assignments._BEGIN_CLAIM,
    "'{project}', '{queue}', 'r-2', '2026-11-24'",
    "ix_assignments_expiry",
    assignments.REOPENED_MAX,
    {"pk_assignments"},
)
EXPIRY_IN_THE_WORKER = Guarded(
    "int, timestamptz",
    assignments._EXPIRE,
    "50, '2026-11-24'",
    "ix_assignments_expiry",
    50,
    {"pk_assignments"},
)
LOOK_FOR_THOSE_WHO_WAIT = Guarded(
    "uuid, uuid, text[], timestamptz",
    assignments._SERVED,
    "'{project}', '{queue}', '{{r-3,r-4}}', '2026-11-20'",
    "ix_assignments_open",
    2,
    {"ix_assignments_item"},
)


async def fill(tx: Writer, project_id: uuid.UUID, queue: Queue, rows: int) -> None:
    """Items of which every tenth has a lease that ran out."""
    await tx.raw.execute(
        """
        INSERT INTO items (project_id, id, kind, queue_id, model, model_version, route, reason,
          inclusion_probability, stratum, priority, blind, blocking, decided_at, due_at)
        SELECT $1, md5(n::text)::uuid, 'review', $2, 'sentiment', '1', 'review', 'default', 1,
          'forced', 50, false, true, $3, $3
        FROM generate_series(1, $4::int) n
        """,
        project_id,
        queue.id,
        NOON,
        rows,
    )
    await tx.raw.execute(
        """
        INSERT INTO assignments (project_id, id, item_id, queue_id, rank, state, reviewer,
          lease_until)
        SELECT $1, md5('a' || n)::uuid, md5(n::text)::uuid, $2, n,
          CASE WHEN n % 10 = 0 THEN 'leased' ELSE 'open' END,
          CASE WHEN n % 10 = 0 THEN 'r-1' END, CASE WHEN n % 10 = 0 THEN $3::timestamptz END
        FROM generate_series(1, $4::int) n
        """,
        project_id,
        queue.id,
        NOON,
        rows,
    )
    await tx.raw.execute("ANALYZE items, assignments, queues, reviewers, policy_versions")


async def plan_of(
    tx: Writer, planner: str, guarded: Guarded, project_id: uuid.UUID, queue_id: uuid.UUID
) -> Any:
    """The plan as it ran."""
    values = guarded.values.format(project=project_id, queue=queue_id)
    await tx.raw.execute(f"SET LOCAL plan_cache_mode = {planner}")
    await tx.raw.execute(f"PREPARE guarded ({guarded.types}) AS {guarded.statement}")
    found = await tx.raw.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE guarded ({values})")
    await tx.raw.execute("DEALLOCATE guarded")
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def scans(plan: Any, relation: str) -> Iterator[tuple[str, float]]:
    """(index or kind of scan, rows looked at) of each place that reads the relation."""
    children = plan.get("Plans", [])
    reads = plan.get("Relation Name") == relation and "Scan" in plan["Node Type"]
    if reads and plan["Actual Loops"]:
        # a bitmap's index stands in the node below
        index = plan.get("Index Name") or (children and children[0].get("Index Name"))
        looked_at = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        yield index or plan["Node Type"], looked_at * plan["Actual Loops"]
    for child in children:
        yield from scans(child, relation)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [3_000, 50_000])
async def test_a_statement_of_the_queue_reads_its_index_and_little_more_than_it_takes(
    db: Database, rows: int
):
    """Slow, since it fills a queue of fifty thousand."""
    project_id = await add_project(db)
    queue = await add_triage(db, project_id)
    async with db.write() as tx:
        await fill(tx, project_id, queue, rows)

    for guarded in (CLAIM, LOOK_FOR_THOSE_WHO_WAIT, EXPIRY_IN_A_CLAIM, EXPIRY_IN_THE_WORKER):
        for planner in PLANNERS:
            async with db.write() as tx:
                plan = await plan_of(tx, planner, guarded, project_id, queue.id)

            read = dict(scans(plan, "assignments"))
            assert set(read) == {guarded.index} | guarded.others, (planner, guarded.statement)
            assert sum(read.values()) <= 4 * guarded.batch, (planner, guarded.statement)
            assert {index for index, _ in scans(plan, "items")} <= {"pk_items"}


@pytest.mark.parametrize("table", ["items", "assignments"])
async def test_a_look_up_by_key_reads_one_row_also_before_statistics_are_there(
    committed_db: Database, table: str
) -> None:
    """As the check of a foreign key does, whose plan a busy connection then keeps."""
    async with committed_db.write() as tx:
        # as on a new database, or after a restart of the statistics
        await tx.raw.execute(f"CREATE TABLE fresh (LIKE {table} INCLUDING ALL)")
        rows = await tx.raw.fetch(
            "EXPLAIN (COSTS OFF) SELECT 1 FROM ONLY fresh "
            "WHERE project_id = $1 AND id = $2 FOR KEY SHARE",
            uuid.UUID(int=1),
            uuid.UUID(int=2),
        )
        await tx.raw.execute("DROP TABLE fresh")

    plan = "\n".join(row[0] for row in rows)
    assert "fresh_pkey" in plan
