"""The core alone: six rules and the draw of an audit, without server, database or expressions.

What is timed is a loop on one core over predictions that are decoded already: `signals_of` checks
each and reads its signals, and `decide` evaluates all rules, records what each saw, and draws. The
predictions differ in label and scores; about every twelfth goes to review.

The baseline is a bare loop with the same six comparisons written out by hand on the same
predictions: nothing is checked, recorded or drawn.
"""

import math
import random
import time
from collections.abc import Callable
from typing import Any

from app.core.routing.decision import decide
from app.core.routing.draw import Chance, DayKey
from app.core.routing.policy import compile_policy
from app.core.routing.prediction import Prediction, signals_of
from app.dev.bench.load import Run, undisturbed
from app.dev.bench.report import Round
from app.store.ids import new_id

NAME = "engine"
UNIT = "decisions"
BASELINE = "a bare loop with the same six comparisons by hand; both alone on one core"
PREDICTIONS = 1_000
LABELS = ("negative", "neutral", "positive", "threat")
COSTLY = "threat"
RISKY, TIE, FLAT, UNSURE, UNSURE_POSITIVE = 0.8, 0.15, 0.7, 0.85, 0.9
SEED = 1

POLICY = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "labels": list(LABELS),
    "rules": [
        {"id": "high-risk", "labels": [COSTLY], "route": "review", "queue": "experts"},
        {"id": "risky", "risk": {"above": RISKY}, "route": "review", "queue": "experts"},
        {"id": "novel", "novel_label": {}, "route": "review", "queue": "triage"},
        {"id": "tie", "margin": {"below": TIE}, "route": "review", "queue": "triage"},
        {"id": "flat", "entropy": {"above": FLAT}, "route": "review", "queue": "triage"},
        {
            "id": "low-confidence",
            "confidence": {"below": UNSURE, "per_label": {"positive": UNSURE_POSITIVE}},
            "route": "review",
            "queue": "triage",
        },
    ],
    "audit": {"probability": 0.01},
}


async def measure(seconds: float) -> Round:
    """One round."""
    drawn = random.Random(SEED)  # noqa: S311 - the same predictions in every run
    predictions = [_prediction(drawn, number) for number in range(PREDICTIONS)]
    engine = decided_by_the_core(predictions, drawn.randbytes(32))
    return Round(
        _repeated(engine, seconds), _repeated(lambda: decided_by_hand(predictions), seconds)
    )


def decided_by_the_core(predictions: list[Prediction], key_of_day: bytes) -> Callable[[], int]:
    """What decides all of them, and says how many go to review."""
    policy = compile_policy(POLICY, "sentiment", 1)
    day = DayKey(key_of_day)
    # an id is an argument of a decision, made by the service
    ids = [new_id().bytes for _ in predictions]

    def decide_all() -> int:
        reviewed = 0
        for prediction, decision_id in zip(predictions, ids, strict=True):
            outcome = decide(policy, signals_of(prediction), Chance(day, decision_id))
            reviewed += outcome.route == "review"
        return reviewed

    return decide_all


def decided_by_hand(predictions: list[Prediction]) -> int:
    """The same, with nothing around the comparisons; each prediction has all that they need."""
    reviewed = 0
    for prediction in predictions:
        sent: Any = prediction
        scores, label, confidence = sent.scores, sent.label, sent.confidence
        second, first = sorted(scores.values())[-2:]
        entropy = -sum([score * math.log(score) for score in scores.values()])
        fired = (
            label == COSTLY,
            sent.risk > RISKY,
            label not in LABELS,
            first - second < TIE,
            entropy / math.log(len(scores)) > FLAT,
            confidence < (UNSURE_POSITIVE if label == "positive" else UNSURE),
        )
        reviewed += True in fired
    return reviewed


def _repeated(decide_all: Callable[[], int], seconds: float) -> Run:
    latencies_s: list[float] = []
    with undisturbed():
        began = called = time.perf_counter()
        while called - began < seconds:
            decide_all()
            answered = time.perf_counter()
            latencies_s.append(answered - called)
            called = answered
    return Run(called - began, latencies_s, units_per_call=PREDICTIONS)


def _prediction(drawn: random.Random, number: int) -> Prediction:
    """A prediction of one of four labels; the higher its confidence, the more often it comes."""
    label = drawn.choices(LABELS, weights=(40, 30, 29, 1))[0]
    confidence = 0.999 - 0.4 * drawn.random() ** 20
    others = [other for other in LABELS if other != label]
    rest = [(1 - confidence) * share for share in (0.6, 0.3, 0.1)]
    return Prediction(
        request_key=f"req-{number:012}",
        model="sentiment",
        model_version="1",
        label=label,
        confidence=confidence,
        scores={label: confidence, **dict(zip(others, rest, strict=True))},
        features={"n_tokens": 12.0, "lang": "en"},
        segment={"source": "tweets"},
        risk=0.81 * drawn.random(),
    )
