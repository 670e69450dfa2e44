from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.windows import (
    EPOCH,
    Placed,
    Timing,
    Window,
    bucket_at,
    first_open,
    fold_into,
    place,
    start_of,
    windows_ended,
)

HOURLY = Timing()
TEN = datetime(2026, 11, 23, 10, tzinfo=UTC)
BUCKET = bucket_at(TEN, HOURLY)

MOMENTS = st.datetimes(datetime(1969, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TIMINGS = st.builds(Timing, bucket_s=st.integers(1, 90_000), grace_s=st.integers(0, 5_000))


@pytest.mark.parametrize(
    ("occurred", "received", "bucket", "late"),
    [
        pytest.param("10:30:00", "10:30:01", 0, False, id="at once"),
        # no time of its own: it occurred when it was received
        pytest.param(None, "10:30:00", 0, False, id="without a time"),
        pytest.param("09:59:59", "10:14:59", -1, False, id="within the grace after its bucket"),
        # the grace ends here, and not a microsecond later
        pytest.param("09:59:00", "10:14:00", -1, False, id="at the end of the grace"),
        pytest.param("09:59:00", "10:14:00.000001", 0, True, id="after the grace"),
        pytest.param("10:59:00", "11:30:00", 1, True, id="late within the bucket of its receipt"),
        # a caller whose clock is ahead
        pytest.param("11:05:00", "10:55:00", 1, False, id="a little in the future"),
        pytest.param("23:00:00", "10:30:00", 0, True, id="far in the future"),
    ],
)
def test_prediction_counts_by_its_time_or_late_by_its_receipt(
    occurred: str | None, received: str, bucket: int, late: bool
) -> None:
    moments = [
        None if text is None else datetime.fromisoformat(f"2026-11-23T{text}+00:00")
        for text in (occurred, received)
    ]

    placed = place(moments[0], moments[1], HOURLY)  # type: ignore[arg-type]

    assert placed == Placed(BUCKET + bucket, late)


def test_bucket_begins_with_its_hour_and_ends_with_the_next() -> None:
    last = TEN + timedelta(hours=1) - timedelta(microseconds=1)

    assert start_of(BUCKET, HOURLY) == TEN
    assert bucket_at(last, HOURLY) == BUCKET
    assert bucket_at(TEN + timedelta(hours=1), HOURLY) == BUCKET + 1
    assert bucket_at(EPOCH - timedelta(microseconds=1), HOURLY) == -1


def test_bucket_stays_open_for_the_grace_after_its_end() -> None:
    end = TEN + timedelta(hours=1)

    assert first_open(end + timedelta(seconds=899), HOURLY) == BUCKET
    assert first_open(end + timedelta(seconds=900), HOURLY) == BUCKET + 1


@given(received=MOMENTS, offset_s=st.floats(-10_000, 10_000), timing=TIMINGS)
def test_prediction_is_placed_into_a_bucket_that_is_open_at_its_receipt(
    received: datetime, offset_s: float, timing: Timing
) -> None:
    occurred = received + timedelta(seconds=offset_s)

    bucket, late = place(occurred, received, timing)

    assert bucket >= first_open(received, timing)
    assert late == (abs(occurred - received) > timedelta(seconds=timing.grace_s))
    start = start_of(bucket, timing)
    assert start <= (received if late else occurred) < start_of(bucket + 1, timing)


@pytest.mark.parametrize(
    ("bucket", "open_from", "placed"),
    [
        pytest.param(7, 7, Placed(7, late=False), id="its bucket is open"),
        pytest.param(9, 7, Placed(9, late=False), id="a later one"),
        # a closed one has been evaluated: it goes to the next open one, and that is recorded
        pytest.param(6, 7, Placed(7, late=True), id="its bucket is closed"),
    ],
)
def test_row_folded_too_late_goes_to_the_next_open_bucket(
    bucket: int, open_from: int, placed: Placed
) -> None:
    assert fold_into(bucket, open_from) == placed


def test_day_of_hours_ends_with_the_hour_before_midnight() -> None:
    eleven_at_night = bucket_at(datetime(2026, 11, 23, 23, tzinfo=UTC), HOURLY)

    windows = windows_ended(eleven_at_night, HOURLY)

    hour, day = windows
    assert (hour.length, day.length) == (1, 24)
    assert start_of(day.first, HOURLY) == datetime(2026, 11, 23, tzinfo=UTC)
    midnight = eleven_at_night + 1
    assert windows_ended(midnight, HOURLY) == [Window(midnight, midnight)]


def endings(first: int, last: int, timing: Timing) -> list[tuple[int, list[Window]]]:
    """Each bucket with which a window ends, and those windows."""
    ended = ((bucket, windows_ended(bucket, timing)) for bucket in range(first, last + 1))
    return [(bucket, windows) for bucket, windows in ended if windows]


@given(st.integers(-1000, 10**6), st.lists(st.integers(1, 30), min_size=1, unique=True))
def test_windows_of_each_length_tile_time(first: int, lengths: list[int]) -> None:
    timing = Timing(lengths=tuple(lengths))
    last = first + 100

    ended = endings(first, last, timing)

    assert [bucket for bucket, _ in ended] == sorted({bucket for bucket, _ in ended})
    for length in lengths:
        own = [window for _, windows in ended for window in windows if window.length == length]
        assert all(later.first == sooner.last + 1 for sooner, later in pairwise(own))
        assert len(own) in (101 // length, 101 // length + 1)
    for bucket, windows in ended:
        assert windows == windows_ended(bucket, timing)
        assert all(window.last == bucket for window in windows)


def test_bucket_with_which_no_window_ends_is_passed_over() -> None:
    assert endings(0, 6, Timing(lengths=(3,))) == [(2, [Window(0, 2)]), (5, [Window(3, 5)])]


@pytest.mark.parametrize(
    "wrong",
    [{"bucket_s": 0}, {"grace_s": -1}, {"lengths": ()}, {"lengths": (1, 1)}, {"lengths": (0, 24)}],
)
def test_impossible_timing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not a timing"):
        Timing(**wrong)
