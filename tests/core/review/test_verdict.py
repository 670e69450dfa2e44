from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BlindNeedsLabel, Invalid, LabelRequired, StateConflict
from app.core.review.states import ItemState
from app.core.review.verdict import Answer, Judged, Outcome, Resolution, Verdict, submit

LABELS = ("negative", "positive")


def an_item(**changes: Any) -> Judged:
    facts = {
        "state": ItemState.OPEN,
        "blind": False,
        "model_label": "positive",
        "labels": LABELS,
        "judge": "single",
        **changes,
    }
    return Judged(**facts)


CONFIRM = Verdict(Answer.CONFIRM)
POSITIVE = Verdict(Answer.CORRECT, "positive")
NEGATIVE = Verdict(Answer.CORRECT, "negative")


@pytest.mark.parametrize(
    ("verdict", "item", "outcome", "label", "agreed"),
    [
        # agreement is derived from the labels, whatever the verb
        pytest.param(CONFIRM, an_item(), Outcome.LABELED, "positive", True, id="confirm"),
        pytest.param(NEGATIVE, an_item(), Outcome.LABELED, "negative", False, id="correct"),
        pytest.param(
            POSITIVE, an_item(), Outcome.LABELED, "positive", True, id="correct to the same"
        ),
        pytest.param(POSITIVE, an_item(blind=True), Outcome.LABELED, "positive", True, id="blind"),
        # without a label of the model there is nothing to agree with
        pytest.param(
            POSITIVE,
            an_item(model_label=None),
            Outcome.LABELED,
            "positive",
            None,
            id="no model label",
        ),
        pytest.param(
            Verdict(Answer.CANNOT_TELL),
            an_item(),
            Outcome.CANNOT_TELL,
            None,
            None,
            id="cannot tell",
        ),
        pytest.param(Verdict(Answer.INVALID), an_item(), Outcome.INVALID, None, None, id="invalid"),
    ],
)
def test_one_verdict_settles_an_item(
    verdict: Verdict, item: Judged, outcome: Outcome, label: str | None, agreed: bool | None
) -> None:
    submitted = submit(verdict, item)

    assert submitted.item_state is ItemState.RESOLVED
    assert submitted.resolution == Resolution(outcome, label, agreed, "single", item.blind)


def test_the_judge_is_that_of_the_queue() -> None:
    assert submit(NEGATIVE, an_item(judge="panel")).resolution.judge == "panel"


@pytest.mark.parametrize(
    ("verdict", "item", "error", "place"),
    [
        pytest.param(Verdict(Answer.CORRECT), an_item(), LabelRequired, "label", id="no label"),
        pytest.param(CONFIRM, an_item(blind=True), BlindNeedsLabel, "verdict", id="confirm blind"),
        pytest.param(
            CONFIRM, an_item(model_label=None), Invalid, "verdict", id="nothing to confirm"
        ),
        pytest.param(
            Verdict(Answer.CORRECT, "neutral"), an_item(), Invalid, "label", id="undeclared label"
        ),
        # else it would not be clear what the reviewer means
        pytest.param(
            Verdict(Answer.CONFIRM, "positive"),
            an_item(),
            Invalid,
            "label",
            id="confirm with label",
        ),
        pytest.param(
            Verdict(Answer.CANNOT_TELL, "positive"),
            an_item(),
            Invalid,
            "label",
            id="cannot tell with label",
        ),
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused_with_its_field(
    verdict: Verdict, item: Judged, error: type[Invalid], place: str
) -> None:
    with pytest.raises(error) as refused:
        submit(verdict, item)

    assert refused.value.places[0][0] == (place,)


def test_any_label_will_do_where_the_policy_declares_none() -> None:
    submitted = submit(Verdict(Answer.CORRECT, "neutral"), an_item(labels=()))

    assert submitted.resolution.label == "neutral"


@pytest.mark.parametrize("state", [ItemState.RESOLVED, ItemState.CANCELLED])
def test_a_settled_item_takes_no_verdict(state: ItemState) -> None:
    with pytest.raises(StateConflict):
        submit(NEGATIVE, an_item(state=state))


@pytest.mark.parametrize(
    ("outcome", "label", "agreed"),
    [
        pytest.param(Outcome.LABELED, None, None, id="labeled without a label"),
        pytest.param(Outcome.INVALID, "positive", None, id="a label on what is invalid"),
        pytest.param(Outcome.CANNOT_TELL, None, False, id="agreement without a label"),
    ],
)
def test_an_impossible_resolution_cannot_be_made(
    outcome: Outcome, label: str | None, agreed: bool | None
) -> None:
    with pytest.raises(AssertionError):
        Resolution(outcome, label, agreed, "single", blind=False)


verdicts = st.builds(
    Verdict,
    st.sampled_from(Answer),
    st.none() | st.sampled_from(LABELS),
    st.none() | st.sampled_from([0.0, 1.5]),
    st.none() | st.text(max_size=2),
    st.none() | st.text(max_size=2),
)


@given(verdicts, verdicts)
def test_digests_are_equal_exactly_for_equal_content(one: Verdict, other: Verdict) -> None:
    assert (one.digest() == other.digest()) == (one == other)
