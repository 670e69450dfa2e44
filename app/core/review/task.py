"""What a reviewer gets to see of an item."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What the model said."""

    model: str
    model_version: str
    label: str | None
    confidence: float | None
    scores: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Why and how an item came to its queue: each of these hints at what the model said."""

    kind: str
    reason: str
    priority: int
    features: dict[str, Any] | None
    segment: dict[str, str] | None
    decision_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Task:
    """One item as one reviewer works on it; a blind one carries nothing of the model.

    Attributes:
        labels: the label set of the item's policy; empty where it declares none.
    """

    item_id: uuid.UUID
    queue: str
    subject: Any
    labels: tuple[str, ...]
    guidelines: str | None
    context_key: str | None
    due_at: datetime
    blind: bool
    prediction: ModelAnswer | None
    circumstances: Circumstances | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A live claim of one assignment; every later call about it shows the token."""

    assignment_id: uuid.UUID
    token: int
    expires_at: datetime
    task: Task


def shown(task: Task) -> Task:
    """The task as its reviewer may see it.

    A blind answer counts as independent of the model's, so neither that answer nor anything that
    was derived from it may pass.
    """
    if not task.blind:
        return task
    return replace(task, prediction=None, circumstances=None)
