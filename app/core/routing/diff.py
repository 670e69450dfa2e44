"""What is different between two policy documents, rule by rule and field by field.

Documents are compared as they are written: a field that is left out is null here, whatever its
default is. Rules are the same rule when they have the same id, and drift responses when they wait
for the same state of the same monitor and segment (of several, the first with the first).
"""

from bisect import bisect_left
from collections import Counter
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


class ResponseChange(Struct, frozen=True):
    """One drift response that is different; as for a rule, by its monitor."""

    monitor: str
    change: Change
    before: Document | None
    after: Document | None
    position_before: int | None
    position_after: int | None


class FieldChange(Struct, frozen=True):
    """One other field, by its dotted path; null where it is left out."""

    field: str
    before: Any
    after: Any


class Diff(Struct, frozen=True):
    """All that is different: first the rules that are gone, then the others in their new order.

    The same goes for the drift responses.
    """

    rules: list[RuleChange]
    on_drift: list[ResponseChange]
    fields: list[FieldChange]


def diff(before: Document, after: Document) -> Diff:
    """What has to be done to the first document to make it the second."""
    return Diff(
        [
            RuleChange(rule_id, *change)
            for rule_id, change in _changes(_rules_of(before), _rules_of(after))
        ],
        [
            ResponseChange(waits_for[0], *change)
            for waits_for, change in _changes(_responses_of(before), _responses_of(after))
        ],
        _field_changes(_fields_of(before), _fields_of(after)),
    )


def _rules_of(document: Document) -> dict[Any, Document]:
    return {rule["id"]: rule for rule in document.get("rules", [])}


def _responses_of(document: Document) -> dict[Any, Document]:
    responses: dict[Any, Document] = {}
    seen: Counter[Any] = Counter()
    for response in document.get("on_drift", []):
        waits_for = response["monitor"], response["when"], response.get("segment")
        responses[*waits_for, seen[waits_for]] = response
        seen[waits_for] += 1
    return responses


# what happened, the entry before and after, its position before and after
_Changed = tuple[Change, Document | None, Document | None, int | None, int | None]


def _changes(before: dict[Any, Document], after: dict[Any, Document]) -> list[tuple[Any, _Changed]]:
    """What was done to a list of entries, each known by its key."""
    old = {key: (at, entry) for at, (key, entry) in enumerate(before.items())}
    new = {key: (at, entry) for at, (key, entry) in enumerate(after.items())}
    common = [key for key in new if key in old]
    stayed = _longest_increasing([old[key][0] for key in common])
    moved = {key for key in common if old[key][0] not in stayed}

    def change(key: Any, what: Change) -> tuple[Any, _Changed]:
        position_before, was = old.get(key, (None, None))
        position_after, is_now = new.get(key, (None, None))
        return key, (what, was, is_now, position_before, position_after)

    changes = [change(key, "removed") for key in old if key not in new]
    for key, (_, entry) in new.items():
        if key not in old:
            changes.append(change(key, "added"))
            continue
        if old[key][1] != entry:
            changes.append(change(key, "changed"))
        if key in moved:
            changes.append(change(key, "moved"))
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
    """Everything but the rules and responses, by dotted path; lists are compared whole."""
    rest = {name: value for name, value in document.items() if name not in {"rules", "on_drift"}}
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
