"""The review calls as a labeling tool makes them."""

import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.flows.context import Context
from tests.scenario import Scenario
from tests.store.review_rows import NOON

POLICY = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "labels": ["negative", "neutral", "positive"],
    "rules": [
        {
            "id": "low-confidence",
            "confidence": {"below": 0.85},
            "route": "review",
            "queue": "triage",
        }
    ],
    "default": "accept",
}


class Tool:
    """A labeling tool."""

    def __init__(self, http: httpx.AsyncClient, scenario: Scenario) -> None:
        self.http = http
        self.scenario = scenario

    async def ask(self, **changes: Any) -> Any:
        """Post a prediction that a human must see."""
        prediction = self.scenario.prediction(confidence=0.6, **changes)
        response = await self.http.post("/v1/predictions", json=prediction)
        assert response.status_code == 201, response.text
        return response.json()

    async def claim(self, reviewer: str = "r-1", queue: str = "triage", **more: Any) -> Any:
        response = await self.http.post(
            f"/v1/queues/{queue}/leases", json={"reviewer": reviewer, **more}
        )
        assert response.status_code == 200, response.text
        return response.json()["leases"]

    async def call(self, lease: Any, verb: str, **body: Any) -> httpx.Response:
        return await self.http.post(
            f"/v1/assignments/{lease['assignment_id']}/{verb}",
            json={"token": lease["token"], **body},
        )

    async def item(self, item_id: str) -> Any:
        return (await self.http.get(f"/v1/items/{item_id}")).json()


@pytest.fixture
async def tool(client: httpx.AsyncClient, scenario: Scenario) -> Tool:
    """A tool at a project whose policy sends what is unsure to `triage`."""
    await client.put("/v1/queues/triage", json={"lease_s": 60, "lease_s_max": 600})
    await client.put("/v1/policies/sentiment", json=POLICY)
    activated = await client.post("/v1/policies/sentiment/versions/1/activate")
    assert activated.status_code == 200, activated.text
    return Tool(client, scenario)


async def test_a_prediction_is_claimed_judged_and_resolved(tool: Tool):
    decision = await tool.ask(features={"n_tokens": 5}, context_key="thread-9")

    [lease] = await tool.claim()
    answer = await tool.call(
        lease, "verdict", verdict="correct", label="negative", seconds_spent=12.5, comment="irony"
    )

    assert lease["item"]["id"] == decision["item"]["id"]
    assert lease["item"]["labels"] == POLICY["labels"]
    assert lease["prediction"]["label"] == "positive"
    assert answer.status_code == 201
    assert answer.json()["item_state"] == "resolved"
    item = await tool.item(decision["item"]["id"])
    assert (item["state"], item["resolution"]["label"]) == ("resolved", "negative")
    assert (item["resolution"]["agreed"], item["resolution"]["judge"]) == (False, "single")
    assert [assignment["state"] for assignment in item["assignments"]] == ["submitted"]
    [verdict] = item["verdicts"]
    assert (verdict["seconds_spent"], verdict["comment"]) == (12.5, "irony")


async def test_confirming_says_that_the_model_is_right(tool: Tool):
    decision = await tool.ask()
    [lease] = await tool.claim()

    assert (await tool.call(lease, "verdict", verdict="confirm")).status_code == 201

    resolution = (await tool.item(decision["item"]["id"]))["resolution"]
    assert (resolution["label"], resolution["agreed"]) == ("positive", True)


@pytest.mark.parametrize("verdict", ["cannot_tell", "invalid"])
async def test_an_answer_without_a_label_settles_the_item_without_one(tool: Tool, verdict: str):
    decision = await tool.ask()
    [lease] = await tool.claim()

    assert (await tool.call(lease, "verdict", verdict=verdict)).status_code == 201

    resolution = (await tool.item(decision["item"]["id"]))["resolution"]
    assert (resolution["outcome"], resolution["label"]) == (verdict, None)
    assert resolution["agreed"] is None


async def test_what_no_policy_decided_is_reviewed_all_the_same(tool: Tool):
    await tool.ask(model="another")

    [lease] = await tool.claim(queue="unrouted")

    assert (lease["item"]["reason"], lease["item"]["labels"]) == ("no-policy", [])


