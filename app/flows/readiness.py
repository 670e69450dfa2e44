"""Whether this process can take requests."""

import asyncio
from datetime import timedelta
from functools import cache

from app.core.errors import DatabaseUnavailable, NotReady
from app.flows.context import Context
from app.store.metrics import present
from app.store.migrations import current_revision, newest_revision
from app.store.partitions import partitions_until

# a probe must answer before its prober gives up; a pooled connection is given in microseconds
ANSWER_S = 2.0
# with less than this left, both the worker and `overrule migrate` have been away for weeks
HORIZON_MIN = timedelta(days=1)


async def check_ready(ctx: Context) -> None:
    """Return when the database can be reached, is migrated, and has room for new decisions.

    Raises:
        NotReady: with a reason for each part that is not.
    """
    try:
        async with asyncio.timeout(ANSWER_S):
            missing = await _missing(ctx)
    except (DatabaseUnavailable, TimeoutError):
        missing = [("database", "The database cannot be reached.")]
    if missing:
        raise NotReady.of(missing)


async def _missing(ctx: Context) -> list[tuple[str, str]]:
    expected = _expected_revision()
    async with ctx.db.read() as tx:
        revision = await current_revision(tx)
        # a newer one is fine: while a release rolls out, the old replicas go on serving, and a
        # migration keeps what they need
        if revision is None or revision < expected:
            state = f"The database is at revision {revision} and {expected} is needed"
            return [("migrations", f"{state}: run `overrule migrate`.")]
        until = await partitions_until(tx)
        if until is None or until < await present(tx) + HORIZON_MIN:
            state = f"Partitions of decisions end at {until}"
            return [("partitions", f"{state}: start `overrule worker`.")]
    return []


@cache
def _expected_revision() -> str:
    return newest_revision()
