"""Days of audits and the states that follow from them."""

from datetime import UTC, date, datetime, timedelta
from math import log1p

import msgspec
import pytest

from app.core.drift.audited import (
    Day,
    Learned,
    complete_days,
    concept_event,
    learn_concept,
    learn_gap,
    number_of,
)
from app.core.drift.concept import ALARM, Detector, detector
from app.core.drift.monitor import TRANSITIONS, MonitorEvent, MonitorState
from app.core.learning.accepted_error import Stratum
from app.core.learning.audits import AuditedHour, CountedHour

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
STRATUM = "sentiment@1 accept 0.05"
# an hour after its end a day is over
TUESDAY_ONE = MONDAY + timedelta(days=1, hours=1)


def day(audited: int, wrong: int, n: int = 0, sums: tuple[int, ...] = (0, 0, 0)) -> Day:
    stratum = Stratum(STRATUM, 20 * audited, audited, wrong, 0, 0.05)
    return Day(date(2026, 11, 23) + timedelta(days=n), (stratum,), sums)


def counted(n: int, decisions: int = 100) -> CountedHour:
    return CountedHour(MONDAY + timedelta(days=n), STRATUM, decisions)


def audited(n: int, *, right: int = 0, wrong: int = 0, under_way: int = 0) -> AuditedHour:
    hour = MONDAY + timedelta(days=n, hours=10)
    return AuditedHour(hour, STRATUM, right, wrong, 0, under_way, "single")


def with_evidence(evidence: float) -> Detector:
    """One whose every bet has won that much."""
    return Detector(0.06, (log1p(evidence),) * 6, days=5)


def test_a_day_enters_once_its_audits_are_answered() -> None:
    sizes = [counted(n) for n in range(4)]
    audits = [audited(0, right=3, wrong=1), audited(1, right=2), audited(2, right=1, under_way=1)]

    days = complete_days(sizes, audits, MONDAY + timedelta(days=9))

    # the fourth waits too, though nobody is asked about it
    assert [at for at, _ in days] == [date(2026, 11, 23), date(2026, 11, 24)]
    (first,) = days[0][1]
    assert (first.accepted, first.audited, first.wrong, first.probability) == (100, 4, 1, 0.05)


def test_a_day_is_over_an_hour_after_its_end() -> None:
    before = complete_days([counted(0)], [], TUESDAY_ONE - timedelta(seconds=1))
    after = complete_days([counted(0)], [], TUESDAY_ONE)

    assert (before, [at for at, _ in after]) == ([], [date(2026, 11, 23)])


def test_audits_that_never_end_hold_nothing_up_for_ever() -> None:
    audits = [audited(0, right=1, under_way=2)]

    waiting = complete_days([counted(0)], audits, MONDAY + timedelta(days=89))
    given_up = complete_days([counted(0)], audits, MONDAY + timedelta(days=90))

    assert waiting == []
    ((_, (stratum,)),) = given_up
    assert (stratum.audited, stratum.undecided) == (1, 2)


def test_audits_of_a_stratum_without_size_are_not_used() -> None:
    other = AuditedHour(MONDAY, "sentiment@1 reject 0.01", 0, 5, 0, 1, "single")

    ((_, (stratum,)),) = complete_days([counted(0)], [other], TUESDAY_ONE)

    assert (stratum.key, stratum.audited) == (STRATUM, 0)


@pytest.mark.parametrize(
    ("state", "evidence", "event"),
    [
        (MonitorState.COLLECTING, 1, MonitorEvent.SETTLE),
        (MonitorState.COLLECTING, 100, MonitorEvent.SUSPECT),
        (MonitorState.COLLECTING, 1001, MonitorEvent.CONFIRM),
        (MonitorState.STABLE, 99, None),
        (MonitorState.STABLE, 101, MonitorEvent.SUSPECT),
        (MonitorState.STABLE, 1001, MonitorEvent.CONFIRM),
        # each is left a decade below what brought it about
        (MonitorState.WARNING, 11, None),
        (MonitorState.WARNING, 9, MonitorEvent.CLEAR),
        (MonitorState.WARNING, 1001, MonitorEvent.CONFIRM),
        (MonitorState.DRIFTING, 5000, None),
        (MonitorState.DRIFTING, 101, None),
        (MonitorState.DRIFTING, 99, MonitorEvent.EASE),
        (MonitorState.DRIFTING, 9, MonitorEvent.CLEAR),
    ],
)
def test_evidence_moves_the_state_by_the_monitors_own_table(
    state: MonitorState, evidence: float, event: MonitorEvent | None
) -> None:
    found = concept_event(state, with_evidence(evidence))

    assert found == event
    assert event is None or (state, event) in TRANSITIONS


def test_without_audits_nothing_is_known() -> None:
    assert concept_event(MonitorState.COLLECTING, detector(0.05)) is None


def test_errors_above_the_bound_alarm_and_fewer_of_them_clear() -> None:
    learned = Learned(detector=detector(0.05))
    states = []
    for wrong in (1, 1, 8, 8, *(0,) * 30):
        lesson = learn_concept(learned, day(20, wrong))
        learned = lesson.learned
        states.append(learned.state)

    assert states[:2] == [MonitorState.STABLE, MonitorState.STABLE]
    assert states[3] is MonitorState.DRIFTING
    assert states[-1] is MonitorState.STABLE
    assert lesson.numbers["alarm_at"] == ALARM
    assert (lesson.numbers["audited"], lesson.numbers["wrong"]) == (20, 0)


def test_what_is_learned_does_not_depend_on_where_it_was_stored_between() -> None:
    learned = learn_concept(Learned(detector=detector(0.05)), day(20, 3)).learned
    stored = msgspec.convert(msgspec.json.decode(msgspec.json.encode(learned)), Learned)

    assert learn_concept(stored, day(20, 3, 1)) == learn_concept(learned, day(20, 3, 1))


def sums_of(decisions: int, confidence: float) -> tuple[int, int, int]:
    unit = 1_000_000
    spread = round(confidence * (1 - confidence) * unit)
    return decisions, decisions * round(confidence * unit), decisions * spread


def test_a_gap_on_two_days_is_drift() -> None:
    surprised = day(60, 30, sums=sums_of(1200, 0.98))

    first = learn_gap(Learned(), surprised)
    second = learn_gap(first.learned, surprised)

    assert first.learned.state is MonitorState.WARNING
    assert second.learned.state is MonitorState.DRIFTING
    assert first.numbers["direction"] == "worse"
    assert first.numbers["without_labels"] == pytest.approx(0.02)
    assert first.numbers["at_least"] > 0.25


def test_a_day_whose_confidence_tells_its_error_is_calm() -> None:
    calm = learn_gap(Learned(), day(60, 6, sums=sums_of(1200, 0.9)))

    assert (calm.learned.state, calm.numbers["at_least"]) == (MonitorState.STABLE, 0.0)


def test_decisions_without_confidence_leave_nothing_to_say() -> None:
    most = learn_gap(Learned(), day(60, 30, sums=sums_of(1188, 0.98)))
    too_few = learn_gap(Learned(), day(60, 30, sums=sums_of(1187, 0.98)))

    assert most.learned.state is MonitorState.WARNING
    assert too_few.learned.state is MonitorState.COLLECTING
    assert (too_few.numbers["without_labels"], too_few.numbers["at_least"]) == (None, None)


def test_a_day_is_the_bucket_of_its_number() -> None:
    assert number_of(date(1970, 1, 1)) == 0
    assert number_of(date(2026, 11, 23)) == MONDAY.timestamp() // 86_400
