"""The life of a policy version: draft, shadow, active, retired, and back."""

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import asyncpg
import pytest

from app.core.errors import Invalid, NoEarlierVersion, NotFound, StateConflict
from app.core.routing.document import digest_of
from app.flows import policies as flow
from app.flows.context import Context
from app.store.policies import routing_view
from tests.flows.tables import rows
from tests.scenario import Scenario


async def states(ctx: Context, scenario: Scenario) -> dict[str, str]:
    versions = await rows(ctx, scenario.project, "policy_versions")
    return {f"{row['name']}@{row['version']}": row["state"] for row in versions}


async def put(scenario: Scenario, **fields: Any) -> flow.Put:
    document = scenario.document(**fields)
    return await flow.put(scenario.ctx, scenario.caller, document["name"], document)


async def put_all(scenario: Scenario, versions: int) -> None:
    """That many drafts of one policy."""
    for number in range(versions):
        await put(scenario, description=f"number {number + 1}")


async def activate_all(scenario: Scenario, *numbers: int) -> None:
    for number in numbers:
        await flow.activate(scenario.ctx, scenario.caller, "sentiment", number)


async def view_of(ctx: Context, scenario: Scenario) -> Any:
    """What routing reads: the active and the shadow version's ids, by model."""
    async with ctx.db.read() as tx:
        view = await routing_view(tx, scenario.project)
    return view.active, view.shadow


async def test_first_document_is_version_1_and_a_draft(scenario: Scenario) -> None:
    document = scenario.document(description="first")

    put = await flow.put(scenario.ctx, scenario.caller, "sentiment", document)

    version = put.version
    assert (put.new, put.warnings) == (True, [])
    assert (version.name, version.version, version.state) == ("sentiment", 1, "draft")
    assert (version.document, version.digest) == (document, digest_of(document))
    assert (version.model, version.created_by) == ("sentiment", scenario.caller.name)


async def test_equal_document_makes_no_version_and_another_one_the_next(
    ctx: Context, scenario: Scenario
) -> None:
    first = await put(scenario, default="accept")
    again = await put(scenario, default="accept")
    second = await put(scenario, default="reject")

    back = await put(scenario, default="accept")

    assert (again.version, again.new) == (first.version, False)
    assert (second.version.version, second.new) == (2, True)
    # equal to an older one only: it is the latest that a PUT replaces
    assert (back.version.version, back.new) == (3, True)
    assert len(await states(ctx, scenario)) == 3


async def test_activation_replaces_the_active_version_and_can_bring_back_a_retired_one(
    ctx: Context, scenario: Scenario
) -> None:
    for default in ("accept", "reject"):
        made = await put(scenario, default=default)
        await flow.activate(ctx, scenario.caller, "sentiment", made.version.version)
    assert await states(ctx, scenario) == {"sentiment@1": "retired", "sentiment@2": "active"}
    assert (await scenario.decided()).decision.outcome.route == "reject"

    await flow.activate(ctx, scenario.caller, "sentiment", 1)

    assert await states(ctx, scenario) == {"sentiment@1": "active", "sentiment@2": "retired"}
    assert (await scenario.decided()).decision.outcome.route == "accept"


