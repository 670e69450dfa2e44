"""What a policy would have done: small examples, reckoned by hand."""

import uuid
from typing import Any

import pytest

from app.core.routing.prediction import Unfamiliar
from app.core.routing.whatif import tally as tallies
from app.core.routing.whatif.simulation import (
    ChangedByDirection,
    ChangedByLabel,
    ChangedByRule,
    RouteShare,
    simulation_of,
)
from app.core.routing.whatif.tally import Past, Tally
from tests.core.routing.cases import policy, rule, seen
from tests.core.routing.whatif_cases import TEN_H, Answers, frame, id_at, past, simulated, tally_of

AUDITED = {"audit": {"probability": 0.5}}


def unsure_below(threshold: float, **fields: Any) -> dict[str, Any]:
    return rule(id="unsure", confidence={"below": threshold}, **fields)


RECORDED = policy(unsure_below(0.8), **AUDITED)


@pytest.fixture
def ten() -> list[Past]:
    """Confidences 0.5 to 0.95 in steps of 0.05: six were reviewed, four accepted."""
    return [past(RECORDED, n, confidence=(50 + 5 * n) / 100) for n in range(10)]


def test_a_lower_threshold_reviews_less(ten: list[Past]) -> None:
    found = simulated(policy(unsure_below(0.7), **AUDITED), ten)

    assert found.decisions == 10
    assert found.routes.now == {
        "accept": RouteShare(4, 0.4),
        "review": RouteShare(6, 0.6),
        "reject": RouteShare(0, 0.0),
    }
    assert found.routes.then["review"] == RouteShare(4, 0.4)
    assert found.changed.by_direction == [ChangedByDirection("review", "accept", 2)]
    assert found.changed.by_rule == [ChangedByRule("unsure", "default", "review", "accept", 2)]
    assert found.changed.by_label == [ChangedByLabel("positive", "review", "accept", 2)]
    assert (found.changed.decisions, found.changed.share) == (2, 0.2)


def test_the_policy_that_decided_changes_nothing(ten: list[Past]) -> None:
    found = simulated(RECORDED, ten)

    assert found.changed.decisions == 0
    assert found.routes.now == found.routes.then


def test_load_is_what_is_reviewed_and_what_chance_audits(ten: list[Past]) -> None:
    decisions = [*ten, past(RECORDED, 0, TEN_H + 1, confidence=0.6)]

    audits, triage = simulated(RECORDED, decisions).queues

    assert (triage.queue, triage.reviews, triage.audits) == ("triage", 7, 0.0)
    assert (triage.per_hour_mean, triage.per_hour_max) == (3.5, 6.0)
    assert triage.human_hours == pytest.approx(7 * 36 / 3600)
    assert (audits.queue, audits.reviews, audits.audits) == ("audits", 0, 2.0)
    assert (audits.per_hour_mean, audits.per_hour_max) == (1.0, 2.0)


def test_an_audit_of_everything_is_no_review(ten: list[Past]) -> None:
    always = policy(unsure_below(0.8), audit={"probability": 1})

    audits, _ = simulated(always, ten).queues

    assert (audits.reviews, audits.audits) == (0, 4.0)


def test_hours_of_a_queue_without_a_measured_verdict_are_not_known(ten: list[Past]) -> None:
    tally = tally_of(RECORDED, ten)

    found = simulation_of(tally, frame(seconds={}))

    assert found.human_hours is None
    assert [queue.human_hours for queue in found.queues] == [None, None]
    assert [queue.seconds for queue in found.queues] == [None, None]


def test_errors_are_estimated_from_what_humans_said(ten: list[Past]) -> None:
    # of the six reviews the first three were wrong; of the four accepted the last was audited
    said: Answers = {id_at(n): "wrong" if n < 3 else "right" for n in range(6)}
    said[id_at(9)] = "right"

    found = simulated(policy(unsure_below(0.6), **AUDITED), ten, said)

    # accepted would be four reviews, of which one was wrong, and the four others, none wrong
    assert found.escaped_error.value == pytest.approx(4 / 8 * 1 / 4 + 4 / 8 * 0)
    assert (found.escaped_error.decisions, found.escaped_error.judged) == (8, 5)
    assert found.errors_escaping.value == pytest.approx(1.0)
    assert found.errors_caught.value == pytest.approx(2.0)


