"""Weekly partitions of `decisions`, by the time inside the UUIDv7 id.

They are made four weeks ahead by `overrule migrate` and by the worker. An insert that finds none
(both were away for a month, or a clock is far off) creates it once and goes on.
"""

from datetime import UTC, datetime, timedelta

from app.store.engine import Reader, Writer
from app.store.ids import lowest_id_at

WEEKS_AHEAD = 4
# several processes may come to make the same partition; any fixed number
PARTITION_LOCK = 7_205_759_404


def week_of(moment: datetime) -> datetime:
    """Monday 00:00 UTC of the week of `moment`."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


async def ensure_partitions(tx: Writer, moment: datetime, *, weeks_ahead: int = WEEKS_AHEAD) -> int:
    """Make the partitions of the week of `moment` and of the weeks after it.

    A table is made beside and then attached: that goes on while others insert, where making it as
    a partition would lock all of `decisions` against them.

    Returns:
        How many were not there yet.
    """
    await tx.raw.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
    there = {row["name"] for row in await tx.raw.fetch(_PARTITIONS)}
    weeks = [week_of(moment) + timedelta(weeks=n) for n in range(weeks_ahead + 1)]
    missing = [week for week in weeks if _name(week) not in there]
    for week in missing:
        await tx.raw.execute(
            f"CREATE TABLE {_name(week)} (LIKE decisions INCLUDING CONSTRAINTS);"
            f"ALTER TABLE decisions ATTACH PARTITION {_name(week)} "
            f"FOR VALUES FROM ('{lowest_id_at(week)}') "
            f"TO ('{lowest_id_at(week + timedelta(weeks=1))}')"
        )
    return len(missing)


async def partitions_until(tx: Reader) -> datetime | None:
    """The end of the last partition: when inserts would begin to find none."""
    names = [row["name"] for row in await tx.raw.fetch(_PARTITIONS)]
    if not names:
        return None
    last = datetime.strptime(max(names), "decisions_y%Ym%md%d").replace(tzinfo=UTC)
    return last + timedelta(weeks=1)


_PARTITIONS = """
    SELECT c.relname AS name FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'decisions'::regclass
"""


def _name(week: datetime) -> str:
    return f"decisions_y{week:%Y}m{week:%m}d{week:%d}"
