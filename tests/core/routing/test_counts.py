"""What is counted of decisions, and under which keys."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from app.core.routing.counts import count, count_key, declared_segment
from app.core.routing.decision import Decision, Outcome
from tests.core.routing.cases import ID, policy, prediction

HERE, THERE = uuid.UUID(int=1), uuid.UUID(int=2)


def a_decision(**changes: Any) -> Decision:
    fields: dict[str, Any] = {
        "id": ID,
        "request_key": "req-1",
        "model": "sentiment",
        "model_version": "1",
        "label": "positive",
        "confidence": 0.9,
        "segment": None,
        "unfamiliar": None,
        "monitors": (),
        "shadow": False,
        "outcome": Outcome(
            route="accept",
            reason="default",
            states=[],
            observed=[],
            queue=None,
            priority=50,
            audited=False,
            audit_probability=0.02,
            audit_draw=0.5,
            inclusion_probability=0.02,
            stratum="sentiment@3 accept 0.02",
        ),
        "policy_id": None,
        "item": None,
        "resolution": None,
        "decided_at": datetime(2026, 11, 23, 10, 59, 59, 999_999, tzinfo=UTC),
    }
    return Decision(**{**fields, **changes})


def test_a_decision_is_counted_in_the_hour_in_which_it_was_made() -> None:
    key = count_key(a_decision(), '{"source":"tweets"}')

    assert key == (
        "2026-11-23T10:00:00Z", "sentiment", "1", "positive", '{"source":"tweets"}', "accept",
        "default", "sentiment@3 accept 0.02", False,
    )  # fmt: skip


def test_no_label_is_counted_as_the_empty_one() -> None:
    assert count_key(a_decision(label=None), "{}")[3] == ""


@pytest.mark.parametrize(
    ("declared", "sent", "counted"),
    [
        (["source"], {"source": "tweets", "user": "u-7"}, '{"source":"tweets"}'),
        (["b", "a"], {"b": "1", "a": "2"}, '{"a":"2","b":"1"}'),
        (["source"], {"user": "u-7"}, "{}"),
        (["source"], None, "{}"),
        ([], {"source": "tweets"}, "{}"),
    ],
    ids=[
        "undeclared left out",
        "in the order of names",
        "none declared sent",
        "no segment",
        "no declaration",
    ],
)
def test_only_declared_segments_are_counted(
    declared: list[str], sent: dict[str, str] | None, counted: str
) -> None:
    by = policy(segments=declared)
    posted = prediction(segment=sent) if sent is not None else prediction()

    assert declared_segment(by, posted) == counted


def test_without_a_policy_no_segment_is_declared() -> None:
    assert declared_segment(None, prediction(segment={"source": "tweets"})) == "{}"


def test_equal_keys_of_one_project_are_summed() -> None:
    key = count_key(a_decision(), "{}")
    other = count_key(a_decision(label="neutral"), "{}")

    summed = count(
        [(HERE, key, True), (HERE, key, False), (HERE, other, False), (THERE, key, True)]
    )

    assert summed == {HERE: [[*key, 2, 1], [*other, 1, 0]], THERE: [[*key, 1, 1]]}
