"""Ranges of whole hours and days."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.core.errors import Invalid
from app.core.learning.period import BUCKETS_MAX, EARLIEST, LATEST, Period, Unit, period_of

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
TEN = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("start", "end", "unit", "expected"),
    [
        # a whole hour stays what it is
        pytest.param(TEN, TEN + timedelta(hours=1), Unit.HOUR, (10, 11), id="whole hours"),
        pytest.param(TEN + SECOND, TEN + 2 * SECOND, Unit.HOUR, (10, 11), id="within an hour"),
        pytest.param(TEN - SECOND, TEN + SECOND, Unit.HOUR, (9, 11), id="over an hour's end"),
        pytest.param(
            TEN.astimezone(timezone(timedelta(hours=5, minutes=30))),
            TEN + SECOND,
            Unit.HOUR,
            (10, 11),
            id="a zone of half an hour",
        ),
    ],
)
def test_a_range_is_widened_to_whole_hours(
    start: datetime, end: datetime, unit: Unit, expected: tuple[int, int]
) -> None:
    period = period_of(start, end, NOW, unit)

    assert period == Period(TEN.replace(hour=expected[0]), TEN.replace(hour=expected[1]))


def test_days_are_those_of_utc() -> None:
    late = datetime(2026, 11, 24, 1, tzinfo=timezone(timedelta(hours=2)))

    period = period_of(late, late + timedelta(hours=2), NOW, Unit.DAY)

    assert period.buckets(Unit.DAY) == [TEN.replace(hour=0), TEN.replace(day=24, hour=0)]


def test_seven_days_before_the_end_are_meant_without_a_beginning() -> None:
    assert period_of(None, None, NOW) == Period(TEN.replace(day=16, hour=12), TEN.replace(hour=13))
    assert period_of(None, TEN, NOW).start == TEN - timedelta(days=7)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(TEN, TEN, id="empty"),
        pytest.param(NOW + SECOND, None, id="the future"),
        pytest.param(EARLIEST - SECOND, TEN, id="too early"),
        pytest.param(TEN, LATEST + SECOND, id="too late"),
        pytest.param(datetime.min.replace(tzinfo=UTC), TEN, id="the earliest time there is"),
        pytest.param(TEN, datetime.max.replace(tzinfo=UTC), id="the latest time there is"),
    ],
)
def test_a_range_that_means_nothing_is_refused(start: datetime, end: datetime | None) -> None:
    with pytest.raises(Invalid):
        period_of(start, end, NOW)


@pytest.mark.parametrize("unit", list(Unit))
def test_a_series_has_its_most_buckets_and_not_one_more(unit: Unit) -> None:
    longest = Period(TEN, TEN + BUCKETS_MAX * unit.length)

    assert len(longest.buckets(unit)) == BUCKETS_MAX
    with pytest.raises(Invalid):
        Period(TEN, longest.end + unit.length).buckets(unit)
