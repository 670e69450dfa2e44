"""What a day's audits say to the monitors of `concept` and `gap`, and the states that follow.

Both take days of UTC, in order, each once all of its audits are answered or overdue: a day that
entered earlier would tell of its easy audits only. What an audit without a usable answer is, is
said where it is used.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import Struct

from app.core.drift.concept import ALARM, AuditedDay, Detector, step
from app.core.drift.estimated import (
    GAP_CONFIDENCE,
    Confidences,
    error_without_labels,
    gap_between,
    judge_gap,
)
from app.core.drift.monitor import TRANSITIONS, MonitorEvent, MonitorState, Track, advance
from app.core.learning.accepted_error import Stratum, accepted_error
from app.core.learning.audits import AuditedHour, CountedHour, strata_of

DAY_S = 86_400
SETTLING = timedelta(hours=1)
"""A day's last predictions are on disk by then, whichever replica's clock dated them."""
DAYS_MAX = 90
"""How long a day waits for its audits; those still under way then count as undecided."""
SUSPECT_AT = ALARM / 10
CALM_BELOW = ALARM / 100
"""Evidence that is forgotten: each state begins a decade away from the one before."""
COVERED_MIN = 0.99
"""Of the accepted decisions, those that must have a confidence."""


class Day(Struct, frozen=True):
    """One day of one model version.

    Attributes:
        at: the day.
        strata: of its accepted decisions, with what became of their audits.
        confidences: of the same decisions, as `confidence_sums` gives them.
    """

    at: date
    strata: tuple[Stratum, ...]
    confidences: tuple[int, ...]


class Learned(Struct, frozen=True):
    """What a monitor knows after a day; what is stored of it until the next.

    Attributes:
        state: of the monitor.
        detector: of the signal `concept`.
        track: of the signal `gap`.
    """

    state: MonitorState = MonitorState.COLLECTING
    detector: Detector | None = None
    track: Track | None = None


class Lesson(Struct, frozen=True):
    """A day's outcome: what is known now, and every number that led to it."""

    learned: Learned
    numbers: dict[str, Any]


def learn_concept(before: Learned, day: Day) -> Lesson:
    """The day's audits against the certified bound; `before` has a detector."""
    assert before.detector is not None, "a monitor of concept drift begins with one"
    audited = [
        AuditedDay(stratum.probability, stratum.accepted, stratum.audited, stratum.wrong)
        for stratum in day.strata
    ]
    detector = step(before.detector, audited)
    event = concept_event(before.state, detector)
    state = before.state if event is None else TRANSITIONS[before.state, event]
    numbers = {
        "signal": "concept",
        "bound": detector.bound,
        "evidence": min(detector.evidence, 1e300),
        "alarm_at": ALARM,
        **_sizes(day.strata),
    }
    return Lesson(Learned(state, detector=detector), numbers)


def concept_event(state: MonitorState, detector: Detector) -> MonitorEvent | None:
    """What the evidence means in a state.

    Above 1000 it is drift, from 100 worth a look. A state is left once the evidence is a decade
    below what brought it about, so that it does not flutter: errors that became fewer take it down.
    """
    if not detector.days:
        return None
    calm = detector.evidence < SUSPECT_AT
    meant = (
        (MonitorEvent.CONFIRM, detector.is_alarmed),
        (MonitorEvent.CLEAR, detector.evidence < CALM_BELOW),
        (MonitorEvent.EASE, calm),
        (MonitorEvent.SUSPECT, not calm),
        (MonitorEvent.SETTLE, True),
    )
    # the first that can happen in this state
    return next((event for event, is_so in meant if is_so and (state, event) in TRANSITIONS), None)


def learn_gap(before: Learned, day: Day) -> Lesson:
    """The day's audited error against what the model's own confidence says of the same decisions.

    Where too many of them came without a confidence, that says nothing of the rest.
    """
    audited = accepted_error(day.strata, confidence=GAP_CONFIDENCE)
    covered = day.confidences[0] >= COVERED_MIN * audited.accepted
    estimated = error_without_labels([Confidences(day.confidences)] if covered else [])
    gap = gap_between(audited, estimated)
    track = advance(before.track or Track(), judge_gap(gap))
    numbers = {
        "signal": "gap",
        "audited_error": audited.value,
        "low": audited.low,
        "high": audited.high,
        "confidence": GAP_CONFIDENCE,
        "without_labels": estimated.error,
        "assumes": estimated.assumes,
        "at_least": None if gap is None else gap.at_least,
        "direction": None if gap is None else gap.direction,
        **_sizes(day.strata),
    }
    return Lesson(Learned(track.state, track=track), numbers)


def complete_days(
    counted: Iterable[CountedHour], audited: Iterable[AuditedHour], now: datetime
) -> list[tuple[date, tuple[Stratum, ...]]]:
    """The days that may enter, in order: those before the first with an audit under way.

    Args:
        counted: sizes of strata of accepted decisions.
        audited: their audits; those of other strata are not used.
        now: for days that have waited too long.
    """
    sizes: defaultdict[date, list[CountedHour]] = defaultdict(list)
    audits: defaultdict[date, list[AuditedHour]] = defaultdict(list)
    for size in counted:
        sizes[size.hour.date()].append(size)
    for part in audited:
        audits[part.hour.date()].append(part)
    days = []
    for day in sorted(day for day in sizes if day <= last_over(now)):
        strata = {size.stratum for size in sizes[day]}
        own = [part for part in audits[day] if part.stratum in strata]
        if any(part.under_way for part in own):
            if day > now.date() - timedelta(days=DAYS_MAX):
                break
            own = [_given_up(part) for part in own]
        days.append((day, tuple(strata_of(sizes[day], own))))
    return days


def last_over(now: datetime) -> date:
    """The last day whose predictions are all on disk."""
    return (now - SETTLING).date() - timedelta(days=1)


def number_of(day: date) -> int:
    """The day as a bucket: how many since 1970."""
    return (day - date(1970, 1, 1)).days


def day_of(number: int) -> date:
    """The day of a bucket."""
    return date(1970, 1, 1) + timedelta(days=number)


def _given_up(part: AuditedHour) -> AuditedHour:
    return replace(part, undecided=part.undecided + part.under_way, under_way=0)


def _sizes(strata: Sequence[Stratum]) -> dict[str, int]:
    return {
        "accepted": sum(stratum.accepted for stratum in strata),
        "audited": sum(stratum.audited for stratum in strata),
        "wrong": sum(stratum.wrong for stratum in strata),
        "undecided": sum(stratum.undecided for stratum in strata),
    }
