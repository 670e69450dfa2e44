"""What-if over decisions that the service itself has recorded."""

import random
from typing import Any

import pytest

from app.core.errors import Invalid, Overloaded
from app.core.jobs import Job, JobState
from app.core.routing.prediction import Prediction
from app.flows import jobs, simulate
from app.flows.context import Context
from app.flows.predict import Answered
from app.store import simulations as store
from tests.scenario import Scenario

UNSURE = {"id": "unsure", "confidence": {"below": 0.8}, "route": "review", "queue": "triage"}


def unsure_below(threshold: float) -> dict[str, Any]:
    return {**UNSURE, "confidence": {"below": threshold}}


async def simulated(scenario: Scenario, *rules: dict[str, Any], **fields: Any) -> Any:
    """The result of a job that simulates these rules."""
    document = scenario.document(*rules, **fields)
    policy = await simulate.policy_written(scenario.ctx, scenario.project, document)
    job = await simulate.queue_simulation(scenario.ctx, scenario.caller, policy)
    return (await done(scenario, job)).result


async def done(scenario: Scenario, job: Job) -> Job:
    while await jobs.run_once(scenario.ctx):
        pass
    found = await jobs.find(scenario.ctx, scenario.project, job.id)
    assert found.state is JobState.DONE, found.failure
    return found


async def decided(scenario: Scenario, *confidences: float, **fields: Any) -> list[Answered]:
    posted = [scenario.posted(confidence=confidence, **fields) for confidence in confidences]
    answers = await scenario.decide(*posted)
    return [answer for answer in answers if isinstance(answer, Answered)]


def anything(scenario: Scenario, chance: random.Random) -> Prediction:
    """A prediction of any sort."""
    first, second = sorted((chance.random(), chance.random()))
    fields: dict[str, Any] = {
        "label": None,
        "confidence": chance.choice([None, chance.random()]),
        "scores": {"a": first, "b": second - first, "threat": 1 - second},
        "risk": chance.choice([None, chance.random()]),
        "features": chance.choice([None, {"n_tokens": chance.randrange(400)}]),
        "shadow": chance.random() < 0.1,
    }
    return scenario.posted(**fields)


async def test_the_active_policy_changes_nothing_of_a_thousand_decisions(
    scenario: Scenario,
) -> None:
    rules: list[dict[str, Any]] = [
        {"id": "threat", "labels": ["threat"], "route": "reject"},
        {"id": "risky", "risk": {"above": 0.9}, "if_missing": "pass", "route": "review"},
        {"id": "tie", "margin": {"below": 0.1}, "route": "review"},
        {"id": "long", "when": "prediction.features.n_tokens > 350", "route": "review"},
        {**UNSURE, "confidence": {"below": 0.3}},
        {"id": "some", "sample": {"share": 0.2}, "route": "review"},
    ]
    rules = [{"queue": "triage", **rule} if rule["route"] == "review" else rule for rule in rules]
    active = await scenario.policy(*rules, audit={"probability": 0.1})
    chance = random.Random(20261123)
    await scenario.decide(*(anything(scenario, chance) for _ in range(1000)))
    policy = await simulate.policy_named(
        scenario.ctx, scenario.project, active.name, active.version
    )

    job = await simulate.queue_simulation(scenario.ctx, scenario.caller, policy)

    result = (await done(scenario, job)).result
    assert result["decisions"] == 1000
    assert result["changed"]["decisions"] == 0
    assert min(share["decisions"] for share in result["routes"]["then"].values()) > 50
    assert (result["policy"], result["version"]) == (active.name, active.version)


