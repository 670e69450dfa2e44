"""What is in the database: for tests that promise what is committed, and what is not."""

import uuid
from typing import Any

import msgspec

from app.flows.context import Context

WRITTEN = ("request_keys", "decisions", "items", "assignments", "inbox")


async def rows(ctx: Context, project_id: uuid.UUID, table: str) -> list[Any]:
    async with ctx.db.read() as tx:
        found = await tx.raw.fetch(f"SELECT * FROM {table} WHERE project_id = $1", project_id)
    return [dict(row) for row in found]


async def sizes(ctx: Context, project_id: uuid.UUID) -> dict[str, int]:
    """Rows of each table that a prediction writes into."""
    return {table: len(await rows(ctx, project_id, table)) for table in WRITTEN}


async def counted(ctx: Context, project_id: uuid.UUID) -> dict[str, list[int]]:
    """By route, [decisions, audited] as the inbox counts them."""
    sums: dict[str, list[int]] = {}
    for inbox in await rows(ctx, project_id, "inbox"):
        counts = inbox["counts"]
        for entry in msgspec.json.decode(counts) if isinstance(counts, str) else counts:
            route, decisions, audited = entry[5], entry[9], entry[10]
            before = sums.get(route, [0, 0])
            sums[route] = [before[0] + decisions, before[1] + audited]
    return sums
