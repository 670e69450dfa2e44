"""A baseline: an ordinary endpoint of FastAPI and Pydantic that takes predictions.

Run as `python -m app.dev.bench.plain_server`. It is what one writes who wants no more than a typed
endpoint: Pydantic models of the body and of the answer, a coroutine, no middleware. The body has
the fields and limits of a prediction, and unknown fields are refused; the answer has the fields of
a decision. It knows no keys, asks no database, decides nothing (the trace of each answer is
one and the same, made beforehand) and stores nothing; nor is checked what Pydantic's own
validators do not say, as the sum of the scores.
"""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.dev.bench.child import serve

PATH = "/predictions"

Key = Annotated[str, Field(min_length=1, max_length=256)]
Share = Annotated[float, Field(ge=-0.001, le=1.001)]
Float32 = Annotated[float, Field(ge=-3.4028234663852886e38, le=3.4028234663852886e38)]
Scores = Annotated[dict[Key, float], Field(min_length=1, max_length=1000)]
Feature = float | bool | Annotated[str, Field(max_length=1024)] | None


class Member(BaseModel):
    """One member of an ensemble."""

    model_config = ConfigDict(extra="forbid")

    name: Key
    label: Key | None = None
    scores: Scores | None = None


class Subject(BaseModel):
    """The data that was judged."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=100_000)] | None = None
    uri: Annotated[str, Field(min_length=1, max_length=2048)] | None = None


class Prediction(BaseModel):
    """One output of one model version for one input."""

    model_config = ConfigDict(extra="forbid")

    request_key: Key
    model: Key
    model_version: Key
    label: Key | None = None
    confidence: Share | None = None
    scores: Scores | None = None
    scores_are: Literal["probabilities", "top_k", "independent"] = "probabilities"
    members: Annotated[list[Member], Field(min_length=1, max_length=50)] | None = None
    features: Annotated[dict[Key, Feature], Field(max_length=200)] | None = None
    embedding: Annotated[list[Float32], Field(min_length=1, max_length=4096)] | None = None
    segment: Annotated[dict[Key, Key], Field(max_length=20)] | None = None
    risk: Annotated[float, Field(ge=0, le=1)] | None = None
    context_key: Key | None = None
    input_key: Key | None = None
    subject: Subject | None = None
    output: Any = None
    occurred_at: AwareDatetime | None = None
    shadow: bool = False


class TraceEntry(BaseModel):
    """What one rule saw, and what it was compared with."""

    rule: str
    kind: str
    state: str
    observed: float | str | None
    threshold: float | str | list[str] | None


class PolicyRef(BaseModel):
    """The policy version that decided."""

    name: str
    version: int


class Audit(BaseModel):
    """The random audit."""

    selected: bool
    probability: float | None


class Item(BaseModel):
    """What a human is asked about."""

    id: uuid.UUID
    queue: str
    blocking: bool


class HumanAnswer(BaseModel):
    """What humans settled it with."""

    label: str | None
    outcome: str
    judge: str
    agreed: bool | None
    resolved_at: datetime


class Decision(BaseModel):
    """The answer for one prediction."""

    id: uuid.UUID
    request_key: str
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    route: Literal["accept", "review", "reject"]
    reason: str
    trace: list[TraceEntry]
    policy: PolicyRef | None
    monitors: list[dict[str, Any]]
    audit: Audit
    item: Item | None
    shadow: bool
    resolution: HumanAnswer | None
    decided_at: datetime


def _entry(rule: str, kind: str, observed: float | str, threshold: Any) -> TraceEntry:
    return TraceEntry(rule=rule, kind=kind, state="passed", observed=observed, threshold=threshold)


TRACE = [
    _entry("high-risk", "labels", "positive", ["threat"]),
    _entry("risky", "risk", 0.25, 0.8),
    _entry("hopeless", "confidence", 0.9375, 0.2),
    _entry(
        "long",
        "when",
        "false",
        "has(prediction.features.n_tokens) && prediction.features.n_tokens > 200",
    ),
    _entry("tie", "margin", 0.890625, 0.15),
    _entry("low-confidence", "confidence", 0.9375, 0.9),
]
POLICY = PolicyRef(name="sentiment", version=1)
AUDIT = Audit(selected=False, probability=0.01)

app = FastAPI()


@app.post(PATH, status_code=201)
async def predict(prediction: Prediction) -> Decision:
    """Take a prediction, and answer as if it had been decided."""
    return Decision(
        id=uuid.uuid4(),
        request_key=prediction.request_key,
        model=prediction.model,
        model_version=prediction.model_version,
        label=prediction.label,
        confidence=prediction.confidence,
        route="accept",
        reason="default",
        trace=TRACE,
        policy=POLICY,
        monitors=[],
        audit=AUDIT,
        item=None,
        shadow=prediction.shadow,
        resolution=None,
        decided_at=datetime.now(UTC),
    )


if __name__ == "__main__":
    serve(app)
