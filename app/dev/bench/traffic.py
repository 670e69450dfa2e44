"""What is sent: the policy, and predictions of a classifier of short texts.

Every twentieth prediction is unsure and goes to review; of the others one in a hundred is audited.
There is no embedding.
"""

import itertools
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

MODEL = "sentiment"
KEY_PREFIX = "req-"
REVIEW_QUEUE = "triage"
# whatever is labeled so goes there, so that a case can fill a queue of its own
CLAIMED_QUEUE, CLAIMED_LABEL = "experts", "threat"
REVIEWED_ONE_IN = 20

POLICY: dict[str, Any] = {
    "name": "sentiment",
    "applies_to": {"model": MODEL},
    "labels": ["negative", "neutral", "positive", CLAIMED_LABEL],
    "segments": ["source"],
    "rules": [
        {"id": "high-risk", "labels": [CLAIMED_LABEL], "route": "review", "queue": CLAIMED_QUEUE},
        {"id": "risky", "risk": {"above": 0.8}, "route": "review", "queue": REVIEW_QUEUE},
        {"id": "hopeless", "confidence": {"below": 0.2}, "route": "reject"},
        {
            "id": "long",
            "when": "has(prediction.features.n_tokens) && prediction.features.n_tokens > 200",
            "route": "review",
            "queue": REVIEW_QUEUE,
        },
        {"id": "tie", "margin": {"below": 0.15}, "route": "review", "queue": REVIEW_QUEUE},
        {
            "id": "low-confidence",
            "confidence": {"below": 0.85, "per_label": {"positive": 0.9}},
            "route": "review",
            "queue": REVIEW_QUEUE,
        },
    ],
    "audit": {"probability": 0.01},
    "default": "accept",
}

KEY_DIGITS = 12
# another prefix: none of these keys is one of those in order
SCATTERED_PREFIX = "rnd-"
# the golden section: multiples of it lie evenly (Knuth, The Art of Computer Programming, 6.4)
SCATTERED_STEP = 618_033_988_749
_numbers = itertools.count()


def fresh_key() -> str:
    """A request key that was not used yet; all are equally long, and in the order of their use."""
    return f"{KEY_PREFIX}{next(_numbers):0{KEY_DIGITS}}"


def body() -> bytes:
    """The next prediction, as JSON; all bodies are equally long."""
    number = next(_numbers)
    return _numbered(_PARTS[number % REVIEWED_ONE_IN], number)


def scattered_body() -> bytes:
    """The next prediction, its request key as far from the one before as a random one.

    The keys are a Weyl sequence: multiples of a step that shares no factor with their number, so
    that none comes twice.
    """
    number = next(_numbers)
    before, after = _SCATTERED_PARTS[number % REVIEWED_ONE_IN]
    return _numbered((before, after), number * SCATTERED_STEP % 10**KEY_DIGITS)


def claimed_body() -> bytes:
    """The next prediction, one that goes to the queue that is claimed from."""
    return _numbered(_CLAIMED_PARTS, next(_numbers))


def featured_body(model: str, features: int) -> bytes:
    """The next prediction of a model, with so many numbers as features."""
    number = next(_numbers)
    return _numbered(_featured_parts(model, features, number % REVIEWED_ONE_IN), number)


def batch_body(bodies: Iterable[bytes]) -> bytes:
    """Predictions as one batch."""
    return b'{"predictions":[' + b",".join(bodies) + b"]}"


def ndjson_body(count: int) -> bytes:
    """The next predictions, a line each."""
    return b"".join(body() + b"\n" for _ in range(count))


def _numbered(parts: tuple[bytes, bytes], number: int) -> bytes:
    return b"%b%0*d%b" % (parts[0], KEY_DIGITS, number, parts[1])


def _prediction(label: str, confidence: float) -> dict[str, Any]:
    rest = 1 - confidence
    others = [name for name in ("negative", "neutral", "positive") if name != label]
    return {
        "request_key": KEY_PREFIX + "#",
        "model": MODEL,
        "model_version": "1",
        "label": label,
        "confidence": confidence,
        "scores": {label: confidence, others[0]: 0.75 * rest, others[1]: 0.25 * rest},
        "features": {"n_tokens": 12, "lang": "en"},
        "segment": {"source": "tweets"},
        "risk": 0.25,
        "input_key": "text-4711",
        "subject": {"text": "great, just what I needed, and right before the weekend as well"},
    }


def _around_key(prediction: dict[str, Any]) -> tuple[bytes, bytes]:
    """A prediction's JSON before and after the number in its request key."""
    before, _, after = msgspec.json.encode(prediction).partition(b"#")
    return before, after


@lru_cache(maxsize=1024)
def _featured_parts(model: str, features: int, place: int) -> tuple[bytes, bytes]:
    confidence = 0.5625 if place == 0 else 0.9375
    # sixteenths, so that all are about equally long
    numbers = {f"f{n:02}": ((place + 7 * n) % 16 + 0.5) / 16 for n in range(features)}
    own = {"model": model, "features": {"lang": "en", **numbers}}
    return _around_key({**_prediction("positive", confidence), **own})


# the first of twenty is unsure; scores of binary fractions, so that all are equally long
_PARTS = [
    _around_key(_prediction("positive", 0.5625 if number == 0 else 0.9375))
    for number in range(REVIEWED_ONE_IN)
]
_SCATTERED_PARTS = [
    (before.replace(KEY_PREFIX.encode(), SCATTERED_PREFIX.encode()), after)
    for before, after in _PARTS
]
_CLAIMED_PARTS = _around_key(
    {**_prediction("negative", 0.9375), "label": CLAIMED_LABEL, "scores": None}
)
