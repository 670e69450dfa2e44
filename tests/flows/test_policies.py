"""The life of a policy version: draft, active, retired, and back."""

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import pytest

from app.core.errors import Invalid, NotFound
from app.core.routing.document import digest_of
from app.flows import policies as flow
from app.flows.context import Context
from app.store.policies import PolicyVersion
from tests.flows.tables import rows
from tests.scenario import Scenario


async def states(ctx: Context, scenario: Scenario) -> dict[str, str]:
    versions = await rows(ctx, scenario.project, "policy_versions")
    return {f"{row['name']}@{row['version']}": row["state"] for row in versions}


async def put(scenario: Scenario, **fields: Any) -> tuple[PolicyVersion, bool]:
    document = scenario.document(**fields)
    return await flow.put(scenario.ctx, scenario.caller, document["name"], document)


async def test_first_document_is_version_1_and_a_draft(scenario: Scenario) -> None:
    document = scenario.document(description="first")

    version, new = await flow.put(scenario.ctx, scenario.caller, "sentiment", document)

    assert new
    assert (version.name, version.version, version.state) == ("sentiment", 1, "draft")
    assert (version.document, version.digest) == (document, digest_of(document))
    assert (version.model, version.created_by) == ("sentiment", scenario.caller.name)


async def test_equal_document_makes_no_version_and_another_one_the_next(
    ctx: Context, scenario: Scenario
) -> None:
    first, _ = await put(scenario, default="accept")
    again, again_new = await put(scenario, default="accept")
    second, second_new = await put(scenario, default="reject")

    back, back_new = await put(scenario, default="accept")

    assert (again, again_new) == (first, False)
    assert (second.version, second_new) == (2, True)
    # equal to an older one only: it is the latest that a PUT replaces
    assert (back.version, back_new) == (3, True)
    assert len(await states(ctx, scenario)) == 3


async def test_activation_replaces_the_active_version_and_rolling_back_is_activating(
    ctx: Context, scenario: Scenario
) -> None:
    for default in ("accept", "reject"):
        version, _ = await put(scenario, default=default)
        await flow.activate(ctx, scenario.caller, "sentiment", version.version)
    assert await states(ctx, scenario) == {"sentiment@1": "retired", "sentiment@2": "active"}
    assert (await scenario.decided()).decision.route == "reject"

    await flow.activate(ctx, scenario.caller, "sentiment", 1)

    assert await states(ctx, scenario) == {"sentiment@1": "active", "sentiment@2": "retired"}
    assert (await scenario.decided()).decision.route == "accept"


async def test_to_activate_the_active_version_changes_nothing(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.policy()

    again = await flow.activate(ctx, scenario.caller, "sentiment", 1)

    assert again.state == "active"
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
    assert (await scenario.decided()).decision.reason == "no-policy"


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
        pytest.param({"audit": {"queue": "nowhere"}}, ("rules",), id="queue that is not there"),
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

    with pytest.raises(Invalid, match="no queue nowhere"):
        await flow.validate(ctx, scenario.project, scenario.document(audit={"queue": "nowhere"}))
    assert await states(ctx, scenario) == {}


@pytest.mark.parametrize("act", [flow.activate, flow.retire], ids=["activate", "retire"])
async def test_version_that_is_not_there_cannot_change(
    ctx: Context, scenario: Scenario, act: Any
) -> None:
    await put(scenario)

    with pytest.raises(NotFound, match="No version 2"):
        await act(ctx, scenario.caller, "sentiment", 2)
    with pytest.raises(NotFound):
        await act(ctx, (await Scenario.start(ctx)).caller, "sentiment", 1)


async def test_every_change_is_logged_with_who_made_it(ctx: Context, scenario: Scenario) -> None:
    await scenario.policy()
    await scenario.policy(default="reject")
    await flow.retire(ctx, scenario.caller, "sentiment", 2)

    logged = [
        (row["action"], row["target"], row["before"])
        for row in sorted(await rows(ctx, scenario.project, "change_log"), key=lambda r: r["id"])
        if row["action"].startswith("policy.")
    ]

    assert logged == [
        ("policy.put", "policy:sentiment@1", None),
        ("policy.activate", "policy:sentiment@1", None),
        ("policy.put", "policy:sentiment@2", None),
        ("policy.activate", "policy:sentiment@2", "sentiment@1"),
        ("policy.retire", "policy:sentiment@2", "active"),
    ]


async def test_activations_at_once_leave_exactly_one_active(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)
    for number in range(6):
        await put(scenario, description=f"number {number}")

    await asyncio.gather(
        *(flow.activate(committed_ctx, scenario.caller, "sentiment", n % 6 + 1) for n in range(18))
    )

    assert Counter((await states(committed_ctx, scenario)).values()) == {"active": 1, "retired": 5}


async def test_documents_put_at_once_are_numbered_without_a_gap(committed_ctx: Context) -> None:
    scenario = await Scenario.start(committed_ctx)

    made = await asyncio.gather(*(put(scenario, description=f"number {n}") for n in range(8)))

    assert sorted(version.version for version, _ in made) == list(range(1, 9))


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

    assert (answered.decision.route, answered.decision.reason) == ("review", "no-policy")
