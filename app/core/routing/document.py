"""A policy as it is written: checked whole, every mistake named by its place.

The document is what is stored and hashed; `policy.py` turns it into what decides.
"""

import hashlib
import re
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Literal

import msgspec
import rfc8785
from msgspec import Meta, Struct, field

from app.core.errors import Invalid, Loc
from app.core.routing.prediction import Key, LabelText
from app.core.routing.rules import BARE, KINDS
from app.core.routing.rules.base import Condition
from app.core.routing.rules.confidence import Confidence
from app.core.routing.rules.when import Expression

RULES_MAX = 50
LABELS_MAX = 1000
# of the regular expressions of all rules together: some 80 ms for one prediction at the worst
PATTERNS_WEIGHT_MAX = 400
SEGMENTS_MAX = 10
RESPONSES_MAX = 20
# weights 1/π that differ by more than this make estimates useless
AUDIT_RATIO_MAX = 10
AUDIT_PROBABILITY = 0.01
# one in a million: less is no audit, and its weight 1/π no number to reckon with
AUDIT_PROBABILITY_MIN = 1e-6
DEFAULT_AUDITS = "audits"
# no rule may carry them: they are reasons of their own
RESERVED_IDS = frozenset({"default", "no-policy"})

# `$` alone would let a newline at the end through
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$(?!\n)")]
Route = Literal["accept", "review", "reject"]
Probability = Annotated[float, Meta(ge=0, le=1)]
# the least is checked below, where the sentence can say why
AuditProbability = Annotated[
    float, Meta(le=1, extra_json_schema={"minimum": AUDIT_PROBABILITY_MIN})
]
Priority = Annotated[int, Meta(ge=0, le=100)]


class AppliesTo(Struct, frozen=True, forbid_unknown_fields=True):
    """Which predictions a policy decides: those of one model."""

    model: Key


class Audit(Struct, frozen=True, forbid_unknown_fields=True):
    """Random audits of what no human would otherwise see."""

    probability: AuditProbability = AUDIT_PROBABILITY
    per_label: dict[LabelText, AuditProbability] = field(default_factory=dict)
    rejected_probability: AuditProbability = AUDIT_PROBABILITY
    queue: Name = DEFAULT_AUDITS


class DriftResponse(Struct, frozen=True, forbid_unknown_fields=True):
    """What a policy does while a monitor is in a state; it has at least one effect."""

    monitor: Name
    when: Annotated[
        Literal["warning", "drifting"], Meta(description="`warning` holds while drifting, too.")
    ]
    segment: Annotated[
        Key | None,
        Meta(
            description="A key of `segments`: what counts is the state in the prediction's own "
            "segment of it, or else in all of its model version. Null: in any of its segments."
        ),
    ] = None
    raise_confidence_to: Annotated[
        Probability | None,
        Meta(description="No confidence rule that routes to review has a lower threshold."),
    ] = None
    audit_probability: Annotated[
        Probability | None,
        Meta(description="Nothing accepted or rejected is audited with a lower one."),
    ] = None
    route: Annotated[
        Literal["review"] | None,
        Meta(description="What would be accepted is reviewed in `queue` instead."),
    ] = None
    queue: Name | None = None
    priority: Annotated[Priority | None, Meta(description="Null: 50.")] = None


class RuleHead(Struct, frozen=True, forbid_unknown_fields=True):
    """What every rule has besides its condition."""

    id: Name
    route: Route
    queue: Name | None = None
    priority: Priority = 50
    if_missing: Literal["fire", "pass"] = "fire"
    description: Annotated[str, Meta(max_length=1000)] | None = None


class Head(Struct, frozen=True, forbid_unknown_fields=True):
    """A document without its rules' conditions, which `_condition` reads."""

    name: Name
    applies_to: AppliesTo
    rules: Annotated[list[dict[str, Any]], Meta(max_length=RULES_MAX)] = field(default_factory=list)
    labels: Annotated[list[LabelText], Meta(min_length=1, max_length=LABELS_MAX)] | None = None
    segments: Annotated[list[Key], Meta(max_length=SEGMENTS_MAX)] = field(default_factory=list)
    audit: Audit = field(default_factory=Audit)
    on_drift: Annotated[list[DriftResponse], Meta(max_length=RESPONSES_MAX)] = field(
        default_factory=list
    )
    default: Route = "accept"
    description: Annotated[str, Meta(max_length=10_000)] | None = None


Written = tuple[RuleHead, Condition]


class Document(Struct, frozen=True):
    """A checked policy document."""

    head: Head
    rules: list[Written]


