"""Amazon A2I's activation conditions become a policy, as a draft."""

from typing import Any

from app.core.access import Caller
from app.core.errors import Invalid, Loc
from app.core.routing import a2i
from app.core.routing.document import RULES_MAX
from app.flows import policies
from app.flows.context import Context

FIELD = "conditions"


async def import_a2i(
    ctx: Context,
    caller: Caller,
    *,
    name: str,
    model: str,
    queue: str,
    conditions: Any,
    others: dict[str, Any],
) -> policies.Put:
    """Make the next version of a policy that reviews what the conditions would.

    Args:
        ctx: the service.
        caller: who asks.
        name: the policy's.
        model: whose predictions it decides.
        queue: where reviewers are asked.
        conditions: the object that Amazon takes, decoded.
        others: further fields of the document.

    Raises:
        Invalid: every mistake, by its place in what was sent.
    """
    try:
        a2i.read(conditions)
    except Invalid as error:
        raise Invalid.of([((FIELD, *loc), why) for loc, why in error.places]) from None
    listed = conditions[a2i.CONDITIONS]
    if len(listed) > RULES_MAX:
        raise Invalid(
            f"Each becomes a rule, and a policy has at most {RULES_MAX}: join some by Or.",
            loc=(FIELD, a2i.CONDITIONS),
        )
    document = {
        "name": name,
        "applies_to": {"model": model},
        "rules": a2i.rules_of(listed, queue),
        **others,
    }
    try:
        return await policies.put(ctx, caller, name, document)
    except Invalid as error:
        # a queue that is not there is wrong in every rule
        places = dict.fromkeys((_place_sent(loc), why) for loc, why in error.places)
        raise Invalid.of(list(places)) from None


def _place_sent(loc: Loc) -> Loc:
    """Where a mistake in the document stands in what was sent."""
    match loc:
        case ("rules", _, "queue"):
            return ("queue",)
        case ("rules", number, *_):
            return (FIELD, a2i.CONDITIONS, number)
        case _:
            return loc