async def test_the_same_verdict_again_is_answered_as_the_first_time(tool: Tool, ctx: Context):
    ctx.db.now = NOON
    await tool.ask()
    [lease] = await tool.claim()
    said = {"verdict": "correct", "label": "negative", "seconds_spent": 3}

    first = await tool.call(lease, "verdict", **said)
    ctx.db.now = NOON + timedelta(days=1)
    again = await tool.call(lease, "verdict", **said)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


async def test_another_verdict_under_the_same_lease_is_refused(tool: Tool):
    await tool.ask()
    [lease] = await tool.claim()
    await tool.call(lease, "verdict", verdict="confirm")

    other = await tool.call(lease, "verdict", verdict="correct", label="negative")

    assert (other.status_code, other.json()["code"]) == (409, "verdict_conflict")


@pytest.mark.parametrize(
    ("verb", "body"),
    [("extend", {}), ("release", {}), ("verdict", {"verdict": "confirm"})],
)
async def test_a_lost_lease_is_refused_and_changes_nothing(
    tool: Tool, ctx: Context, verb: str, body: dict[str, Any]
):
    ctx.db.now = NOON
    decision = await tool.ask()
    [lease] = await tool.claim()
    ctx.db.now = NOON + timedelta(seconds=60)

    late = await tool.call(lease, verb, **body)

    assert (late.status_code, late.json()["code"]) == (409, "lease_lost")
    assert (await tool.item(decision["item"]["id"]))["verdicts"] == []
    assert len(await tool.claim("r-2")) == 1


async def test_a_late_verdict_is_refused_although_somebody_else_said_the_same(
    tool: Tool, ctx: Context
):
    ctx.db.now = NOON
    await tool.ask()
    [lost] = await tool.claim("r-1")
    ctx.db.now = NOON + timedelta(seconds=60)
    [held] = await tool.claim("r-2")
    await tool.call(held, "verdict", verdict="confirm")

    late = await tool.call(lost, "verdict", verdict="confirm")

    assert (late.status_code, late.json()["code"]) == (409, "lease_lost")


@pytest.mark.parametrize(
    ("said", "code", "loc"),
    [
        pytest.param({"verdict": "correct"}, "label_required", ["label"], id="no label"),
        pytest.param(
            {"verdict": "correct", "label": "angry"}, "invalid", ["label"], id="undeclared label"
        ),
        pytest.param(
            {"verdict": "confirm", "label": "positive"},
            "invalid",
            ["label"],
            id="confirm with label",
        ),
        pytest.param({"verdict": "maybe"}, "invalid", ["verdict"], id="unknown verb"),
        pytest.param(
            {"verdict": "confirm", "seconds_spent": -1}, "invalid", ["seconds_spent"], id="seconds"
        ),
        pytest.param(
            {"verdict": "confirm", "comment": "a\x00b"}, "invalid", ["comment"], id="NUL in comment"
        ),
        pytest.param({"verdict": "confirm", "mood": 1}, "invalid", ["mood"], id="unknown field"),
    ],
)
async def test_a_verdict_that_cannot_be_taken_names_its_field(
    tool: Tool, said: dict[str, Any], code: str, loc: list[str]
):
    await tool.ask()
    [lease] = await tool.claim()

    refused = await tool.call(lease, "verdict", **said)

    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert [place["loc"] for place in refused.json()["errors"]] == [loc]
    # the lease is still good for a better one
    assert (await tool.call(lease, "verdict", verdict="confirm")).status_code == 201


async def test_there_is_nothing_to_confirm_where_the_model_gave_no_label(tool: Tool):
    prediction = tool.scenario.prediction(model="writer", output={"text": "a summary"})
    del prediction["label"], prediction["confidence"]
    await tool.http.post("/v1/predictions", json=prediction)
    [lease] = await tool.claim(queue="unrouted")

    refused = await tool.call(lease, "verdict", verdict="confirm")

    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["verdict"])


async def test_a_blind_item_hides_what_hints_at_the_model_and_cannot_be_confirmed(tool: Tool):
    await tool.http.put("/v1/queues/triage", json={"blind": True, "judge": "panel"})
    decision = await tool.ask(features={"n_tokens": 5}, segment={"source": "tweets"})

    [lease] = await tool.claim()
    confirmed = await tool.call(lease, "verdict", verdict="confirm")
    answered = await tool.call(lease, "verdict", verdict="correct", label="positive")

    assert lease["prediction"] is None
    assert set(lease["item"]) == {
        *("id", "queue", "subject", "labels", "guidelines", "context_key", "due_at", "blind")
    }
    assert (confirmed.status_code, confirmed.json()["code"]) == (422, "blind_needs_label")
    assert answered.status_code == 201
    resolution = (await tool.item(decision["item"]["id"]))["resolution"]
    assert (resolution["blind"], resolution["agreed"]) == (True, True)
    assert resolution["judge"] == "panel"