def parse(
    data: Any,
    queues: AbstractSet[str] | None = None,
    monitors: AbstractSet[str] | None = None,
) -> Document:
    """Check a document whole.

    Args:
        data: what JSON or YAML decoded to.
        queues: the names of the project's queues; None for a stored document, whose queues were
            there when it was stored.
        monitors: the names of the project's monitors of the policy's model; None as for queues.

    Raises:
        Invalid: `places` name every mistake that could be found.
    """
    try:
        head = msgspec.convert(data, Head)
    except msgspec.ValidationError as error:
        raise Invalid.of([place_of(error)]) from None
    places: list[tuple[Loc, str]] = []
    labels = frozenset(head.labels) if head.labels is not None else None
    segments = frozenset(head.segments)
    rules: dict[int, Written] = {}
    for number, written in enumerate(head.rules):
        try:
            rules[number] = _rule(written, labels, segments, ("rules", number))
        except Invalid as error:
            places += error.places
    weight = sum(
        condition.weight for _, condition in rules.values() if isinstance(condition, Expression)
    )
    if weight > PATTERNS_WEIGHT_MAX:
        places.append((("rules",), "The patterns of all its matches() together cost too much."))
    heads = {number: rule for number, (rule, _) in rules.items()}
    places += _mistakes(head, heads)
    places += _response_mistakes(head, list(rules.values()))
    if queues is not None:
        places += _unknown_queues(head, heads, queues)
    if monitors is not None:
        places += _unknown_monitors(head, rules, monitors)
    if places:
        raise Invalid.of(places)
    return Document(head, list(rules.values()))


def is_raised(rule: RuleHead, condition: Condition) -> bool:
    """Whether `raise_confidence_to` means the rule: it sends to review what is not confident."""
    return rule.route == "review" and isinstance(condition, Confidence)


def digest_of(data: Any) -> bytes:
    """SHA-256 over the document as RFC 8785 canonical JSON.

    Raises:
        Invalid: a number that canonical JSON cannot carry.
    """
    try:
        return hashlib.sha256(rfc8785.dumps(data)).digest()
    except rfc8785.CanonicalizationError as error:
        raise Invalid(f"The document has no canonical form: {error}.", loc=("body",)) from None


def place_of(error: msgspec.ValidationError, prefix: Loc = ()) -> tuple[Loc, str]:
    """Read msgspec's `Expected … - at `$.rules[0].id`` as a path and a sentence."""
    message, _, path = str(error).partition(" - at ")
    steps = re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]|\[(\.\.\.)\]", path)
    loc = tuple(int(index) if index else name or dots for name, index, dots in steps)
    unknown = re.fullmatch(r"Object contains unknown field `(.+)`", message)
    if unknown:
        return (*prefix, *loc, unknown.group(1)), "Not a field of it."
    missing = re.fullmatch(r"Object missing required field `(.+)`", message)
    if missing:
        return (*prefix, *loc, missing.group(1)), "Is required."
    return (*prefix, *loc) or ("body",), f"{message}."


def _rule(
    written: dict[str, Any], labels: frozenset[str] | None, segments: frozenset[str], loc: Loc
) -> tuple[RuleHead, Condition]:
    kinds = [name for name in written if name in KINDS]
    if len(kinds) != 1:
        raise Invalid(
            f"A rule has exactly one condition of {', '.join(KINDS)}; found {len(kinds)}.", loc=loc
        )
    kind = kinds[0]
    try:
        head = msgspec.convert(
            {name: value for name, value in written.items() if name != kind}, RuleHead
        )
    except msgspec.ValidationError as error:
        raise Invalid.of([place_of(error, loc)]) from None
    condition = _condition(kind, written[kind], (*loc, kind))
    wrong = condition.check(labels, segments)
    if wrong is not None:
        raise Invalid(wrong, loc=(*loc, kind))
    return head, condition


def _condition(kind: str, specification: Any, loc: Loc) -> Condition:
    try:
        if kind in BARE:
            type_, name = BARE[kind]
            return KINDS[kind](**{name: msgspec.convert(specification, type_)})
        return msgspec.convert(specification, KINDS[kind])
    except msgspec.ValidationError as error:
        raise Invalid.of([place_of(error, loc)]) from None
    except Invalid as error:
        raise Invalid.of([((*loc, *place), why) for place, why in error.places]) from None


def _mistakes(head: Head, rules: dict[int, RuleHead]) -> list[tuple[Loc, str]]:
    """What only shows in the document as a whole."""
    places: list[tuple[Loc, str]] = []
    seen = set()
    for number, rule in rules.items():
        if rule.id in RESERVED_IDS or rule.id in seen:
            places.append((("rules", number, "id"), f"{rule.id!r} is taken."))
        seen.add(rule.id)
        if rule.route == "review" and rule.queue is None:
            places.append(
                (("rules", number, "queue"), "A rule that routes to review names a queue.")
            )
        if rule.route != "review" and rule.queue is not None:
            places.append(
                (("rules", number, "queue"), "Only a rule that routes to review has one.")
            )
    if head.default == "review":
        places.append((("default",), "Write a last rule for what is reviewed; it names its queue."))
    if head.labels is not None:
        unknown = sorted(set(head.audit.per_label) - set(head.labels))
        if unknown:
            places.append(
                (("audit", "per_label"), f"The policy does not have the labels {unknown}.")
            )
    return places + _audit_mistakes(head, rules)