def test_what_a_sample_chose_speaks_for_itself_alone() -> None:
    # both chances are 0.5, but each sampled decision was judged and of the others every second
    sampling = policy(rule(id="some", sample={"share": 0.5}), **AUDITED)
    all_ = [past(sampling, n) for n in range(40)]
    sampled = [row for row in all_ if row[2] == "review"][:4]
    others = [row for row in all_ if row[2] == "accept"][:6]
    said: Answers = {others[0][0]: "right", **dict.fromkeys((row[0] for row in sampled), "wrong")}

    found = simulated(policy(**AUDITED), [*sampled, *others], said)

    assert found.escaped_error.value == pytest.approx(0.4)


def test_undecided_answers_widen_the_interval_and_leave_the_value(ten: list[Past]) -> None:
    judged: Answers = {id_at(n): "right" for n in range(5)}

    asked_in_vain = simulated(policy(**AUDITED), ten, {**judged, id_at(5): "undecided"})
    answered = simulated(policy(**AUDITED), ten, {**judged, id_at(5): "right"})

    assert asked_in_vain.escaped_error.undecided == 1
    assert asked_in_vain.escaped_error.value == answered.escaped_error.value == 0
    assert asked_in_vain.escaped_error.high is not None
    assert answered.escaped_error.high is not None
    assert asked_in_vain.escaped_error.high > answered.escaped_error.high


def test_a_shadow_prediction_has_a_route_and_nothing_else(ten: list[Past]) -> None:
    shadow = [past(RECORDED, 20 + n, confidence=0.5 + n / 2, shadow=True) for n in range(2)]

    alone, beside = simulated(RECORDED, ten), simulated(RECORDED, [*ten, *shadow])

    assert beside.decisions == 12
    assert beside.routes.then["review"].decisions == 7
    assert beside.queues == alone.queues
    assert beside.escaped_error == alone.escaped_error


def test_without_answers_nothing_is_said_about_errors(ten: list[Past]) -> None:
    found = simulated(RECORDED, ten)

    assert (found.escaped_error.value, found.escaped_error.reason) == (None, "no_answers")
    assert found.errors_escaping.value is None
    assert found.covered_until is None


def test_of_decisions_that_nobody_could_judge_no_number_of_errors_is_told() -> None:
    shadow = [past(RECORDED, n, confidence=0.5 + n / 2, shadow=True) for n in range(2)]

    found = simulated(RECORDED, shadow)

    assert (found.errors_escaping.value, found.errors_escaping.high) == (None, None)
    assert found.errors_caught.value is None


def test_where_nothing_is_accepted_nothing_escapes(ten: list[Past]) -> None:
    said: Answers = {id_at(0): "wrong"}

    found = simulated(policy(unsure_below(1)), ten, said)

    assert found.escaped_error.reason == "no_decisions"
    assert found.errors_escaping.value == 0


def test_a_range_without_decisions_has_an_answer() -> None:
    found = simulated(RECORDED, [])

    assert found.decisions == 0
    assert found.routes.then["review"] == RouteShare(0, None)
    assert (found.changed.share, found.queues, found.human_hours) == (None, [], 0.0)
    assert found.escaped_error.reason == "no_decisions"


def test_estimates_speak_of_hours_whose_answers_are_complete(ten: list[Past]) -> None:
    later = [past(RECORDED, n, TEN_H + 1, confidence=0.5) for n in range(3)]
    said: Answers = {id_at(n): "right" for n in range(6)}
    said |= {id_at(0, TEN_H + 1): "wrong", id_at(1, TEN_H + 1): "under_way"}
    tally = tally_of(RECORDED, [*ten, *later], said, covered_until_h=TEN_H + 1)

    found = simulation_of(tally, frame())

    assert found.covered_until is not None
    assert found.errors_caught.value == 0