async def test_another_threshold_changes_what_lies_between(scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    await decided(scenario, 0.5, 0.6, 0.75, 0.85, 0.95)

    result = await simulated(scenario, unsure_below(0.7))

    assert result["changed"]["by_rule"] == [
        {
            "reason": "unsure",
            "new_reason": "default",
            "from": "review",
            "to": "accept",
            "decisions": 1,
        }
    ]


async def test_what_humans_said_tells_what_would_escape(scenario: Scenario) -> None:
    await scenario.policy(UNSURE, audit={"probability": 1, "queue": "audits"})
    reviewed = await decided(scenario, 0.7, 0.75)
    audited = await decided(scenario, 0.9, 0.95)
    for answers, queue, labels in (
        (reviewed, "triage", ("negative", "positive")),
        (audited, "audits", ("positive", "positive")),
    ):
        for _, label in zip(answers, labels, strict=True):
            await scenario.corrected(await scenario.leased(queue), label)

    result = await simulated(scenario, unsure_below(0.6))

    escaped = result["escaped_error"]
    assert (escaped["value"], escaped["decisions"], escaped["judged"]) == (0.25, 4, 4)
    assert result["errors_escaping"]["value"] == 1
    assert result["errors_caught"]["value"] == 0
    assert result["covered_until"] == result["to"]


async def test_answers_under_way_are_not_taken_for_complete(scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    await decided(scenario, 0.7, 0.75)
    await scenario.corrected(await scenario.leased("triage"), "positive")

    result = await simulated(scenario, unsure_below(0.6))

    assert result["covered_until"] is None
    assert (result["escaped_error"]["judged"], result["escaped_error"]["undecided"]) == (1, 1)


async def test_other_models_and_other_times_are_left_out(scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    await decided(scenario, 0.5, 0.6)
    await decided(scenario, 0.5, model="topic")
    (last,) = await decided(scenario, 0.5)
    document = scenario.document()
    policy = await simulate.policy_written(scenario.ctx, scenario.project, document)

    job = await simulate.queue_simulation(
        scenario.ctx, scenario.caller, policy, until=last.decision.decided_at
    )

    # a decision's id is as old as its millisecond, a little older than the decision
    assert (await done(scenario, job)).result["decisions"] in {2, 3}


async def test_a_range_is_read_page_by_page_with_its_progress(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PAGE_ROWS", 3)
    await decided(scenario, *(0.5 for _ in range(6)))
    await decided(scenario, 0.5, model="topic")
    await decided(scenario, 0.5)
    seen = []

    async def report(done: int, total: int | None) -> None:
        seen.append((done, total))

    policy = await simulate.policy_written(scenario.ctx, scenario.project, scenario.document())
    job = await simulate.queue_simulation(scenario.ctx, scenario.caller, policy)
    result = await simulate.work(scenario.ctx, job, report)

    assert result["decisions"] == 7
    assert seen == [(3, 7), (6, 7), (7, 7), (7, 7)]


async def test_a_range_without_decisions_has_an_answer(scenario: Scenario) -> None:
    result = await simulated(scenario, {"id": "unsure", "risk": {"above": 0.8}, "route": "reject"})

    assert result["decisions"] == 0
    assert result["routes"]["then"]["accept"] == {"decisions": 0, "share": None}


async def test_hours_come_from_the_median_of_the_queue_s_own_verdicts(scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    answers = await decided(scenario, 0.5, 0.6)
    await scenario.queue("experts")
    await scenario.corrected(await scenario.leased("triage"), "negative")
    expert = {**unsure_below(0.55), "id": "expert", "queue": "experts"}

    result = await simulated(scenario, expert, UNSURE)

    experts, triage = result["queues"]
    assert len(answers) == 2
    assert (experts["queue"], experts["seconds"], experts["human_hours"]) == ("experts", None, None)
    assert (triage["seconds"]["verdicts"], triage["seconds"]["measured"]) == (1, "range")
    assert result["human_hours"] is None


async def test_a_queue_without_verdicts_in_the_range_is_measured_by_its_latest(
    scenario: Scenario,
) -> None:
    await scenario.policy(UNSURE)
    (first,) = await decided(scenario, 0.5)
    await scenario.corrected(await scenario.leased("triage"), "negative")
    async with scenario.ctx.db.write() as tx:
        await tx.raw.execute(
            "UPDATE verdicts SET seconds_spent = 7, submitted_at = submitted_at - interval '30 d'"
        )

    result = await simulated(scenario, UNSURE)

    (triage,) = result["queues"]
    assert first.decision.outcome.route == "review"
    assert triage["seconds"] == {"median_s": 7, "verdicts": 1, "measured": "latest"}


async def test_a_sweep_gives_a_curve(scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    await decided(scenario, 0.5, 0.6, 0.7, 0.9)
    policy = await simulate.policy_written(
        scenario.ctx, scenario.project, scenario.document(UNSURE)
    )
    sweep = simulate.AskedSweep("unsure", [0.95, 0.55], None)

    job = await simulate.queue_simulation(scenario.ctx, scenario.caller, policy, sweep=sweep)

    curve = (await done(scenario, job)).result["curve"]
    assert [(point["threshold"], point["review_share"]) for point in curve] == [
        (0.55, 0.25),
        (0.95, 1.0),
    ]


async def test_rows_are_compared_with_the_active_policy(scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    rows = [scenario.posted(confidence=confidence) for confidence in (0.5, 0.75, 0.9)]
    policy = await simulate.policy_written(
        scenario.ctx, scenario.project, scenario.document(unsure_below(0.7))
    )

    found = await simulate.simulate_rows(scenario.ctx, scenario.project, policy, rows)

    assert found.routes.now["review"].decisions == 2
    assert found.routes.then["review"].decisions == 1
    assert (found.since, found.escaped_error.reason) == (None, "no_decisions")


async def test_the_same_rows_give_the_same_answer_chance_included(scenario: Scenario) -> None:
    await scenario.queue("triage")
    some = {"id": "some", "sample": {"share": 0.5}, "route": "review", "queue": "triage"}
    rows = [scenario.posted() for _ in range(100)]
    policy = await simulate.policy_written(scenario.ctx, scenario.project, scenario.document(some))

    found = [
        await simulate.simulate_rows(scenario.ctx, scenario.project, policy, rows) for _ in range(2)
    ]

    assert found[0] == found[1]
    assert 20 < found[0].routes.then["review"].decisions < 80


async def test_a_row_that_cannot_be_taken_is_named(scenario: Scenario) -> None:
    policy = await simulate.policy_written(scenario.ctx, scenario.project, scenario.document())
    rows = [scenario.posted(), scenario.posted(scores={"a": 0.5}, label=None)]

    with pytest.raises(Invalid) as refused:
        await simulate.simulate_rows(scenario.ctx, scenario.project, policy, rows)

    assert [loc for loc, _ in refused.value.places] == [("rows", 1, "scores")]


async def test_a_project_cannot_queue_jobs_without_end(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "UNFINISHED_MAX", 2)
    policy = await simulate.policy_written(scenario.ctx, scenario.project, scenario.document())
    for _ in range(2):
        await simulate.queue_simulation(scenario.ctx, scenario.caller, policy)

    with pytest.raises(Overloaded):
        await simulate.queue_simulation(scenario.ctx, scenario.caller, policy)


async def test_a_document_is_checked_against_the_project(ctx: Context, scenario: Scenario) -> None:
    with pytest.raises(Invalid) as refused:
        await simulate.policy_written(ctx, scenario.project, scenario.document(UNSURE))

    assert [loc for loc, _ in refused.value.places] == [("document", "rules", 0, "queue")]