async def test_an_audit_is_blind_in_every_queue(tool: Tool):
    document = {**POLICY, "rules": [], "audit": {"probability": 1, "queue": "triage"}}
    await tool.http.put("/v1/policies/sentiment", json=document)
    activated = await tool.http.post("/v1/policies/sentiment/versions/2/activate")
    assert activated.status_code == 200, activated.text
    decision = await tool.ask()

    [lease] = await tool.claim()

    assert decision["route"] == "accept"
    assert lease["item"]["blind"] is True
    assert lease["prediction"] is None


async def test_an_extension_keeps_the_lease_as_often_as_the_queue_allows(tool: Tool, ctx: Context):
    await tool.http.put(
        "/v1/queues/triage", json={"lease_s": 60, "lease_s_max": 600, "extensions_max": 1}
    )
    ctx.db.now = NOON
    await tool.ask()
    [lease] = await tool.claim()
    ctx.db.now = NOON + timedelta(seconds=50)

    too_long = await tool.call(lease, "extend", lease_s=601)
    extended = await tool.call(lease, "extend", lease_s=600)
    once_more = await tool.call(lease, "extend")

    assert (too_long.status_code, too_long.json()["errors"][0]["loc"]) == (422, ["lease_s"])
    assert extended.status_code == 200
    assert extended.json()["expires_at"] == "2026-11-23T12:10:50Z"
    assert (once_more.status_code, once_more.json()["code"]) == (409, "extensions_used_up")


async def test_what_is_skipped_goes_to_somebody_else(tool: Tool):
    await tool.ask()
    [lease] = await tool.claim("r-1")

    released = await tool.call(lease, "release", skip=True)

    assert released.status_code == 204
    assert await tool.claim("r-1") == []
    assert len(await tool.claim("r-2")) == 1


async def test_resuming_gives_back_ones_leases_and_fills_up(tool: Tool):
    for _ in range(4):
        await tool.ask()
    held = await tool.claim(max=2)

    assert await tool.claim(max=1, resume=True) == held
    resumed = await tool.claim(max=3, resume=True)
    assert resumed[:2] == held
    assert len(resumed) == 3
    assert len(await tool.claim("r-2", max=9, resume=True)) == 1


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        pytest.param({}, ["reviewer"], id="nobody"),
        pytest.param({"reviewer": ""}, ["reviewer"], id="an empty name"),
        pytest.param({"reviewer": "r\x00"}, ["reviewer"], id="NUL in the name"),
        pytest.param({"reviewer": "r-1", "max": 0}, ["max"], id="none"),
        pytest.param({"reviewer": "r-1", "max": 101}, ["max"], id="too many"),
        pytest.param({"reviewer": "r-1", "lease_s": 601}, ["lease_s"], id="too long"),
        pytest.param({"reviewer": "r-1", "wait_s": 31}, ["wait_s"], id="too patient"),
    ],
)
async def test_a_claim_past_a_limit_is_refused(tool: Tool, body: dict[str, Any], loc: list[str]):
    refused = await tool.http.post("/v1/queues/triage/leases", json=body)

    assert refused.status_code == 422
    assert [place["loc"] for place in refused.json()["errors"]] == [loc]


async def test_a_claim_up_to_its_limits_is_taken(tool: Tool):
    assert await tool.claim(max=100, lease_s=600, wait_s=0) == []


async def test_what_is_not_there_or_belongs_to_others_is_not_found(tool: Tool, ctx: Context):
    await tool.ask()
    [lease] = await tool.claim()
    other = await Scenario.start(ctx)
    foreign = {"Authorization": f"Bearer {other.key}"}
    unknown = {"assignment_id": str(uuid.uuid4()), "token": 1}

    for found, headers in ((unknown, None), (lease, foreign)):
        tool.http.headers.update(headers or {})
        for verb, body in (("extend", {}), ("release", {}), ("verdict", {"verdict": "confirm"})):
            assert (await tool.call(found, verb, **body)).status_code == 404
    assert (await tool.http.get(f"/v1/items/{lease['item']['id']}")).status_code == 404
    assert (await tool.http.get("/v1/queues/triage")).status_code == 404
    nobody = await tool.http.post("/v1/queues/triage/leases", json={"reviewer": "r-1"})
    assert nobody.status_code == 404
    assert (await tool.http.get("/v1/items")).json()["items"] == []


