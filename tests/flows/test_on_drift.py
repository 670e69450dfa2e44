"""Monitors tighten routing by themselves, and when they are calm again it is as before."""

import uuid
from typing import Any

import msgspec
import pytest

from app.core.errors import Invalid
from app.core.routing.verify import verify
from app.flows import explain as explain_flow
from app.flows import jobs, policies, simulate
from app.flows.context import Context
from app.flows.predict import Answered
from tests.scenario import Scenario

UNSURE = {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"}
RAISE = {
    "monitor": "confidence",
    "when": "drifting",
    "raise_confidence_to": 0.95,
    "audit_probability": 0.1,
}
ROUTE = {
    "monitor": "embedding",
    "when": "drifting",
    "segment": "source",
    "route": "review",
    "queue": "rare",
    "priority": 70,
}


async def simulated(scenario: Scenario, *rules: dict[str, Any], **fields: Any) -> Any:
    """The result of a job that simulates a policy over all recorded decisions."""
    document = scenario.document(*rules, **fields)
    policy = await simulate.policy_written(scenario.ctx, scenario.project, document)
    job = await simulate.queue_simulation(scenario.ctx, scenario.caller, policy)
    while await jobs.run_once(scenario.ctx):
        pass
    return (await jobs.find(scenario.ctx, scenario.project, job.id)).result


def seen_in(answered: Answered) -> list[tuple[str, str, str | None]]:
    return [(one.name, one.state, one.segment) for one in answered.decision.monitors]


async def test_a_threshold_is_raised_while_a_monitor_drifts_and_then_no_more(
    scenario: Scenario,
) -> None:
    await scenario.monitor("confidence")
    await scenario.policy(UNSURE, on_drift=[RAISE])
    found = []

    for state in (None, "stable", "warning", "drifting", "stable"):
        await scenario.monitor("confidence", state)
        answered = await scenario.decided(confidence=0.9)
        outcome = answered.decision.outcome
        found.append((outcome.route, outcome.audit_probability, *seen_in(answered)))

    assert found == [
        ("accept", 0.01, ("confidence", "collecting", None)),
        ("accept", 0.01, ("confidence", "stable", None)),
        ("accept", 0.01, ("confidence", "warning", None)),
        ("review", None, ("confidence", "drifting", None)),
        ("accept", 0.01, ("confidence", "stable", None)),
    ]


async def test_more_is_audited_while_a_monitor_drifts(scenario: Scenario) -> None:
    await scenario.monitor("confidence", "drifting")
    await scenario.policy(UNSURE, on_drift=[RAISE])

    answered = await scenario.decided(confidence=0.99)

    outcome = answered.decision.outcome
    assert (outcome.audit_probability, outcome.stratum) == (0.1, "sentiment@1 accept 0.1")


async def test_only_the_segment_that_drifts_is_sent_to_review(scenario: Scenario) -> None:
    await scenario.monitor("embedding", "stable")
    await scenario.monitor("embedding", "drifting", segment="source:amazon")
    await scenario.policy(UNSURE, on_drift=[ROUTE], segments=["source"])

    tweet, review = [
        await scenario.decided(confidence=0.99, segment={"source": source})
        for source in ("tweets", "amazon")
    ]

    assert (tweet.decision.outcome.route, seen_in(tweet)) == (
        "accept",
        [("embedding", "stable", "source")],
    )
    assert seen_in(review) == [("embedding", "drifting", "source")]
    outcome = review.decision.outcome
    assert (outcome.route, outcome.reason) == ("review", "on_drift:embedding")
    assert (outcome.queue, outcome.priority) == ("rare", 70)
    assert review.decision.item is not None
    assert (await scenario.leased("rare")).task.item_id == review.decision.item.id


async def test_another_version_is_routed_by_its_own_states(scenario: Scenario) -> None:
    await scenario.monitor("confidence", "drifting", version="1")
    await scenario.policy(UNSURE, on_drift=[RAISE])

    routes = [
        (await scenario.decided(confidence=0.9, model_version=version)).decision.outcome.route
        for version in "12"
    ]

    assert routes == ["review", "accept"]


async def test_an_expression_sees_the_states(scenario: Scenario) -> None:
    await scenario.monitor("a-b", "warning")
    odd = {"id": "odd", "when": "monitors['a-b'] in ['warning', 'drifting']"}
    await scenario.policy({**odd, "route": "review", "queue": "triage"})

    answered = await scenario.decided(confidence=0.99)

    assert answered.decision.outcome.reason == "odd"
    assert seen_in(answered) == [("a-b", "warning", None)]


@pytest.mark.parametrize("state", ["stable", "drifting"])
async def test_what_monitors_decided_is_explained_made_again_and_verified(
    ctx: Context, scenario: Scenario, state: str
) -> None:
    for monitor in ("confidence", "embedding"):
        await scenario.monitor(monitor, state)
    rules = [{**UNSURE, "id": "unsure"}]
    await scenario.policy(*rules, on_drift=[RAISE, ROUTE], segments=["source"])
    answers = [await scenario.decided(confidence=confidence) for confidence in (0.5, 0.91, 0.99)]
    # the states of now are others
    for monitor in ("confidence", "embedding"):
        await scenario.monitor(monitor, "warning")

    for answered in answers:
        id_ = answered.decision.id
        replayed = await explain_flow.replay(ctx, scenario.project, id_)
        receipt = await explain_flow.receipt(ctx, scenario.project, id_)
        explained = await explain_flow.explain(ctx, scenario.project, id_)

        assert (replayed.differences, replayed.notes) == ([], [])
        assert verify(msgspec.json.encode(receipt)).valid
        assert [(seen.name, seen.state) for seen in receipt.monitors] == [
            ("confidence", state),
            ("embedding", state),
        ]
        assert [entry.rule for entry in explained.explanation.rules] == [
            "unsure",
            "on_drift[0]",
            "on_drift[1]",
        ]


async def test_a_policy_beside_does_not_change_what_the_active_one_sees(
    scenario: Scenario,
) -> None:
    await scenario.monitor("confidence", "stable")
    await scenario.monitor("confidence", "drifting", segment="source:amazon")
    await scenario.policy(UNSURE, on_drift=[RAISE])
    beside = scenario.document(UNSURE, segments=["source"], on_drift=[{**RAISE, "when": "warning"}])
    put = await policies.put(scenario.ctx, scenario.caller, "sentiment", beside)
    await policies.shadow(scenario.ctx, scenario.caller, "sentiment", put.version.version)

    answered = await scenario.decided(confidence=0.9, segment={"source": "amazon"})

    assert answered.decision.outcome.route == "accept"
    assert seen_in(answered) == [("confidence", "stable", None)]


async def test_the_monitors_of_a_policy_beside_are_recorded_with_the_decision(
    scenario: Scenario,
) -> None:
    await scenario.monitor("embedding", "drifting")
    await scenario.policy(UNSURE)
    beside = scenario.document(UNSURE, segments=["source"], on_drift=[{**ROUTE, "queue": "triage"}])
    put = await policies.put(scenario.ctx, scenario.caller, "sentiment", beside)
    await policies.shadow(scenario.ctx, scenario.caller, "sentiment", put.version.version)

    answered = await scenario.decided(confidence=0.99)

    assert answered.decision.outcome.route == "accept"
    assert seen_in(answered) == [("embedding", "drifting", "source")]
    assert await beside_of(scenario, answered.decision.id) == ("review", "on_drift:embedding")


async def beside_of(scenario: Scenario, decision_id: uuid.UUID) -> tuple[str, str]:
    async with scenario.ctx.db.read() as tx:
        row = await tx.raw.fetchrow(
            "SELECT beside_route, beside_reason FROM decisions WHERE id = $1", decision_id
        )
    return row["beside_route"], row["beside_reason"]


@pytest.mark.parametrize(
    ("document", "place", "made"),
    [
        pytest.param({"on_drift": [RAISE]}, ("on_drift", 0, "monitor"), "confidence", id="none"),
        pytest.param(
            {"applies_to": {"model": "topic"}, "on_drift": [{**RAISE, "monitor": "known"}]},
            ("on_drift", 0, "monitor"),
            "known",
            id="of another model",
        ),
        pytest.param(
            {"rules": [{**UNSURE, "when": "monitors.embedding == 'drifting'"}]},
            ("rules", 0, "when"),
            "embedding",
            id="in an expression",
        ),
    ],
)
async def test_a_policy_names_monitors_of_its_model_that_are_there(
    scenario: Scenario, document: dict[str, Any], place: Any, made: str
) -> None:
    await scenario.queue("triage")
    await scenario.monitor("known")
    written = {**scenario.document(UNSURE), **document}
    for rule in written["rules"]:
        if "when" in rule:
            rule.pop("confidence", None)

    for act in (
        policies.put(scenario.ctx, scenario.caller, "sentiment", written),
        policies.validate(scenario.ctx, scenario.project, written),
    ):
        with pytest.raises(Invalid) as refused:
            await act

        ((found, why),) = refused.value.places
        assert found == place
        assert f"PUT /v1/monitors/{made}" in why


async def test_a_simulation_names_monitors_that_are_there(scenario: Scenario) -> None:
    await scenario.queue("triage")

    with pytest.raises(Invalid) as refused:
        await simulated(scenario, UNSURE, on_drift=[RAISE])

    assert refused.value.places[0][0] == ("document", "on_drift", 0, "monitor")


async def test_a_simulation_takes_the_recorded_states(scenario: Scenario) -> None:
    await scenario.monitor("confidence", "stable")
    await scenario.policy(UNSURE, on_drift=[RAISE])
    await scenario.decided(confidence=0.9)
    await scenario.monitor("confidence", "drifting")
    await scenario.decided(confidence=0.9)
    await scenario.monitor("confidence", "stable")

    as_it_was = await simulated(scenario, UNSURE, on_drift=[RAISE])
    without = await simulated(scenario, UNSURE)

    assert (as_it_was["changed"]["decisions"], as_it_was["without_monitors"]) == (0, 0)
    assert without["changed"]["by_rule"] == [
        {
            "reason": "unsure",
            "new_reason": "default",
            "from": "review",
            "to": "accept",
            "decisions": 1,
        }
    ]


async def test_a_simulation_says_how_often_a_monitor_was_not_recorded(scenario: Scenario) -> None:
    await scenario.monitor("confidence", "drifting")
    await scenario.policy(UNSURE)
    await scenario.decided(confidence=0.9)
    await scenario.decided(confidence=0.5)

    result = await simulated(scenario, UNSURE, on_drift=[RAISE])

    assert (result["decisions"], result["without_monitors"]) == (2, 2)
    assert result["changed"]["decisions"] == 0


async def test_posted_rows_are_simulated_with_the_states_of_now(scenario: Scenario) -> None:
    await scenario.monitor("confidence", "drifting")
    await scenario.policy(UNSURE)
    document = scenario.document(UNSURE, on_drift=[RAISE])
    policy = await simulate.policy_written(scenario.ctx, scenario.project, document)
    rows = [scenario.posted(confidence=confidence) for confidence in (0.5, 0.9, 0.99)]

    found = await simulate.simulate_rows(scenario.ctx, scenario.project, policy, rows)

    assert [change.decisions for change in found.changed.by_direction] == [1]
    assert found.without_monitors == 0
