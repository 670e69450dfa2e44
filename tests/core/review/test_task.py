import uuid
from dataclasses import replace
from datetime import UTC, datetime

from app.core.review.task import Circumstances, ModelAnswer, Task, shown

TASK = Task(
    item_id=uuid.UUID(int=1),
    queue="triage",
    subject={"text": "great"},
    labels=("positive",),
    guidelines=None,
    context_key="thread-9",
    due_at=datetime(2026, 11, 23, tzinfo=UTC),
    blind=False,
    prediction=ModelAnswer("sentiment", "1", "positive", 0.6, {"positive": 0.6}),
    circumstances=Circumstances("review", "low-confidence", 50, None, None, uuid.UUID(int=2)),
)


def test_a_task_is_shown_whole() -> None:
    assert shown(TASK) == TASK


def test_a_blind_task_carries_nothing_of_the_model() -> None:
    blind = replace(TASK, blind=True)

    assert shown(blind) == replace(blind, prediction=None, circumstances=None)
