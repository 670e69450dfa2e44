"""Short ways to write a policy and a prediction, so that a test shows only what it is about."""

import uuid
from datetime import date
from typing import Any

import msgspec

from app.core.routing.decision import Outcome, decide
from app.core.routing.draw import Chance, DayKey, day_key
from app.core.routing.monitors import Seen
from app.core.routing.policy import Policy, compile_policy
from app.core.routing.prediction import Prediction, Signals, signals_of
from app.core.routing.rules.base import STATE_NAMES

KEY_OF_DAY = DayKey(day_key(bytes(32), date(2026, 11, 23)))
ID = uuid.UUID("019aaaaa-0000-7000-8000-000000000001")


def document(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "name": "sentiment",
        "applies_to": {"model": "sentiment"},
        "rules": list(rules),
        **fields,
    }


def policy(*rules: dict[str, Any], **fields: Any) -> Policy:
    return compile_policy(document(*rules, **fields), "sentiment", 3)


def rule(**fields: Any) -> dict[str, Any]:
    """A rule that routes to review into `triage`, unless `fields` say otherwise."""
    written = {"id": "r", "route": "review", **fields}
    if written["route"] == "review":
        written.setdefault("queue", "triage")
    return written


def prediction(**fields: Any) -> Prediction:
    """A prediction as it is read from JSON."""
    posted = {"request_key": "req-1", "model": "sentiment", "model_version": "1", **fields}
    if not {"label", "scores", "output"} & set(fields):
        posted["label"] = "positive"
    return msgspec.json.decode(msgspec.json.encode(posted), type=Prediction)


def signals(**fields: Any) -> Signals:
    return signals_of(prediction(**fields))


def decided(
    by: Policy | None,
    of: Prediction,
    decision_id: uuid.UUID = ID,
    monitors: tuple[Seen, ...] = (),
) -> Outcome:
    return decide(by, signals_of(of, None, monitors), Chance(KEY_OF_DAY, decision_id.bytes))


def seen(**states: str) -> tuple[Seen, ...]:
    """Monitors in these states; `embedding__source` is one that was looked at by a segment."""
    return tuple(
        Seen(name.partition("__")[0], state, None, name.partition("__")[2] or None)
        for name, state in states.items()
    )


def states(outcome: Outcome) -> list[str]:
    return [STATE_NAMES[state] for state in outcome.states]


def queues_of(by: Policy) -> set[str]:
    """Every queue that a policy can send to."""
    named = [*(rule.queue for rule in by.rules), *(response.queue for response in by.on_drift)]
    return {by.audit.queue, *filter(None, named)}
