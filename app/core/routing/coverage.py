"""Rules that can never decide, because an earlier one fires whenever they would."""

from app.core.errors import Loc
from app.core.routing.document import Document, RuleHead
from app.core.routing.rules.base import Condition

Written = tuple[RuleHead, Condition]


def warnings_of(document: Document) -> list[tuple[Loc, str]]:
    """Each rule that never decides, by its place, with the first rule that is always before it.

    No mistake: the rule is recorded all the same, and the order may change again. Routes do not
    matter, since the first rule that fires decides whatever its route is.
    """
    found: list[tuple[Loc, str]] = []
    for number, later in enumerate(document.rules):
        earlier = _first_to_cover(later, document.rules[:number])
        if earlier is not None:
            head, condition = earlier
            found.append((("rules", number), _sentence(later[0].id, head.id, condition)))
    return found


def _first_to_cover(later: Written, before: list[Written]) -> Written | None:
    return next((earlier for earlier in before if _covers(earlier, later)), None)


def _covers(earlier: Written, later: Written) -> bool:
    """Whether the earlier rule fires whenever the later would, missing signals included."""
    passes, needs = earlier[0].if_missing == "pass", later[0].if_missing == "fire"
    return not (passes and needs) and earlier[1].covers(later[1])


def _sentence(later: str, earlier: str, condition: Condition) -> str:
    return (
        f"{later!r} never decides: {earlier!r} ({condition.sentence()}) stands before it and fires "
        "whenever it would."
    )