async def test_items_are_listed_by_what_they_are(tool: Tool):
    asked = [(await tool.ask())["item"]["id"] for _ in range(3)]
    await tool.ask(model="another")
    [lease] = await tool.claim()
    await tool.call(lease, "verdict", verdict="confirm")

    async def listed(**filters: str) -> list[str]:
        response = await tool.http.get("/v1/items", params=filters)
        assert response.status_code == 200, response.text
        return [item["id"] for item in response.json()["items"]]

    assert len(await listed()) == 4
    assert await listed(queue="triage") == asked
    assert await listed(queue="triage", state="open") == asked[1:]
    assert await listed(state="resolved", model="sentiment", kind="review") == asked[:1]
    assert await listed(kind="audit") == []
    assert await listed(queue="nowhere") == []
    assert await listed(to="2020-01-01T00:00:00Z") == []
    assert len(await listed(**{"from": "2020-01-01T00:00:00Z"})) == 4


async def test_a_walk_by_cursor_sees_each_item_once(tool: Tool):
    asked = [(await tool.ask())["item"]["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}

    for _ in range(3):
        page = (await tool.http.get("/v1/items", params={"limit": 2, **cursor})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = {"cursor": page["next_cursor"]}

    assert seen == asked
    assert cursor == {"cursor": None}


async def test_a_queue_is_made_and_then_changed(tool: Tool, ctx: Context):
    settings = {"lease_s": 120, "due_s": 60, "guidelines": "look twice"}

    made = await tool.http.put("/v1/queues/experts", json=settings)
    changed = await tool.http.put("/v1/queues/experts", json={"blind": True})

    assert (made.status_code, changed.status_code) == (201, 200)
    assert {name: made.json()[name] for name in settings} == settings
    # a PUT says everything: what it leaves out goes back to its default
    assert (changed.json()["due_s"], changed.json()["guidelines"]) == (86400, None)
    assert changed.json()["id"] == made.json()["id"]
    assert (await tool.http.get("/v1/queues/experts")).json() == changed.json()
    async with ctx.db.read() as tx:
        logged = await tx.raw.fetch(
            "SELECT before, after FROM change_log WHERE target = 'queue:experts' ORDER BY id"
        )
    assert [(row["before"] or {}).get("due_s") for row in logged] == [None, 60]
    assert [row["after"]["due_s"] for row in logged] == [60, 86400]


@pytest.mark.parametrize("name", ["unrouted", "audits"])
async def test_built_in_queues_are_there_and_can_be_changed(tool: Tool, name: str):
    changed = await tool.http.put(f"/v1/queues/{name}", json={"lease_s": 30})

    assert (changed.status_code, changed.json()["lease_s"]) == (200, 30)


async def test_a_queue_says_how_full_it_is(tool: Tool):
    for _ in range(3):
        await tool.ask()
    [lease] = await tool.claim()
    await tool.call(lease, "verdict", verdict="confirm")
    await tool.claim()

    listed = (await tool.http.get("/v1/queues")).json()["items"]

    by_name = {queue["name"]: queue for queue in listed}
    assert set(by_name) == {"unrouted", "audits", "triage"}
    triage = by_name["triage"]
    assert (triage["depth"], triage["inflow_per_h"], triage["outflow_per_h"]) == (2, 3, 1)
    assert triage["oldest_age_s"] >= 0
    assert by_name["unrouted"]["oldest_age_s"] is None


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        pytest.param({"lease_s": 0}, "lease_s", id="no lease at all"),
        pytest.param({"lease_s": 86_401}, "lease_s", id="a lease of more than a day"),
        pytest.param({"lease_s": 61, "lease_s_max": 60}, "lease_s", id="usual above longest"),
        pytest.param({"judge": "oracle"}, "judge", id="an unknown judge"),
        pytest.param({"depth": 3}, "depth", id="a figure is no setting"),
    ],
)
async def test_settings_that_make_no_sense_are_refused(tool: Tool, body: Any, loc: str):
    refused = await tool.http.put("/v1/queues/triage", json=body)

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"] == [loc]


async def test_a_queue_name_is_one_that_paths_can_carry(tool: Tool):
    assert (await tool.http.put("/v1/queues/a%20b", json={})).status_code == 422
