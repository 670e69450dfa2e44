"""What stands in a policy and never does anything: rules and drift responses without effect.

No mistakes: all is recorded the same, and the order may change again.
"""

from collections.abc import Iterator

from app.core.errors import Loc
from app.core.routing.document import Document, DriftResponse, Head, Route, Written, is_raised
from app.core.routing.on_drift import HOLDS, trace_name
from app.core.routing.rules.base import Condition
from app.core.routing.rules.confidence import Confidence
from app.core.routing.rules.out_of_distribution import OutOfDistribution


def warnings_of(document: Document, *, has_detector: bool) -> list[tuple[Loc, str]]:
    """What has no effect, by its place, and why.

    Args:
        document: the policy.
        has_detector: whether a detector is ready for its model.
    """
    return [
        *_rule_warnings(document),
        *_signal_warnings(document, has_detector=has_detector),
        *_response_warnings(document),
    ]


def _signal_warnings(document: Document, *, has_detector: bool) -> Iterator[tuple[Loc, str]]:
    """Each rule whose signal no prediction has by now."""
    for number, (rule, condition) in enumerate(document.rules):
        place: Loc = ("rules", number, condition.kind)
        if isinstance(condition, OutOfDistribution) and not has_detector:
            yield place, "Never applies until the model has a detector that is ready."
        if isinstance(condition, Confidence) and condition.scale == "recalibrated":
            does = "fires" if rule.if_missing == "fire" else "passes"
            yield place, f"Always missing, so it {does}, until the model has a calibration map."


def _rule_warnings(document: Document) -> list[tuple[Loc, str]]:
    """Each rule that never decides, with the first rule that is always before it.

    Routes do not matter, since the first rule that fires decides whatever its route is.
    """
    found: list[tuple[Loc, str]] = []
    floor = max(
        (response.raise_confidence_to or 0.0 for response in document.head.on_drift), default=0.0
    )
    for number, later in enumerate(document.rules):
        earlier = next((one for one in document.rules[:number] if _covers(one, later, floor)), None)
        if earlier is not None:
            head, condition = earlier
            found.append((("rules", number), _sentence(later[0].id, head.id, condition)))
    return found


def _covers(earlier: Written, later: Written, floor: float) -> bool:
    """Whether the earlier rule fires whenever the later would, missing signals included.

    Also while monitors raise the later one to the floor, and not the earlier.
    """
    passes, needs = earlier[0].if_missing == "pass", later[0].if_missing == "fire"
    if (passes and needs) or not earlier[1].covers(later[1]):
        return False
    if is_raised(*earlier) or not is_raised(*later):
        return True
    assert isinstance(later[1], Confidence), "no other kind is raised"
    return earlier[1].covers(later[1].raised(floor))


def _sentence(later: str, earlier: str, condition: Condition) -> str:
    return (
        f"{later!r} never decides: {earlier!r} ({condition.sentence()}) stands before it and fires "
        "whenever it would."
    )


def _response_warnings(document: Document) -> list[tuple[Loc, str]]:
    responses = document.head.on_drift
    return [
        (("on_drift", number, field), why)
        for number, response in enumerate(responses)
        for field, why in _without_effect(document, response, responses[:number])
    ]


def _without_effect(
    document: Document, response: DriftResponse, before: list[DriftResponse]
) -> Iterator[tuple[str, str]]:
    routes = {document.head.default, *(rule.route for rule, _ in document.rules)}
    floor, audit = response.raise_confidence_to, response.audit_probability
    if floor is not None and not any(
        condition.raised(floor) != condition
        for rule, condition in document.rules
        if is_raised(rule, condition) and isinstance(condition, Confidence)
    ):
        yield "raise_confidence_to", "Raises nothing: no threshold is below it."
    if audit is not None and audit <= min(_audits(document.head, routes), default=1.0):
        yield "audit_probability", "Raises nothing: no audit is less probable."
    if response.route is None:
        return
    if "accept" not in routes:
        yield "route", "Changes nothing: the policy accepts nothing."
    earlier = _first_to_route(response, before)
    if earlier is not None:
        name = trace_name(earlier)
        yield "route", f"Never decides: {name} stands before it and holds whenever it does."


def _audits(head: Head, routes: set[Route]) -> list[float]:
    """The audit probabilities of what can be accepted or rejected."""
    audit = head.audit
    accepted = [audit.probability, *audit.per_label.values()] if "accept" in routes else []
    return [*accepted, *([audit.rejected_probability] if "reject" in routes else [])]


def _first_to_route(later: DriftResponse, before: list[DriftResponse]) -> int | None:
    return next(
        (
            number
            for number, response in enumerate(before)
            if response.route is not None
            and (response.monitor, response.segment) == (later.monitor, later.segment)
            and HOLDS[response.when] >= HOLDS[later.when]
        ),
        None,
    )
