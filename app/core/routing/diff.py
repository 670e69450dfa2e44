"""What is different between two policy documents, rule by rule and field by field.

Documents are compared as they are written: a field that is left out is null here, whatever its
default is. Rules are the same rule when they have the same id.
"""

from bisect import bisect_left
from typing import Any, Literal

from msgspec import Struct

Change = Literal["added", "removed", "changed", "moved"]
Document = dict[str, Any]


class RuleChange(Struct, frozen=True):
    """One rule that is different; a rule that was changed and moved is there twice.

    `position_before`, `position_after`: its index among the rules; null where it is not there.
    """

    rule: str
    change: Change
    before: Document | None
    after: Document | None
    position_before: int | None
    position_after: int | None


class FieldChange(Struct, frozen=True):
    """One field outside the rules, by its dotted path; null where it is left out."""

    field: str
    before: Any
    after: Any


class Diff(Struct, frozen=True):
    """All that is different: first the rules that are gone, then the others in their new order."""

    rules: list[RuleChange]
    fields: list[FieldChange]


def diff(before: Document, after: Document) -> Diff:
    """What has to be done to the first document to make it the second."""
    return Diff(
        _rule_changes(before.get("rules", []), after.get("rules", [])),
        _field_changes(_fields_of(before), _fields_of(after)),
    )


def _rule_changes(before: list[Document], after: list[Document]) -> list[RuleChange]:
    old = {rule["id"]: (at, rule) for at, rule in enumerate(before)}
    new = {rule["id"]: (at, rule) for at, rule in enumerate(after)}
    common = [rule_id for rule_id in new if rule_id in old]
    stayed = _longest_increasing([old[rule_id][0] for rule_id in common])
    moved = {rule_id for rule_id in common if old[rule_id][0] not in stayed}

    def change(rule_id: str, what: Change) -> RuleChange:
        position_before, was = old.get(rule_id, (None, None))
        position_after, is_now = new.get(rule_id, (None, None))
        return RuleChange(rule_id, what, was, is_now, position_before, position_after)

    changes = [change(rule_id, "removed") for rule_id in old if rule_id not in new]
    for rule_id, (_, rule) in new.items():
        if rule_id not in old:
            changes.append(change(rule_id, "added"))
            continue
        if old[rule_id][1] != rule:
            changes.append(change(rule_id, "changed"))
        if rule_id in moved:
            changes.append(change(rule_id, "moved"))
    return changes


def _longest_increasing(numbers: list[int]) -> set[int]:
    """The members of a longest increasing subsequence of different numbers.

    Rules in it kept their order, so that as few others as possible are said to have moved.

    Patience sorting: `ends[k]` is the smallest number that ends a subsequence of k + 1.
    """
    ends: list[int] = []
    before: dict[int, int | None] = {}
    for number in numbers:
        at = bisect_left(ends, number)
        before[number] = ends[at - 1] if at else None
        ends[at : at + 1] = [number]
    members = set()
    last = ends[-1] if ends else None
    while last is not None:
        members.add(last)
        last = before[last]
    return members


def _fields_of(document: Document) -> dict[str, Any]:
    """Everything but the rules, by dotted path; lists are compared whole."""
    rest = {name: value for name, value in document.items() if name != "rules"}
    return dict(_leaves(rest, ()))


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(".".join(path), value)]
    return [leaf for name, child in value.items() for leaf in _leaves(child, (*path, name))]


def _field_changes(before: dict[str, Any], after: dict[str, Any]) -> list[FieldChange]:
    return [
        FieldChange(name, before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
