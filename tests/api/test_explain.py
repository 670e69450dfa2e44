"""Explain, replay and receipt over HTTP, and the command that checks a receipt offline."""

import json
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from app.api.explain_examples import EXPLANATION, RECEIPT
from app.cli import cli
from app.core.routing.verify import verify
from app.flows.context import Context
from tests.api.test_predictions import is_problem
from tests.scenario import Scenario

LIST = "/v1/decisions"
UNSURE = {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"}


async def answered(request: Any) -> Any:
    response = await request
    assert response.status_code == 200, response.text
    return response.json()


def ran(*arguments: str) -> tuple[int, str]:
    """Exit code and output of `overrule verify`."""
    result = CliRunner().invoke(cli, ["verify", *arguments])
    return result.exit_code, result.output


@pytest.fixture
async def receipt(client: httpx.AsyncClient, scenario: Scenario, tmp_path: Path) -> Path:
    """A file with the receipt of a review."""
    await scenario.policy(UNSURE)
    decided = await scenario.decided(confidence=0.61, embedding=[0.5, 0.25])
    response = await client.get(f"{LIST}/{decided.decision.id}/receipt")
    assert response.status_code == 200, response.text
    path = tmp_path / "receipt.json"
    path.write_bytes(response.content)
    return path


async def test_a_decision_is_explained_rule_by_rule(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy(
        UNSURE, {"id": "risky", "risk": {"above": 0.8}, "if_missing": "pass", "route": "reject"}
    )
    decided = await scenario.decided(confidence=0.61)

    explained = await answered(client.get(f"{LIST}/{decided.decision.id}/explain"))

    assert explained == {
        "decision": str(decided.decision.id),
        "route": "review",
        "reason": "unsure",
        "summary": "A human must decide before the prediction stands, because unsure fired: "
        "confidence 0.61 is below 0.85.",
        "rules": [
            {
                "rule": "unsure",
                "kind": "confidence",
                "state": "fired",
                "observed": 0.61,
                "threshold": 0.85,
                "sentence": "unsure fired: confidence 0.61 is below 0.85.",
                "decided": True,
            },
            {
                "rule": "risky",
                "kind": "risk",
                "state": "missing",
                "observed": None,
                "threshold": 0.8,
                "sentence": "risky could not judge: no risk was sent, and the rule says "
                "if_missing: pass, so it passes.",
                "decided": False,
            },
        ],
        "audit": {"selected": False, "probability": None, "sentence": "A review needs no audit."},
        "policy": {"name": "sentiment", "version": 1},
    }


async def test_a_decision_without_a_policy_says_what_to_do(
    client: httpx.AsyncClient, scenario: Scenario
) -> None:
    decided = await scenario.decided()

    explained = await answered(client.get(f"{LIST}/{decided.decision.id}/explain"))

    assert (explained["reason"], explained["rules"], explained["policy"]) == ("no-policy", [], None)
    assert "activate it with POST /v1/policies/" in explained["summary"]


async def test_a_replay_agrees(client: httpx.AsyncClient, scenario: Scenario) -> None:
    await scenario.policy(UNSURE)
    decided = await scenario.decided(confidence=0.9)

    replayed = await answered(client.post(f"{LIST}/{decided.decision.id}/replay"))

    assert replayed == {
        "decision": str(decided.decision.id),
        "agrees": True,
        "differences": [],
        "notes": [],
    }


async def test_a_replay_shows_what_differs(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    await scenario.policy(UNSURE)
    decided = await scenario.decided(confidence=0.9)
    async with ctx.db.write() as tx:
        await tx.raw.execute("UPDATE decisions SET label = 'negative'")

    replayed = await answered(client.post(f"{LIST}/{decided.decision.id}/replay"))

    assert not replayed["agrees"]
    assert replayed["differences"] == [
        {"field": "label", "recorded": "negative", "recomputed": "positive"}
    ]


async def test_a_receipt_holds_the_key_of_its_day_only_once_the_day_is_over(
    ctx: Context, client: httpx.AsyncClient, scenario: Scenario
) -> None:
    decided = await scenario.decided()

    ctx.db.now = decided.decision.decided_at
    today = await answered(client.get(f"{LIST}/{decided.decision.id}/receipt"))
    ctx.db.now += timedelta(days=1)
    tomorrow = await answered(client.get(f"{LIST}/{decided.decision.id}/receipt"))

    assert today["draw"]["key"] is None
    assert datetime.fromisoformat(today["draw"]["available_at"]) <= ctx.db.now
    assert len(bytes.fromhex(tomorrow["draw"]["key"])) == 32


@pytest.mark.parametrize(
    ("method", "what"), [("GET", "explain"), ("POST", "replay"), ("GET", "receipt")]
)
async def test_a_decision_that_is_not_there_is_answered_404(
    ctx: Context, client: httpx.AsyncClient, method: str, what: str
) -> None:
    theirs = await (await Scenario.start(ctx)).decided()

    for unknown in (theirs.decision.id, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)):
        response = await client.request(method, f"{LIST}/{unknown}/{what}")
        is_problem(response, 404, "not_found")


def test_a_receipt_that_holds_is_said_to_hold(receipt: Path) -> None:
    code, said = ran(str(receipt))

    assert code == 0
    assert said.splitlines()[0].startswith("The receipt holds: decision ")
    assert "Its draws are taken as recorded" in said.splitlines()[1]


def test_a_receipt_that_was_changed_does_not_hold_and_says_where(receipt: Path) -> None:
    content = json.loads(receipt.read_text())
    content["decision"]["route"] = "accept"
    receipt.write_text(json.dumps(content))

    code, said = ran(str(receipt))

    assert code == 1
    assert said.splitlines()[0] == "The receipt does not hold."
    assert 'route: "accept" is recorded, and "review" comes out.' in said.splitlines()


def test_a_check_is_told_to_machines(receipt: Path) -> None:
    receipt_before = receipt.read_text()
    code, said = ran(str(receipt), "--json")
    receipt.write_text("{}")
    broken_code, broken = ran(str(receipt), "--json")

    found = json.loads(said)
    assert (code, found["valid"], found["differences"]) == (0, True, [])
    assert found["decision"] == json.loads(receipt_before)["decision"]["id"]
    assert broken_code == 1
    assert json.loads(broken)["valid"] is False


def test_the_examples_are_what_the_service_would_say() -> None:
    found = verify(json.dumps(RECEIPT).encode())

    assert found.valid, found.sentences()
    assert [rule["observed"] for rule in EXPLANATION["rules"]] == RECEIPT["decision"]["observed"]