def test_where_no_hour_is_complete_what_is_under_way_is_undecided(ten: list[Past]) -> None:
    said: Answers = {id_at(0): "wrong", id_at(1): "under_way"}
    tally = tally_of(policy(**AUDITED), ten, said, covered_until_h=TEN_H)

    found = simulation_of(tally, frame())

    assert found.covered_until is None
    assert (found.escaped_error.judged, found.escaped_error.undecided) == (1, 1)


def test_tallies_of_parts_add_up_to_that_of_the_whole(ten: list[Past]) -> None:
    decisions = [*ten, *(past(RECORDED, n, TEN_H + 1, confidence=n / 10) for n in range(10))]
    simulated_policy = policy(unsure_below(0.7), **AUDITED)
    said: Answers = {id_at(n): "right" for n in range(6)}
    parts = Tally()

    for start in range(0, 20, 7):
        parts.add(tally_of(simulated_policy, decisions[start : start + 7], said))

    assert parts == tally_of(simulated_policy, decisions, said)


def test_labels_past_the_limit_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "LABEL_CHANGES_MAX", 3)
    recorded = policy(unsure_below(0.8))
    decisions = [past(recorded, n, label=f"l{n}", confidence=0.5) for n in range(5)]

    tally = tally_of(policy(), decisions)

    assert sorted(count for count in tally.labels.values()) == [1, 1, 1, 2]
    assert tally.labels[None, "review", "accept"] == 2


ALARMED = policy(
    unsure_below(0.8),
    on_drift=[{"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.9}],
    **AUDITED,
)


def test_recorded_states_of_monitors_count_as_they_were() -> None:
    calm = [past(ALARMED, n, confidence=0.85, monitors=seen(confidence="stable")) for n in range(3)]
    alarmed = [
        past(ALARMED, 3 + n, confidence=0.85, monitors=seen(confidence="drifting"))
        for n in range(2)
    ]

    found = simulated(ALARMED, calm + alarmed)

    assert found.changed.decisions == 0
    assert found.routes.then["review"].decisions == 2
    assert found.without_monitors == 0
    # without responses those two would have been accepted
    without = simulated(RECORDED, calm + alarmed)
    assert without.changed.by_direction == [ChangedByDirection("review", "accept", 2)]
    assert without.without_monitors == 0


def test_a_monitor_that_is_not_recorded_is_taken_for_collecting_and_that_is_said() -> None:
    # before there was a monitor, with another one, and with the one
    monitors = [(), seen(embedding="drifting"), seen(confidence="drifting", embedding="stable")]
    rows = [
        past(RECORDED, n, confidence=0.85, monitors=states) for n, states in enumerate(monitors)
    ]

    found = simulated(ALARMED, rows)

    assert found.routes.then["review"].decisions == 1
    assert found.without_monitors == 2


def test_tallies_of_parts_add_up_with_what_is_not_recorded() -> None:
    whole, part = Tally(), tally_of(ALARMED, [past(RECORDED, 0, confidence=0.9)])

    whole.add(part)
    whole.add(part)

    assert whole.without_monitors == 2


def test_recorded_scores_of_a_detector_count_as_they_were() -> None:
    detector = uuid.UUID(int=9)
    odd = policy(rule(id="odd", out_of_distribution={"max_p": 0.01}), **AUDITED)
    rows = [
        past(odd, 0),
        past(odd, 1, unfamiliar=Unfamiliar(0.001, 9.5, detector)),
        past(odd, 2, unfamiliar=Unfamiliar(0.5, 1.5, detector)),
        past(odd, 3, unfamiliar=Unfamiliar(None, None, detector)),
    ]

    found = simulated(odd, rows)

    assert found.changed.decisions == 0
    assert found.routes.then["review"].decisions == 2
