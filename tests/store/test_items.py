"""A page of items ends after a bounded look, however rare what it looks for is."""

import uuid
from datetime import UTC, datetime

from app.store.engine import Database
from app.store.items import SCANNED_MAX, ItemFilter, list_items
from tests.store.review_rows import NOON, add_project, add_triage


async def test_a_page_ends_after_its_look_and_the_next_one_goes_on(db: Database):
    project = await add_project(db)
    queue = await add_triage(db, project)
    async with db.write() as tx:
        await tx.raw.execute(
            """
            INSERT INTO items (project_id, id, kind, queue_id, model, model_version, route, reason,
              inclusion_probability, stratum, priority, blind, blocking, decided_at, due_at)
            SELECT $1, lpad(to_hex(n), 32, '0')::uuid, CASE WHEN n > $3 THEN 'gold' ELSE 'review' END,
              $2, 'sentiment', '1', 'review', 'default', 1, 'forced', 50, false, true, $4, $4
            FROM generate_series(1, $3::int + 1) n
            """,
            project,
            queue.id,
            SCANNED_MAX,
            NOON,
        )
    rare = ItemFilter(since=datetime(1970, 1, 1, tzinfo=UTC), kind="gold")

    async with db.read() as tx:
        first = await list_items(tx, project, rare, None, 50)
        second = await list_items(tx, project, rare, first.next_after, 50)

    assert (first.items, first.next_after) == ([], uuid.UUID(int=SCANNED_MAX))
    assert [item.id for item in second.items] == [uuid.UUID(int=SCANNED_MAX + 1)]
    assert second.next_after is None
