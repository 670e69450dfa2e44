"""A shadow policy is evaluated beside the active one and changes nothing."""

import pytest

from app.core.errors import Invalid, NotFound
from app.core.routing.shadow_report import Judged
from app.flows import policies
from app.flows.context import Context
from app.flows.shadow_report import shadow_report
from app.store.ids import utc_now
from tests.flows.tables import rows
from tests.scenario import Scenario

LAX = {"id": "unsure", "confidence": {"below": 0.5}, "route": "review", "queue": "triage"}
STRICT = {"id": "careful", "confidence": {"below": 0.9}, "route": "review", "queue": "triage"}
ALL = {"probability": 1.0}


async def shadowed(scenario: Scenario) -> int:
    """A lax active version and a strict shadow; the number of the latter."""
    await scenario.policy(LAX, audit=ALL)
    document = scenario.document(STRICT, audit=ALL)
    put = await policies.put(scenario.ctx, scenario.caller, "sentiment", document)
    number = put.version.version
    await policies.shadow(scenario.ctx, scenario.caller, "sentiment", number)
    return number


async def test_shadow_policy_changes_nothing_and_is_recorded_beside(
    ctx: Context, scenario: Scenario
) -> None:
    number = await shadowed(scenario)
    version = await policies.find(ctx, scenario.project, "sentiment", number)

    answered = await scenario.decided(confidence=0.7)

    outcome = answered.decision.outcome
    assert (outcome.route, outcome.reason) == ("accept", "default")
    (decision,) = await rows(ctx, scenario.project, "decisions")
    assert decision["beside_policy_id"] == version.id
    assert (decision["beside_route"], decision["beside_reason"]) == ("review", "careful")


async def test_report_counts_what_differs_and_what_humans_say_of_it(
    ctx: Context, scenario: Scenario
) -> None:
    number = await shadowed(scenario)
    # twice the shadow alone asks: one of these is wrong; both accept, both review
    await scenario.resolved(label="negative", confidence=0.7)
    await scenario.decided(confidence=0.95)
    await scenario.decided(confidence=0.3)
    await scenario.decided(confidence=0.7, label="neutral")

    report = await shadow_report(ctx, scenario.project, "sentiment", number, since=None, until=None)

    assert (report.decisions, report.differing) == (4, 2)
    (direction,) = report.by_direction
    assert (direction.route, direction.shadow_route) == ("accept", "review")
    assert direction.judged == Judged(decisions=2, judged=1, wrong=1, wrong_share=1.0)
    (rule,) = report.by_rule
    assert (rule.reason, rule.shadow_reason) == ("default", "careful")
    assert [(of.label, of.decisions, of.differing.decisions) for of in report.by_label] == [
        ("positive", 3, 1),
        ("neutral", 1, 1),
    ]


async def test_a_judged_audit_weighs_as_much_as_it_stands_for(
    ctx: Context, scenario: Scenario
) -> None:
    number = await shadowed(scenario)
    await wrong_and_right(scenario)

    report = await shadow_report(ctx, scenario.project, "sentiment", number, since=None, until=None)

    (direction,) = report.by_direction
    assert (direction.route, direction.shadow_route) == ("accept", "review")
    # one wrong stands for four, one right for itself
    assert direction.judged.wrong_share == pytest.approx(0.8)


async def test_a_judged_review_stands_for_itself_also_where_chance_chose_it(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(STRICT, audit=ALL)
    document = scenario.document(LAX, audit=ALL)
    put = await policies.put(ctx, scenario.caller, "sentiment", document)
    number = put.version.version
    await policies.shadow(ctx, scenario.caller, "sentiment", number)
    await wrong_and_right(scenario)

    report = await shadow_report(ctx, scenario.project, "sentiment", number, since=None, until=None)

    (direction,) = report.by_direction
    assert (direction.route, direction.shadow_route) == ("review", "accept")
    assert direction.judged.wrong_share == pytest.approx(0.5)


async def wrong_and_right(scenario: Scenario) -> None:
    """Two judged decisions; of the one with the wrong label one in four was to be judged."""
    await scenario.resolved(label="negative", confidence=0.7)
    await scenario.resolved(label="positive", confidence=0.7)
    async with scenario.ctx.db.write() as tx:
        await tx.raw.execute(
            "UPDATE decisions SET inclusion_probability = 0.25 WHERE id = "
            "(SELECT decision_id FROM items JOIN resolutions r ON r.item_id = items.id "
            "WHERE NOT r.agreed AND items.project_id = $1)",
            scenario.project,
        )


async def test_without_decisions_beside_it_the_report_is_empty(
    ctx: Context, scenario: Scenario
) -> None:
    number = await shadowed(scenario)

    report = await shadow_report(ctx, scenario.project, "sentiment", number, since=None, until=None)

    assert (report.decisions, report.differing, report.by_rule) == (0, 0, [])


async def test_report_of_no_version_or_of_no_range_is_refused(
    ctx: Context, scenario: Scenario
) -> None:
    number = await shadowed(scenario)
    now = utc_now()

    with pytest.raises(NotFound):
        await shadow_report(ctx, scenario.project, "sentiment", 99, since=None, until=None)
    with pytest.raises(Invalid):
        await shadow_report(ctx, scenario.project, "sentiment", number, since=now, until=now)
