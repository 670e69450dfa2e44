"""What a reviewer says, whether it can be taken, and what it settles."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import msgspec

from app.core.errors import BlindNeedsLabel, Invalid, LabelRequired
from app.core.review.states import ITEM_TRANSITIONS, ItemEvent, ItemState, after


class Answer(StrEnum):
    """The verb of a verdict."""

    CONFIRM = "confirm"
    CORRECT = "correct"
    CANNOT_TELL = "cannot_tell"
    INVALID = "invalid"


class Outcome(StrEnum):
    """What an item was settled with."""

    LABELED = "labeled"
    CANNOT_TELL = "cannot_tell"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one reviewer sends about one assignment.

    Attributes:
        label: what the reviewer says it is; only `correct` carries one.
        seconds_spent: the reviewer's own count.
        source: the tool that it came through.
    """

    answer: Answer
    label: str | None = None
    seconds_spent: float | None = None
    comment: str | None = None
    source: str | None = None

    def digest(self) -> bytes:
        """Equal for equal content: what tells a verdict sent again from another one."""
        return hashlib.sha256(msgspec.json.encode(self)).digest()


@dataclass(frozen=True, slots=True)
class Judged:
    """What of an item its verdicts are held against.

    Attributes:
        model_label: None where the model gave no label.
        labels: those that the policy declares; empty where it declares none.
        judge: who answers in its queue, `single` or `panel`.
    """

    state: ItemState
    blind: bool
    model_label: str | None
    labels: tuple[str, ...]
    judge: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """An item's final human answer.

    `agreed` says whether human and model gave the same label, whatever the verb; None where one
    of them gave none.
    """

    outcome: Outcome
    label: str | None
    agreed: bool | None
    judge: str
    blind: bool

    def __post_init__(self) -> None:
        assert (self.outcome is Outcome.LABELED) == (self.label is not None)
        assert self.label is not None or self.agreed is None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a verdict does to its item: the state it leaves it in, and what settles it."""

    item_state: ItemState
    resolution: Resolution


def submit(verdict: Verdict, item: Judged) -> Submitted:
    """Take one verdict on an item that one verdict settles.

    Raises:
        Invalid: the verdict cannot be taken on this item; the error names the field.
        StateConflict: the item is settled.
    """
    check(verdict, item)
    state = after(ITEM_TRANSITIONS, item.state, ItemEvent.RESOLVE)
    return Submitted(state, _resolution(verdict, item))


def check(verdict: Verdict, item: Judged) -> None:
    """Refuse a verdict that makes no sense on this item.

    Raises:
        Invalid: with the field that is wrong.
    """
    if verdict.answer is not Answer.CORRECT and verdict.label is not None:
        raise Invalid("Only `correct` carries a label.", loc=("label",))
    if verdict.answer is Answer.CONFIRM:
        _check_confirm(item)
    if verdict.answer is Answer.CORRECT:
        _check_label(verdict.label, item.labels)


def _check_confirm(item: Judged) -> None:
    if item.blind:
        raise BlindNeedsLabel(
            "This item is blind: answer with `correct` and the label.", loc=("verdict",)
        )
    if item.model_label is None:
        raise Invalid(
            "The model gave no label that could be confirmed: answer with `correct`.",
            loc=("verdict",),
        )


def _check_label(label: str | None, labels: tuple[str, ...]) -> None:
    if label is None:
        raise LabelRequired("`correct` needs the label.", loc=("label",))
    if labels and label not in labels:
        raise Invalid("Not one of the labels that the policy declares.", loc=("label",))


def _resolution(verdict: Verdict, item: Judged) -> Resolution:
    match verdict.answer:
        case Answer.CONFIRM:
            outcome, label = Outcome.LABELED, item.model_label
        case Answer.CORRECT:
            outcome, label = Outcome.LABELED, verdict.label
        case Answer.CANNOT_TELL:
            outcome, label = Outcome.CANNOT_TELL, None
        case Answer.INVALID:
            outcome, label = Outcome.INVALID, None
        case _:
            assert_never(verdict.answer)
    compared = label is not None and item.model_label is not None
    agreed = label == item.model_label if compared else None
    return Resolution(outcome, label, agreed, item.judge, item.blind)