async def test_to_activate_the_active_version_changes_nothing(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy()

    again = await flow.activate(ctx, scenario.caller, "sentiment", 1)

    assert again.version.state == "active"
    assert await states(ctx, scenario) == {"sentiment@1": "active"}


async def test_one_version_is_active_per_model_whatever_the_policies_are_called(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy()
    await scenario.policy(name="toxicity", applies_to={"model": "toxicity"})

    await scenario.policy(name="sentiment-strict")

    assert await states(ctx, scenario) == {
        "sentiment@1": "retired",
        "toxicity@1": "active",
        "sentiment-strict@1": "active",
    }


async def test_without_an_active_version_everything_goes_to_review(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy()

    retired = await flow.retire(ctx, scenario.caller, "sentiment", 1)

    assert retired.state == "retired"
    assert (await scenario.decided()).decision.outcome.reason == "no-policy"


async def test_decision_names_the_version_that_made_it_also_after_the_next_is_active(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy(description="first")
    posted = scenario.posted()
    await scenario.decide(posted)
    await scenario.policy(description="second")

    (again,) = await scenario.decide(posted)

    assert again.policy.version == 1  # type: ignore[union-attr]
    assert (await scenario.decided()).policy.version == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        pytest.param({"name": "other"}, ("name",), id="another name than the address"),
        pytest.param(
            {"audit": {"queue": "nowhere"}}, ("audit", "queue"), id="queue that is not there"
        ),
        pytest.param({"default": "review"}, ("default",), id="mistake of its own"),
    ],
)
async def test_document_with_a_mistake_makes_no_version(
    ctx: Context, scenario: Scenario, document: dict[str, Any], place: Any
) -> None:
    with pytest.raises(Invalid) as refused:
        await flow.put(ctx, scenario.caller, "sentiment", scenario.document(**document))

    assert refused.value.places[0][0] == place
    assert await states(ctx, scenario) == {}


async def test_validation_stores_nothing(ctx: Context, scenario: Scenario) -> None:
    await flow.validate(ctx, scenario.project, scenario.document())

    with pytest.raises(Invalid, match="no queue 'nowhere'"):
        await flow.validate(ctx, scenario.project, scenario.document(audit={"queue": "nowhere"}))
    assert await states(ctx, scenario) == {}


@pytest.mark.parametrize(
    "act",
    [flow.activate, flow.shadow, flow.retire, flow.roll_back],
    ids=["activate", "shadow", "retire", "rollback"],
)
async def test_version_that_is_not_there_cannot_change(
    ctx: Context, scenario: Scenario, act: Any
) -> None:
    await put(scenario)

    with pytest.raises(NotFound, match="No version 2"):
        await act(ctx, scenario.caller, "sentiment", 2)
    with pytest.raises(NotFound):
        await act(ctx, (await Scenario.start(ctx)).caller, "sentiment", 1)


async def test_every_change_is_logged_with_who_made_it(ctx: Context, scenario: Scenario) -> None:
    await put_all(scenario, 2)
    await activate_all(scenario, 1, 2)
    for act, number in ((flow.roll_back, 1), (flow.shadow, 2), (flow.retire, 1), (flow.retire, 1)):
        await act(ctx, scenario.caller, "sentiment", number)

    logged = [
        (row["actor"], row["action"], row["target"], row["before"], row["after"])
        for row in sorted(await rows(ctx, scenario.project, "change_log"), key=lambda r: r["id"])
        if row["action"].startswith("policy.") and row["action"] != "policy.put"
    ]

    one, two = "policy:sentiment@1", "policy:sentiment@2"
    assert {actor for actor, *_ in logged} == {scenario.caller.name}
    assert [rest for _, *rest in logged] == [
        ["policy.activate", one, "draft", "active"],
        ["policy.replace", one, "active", "retired"],
        ["policy.activate", two, "draft", "active"],
        ["policy.replace", two, "active", "retired"],
        ["policy.rollback", one, "retired", "active"],
        ["policy.shadow", two, "retired", "shadow"],
        # what changes nothing is no change
        ["policy.retire", one, "active", "retired"],
    ]


async def test_a_shadow_stands_beside_the_active_version_and_changes_no_decision(
    ctx: Context, scenario: Scenario
) -> None:
    active = await scenario.policy(default="accept")
    made = await put(scenario, default="reject")

    shadow = await flow.shadow(ctx, scenario.caller, "sentiment", 2)

    assert (shadow.state, shadow.activated_at) == ("shadow", None)
    assert await states(ctx, scenario) == {"sentiment@1": "active", "sentiment@2": "shadow"}
    assert await view_of(ctx, scenario) == (
        {"sentiment": active.id},
        {"sentiment": made.version.id},
    )
    assert (await scenario.decided()).decision.outcome.route == "accept"


async def test_a_new_shadow_makes_the_former_one_a_draft_again(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 2)
    await put(scenario, name="toxicity", applies_to={"model": "toxicity"})
    await flow.shadow(ctx, scenario.caller, "toxicity", 1)
    await flow.shadow(ctx, scenario.caller, "sentiment", 1)

    await flow.shadow(ctx, scenario.caller, "sentiment", 2)

    assert await states(ctx, scenario) == {
        "sentiment@1": "draft",
        "sentiment@2": "shadow",
        # of another model
        "toxicity@1": "shadow",
    }


async def test_a_shadow_that_is_activated_is_no_shadow_any_more(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 2)
    await activate_all(scenario, 1)
    await flow.shadow(ctx, scenario.caller, "sentiment", 2)

    await activate_all(scenario, 2)

    assert await states(ctx, scenario) == {"sentiment@1": "retired", "sentiment@2": "active"}
    assert (await view_of(ctx, scenario))[1] == {}


async def test_the_active_version_cannot_be_the_shadow_too(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy()

    with pytest.raises(StateConflict):
        await flow.shadow(ctx, scenario.caller, "sentiment", 1)

    assert await states(ctx, scenario) == {"sentiment@1": "active"}


async def test_rolling_back_goes_one_version_further_back_each_time(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 4)
    # the third was never active
    await activate_all(scenario, 1, 2, 4)

    went_back_to = [await flow.roll_back(ctx, scenario.caller, "sentiment") for _ in range(2)]

    assert [(version.version, version.state) for version in went_back_to] == [
        (2, "active"),
        (1, "active"),
    ]
    with pytest.raises(NoEarlierVersion):
        await flow.roll_back(ctx, scenario.caller, "sentiment")
    assert (await states(ctx, scenario))["sentiment@1"] == "active"


async def test_no_rollback_leads_to_a_version_that_was_gone_back_from(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 4)
    await activate_all(scenario, 1, 2, 3)
    await flow.roll_back(ctx, scenario.caller, "sentiment")
    await activate_all(scenario, 4)

    back = await flow.roll_back(ctx, scenario.caller, "sentiment")

    # the third was bad: it was the second that the fourth replaced
    assert back.version == 2


async def test_a_version_that_was_gone_back_from_counts_again_once_it_is_activated_again(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 3)
    await activate_all(scenario, 1, 2)
    await flow.roll_back(ctx, scenario.caller, "sentiment")
    await activate_all(scenario, 2, 3)

    back = await flow.roll_back(ctx, scenario.caller, "sentiment")

    assert back.version == 2


async def test_rollback_to_a_version_by_number_may_be_sent_twice(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 3)
    await activate_all(scenario, 1, 2, 3)

    once = await flow.roll_back(ctx, scenario.caller, "sentiment", 1)
    twice = await flow.roll_back(ctx, scenario.caller, "sentiment", 1)

    assert (once.version, once.state) == (1, "active")
    assert twice == once


async def test_there_is_no_way_back_to_what_never_was_active(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 2)
    await activate_all(scenario, 2)

    with pytest.raises(NoEarlierVersion, match="never was active"):
        await flow.roll_back(ctx, scenario.caller, "sentiment", 1)
    with pytest.raises(NoEarlierVersion, match="before the present one"):
        await flow.roll_back(ctx, scenario.caller, "sentiment")


async def test_without_an_active_version_a_rollback_has_to_name_one(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 2)
    await activate_all(scenario, 1, 2)
    await flow.retire(ctx, scenario.caller, "sentiment", 2)

    with pytest.raises(NoEarlierVersion):
        await flow.roll_back(ctx, scenario.caller, "sentiment")
    back = await flow.roll_back(ctx, scenario.caller, "sentiment", 2)

    assert (back.version, back.state) == (2, "active")


async def test_rollback_stays_with_the_model_that_was_decided_last(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 2)
    await put(scenario, applies_to={"model": "other"})
    await activate_all(scenario, 1, 2, 3)

    # the third replaced nothing: it is another model's first
    with pytest.raises(NoEarlierVersion):
        await flow.roll_back(ctx, scenario.caller, "sentiment")

    assert await states(ctx, scenario) == {
        "sentiment@1": "retired",
        "sentiment@2": "active",
        "sentiment@3": "active",
    }


async def test_a_rule_that_never_decides_is_a_warning_and_no_mistake(
    ctx: Context, scenario: Scenario
) -> None:
    written = [
        {"id": name, "confidence": {"below": below}, "route": "review", "queue": "unrouted"}
        for name, below in (("careful", 0.9), ("unsure", 0.85))
    ]
    document = scenario.document(*written)

    checked = await flow.validate(ctx, scenario.project, document)
    first = await flow.put(ctx, scenario.caller, "sentiment", document)
    again = await flow.put(ctx, scenario.caller, "sentiment", document)

    assert [place for place, _ in checked] == [("rules", 1)]
    assert (first.new, again.new) == (True, False)
    assert first.warnings == again.warnings == checked


async def test_versions_are_compared_with_each_other_or_with_the_latest(
    ctx: Context, scenario: Scenario
) -> None:
    await put_all(scenario, 3)

    found = [await flow.compare(ctx, scenario.project, "sentiment", 1, to) for to in (2, None, 1)]

    assert [number for number, _ in found] == [2, 3, 1]
    assert [[(f.before, f.after) for f in difference.fields] for _, difference in found] == [
        [("number 1", "number 2")],
        [("number 1", "number 3")],
        [],
    ]
    with pytest.raises(NotFound):
        await flow.compare(ctx, scenario.project, "sentiment", 1, 4)


async def test_activations_at_once_leave_exactly_one_active(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)
    await put_all(scenario, 6)

    await asyncio.gather(*(activate_all(scenario, n % 6 + 1) for n in range(18)))

    assert Counter((await states(committed_ctx, scenario)).values()) == {"active": 1, "retired": 5}


async def test_nobody_ever_sees_a_model_between_two_policies(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)
    await put_all(scenario, 2)
    await activate_all(scenario, 1)
    changes = asyncio.create_task(activate_all(scenario, *(2, 1) * 10))

    seen = []
    while not changes.done():
        seen.append(len((await view_of(committed_ctx, scenario))[0]))
    await changes

    assert set(seen) == {1}


async def test_shadows_made_at_once_leave_exactly_one(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)
    await put_all(scenario, 4)

    await asyncio.gather(
        *(flow.shadow(committed_ctx, scenario.caller, "sentiment", n % 4 + 1) for n in range(12))
    )

    assert Counter((await states(committed_ctx, scenario)).values()) == {"shadow": 1, "draft": 3}


@pytest.mark.parametrize("state", ["active", "shadow"])
async def test_the_database_refuses_a_second_one_of_a_model(
    ctx: Context, scenario: Scenario, state: str
) -> None:
    await put_all(scenario, 2)

    with pytest.raises(asyncpg.UniqueViolationError, match=f"uq_policy_versions_{state}"):
        async with ctx.db.write() as tx:
            await tx.raw.execute(
                "UPDATE policy_versions SET state = $2, activated_at = now() WHERE project_id = $1",
                scenario.project,
                state,
            )


async def test_documents_put_at_once_are_numbered_without_a_gap(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)

    made = await asyncio.gather(*(put(scenario, description=f"number {n}") for n in range(8)))

    assert sorted(found.version.version for found in made) == list(range(1, 9))


async def test_stored_document_that_this_release_refuses_sends_to_review(
    ctx: Context, scenario: Scenario
) -> None:
    version = await scenario.policy()
    async with ctx.db.write() as tx:
        await tx.raw.execute(
            "UPDATE policy_versions SET document = '{}' WHERE project_id = $1 AND id = $2",
            scenario.project,
            version.id,
        )

    # as a replica that starts now
    answered = await Scenario.decided(
        dataclasses.replace(scenario, ctx=Context.over(ctx.db, ctx.settings))
    )

    assert (answered.decision.outcome.route, answered.decision.outcome.reason) == (
        "review",
        "no-policy",
    )
