"""Receipts of made-up decisions, as the service would give them."""

import uuid
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from app.core.routing.decision import Asked, Decision, decide, decision_of
from app.core.routing.document import digest_of
from app.core.routing.draw import Chance, DayKey, day_key
from app.core.routing.monitors import Seen
from app.core.routing.policy import Policy, compile_policy
from app.core.routing.prediction import Prediction, Unfamiliar, recorded, signals_of
from app.core.routing.receipt import Receipt, WrittenPolicy, receipt_of

# of the day 2025-05-17, whose key is known afterwards
ID = uuid.UUID("0196ddaf-ad00-7000-8000-00000000002a")
DAY = date(2025, 5, 17)
DECIDED_AT = datetime(2025, 5, 17, 10, 0, 0, 12345, UTC)
KEY = day_key(b"\x07" * 32, DAY)
THAT_DAY = datetime(2025, 5, 17, 23, 59, 59, 999999, UTC)
NEXT_DAY = datetime(2025, 5, 18, tzinfo=UTC)


def written(document: dict[str, Any], version: int = 3) -> WrittenPolicy:
    return WrittenPolicy(document["name"], version, digest_of(document).hex(), document)


def decision(
    policy: Policy | None,
    prediction: Prediction,
    decision_id: uuid.UUID = ID,
    *,
    monitors: tuple[Seen, ...] = (),
    unfamiliar: Unfamiliar | None = None,
) -> Decision:
    """As it is recorded."""
    signals = signals_of(prediction, unfamiliar, monitors)
    outcome = decide(policy, signals, chance(decision_id))
    item = uuid.UUID(int=decision_id.int + 1)
    return decision_of(
        decision_id,
        signals,
        outcome,
        policy_id=uuid.UUID(int=1) if policy is not None else None,
        item=Asked(item, outcome.queue, outcome.route == "review") if outcome.queue else None,
        decided_at=DECIDED_AT,
    )


def chance(decision_id: uuid.UUID = ID) -> Chance:
    return Chance(DayKey(KEY), decision_id.bytes)


def receipt(
    document: dict[str, Any] | None,
    prediction: Prediction,
    decision_id: uuid.UUID = ID,
    now: datetime = NEXT_DAY,
    *,
    monitors: tuple[Seen, ...] = (),
    unfamiliar: Unfamiliar | None = None,
) -> Receipt:
    """Of the decision that version 3 of a policy makes of a prediction."""
    policy = compile_policy(document, document["name"], 3) if document is not None else None
    return receipt_of(
        decision(policy, prediction, decision_id, monitors=monitors, unfamiliar=unfamiliar),
        recorded(prediction),
        written(document) if document is not None else None,
        KEY,
        now,
    )


def served(receipt: Receipt) -> bytes:
    """As it is sent."""
    return msgspec.json.encode(receipt)
