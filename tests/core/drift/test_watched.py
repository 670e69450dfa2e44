"""What a monitor may watch."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.drift.watched import (
    LENGTH_MAX,
    TimingAsked,
    check_mute,
    check_signal,
    settled,
    watched,
)
from app.core.drift.windows import Timing
from app.core.errors import Invalid

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
STREAMS = [
    "label",
    "confidence",
    "feature:length",
    "feature:source",
    "embedding:0",
    "embedding:score",
    "out_of_distribution",
    "missing",
]


@pytest.mark.parametrize(
    ("signal", "streams"),
    [
        ("label", ["label"]),
        ("features", ["feature:length", "feature:source"]),
        ("feature:length", ["feature:length"]),
        # the components and the score, but not the rate, which is a signal of its own
        ("embedding", ["embedding:0", "embedding:score"]),
        ("out_of_distribution", ["out_of_distribution"]),
        ("disagreement", []),
        ("feature:none", []),
        # they compare with no reference
        ("concept", []),
        ("gap", []),
    ],
)
def test_a_signal_stands_for_streams(signal: str, streams: list[str]) -> None:
    assert watched(signal, STREAMS) == streams


@pytest.mark.parametrize(
    ("signal", "has_reference", "certified", "places"),
    [
        ("confidence", True, None, []),
        ("feature:length", True, None, []),
        ("concept", False, 0.0, []),
        ("concept", False, 0.98, []),
        ("gap", False, None, []),
        ("confidence", False, None, ["reference"]),
        ("confidence", True, 0.05, ["certified_error"]),
        ("gap", True, None, ["reference"]),
        ("concept", False, None, ["certified_error"]),
        # with the margin it could not be exceeded
        ("concept", False, 0.981, ["certified_error"]),
        ("concept", True, None, ["reference", "certified_error"]),
        ("embedding:0", True, None, ["signal"]),
        ("feature:", True, None, ["signal"]),
        ("", True, None, ["signal"]),
    ],
)
def test_settings_that_do_not_fit_a_signal_are_named(
    signal: str, has_reference: bool, certified: float | None, places: list[str]
) -> None:
    if not places:
        check_signal(signal, has_reference=has_reference, certified_error=certified)
        return

    with pytest.raises(Invalid) as refused:
        check_signal(signal, has_reference=has_reference, certified_error=certified)

    assert [loc[0] for loc, _ in refused.value.places] == places


def test_what_is_left_open_is_taken_from_the_model_or_else_the_default() -> None:
    kept = Timing(60, 5, (1, 10))

    assert settled(TimingAsked(), None) == Timing(3600, 900, (1, 24))
    assert settled(TimingAsked(), kept) == kept
    assert settled(TimingAsked(grace_s=0, lengths=(24, 2)), kept) == Timing(60, 0, (2, 24))


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (TimingAsked(bucket_s=0), "bucket_s"),
        (TimingAsked(bucket_s=86_401), "bucket_s"),
        (TimingAsked(grace_s=-1), "grace_s"),
        (TimingAsked(grace_s=86_401), "grace_s"),
        (TimingAsked(lengths=()), "windows"),
        (TimingAsked(lengths=(1, 1)), "windows"),
        (TimingAsked(lengths=(1, 2, 3, 4, 5)), "windows"),
        (TimingAsked(lengths=(0, 1)), "windows"),
        (TimingAsked(lengths=(1, LENGTH_MAX + 1)), "windows"),
    ],
)
def test_a_timing_past_a_limit_is_refused(asked: TimingAsked, place: str) -> None:
    with pytest.raises(Invalid) as refused:
        settled(asked, None)

    assert [loc for loc, _ in refused.value.places] == [(place,)]


def test_the_largest_timing_is_taken() -> None:
    largest = settled(TimingAsked(86_400, 86_400, (1, 2, 3, LENGTH_MAX)), None)

    assert largest == Timing(86_400, 86_400, (1, 2, 3, LENGTH_MAX))


def test_a_mute_ends_within_thirty_days() -> None:
    check_mute(NOON + timedelta(days=30), NOON)
    for until in (NOON, NOON - timedelta(days=1), NOON + timedelta(days=30, seconds=1)):
        with pytest.raises(Invalid):
            check_mute(until, NOON)
