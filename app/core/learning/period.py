"""The range of time that a figure speaks of, and its buckets.

Decisions are counted by the hour, so a range is made of whole hours (or days, UTC): its beginning
is rounded down and its end up. A figure that used parts of an hour could not be compared with
those counts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from app.core.errors import Invalid

DEFAULT_LENGTH = timedelta(days=7)
BUCKETS_MAX = 1000
"""Of one series: six weeks by the hour, almost three years by the day."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class Unit(StrEnum):
    """The length of a bucket."""

    HOUR = "hour"
    DAY = "day"

    @property
    def length(self) -> timedelta:
        """As a duration."""
        return timedelta(hours=1) if self is Unit.HOUR else timedelta(days=1)

    def beginning(self, moment: datetime) -> datetime:
        """The beginning of the hour, or of the UTC day, that `moment` is in."""
        hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        return hour if self is Unit.HOUR else hour.replace(hour=0)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start`, included, to `end`, excluded; both UTC and on a whole hour or day."""

    start: datetime
    end: datetime

    def buckets(self, unit: Unit) -> list[datetime]:
        """The beginnings of its buckets, in order.

        Raises:
            Invalid: they are too many.
        """
        count = (self.end - self.start) // unit.length
        if count > BUCKETS_MAX:
            raise Invalid(
                f"That makes {count} buckets of an {unit.value}; a series has at most "
                f"{BUCKETS_MAX}. Ask for a shorter range or for longer buckets."
                if unit is Unit.HOUR
                else f"That makes {count} days; a series has at most {BUCKETS_MAX}.",
                loc=("query", "from"),
            )
        return [self.start + n * unit.length for n in range(count)]


def period_of(
    start: datetime | None, end: datetime | None, now: datetime, unit: Unit = Unit.HOUR
) -> Period:
    """The range that was asked for: the last seven days unless told otherwise.

    Raises:
        Invalid: it is empty, or further away than any decision can be.
    """
    for name, moment in (("from", start), ("to", end)):
        if moment is not None and not EARLIEST <= moment <= LATEST:
            raise Invalid("A time between the years 2000 and 2200 is needed.", loc=("query", name))
    end = now if end is None else end
    start = end - DEFAULT_LENGTH if start is None else start
    if start >= end:
        raise Invalid("`from` must be before `to`.", loc=("query", "from"))
    last = unit.beginning(end)
    return Period(unit.beginning(start), last if last == end else last + unit.length)
