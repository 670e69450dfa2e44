"""An example for every operation; a test sends each of them."""

from typing import Any

PREDICTION = {
    "request_key": "req-81c",
    "model": "sentiment",
    "model_version": "1",
    "label": "positive",
    "confidence": 0.91,
    "scores": {"positive": 0.91, "neutral": 0.06, "negative": 0.03},
    "features": {"n_tokens": 5, "lang": "en"},
    "segment": {"source": "tweets"},
    "subject": {"text": "great, just what I needed"},
}
POLICY = {
    "name": "sentiment",
    "applies_to": {"model": "sentiment"},
    "labels": ["negative", "neutral", "positive", "threat"],
    "segments": ["source"],
    "rules": [
        {"id": "high-risk", "labels": ["threat"], "route": "review", "queue": "triage"},
        {"id": "tie", "margin": {"below": 0.15}, "route": "review", "queue": "triage"},
        {"id": "unsure", "confidence": {"below": 0.85}, "route": "review", "queue": "triage"},
    ],
    "audit": {"probability": 0.02, "queue": "audits"},
}
BODIES: dict[tuple[str, str], Any] = {
    ("post", "/v1/predictions"): PREDICTION,
    ("post", "/v1/predictions/batch"): {"predictions": [PREDICTION]},
    ("put", "/v1/policies/{name}"): POLICY,
    ("post", "/v1/policies/validate"): POLICY,
}


def put(key: tuple[str, str], operation: dict[str, Any]) -> None:
    """Put the example of an operation's body into it."""
    body = BODIES.get(key)
    if body is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = body
