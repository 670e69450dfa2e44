"""Play the reviewers: lease, answer with what the recorded people said, until nothing is open."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.dev.demo import crowd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.dev.demo.service import Json, Service
    from app.dev.demo.texts import Text

REVIEW_QUEUE = "triage"
AUDIT_QUEUE = "audits"
SECONDS_SPENT = 12  # what each verdict claims to have cost; nobody recorded the real time

_PANELS = 4
_LEASES_AT_ONCE = 20
_SUBJECT_SCHEME = "vader:"


@dataclass(frozen=True, slots=True)
class Answer:
    """One verdict that the demo sent, on the text of that id."""

    text_id: str
    queue: str
    label: str


def subject_of(text: Text) -> dict[str, str]:
    """The prediction's subject: a blind item shows it too, so the reviewer can find the ratings."""
    return {"uri": f"{_SUBJECT_SCHEME}{text.id}", "text": text.text}


async def answer_everything(
    service: Service, texts: Mapping[str, Text], seed: int, on_answer: Callable[[], None]
) -> list[Answer]:
    """All reviewers work side by side until no assignment is open; `texts` is keyed by text id."""
    answers: list[Answer] = []

    async def work(queue: str, reviewer: str, opinion: Callable[[Text], str]) -> None:
        while leases := await service.lease(queue, reviewer, _LEASES_AT_ONCE):
            for lease in leases:
                text = texts[lease["item"]["subject"]["uri"].removeprefix(_SUBJECT_SCHEME)]
                label = opinion(text)
                await service.submit(lease["assignment_id"], _verdict(lease, label))
                answers.append(Answer(text.id, queue, label))
                on_answer()

    async with asyncio.TaskGroup() as reviewers:
        for panel in range(_PANELS):
            reviewers.create_task(work(AUDIT_QUEUE, f"panel-{panel + 1}", _panel_opinion))
        for rater in range(crowd.RATERS):
            opinion = _rater_opinion(rater, seed)
            reviewers.create_task(work(REVIEW_QUEUE, f"rater-{rater + 1}", opinion))
    return answers


def _panel_opinion(text: Text) -> str:
    label = crowd.panel_label(text.ratings)
    if label is None:
        raise ValueError(f"{text.id} was streamed although its raters are tied")
    return label


def _rater_opinion(rater: int, seed: int) -> Callable[[Text], str]:
    return lambda text: crowd.rater_label(text, rater, seed)


def _verdict(lease: Json, label: str) -> dict[str, Any]:
    """Confirm where the model's label is shown and right; else give the label."""
    answer: dict[str, Any] = {"token": lease["token"], "seconds_spent": SECONDS_SPENT}
    prediction = lease["prediction"]
    if prediction is not None and prediction["label"] == label:
        return answer | {"verdict": "confirm"}
    return answer | {"verdict": "correct", "label": label}
