"""Amazon A2I activation conditions: read, evaluated, and turned into a policy.

`{"Conditions": [C, …]}` starts a human review when any C holds. C is
`{"ConditionType", "ConditionParameters"}`, or `{"And": [C, C, …]}`, or `{"Or": [C, C, …]}`.
Confidences are percentages there and probabilities here, so each bound is divided by 100. A label
that the prediction gives no score makes its check false, as a label that was not detected does.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from app.core.errors import Invalid, Loc

# Amazon allows 2 levels
DEPTH_MAX = 16
LEAVES_MAX = 200
MEMBERS_MIN = 2
NAME_MAX = 256
PERCENT_MAX = 100
# as Amazon documents it
SAMPLING_PERCENT_MIN = 0.01
ANY_LABEL = "*"

CONDITIONS = "Conditions"
CHECK = "ModerationLabelConfidenceCheck"
SAMPLING = "Sampling"
# of Amazon Textract
FORM_KEYS = frozenset({"ImportantFormKeyConfidenceCheck", "MissingImportantFormKey"})

Compare = Callable[[float, float], bool]
COMPARISONS: dict[str, tuple[str, Compare]] = {
    "ConfidenceEquals": ("=", operator.eq),
    "ConfidenceLessThan": ("<", operator.lt),
    "ConfidenceLessThanEquals": ("<=", operator.le),
    "ConfidenceGreaterThan": (">", operator.gt),
    "ConfidenceGreaterThanEquals": (">=", operator.ge),
}


class Check(Struct, frozen=True):
    """The score of a label, or of any label, keeps all of the bounds."""

    label: str
    bounds: tuple[tuple[Compare, float], ...]
    text: str

    def holds(self, scores: Mapping[str, float]) -> bool:
        """Whether it is so."""
        if self.label == ANY_LABEL:
            return any(map(self._keeps, scores.values()))
        score = scores.get(self.label)
        return score is not None and self._keeps(score)

    def _keeps(self, score: float) -> bool:
        return all(compare(score, bound) for compare, bound in self.bounds)


class Sampling(Struct, frozen=True):
    """Drawn by chance; the path within the conditions gives each its own draw."""

    share: float
    path: bytes
    text: str


class Group(Struct, frozen=True):
    """All of the members (`every`), or at least one."""

    every: bool
    members: tuple["Node", ...]


Node = Check | Sampling | Group
Draw = Callable[[bytes], float]


def read(written: Any) -> Group:
    """The conditions as a tree.

    Raises:
        Invalid: the first mistake, by its place within what was written.
    """
    if not isinstance(written, dict) or set(written) != {CONDITIONS}:
        raise Invalid(f'Expected {{"{CONDITIONS}": […]}} and nothing beside it.', loc=(CONDITIONS,))
    found = written[CONDITIONS]
    if not isinstance(found, list) or not found:
        raise Invalid("Expected a list of at least one condition.", loc=(CONDITIONS,))
    top = Group(False, _members(found, (CONDITIONS,), b"", depth=0))
    if len(leaves_of(top)) > LEAVES_MAX:
        raise Invalid(f"At most {LEAVES_MAX} checks and samplings together.", loc=(CONDITIONS,))
    return top


def leaves_of(node: Node) -> list[Check | Sampling]:
    """Its checks and samplings, in the order in which they are written."""
    if isinstance(node, Group):
        return [leaf for member in node.members for leaf in leaves_of(member)]
    return [node]


def holds(node: Node, scores: Mapping[str, float], draw: Draw, held: list[str]) -> bool:
    """Whether the conditions hold.

    Args:
        node: the conditions.
        scores: by label, 0 to 1.
        draw: a number in [0, 1) for the path of a sampling.
        held: takes the text of every check and sampling that holds. So all of them are looked at,
            as Amazon does.
    """
    if isinstance(node, Group):
        found = [holds(member, scores, draw, held) for member in node.members]
        return all(found) if node.every else any(found)
    true = draw(node.path) < node.share if isinstance(node, Sampling) else node.holds(scores)
    if true:
        held.append(node.text)
    return true


def probability(node: Node, scores: Mapping[str, float]) -> float:
    """The chance that the conditions hold for these scores.

    Exact, since each sampling is drawn for itself and stands in the tree once: of an `And` the
    product of p over its members, of an `Or` 1 - Π (1 - p).
    """
    if isinstance(node, Sampling):
        return node.share
    if isinstance(node, Check):
        return float(node.holds(scores))
    chances = [probability(member, scores) for member in node.members]
    if node.every:
        return math.prod(chances)
    # 1 - (1 - p) is not quite p
    possible = [chance for chance in chances if chance > 0]
    if len(possible) == 1:
        return possible[0]
    return 1 - math.prod(1 - chance for chance in possible)


def text_of(node: Node) -> str:
    """`Suggestive < 60 or (sampled 5 % and any label > 90)`."""
    if not isinstance(node, Group):
        return node.text
    return (" and " if node.every else " or ").join(map(_inner_text, node.members))


def rules_of(conditions: list[Any], queue: str) -> list[dict[str, Any]]:
    """One rule for each condition, so that a decision's reason tells which one it was."""
    return [
        {
            "id": f"a2i-{number}",
            "activation": {CONDITIONS: [condition]},
            "route": "review",
            "queue": queue,
        }
        for number, condition in enumerate(conditions, start=1)
    ]