def _unknown_queues(
    head: Head, rules: dict[int, RuleHead], queues: AbstractSet[str]
) -> list[tuple[Loc, str]]:
    named: list[tuple[Loc, str | None]] = [
        (("rules", number, "queue"), rule.queue) for number, rule in rules.items()
    ]
    named.append((("audit", "queue"), head.audit.queue))
    named += [
        (("on_drift", number, "queue"), response.queue)
        for number, response in enumerate(head.on_drift)
    ]
    return [
        (loc, f"There is no queue {queue!r}; make it first (PUT /v1/queues/{queue}).")
        for loc, queue in named
        if queue is not None and queue not in queues
    ]


def _unknown_monitors(
    head: Head, rules: dict[int, Written], monitors: AbstractSet[str]
) -> list[tuple[Loc, str]]:
    named: list[tuple[Loc, str]] = [
        (("rules", number, "when"), monitor)
        for number, (_, condition) in rules.items()
        if isinstance(condition, Expression)
        for monitor in condition.monitors
    ]
    named += [
        (("on_drift", number, "monitor"), response.monitor)
        for number, response in enumerate(head.on_drift)
    ]
    made = f"The model {head.applies_to.model!r} has no monitor"
    return [
        (loc, f"{made} {monitor!r}; make it first (PUT /v1/monitors/{monitor}).")
        for loc, monitor in named
        if monitor not in monitors
    ]


def _response_mistakes(head: Head, rules: list[Written]) -> list[tuple[Loc, str]]:
    can_raise = any(is_raised(*rule) for rule in rules)
    return [
        ((*("on_drift", number), *place), why)
        for number, response in enumerate(head.on_drift)
        for place, why in _mistakes_of(response, head.segments, can_raise=can_raise)
    ]


def _mistakes_of(
    response: DriftResponse, segments: list[str], *, can_raise: bool
) -> list[tuple[Loc, str]]:
    raised, routed = response.raise_confidence_to, response.route is not None
    places: list[tuple[Loc, str]] = []
    if raised is None and response.audit_probability is None and not routed:
        places.append(((), "Write raise_confidence_to, audit_probability, or route and queue."))
    if response.segment is not None and response.segment not in segments:
        places.append((("segment",), f"The policy does not declare {response.segment!r}."))
    if raised is not None and not can_raise:
        places.append(
            (("raise_confidence_to",), "No confidence rule routes to review: write one to raise.")
        )
    if routed and response.queue is None:
        places.append((("queue",), "What routes to review names a queue."))
    places += [
        ((name,), "Only what routes to review has one.")
        for name, value in (("queue", response.queue), ("priority", response.priority))
        if value is not None and not routed
    ]
    return places


def _audit_mistakes(head: Head, rules: dict[int, RuleHead]) -> list[tuple[Loc, str]]:
    routes = {head.default, *(rule.route for rule in rules.values())}
    accepted: dict[Loc, float] = {("audit", "probability"): head.audit.probability}
    for label, probability in head.audit.per_label.items():
        accepted[("audit", "per_label", label)] = probability
    rejected: dict[Loc, float] = {
        ("audit", "rejected_probability"): head.audit.rejected_probability
    }
    never = [
        (
            loc,
            f"Must be at least {AUDIT_PROBABILITY_MIN:g}: the unaudited goes wrong unseen.",
        )
        for loc, probability in (accepted | rejected).items()
        if probability < AUDIT_PROBABILITY_MIN
    ]
    if never:
        return never
    # the ratio matters only between what is used
    probabilities = (accepted if "accept" in routes else {}) | (
        rejected if "reject" in routes else {}
    )
    if not probabilities:
        return []
    # a hair above the limit is the division's rounding (0.1 and 0.01 are 10:1)
    most = min(probabilities.values()) * (AUDIT_RATIO_MAX + 1e-9)
    if max(probabilities.values()) > most:
        return [(("audit",), f"Audit probabilities differ by more than {AUDIT_RATIO_MAX}:1.")]
    # what is raised now stands beside what was not, in one estimate
    return [
        (
            ("on_drift", number, "audit_probability"),
            f"More than {AUDIT_RATIO_MAX} times the lowest probability of the policy.",
        )
        for number, response in enumerate(head.on_drift)
        if response.audit_probability is not None and response.audit_probability > most
    ]
