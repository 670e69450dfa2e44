"""Which bucket a prediction belongs to, and which windows end when a bucket closes.

A bucket is a number: how many lengths of a bucket have passed since 1970 (UTC) when it begins. So
windows are tiles of whole buckets, and a day of 24 hours begins at midnight UTC.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Timing(Struct, frozen=True):
    """A monitor's settings of time.

    Attributes:
        bucket_s: length of a bucket, in seconds.
        grace_s: how far apart event and receipt may be, in seconds; and so how long after its end
            a bucket stays open.
        lengths: of its windows, in buckets.
    """

    bucket_s: int = 3600
    grace_s: int = 900
    lengths: tuple[int, ...] = (1, 24)

    def __post_init__(self) -> None:
        distinct = len(set(self.lengths)) == len(self.lengths) > 0
        if self.bucket_s < 1 or self.grace_s < 0 or not distinct or min(self.lengths) < 1:
            raise ValueError(f"not a timing: {self}")


class Placed(NamedTuple):
    """Where a prediction counts; `late` when not by the time at which it occurred."""

    bucket: int
    late: bool


class Window(NamedTuple):
    """Buckets from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """In buckets."""
        return self.last - self.first + 1


def place(occurred_at: datetime | None, received_at: datetime, timing: Timing) -> Placed:
    """The bucket of a prediction; computed once, on receipt, and stored with the decision.

    An event further from its receipt than the grace, before or after, counts at its receipt and as
    late. Without a time of its own it occurred when it was received.
    """
    if occurred_at is None:
        return Placed(bucket_at(received_at, timing), late=False)
    late = abs(received_at - occurred_at) > _seconds(timing.grace_s)
    return Placed(bucket_at(received_at if late else occurred_at, timing), late)


def fold_into(bucket: int, first_open: int) -> Placed:
    """Where a row counts that is folded while `first_open` is the first bucket not yet closed.

    A closed bucket is never touched again, for its evaluations must stay what a recomputation gives
    from the stored rows. `late` here means moved: an exception to be recorded.
    """
    return Placed(max(bucket, first_open), late=bucket < first_open)


def bucket_at(moment: datetime, timing: Timing) -> int:
    """The bucket that a moment lies in."""
    return (moment - EPOCH) // _seconds(timing.bucket_s)


def start_of(bucket: int, timing: Timing) -> datetime:
    """When a bucket begins; it ends when the next one begins."""
    return EPOCH + timedelta(seconds=bucket * timing.bucket_s)


def first_open(now: datetime, timing: Timing) -> int:
    """The first bucket that is not over with its grace; whatever is placed from now on fits.

    Those before may be closed once all rows of transactions begun before their close are folded.
    """
    return bucket_at(now - _seconds(timing.grace_s), timing)


def windows_ended(bucket: int, timing: Timing) -> list[Window]:
    """The windows that end with a bucket, one of each length that fits: one family of tests."""
    return [
        Window(bucket - length + 1, bucket)
        for length in timing.lengths
        if (bucket + 1) % length == 0
    ]


@lru_cache(maxsize=64)
def _seconds(seconds: int) -> timedelta:
    # making one costs as much as all else in `place`, which every prediction goes through
    return timedelta(seconds=seconds)
