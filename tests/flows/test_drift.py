"""Counting against references, closing of buckets, evaluation and states."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.flows import drift
from app.flows.predict import Answered
from app.flows.upkeep import fold
from tests.scenario import Scenario
from tests.watched_model import (
    HOUR,
    MIDNIGHT,
    WatchedModel,
    document_of,
    drifted,
    refer,
    usual,
)

MINUTE = timedelta(minutes=1)
GRACE = 15 * MINUTE
FIRST = int(MIDNIGHT.timestamp()) // 3600


async def test_counts_are_those_of_the_rows(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scenario.policy(segments=["source"])
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    await model.predicted(MIDNIGHT + MINUTE, 120, segment={"source": "tweets"})
    await model.predicted(MIDNIGHT + 2 * MINUTE, 30, segment={"source": "nyt", "id": "7"})
    await model.predicted(MIDNIGHT + HOUR, 70, model_version="2")

    await model.fold()

    stored = await model.stored()
    assert stored == await model.recomputed(["source"])
    assert {(*key[1:3], key[3] - FIRST): found[0] for key, found in stored.items()} == {
        ("1", "", 0): 150,
        ("1", "source:nyt", 0): 30,
        ("1", "source:tweets", 0): 120,
        ("2", "", 1): 70,
    }


@pytest.mark.parametrize("count", [pytest.param(20, id="few"), pytest.param(120, id="many")])
async def test_retries_count_once(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "features")
    posted = await model.predicted(MIDNIGHT, count)
    another = scenario.posted(**usual_row())
    model.now(MIDNIGHT + 2 * HOUR)

    await scenario.decide(*reversed(posted), another, *posted)
    await scenario.decide(*posted)
    await model.fold()

    stored = await model.stored()
    assert stored == await model.recomputed()
    assert sorted(found[0] for found in stored.values()) == [1, count]


def usual_row() -> dict[str, object]:
    return {"label": "positive", "features": {"length": 3.0, "language": "fr"}}


@pytest.mark.parametrize(
    ("occurred_at", "expected"),
    [
        pytest.param(MIDNIGHT + 3 * HOUR - 10 * MINUTE, (2, 0), id="a little before"),
        pytest.param(MIDNIGHT + HOUR, (3, 1), id="hours before: at its receipt, late"),
        pytest.param(MIDNIGHT + 6 * HOUR, (3, 1), id="hours ahead: at its receipt, late"),
        pytest.param(None, (3, 0), id="not told"),
    ],
)
async def test_an_event_counts_when_it_occurred_within_the_grace(
    scenario: Scenario,
    monkeypatch: pytest.MonkeyPatch,
    occurred_at: datetime | None,
    expected: tuple[int, int],
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")

    await model.predicted(MIDNIGHT + 3 * HOUR, 1, occurred_at=occurred_at)
    await model.fold()

    stored = await model.stored()
    assert stored == await model.recomputed()
    assert [(key[3] - FIRST, late) for key, (_, late, _) in stored.items()] == [expected]


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_replica_with_a_wrong_clock_loses_and_moves_nothing(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    right = await model.predicted(MIDNIGHT + MINUTE, 100)
    for before_its_end in (2, -2):
        model.now(
            MIDNIGHT + HOUR - before_its_end * MINUTE, replica_ahead=timedelta(minutes=minutes)
        )
        await scenario.decide(*[scenario.posted(**usual_row()) for _ in range(60)])

    await model.evaluate(MIDNIGHT + HOUR + GRACE)
    await model.fold()

    stored = await model.stored()
    assert stored == await model.recomputed()
    assert sum(found[0] for found in stored.values()) == len(right) + 120
    assert await model.moved() == 0


async def test_what_comes_when_its_bucket_is_closed_counts_in_the_first_open_one_as_moved(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    await model.predicted(MIDNIGHT + MINUTE, 110)
    await model.evaluate(MIDNIGHT + HOUR + GRACE)
    before = await model.stored()
    evaluated = await model.evaluations("confidence")
    model.now(MIDNIGHT + HOUR + 20 * MINUTE, replica_ahead=-HOUR)

    await scenario.decide(*[scenario.posted(**usual_row()) for _ in range(3)])
    await model.fold()

    stored = await model.stored()
    assert {key[3] - FIRST: found[0] for key, found in stored.items()} == {0: 110, 1: 3}
    assert before.items() <= stored.items()
    assert await model.moved() == 3
    assert await model.evaluations("confidence") == evaluated


async def test_reference_of_a_version_or_segment_counts_only_its_own(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(
        scenario, monkeypatch, "confidence", model_version="1", segment="source:tweets"
    )

    await model.predicted(MIDNIGHT, 60, segment={"source": "tweets"})
    await model.predicted(MIDNIGHT, 60, segment={"source": "nyt"})
    await model.predicted(MIDNIGHT, 60, model_version="2", segment={"source": "tweets"})
    await model.predicted(MIDNIGHT, 60)
    await model.fold()

    stored = await model.stored()
    assert stored == await model.recomputed()
    assert {key[1:3]: found[0] for key, found in stored.items()} == {("1", ""): 60}


async def test_model_without_monitors_counts_in_no_stream(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")

    await model.predicted(MIDNIGHT, 2, model="another")
    await model.predicted(MIDNIGHT, 60, model="another")
    await model.fold()

    assert await model.stored() == await model.recomputed() == {}


async def test_segment_too_long_for_an_index_is_counted_in_the_whole_only(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    # four bytes a character, and nothing that compression could make shorter
    longest = ["".join(chr(chance.randint(0x20000, 0x2A6D0)) for _ in range(256)) for _ in range(3)]
    version, key, value = longest
    await scenario.policy(segments=[key])
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")

    await model.predicted(MIDNIGHT, 1, model_version=version, segment={key: value})
    await model.fold()

    assert [place[1:3] for place in await model.stored()] == [(version, "")]


async def test_planted_shift_is_found_by_the_second_window(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "feature:length", "label")
    states = []
    for hour, draw in enumerate([usual, usual, usual, drifted, drifted]):
        at = MIDNIGHT + hour * HOUR
        await model.predicted(at, 150, draw)
        await model.evaluate(at + HOUR + GRACE)
        states.append(await model.states("feature-length"))

    assert states[:3] == [{1: "stable"}] * 3
    assert states[4] == {1: "drifting"}
    assert await model.states("label") == {1: "stable"}
    last = (await model.evaluations("feature-length"))[-1]
    assert last["state"] == "drifting"
    assert [(one["stream"], one["n"], one["m"]) for one in last["results"]] == [
        ("feature:length", 150, 3000)
    ]
    raised = (await model.events())[-1]
    assert (raised["monitor"], raised["to"]) == ("feature-length", "drifting")
    assert datetime.fromisoformat(raised["window_start"]) in {
        MIDNIGHT + 3 * HOUR,
        MIDNIGHT + 4 * HOUR,
    }


async def test_day_is_evaluated_from_its_hours_when_it_ends(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "feature:length")
    for hour in range(24):
        # far too few for a window of an hour
        await model.predicted(MIDNIGHT + hour * HOUR, 10, drifted)

    await model.evaluate(MIDNIGHT + 24 * HOUR + GRACE)

    assert await model.states("feature-length") == {1: "collecting", 24: "drifting"}
    day = (await model.evaluations("feature-length"))[-1]
    assert (day["first_bucket"], day["last_bucket"]) == (FIRST, FIRST + 23)
    assert day["results"][0]["n"] == 240
    (event,) = await model.events()
    assert (event["from"], event["to"]) == ("collecting", "drifting")
    assert event["evaluation"] == str(day["id"])


async def test_all_streams_of_a_version_are_one_family_and_a_stream_watched_twice_is_one_test(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scenario.policy(segments=["source"])
    model = await WatchedModel.start(
        scenario, monkeypatch, "features", "feature:length", "confidence"
    )
    await model.predicted(MIDNIGHT, 200, segment={"source": "tweets"})
    await model.predicted(MIDNIGHT, 99, segment={"source": "nyt"})

    await model.evaluate(MIDNIGHT + HOUR + GRACE)

    # length, language and confidence; of the whole and of the one segment that has enough
    for monitor in ("features", "feature-length", "confidence"):
        for segment in ("", "source:tweets"):
            (evaluation,) = await model.evaluations(monitor, segment)
            assert {one["family"] for one in evaluation["results"]} == {6}
    assert await model.evaluations("features", "source:nyt") == []


async def test_silence_is_evaluated_three_times_and_then_costs_nothing(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    await model.predicted(MIDNIGHT, 300)
    await model.evaluate(MIDNIGHT + HOUR + GRACE)
    assert await model.states("confidence") == {1: "stable"}

    steps = await model.evaluate(MIDNIGHT + 10 * 24 * HOUR + GRACE)

    assert steps == 2
    ended = [row["last_bucket"] - FIRST for row in await model.evaluations("confidence")]
    assert ended == [0, 1, 2, 3, 23, 47, 71, 95]
    # the day has spoken, and three empty days after it have not
    assert await model.states("confidence") == {1: "collecting", 24: "collecting"}


async def test_evaluations_do_not_depend_on_how_many_buckets_close_at_once(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = await Scenario.start(scenario.ctx)
    busy = [0, 1, 2, 5, 13, 14, 40]
    found: list[list[Any]] = []
    for of, one_by_one in ((scenario, True), (at_once, False)):
        model = await WatchedModel.start(of, monkeypatch, "features", "label")
        for hour in range(80):
            at = MIDNIGHT + hour * HOUR
            if hour in busy:
                await model.predicted(at, 130, usual if hour < 10 else drifted)
            if one_by_one:
                await model.evaluate(at + HOUR + GRACE)
        await model.evaluate(MIDNIGHT + 80 * HOUR + GRACE)
        kept = ("first_bucket", "last_bucket", "state", "results")
        found.append(
            [
                [[row[name] for name in kept] for row in await model.evaluations(monitor)]
                for monitor in ("features", "label")
            ]
        )
        found[-1] += [await model.states("features"), events_of(await model.events())]

    assert found[0] == found[1]
    assert found[0][-1], "nothing happened"


def events_of(events: list[dict[str, object]]) -> list[str]:
    return [json.dumps({**event, "evaluation": None}, sort_keys=True) for event in events]


async def test_many_busy_buckets_are_closed_in_several_transactions(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    monkeypatch.setattr(drift, "BUSY_MAX", 2)
    for hour in (0, 1, 2, 3, 9):
        await model.predicted(MIDNIGHT + hour * HOUR, 120)

    steps = await model.evaluate(MIDNIGHT + 10 * HOUR + GRACE)

    ended = [row["last_bucket"] - FIRST for row in await model.evaluations("confidence")]
    assert ended == [0, 1, 2, 3, 4, 5, 6, 9]
    assert steps == 1 + 3


async def test_evaluation_that_is_there_is_right(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "feature:length")
    await model.predicted(MIDNIGHT, 200, drifted)
    await model.evaluate(MIDNIGHT + HOUR + GRACE)
    (kept,) = await model.evaluations("feature-length")
    async with scenario.ctx.db.write() as tx:
        # as after a restored copy of some tables
        await tx.raw.execute("DELETE FROM monitor_states")
        await tx.raw.execute("UPDATE monitored_models SET first_open = first_open - 1")
        await tx.raw.execute("UPDATE stream_counts SET counts = $1", model.reference.counts)

    await model.evaluate(MIDNIGHT + HOUR + GRACE)

    assert await model.evaluations("feature-length") == [kept]
    assert await model.states("feature-length") == {1: kept["state"]}


async def test_monitor_on_another_reference_starts_with_its_counts(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "feature:length")
    await model.predicted(MIDNIGHT, 200, drifted)
    accepted = await refer(scenario, document_of(drifted, 3000))
    async with scenario.ctx.db.write() as tx:
        await tx.raw.execute("UPDATE monitors SET reference_id = $1", accepted.id)
    await model.predicted(MIDNIGHT + MINUTE, 200, drifted)

    await model.evaluate(MIDNIGHT + HOUR + GRACE)

    (evaluation,) = await model.evaluations("feature-length")
    assert (evaluation["reference_id"], evaluation["results"][0]["n"]) == (accepted.id, 200)
    assert await model.states("feature-length") == {1: "stable"}


async def test_closing_takes_what_no_folder_has_taken(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_fold(*_: object) -> int:
        return 0

    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    monkeypatch.setattr(drift, "fold_project", no_fold)
    await model.predicted(MIDNIGHT, 200)

    await model.evaluate(MIDNIGHT + HOUR + GRACE)

    (evaluation,) = await model.evaluations("confidence")
    assert evaluation["results"][0]["n"] == 200


async def test_bucket_is_closed_only_when_its_grace_is_over(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    await model.predicted(MIDNIGHT, 200)
    # yesterday's last one
    await model.evaluate(MIDNIGHT + GRACE)

    model.now(MIDNIGHT + HOUR + GRACE - timedelta(microseconds=1))
    assert await drift.evaluate_once(scenario.ctx) == 0
    model.now(MIDNIGHT + HOUR + GRACE)
    assert await drift.evaluate_once(scenario.ctx) == 1

    assert await fold(scenario.ctx) == 0


async def test_reference_that_this_release_cannot_read_refuses_no_prediction(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await WatchedModel.start(scenario, monkeypatch, "confidence")
    async with scenario.ctx.db.write() as tx:
        await tx.raw.execute(
            """UPDATE drift_references SET document = '{"streams": 7}' WHERE project_id = $1""",
            scenario.project,
        )
    scenario.ctx.views.forget()

    answers = await scenario.decide(scenario.posted())
    steps = await model.evaluate(MIDNIGHT + 3 * HOUR)

    assert isinstance(answers[0], Answered)
    assert steps > 0
    assert await model.stored() == {}