def _members(found: Any, loc: Loc, path: bytes, *, depth: int) -> tuple[Node, ...]:
    return tuple(
        _node(member, (*loc, number), b"%b/%d" % (path, number), depth=depth)
        for number, member in enumerate(found)
    )


def _node(written: Any, loc: Loc, path: bytes, *, depth: int) -> Node:
    if not isinstance(written, dict):
        raise Invalid("Expected an object.", loc=loc)
    keys = set(written)
    if keys in ({"And"}, {"Or"}):
        return _group(written, loc, path, depth=depth + 1)
    kind = written.get("ConditionType")
    if isinstance(kind, str) and kind in FORM_KEYS:
        raise Invalid(
            f"{kind} is Amazon Textract's and looks at form keys, which Overrule does not have: "
            "send each form field as a prediction of its own, its key as a segment and its "
            "confidence as the confidence, and write a rule `confidence` with `per_segment`.",
            loc=(*loc, "ConditionType"),
        )
    if keys != {"ConditionType", "ConditionParameters"}:
        raise Invalid("Expected And, or Or, or ConditionType with ConditionParameters.", loc=loc)
    parameters, inside = written["ConditionParameters"], (*loc, "ConditionParameters")
    if not isinstance(parameters, dict):
        raise Invalid("Expected an object.", loc=inside)
    if kind == CHECK:
        return _check(parameters, inside)
    if kind == SAMPLING:
        return _sampling(parameters, inside, path)
    raise Invalid(f"Expected {CHECK} or {SAMPLING}.", loc=(*loc, "ConditionType"))


def _group(written: dict[str, Any], loc: Loc, path: bytes, *, depth: int) -> Group:
    ((name, members),) = written.items()
    loc = (*loc, name)
    if depth > DEPTH_MAX:
        raise Invalid(f"Nested more than {DEPTH_MAX} levels deep.", loc=loc)
    if not isinstance(members, list) or len(members) < MEMBERS_MIN:
        raise Invalid(f"Expected a list of at least {MEMBERS_MIN} conditions.", loc=loc)
    return Group(name == "And", _members(members, loc, path, depth=depth))


def _check(parameters: dict[str, Any], loc: Loc) -> Check:
    _refuse_others(parameters, {"ModerationLabelName", *COMPARISONS}, loc)
    label = parameters.get("ModerationLabelName")
    if not isinstance(label, str) or not 1 <= len(label) <= NAME_MAX:
        raise Invalid(
            f"Expected a label of 1 to {NAME_MAX} characters, or * for any.",
            loc=(*loc, "ModerationLabelName"),
        )
    named = [name for name in COMPARISONS if name in parameters]
    if not named:
        raise Invalid(f"Expected at least one of {', '.join(COMPARISONS)}.", loc=loc)
    percents = {name: _percent(parameters[name], (*loc, name)) for name in named}
    return Check(
        label,
        tuple((COMPARISONS[name][1], _share(percents[name])) for name in named),
        " and ".join(
            f"{'any label' if label == ANY_LABEL else label} {COMPARISONS[name][0]} {percent:.12g}"
            for name, percent in percents.items()
        ),
    )


def _sampling(parameters: dict[str, Any], loc: Loc, path: bytes) -> Sampling:
    name = "RandomSamplingPercentage"
    _refuse_others(parameters, {name}, loc)
    percent = _percent(parameters.get(name), (*loc, name), least=SAMPLING_PERCENT_MIN)
    return Sampling(_share(percent), path, f"sampled {percent:.12g} %")


def _refuse_others(parameters: Iterable[str], known: set[str], loc: Loc) -> None:
    for name in parameters:
        if name not in known:
            raise Invalid("Not a parameter of it.", loc=(*loc, name))


def _percent(value: Any, loc: Loc, least: float = 0) -> float:
    # JSON's true is an int in Python
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid("Expected a number.", loc=loc)
    if not least <= value <= PERCENT_MAX:
        raise Invalid(f"Must lie between {least:g} and {PERCENT_MAX}.", loc=loc)
    return value


def _share(percent: float) -> float:
    """A hundredth, as it would be written: 99.9 gives 0.999, not 0.9990000000000001."""
    return float(Decimal(str(percent)) / PERCENT_MAX)


def _inner_text(node: Node) -> str:
    return f"({text_of(node)})" if isinstance(node, Group) else node.text
