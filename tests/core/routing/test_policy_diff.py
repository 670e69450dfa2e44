"""Two documents, and what is different between them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.routing.diff import Diff, RuleChange, diff
from tests.core.routing.cases import document, rule

SURE, TIE, RISKY = (
    rule(id="unsure", confidence={"below": 0.85}),
    rule(id="tie", margin={"below": 0.15}),
    rule(id="risky", risk={"above": 0.8}),
)
SURER = {**SURE, "confidence": {"below": 0.9}}

CASES = [
    ("nothing", [SURE, TIE], [SURE, TIE], []),
    # the others keep their order, wherever they stand now
    ("a first rule added", [SURE, TIE], [RISKY, SURE, TIE], [("risky", "added", None, 0)]),
    ("the first rule removed", [SURE, TIE], [TIE], [("unsure", "removed", 0, None)]),
    ("a threshold changed", [SURE, TIE], [SURER, TIE], [("unsure", "changed", 0, 0)]),
    # as few as possible are said to have moved
    ("the last moved to the front", [SURE, TIE, RISKY], [RISKY, SURE, TIE], [("risky", "moved", 2, 0)]),
    ("the first moved to the end", [SURE, TIE, RISKY], [TIE, RISKY, SURE], [("unsure", "moved", 0, 2)]),
    # two things happened to it, and both are said
    ("moved and changed", [SURE, TIE, RISKY], [TIE, RISKY, SURER], [("unsure", "changed", 0, 2), ("unsure", "moved", 0, 2)]),
    # what is gone comes first, then the new order
    ("all replaced", [SURE, TIE], [RISKY], [("unsure", "removed", 0, None), ("tie", "removed", 1, None), ("risky", "added", None, 0)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"), [pytest.param(*rest, id=name) for name, *rest in CASES]
)
def test_rules_are_compared_by_their_ids(before: Any, after: Any, expected: Any) -> None:
    found = diff(document(*before), document(*after))

    assert [_summary(change) for change in found.rules] == expected
    assert found.fields == []


def test_a_changed_rule_is_shown_as_it_was_and_as_it_is() -> None:
    (change,) = diff(document(SURE), document(SURER)).rules

    assert (change.before, change.after) == (SURE, SURER)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param({"audit": {"probability": 0.01, "queue": "q"}}, {"audit": {"probability": 0.02, "queue": "q"}}, [("audit.probability", 0.01, 0.02)], id="deep inside"),
        pytest.param({}, {"default": "reject"}, [("default", None, "reject")], id="left out before"),
        pytest.param({"audit": {"per_label": {"a": 0.1}}}, {}, [("audit.per_label.a", 0.1, None)], id="left out now"),
        # the same document in meaning
        pytest.param({"description": None}, {}, [], id="null or left out"),
        pytest.param({"labels": ["a", "b"]}, {"labels": ["b", "a"]}, [("labels", ["a", "b"], ["b", "a"])], id="lists are one value"),
        pytest.param({"default": "reject", "audit": {"queue": "q"}}, {"segments": ["s"]}, [("audit.queue", "q", None), ("default", "reject", None), ("segments", None, ["s"])], id="sorted by name"),
    ],
)  # fmt: skip
def test_fields_are_compared_by_their_paths(before: Any, after: Any, expected: Any) -> None:
    found = diff(document(**before), document(**after))

    assert [(change.field, change.before, change.after) for change in found.fields] == expected
    assert found.rules == []


RULES = st.lists(
    st.builds(
        lambda name, below: rule(id=f"r-{name}", confidence={"below": below}),
        st.integers(0, 9),
        st.sampled_from([0.5, 0.6]),
    ),
    unique_by=lambda written: written["id"],
    max_size=8,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "default": st.sampled_from(["accept", "reject"]),
        "labels": st.lists(st.sampled_from("abc"), min_size=1, unique=True),
        "audit": st.fixed_dictionaries(
            {"probability": st.sampled_from([0.01, 0.02])},
            optional={"per_label": st.dictionaries(st.sampled_from("abc"), st.just(0.05))},
        ),
    },
)
DOCUMENTS = st.builds(lambda rules, fields: document(*rules, **fields), RULES, FIELDS)


@given(DOCUMENTS)
def test_nothing_is_different_from_itself(written: Any) -> None:
    assert diff(written, written) == Diff([], [], [])


@given(DOCUMENTS, DOCUMENTS)
def test_the_changes_make_the_second_of_the_first(before: Any, after: Any) -> None:
    found = diff(before, after)

    assert _applied(found.rules, before["rules"]) == after["rules"]
    values = _flat(before)
    for change in found.fields:
        assert values.pop(change.field, None) == change.before
        if change.after is not None:
            values[change.field] = change.after
    assert values == _flat(after)


@given(DOCUMENTS, DOCUMENTS)
def test_the_way_back_undoes_the_way_there(before: Any, after: Any) -> None:
    there, back = diff(before, after), diff(after, before)

    opposite = {"added": "removed", "removed": "added", "changed": "changed"}
    for change in there.rules:
        if change.change != "moved":
            assert any(
                (undone.rule, undone.change, undone.before, undone.after)
                == (change.rule, opposite[change.change], change.after, change.before)
                for undone in back.rules
            )
    assert [(f.field, f.after, f.before) for f in back.fields] == [
        (f.field, f.before, f.after) for f in there.fields
    ]


def _summary(change: RuleChange) -> Any:
    return (change.rule, change.change, change.position_before, change.position_after)


def _applied(changes: list[RuleChange], rules: list[Any]) -> list[Any]:
    """The rules after the changes: those that neither left nor moved keep their order."""
    leaving = {change.rule for change in changes if change.change in {"removed", "moved"}}
    changed = {change.rule: change.after for change in changes if change.change == "changed"}
    made = [changed.get(r["id"], r) for r in rules if r["id"] not in leaving]
    arriving = [change for change in changes if change.change in {"added", "moved"}]
    for change in sorted(arriving, key=lambda change: change.position_after or 0):
        assert change.position_after is not None
        made.insert(change.position_after, change.after)
    return made


def _flat(written: Any) -> dict[str, Any]:
    """The fields outside the rules, found another way than by walking."""
    audit = written.get("audit", {})
    per_label = audit.get("per_label", {})
    found = {
        "name": written["name"],
        "applies_to.model": written["applies_to"]["model"],
        "default": written.get("default"),
        "labels": written.get("labels"),
        "audit.probability": audit.get("probability"),
        **{f"audit.per_label.{label}": value for label, value in per_label.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


RAISE, ROUTE = (
    {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95},
    {"monitor": "embedding", "when": "drifting", "route": "review", "queue": "rare"},
)
HIGHER = {**RAISE, "raise_confidence_to": 0.97}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, [RAISE], [("confidence", "added", None, 0)], id="added"),
        pytest.param([RAISE, ROUTE], [ROUTE], [("confidence", "removed", 0, None)], id="removed"),
        pytest.param([RAISE], [HIGHER], [("confidence", "changed", 0, 0)], id="changed"),
        pytest.param([RAISE, ROUTE], [ROUTE, RAISE], [("embedding", "moved", 1, 0)], id="moved"),
        # another state is waited for, so it is another response
        pytest.param([RAISE], [{**RAISE, "when": "warning"}], [("confidence", "removed", 0, None), ("confidence", "added", None, 0)], id="another state"),
        pytest.param([RAISE], [RAISE, HIGHER], [("confidence", "added", None, 1)], id="a second one to the same"),
        pytest.param([RAISE, ROUTE], [RAISE, ROUTE], [], id="nothing"),
    ],
)  # fmt: skip
def test_drift_responses_are_compared_by_what_they_wait_for(
    before: Any, after: Any, expected: Any
) -> None:
    old, new = (
        document(SURE, **({"on_drift": written} if written is not None else {}))
        for written in (before, after)
    )

    found = diff(old, new)

    assert [
        (change.monitor, change.change, change.position_before, change.position_after)
        for change in found.on_drift
    ] == expected
    assert (found.rules, found.fields) == ([], [])


def test_a_changed_response_is_shown_as_it_was_and_as_it_is() -> None:
    (change,) = diff(document(on_drift=[RAISE]), document(on_drift=[HIGHER])).on_drift

    assert (change.before, change.after) == (RAISE, HIGHER)
