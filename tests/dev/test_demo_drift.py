"""What the demo reads off the events of its monitors, and off the decisions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.dev.demo.cases import Case
from app.dev.demo.classifier import Scored
from app.dev.demo.drift import Drift, document_of, summed_up, words
from app.dev.demo.run import POLICY
from app.dev.demo.tally import Streamed
from app.dev.demo.texts import Text

BEGAN = datetime(2026, 11, 24, 12, tzinfo=UTC)
SHIFTED = BEGAN + timedelta(seconds=60)


def case(number: int, confidence: float, *, right: bool) -> Case:
    rest = (1 - confidence) / 2
    scores = {"positive": confidence, "neutral": rest, "negative": rest}
    text = Text(f"amazon/{number}", "amazon", "the same text", (1,))
    truth = "positive" if right else "negative"
    return Case(text, truth, Scored("positive", scores, {"oov_share": 0.0}, [0.5]))


# the policy alone accepts all three; with the raised threshold only the sure one stands
CASES = [case(0, 0.9, right=True), case(1, 0.6, right=False), case(2, 0.6, right=True)]
ROUTES = ["accept", "review", "review"]


def streamed() -> list[Streamed]:
    return [
        Streamed("tweets", [], [], BEGAN, 30.0),
        Streamed("amazon", CASES, [{"route": route} for route in ROUTES], SHIFTED, 10.0),
        Streamed("nyt", [], [], SHIFTED + timedelta(seconds=20), 10.0),
    ]


def changed(monitor: str, to: str, after_s: float) -> dict[str, Any]:
    end = SHIFTED + timedelta(seconds=after_s)
    return {"data": {"monitor": monitor, "to": to, "window_end": end.isoformat()}}


def test_alarms_are_told_apart_by_the_shift_and_named_in_their_order() -> None:
    events = [
        changed("confidence", "drifting", -5),
        changed("confidence", "stable", -1),
        changed("embedding", "warning", 2),
        changed("embedding", "drifting", 25),
        changed("confidence", "drifting", 3),
        changed("embedding", "drifting", 30),
    ]

    drift = summed_up(events, POLICY, streamed(), SHIFTED, b"")

    assert drift.alarms_before_shift == 1
    assert drift.monitors_raised == ["confidence", "embedding"]
    assert drift.first_raised_in == "amazon"


def test_errors_are_of_what_was_accepted_and_of_what_the_plain_policy_accepts() -> None:
    drift = summed_up([], POLICY, streamed(), SHIFTED, b"")

    assert (drift.error_with, drift.error_without) == (0.0, 1 / 3)
    assert (drift.monitors_raised, drift.first_raised_in) == ([], None)


def test_the_words_and_the_document_name_picture_and_both_errors() -> None:
    drift = Drift(0, ["confidence"], "amazon", 0.25, 0.5, b"")
    picture = Path("confidence.svg")

    printed = words(drift, picture)

    assert "from the texts of amazon on: confidence." in printed
    assert "25.0 %" in printed
    assert "50.0 %" in printed
    assert printed.endswith("confidence.svg")
    assert document_of(drift, picture) == {
        "alarms_before_shift": 0,
        "monitors_raised": ["confidence"],
        "first_raised_in": "amazon",
        "accepted_error_true_with": 0.25,
        "accepted_error_true_without": 0.5,
        "picture": "confidence.svg",
    }
