"""The feed of events."""

import uuid

from app.flows.context import Context
from app.store import outbox


async def list_events(
    ctx: Context, project_id: uuid.UUID, after: uuid.UUID | None, limit: int, type_: str | None
) -> list[outbox.Event]:
    """Events behind one, in their order."""
    async with ctx.db.read() as tx:
        return await outbox.list_events(tx, project_id, after, limit, type_)
