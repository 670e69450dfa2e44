"""How a shadow policy does beside the active one."""

import uuid
from datetime import datetime, timedelta

from app.core.errors import Invalid
from app.core.routing.shadow_report import ShadowReport, report_of
from app.flows import policies
from app.flows.context import Context
from app.store.ids import lowest_id_at, utc_now
from app.store.shadow_decisions import shadow_cells

DEFAULT_LENGTH = timedelta(days=7)
# each decision of the range is read while the caller waits; longer ranges are for a simulation
LENGTH_MAX = timedelta(days=7)


async def shadow_report(
    ctx: Context,
    project_id: uuid.UUID,
    name: str,
    number: int,
    *,
    since: datetime | None,
    until: datetime | None,
) -> ShadowReport:
    """Compare a version, while it was the shadow of its model, with what was decided.

    Args:
        ctx: the service.
        project_id: the caller's.
        name: of the policy.
        number: of its version.
        since: the beginning of the range; a week before its end when None.
        until: its end; now when None.

    Raises:
        NotFound: no such version.
        Invalid: the range is empty or too long.
    """
    version = await policies.find(ctx, project_id, name, number)
    end = until or utc_now()
    start = since or end - DEFAULT_LENGTH
    if not start < end:
        raise Invalid("The range ends before it begins.", loc=("query", "to"))
    if end - start > LENGTH_MAX:
        raise Invalid(f"A range has at most {LENGTH_MAX.days} days.", loc=("query", "from"))
    async with ctx.db.read() as tx:
        cells = await shadow_cells(
            tx, project_id, version.id, lowest_id_at(start), lowest_id_at(end)
        )
    return report_of(cells)
