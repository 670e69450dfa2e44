"""A recorded decision, made again from what is kept and compared with what was recorded."""

import hashlib
import struct
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from app.core.errors import Invalid
from app.core.routing.decision import decide, decision_of
from app.core.routing.document import digest_of
from app.core.routing.draw import Chance
from app.core.routing.monitors import COLLECTING, Seen
from app.core.routing.policy import Policy, compile_policy
from app.core.routing.prediction import Prediction, Signals, Unfamiliar, signals_of
from app.core.routing.receipt import Decided, KeptPrediction, Receipt, WrittenPolicy, decided
from app.core.routing.recorded_draws import AsRecorded

FLOAT32_BYTES = 4
# of a value within a sentence
SHOWN_MAX = 200


class Difference(Struct, frozen=True):
    """Where what comes out is not what was recorded."""

    field: Annotated[
        str, Meta(description="Of the decision, `rules.<id>.…` of its trace, or of another part.")
    ]
    recorded: Any
    recomputed: Any

    def sentence(self) -> str:
        """For people."""
        recorded, recomputed = _short(self.recorded), _short(self.recomputed)
        return f"{self.field}: {recorded} is recorded, and {recomputed} comes out."


class Replayed(Struct, frozen=True):
    """What came out; `notes` are sentences on what could not be compared, and why."""

    differences: list[Difference]
    notes: list[str]


class CannotReplayError(Exception):
    """A part of what is kept cannot be read any more."""

    def __init__(self, sentence: str, difference: Difference) -> None:
        super().__init__(sentence)
        self.difference = difference


def replay(receipt: Receipt, chance: Chance | None) -> Replayed:
    """Make a decision again.

    Args:
        receipt: what is kept of it.
        chance: the draws of its id; None takes them as they were recorded.
    """
    differences = [*_policy_differences(receipt), *_prediction_differences(receipt.prediction)]
    notes = []
    if any(found.field == "prediction.digest" for found in differences):
        notes.append(
            "What is kept of the prediction is not what was decided on: it was changed, or erased "
            "in part."
        )
    try:
        policy = _compiled(receipt.policy)
        signals = signals_as_kept(receipt.prediction, receipt.unfamiliar, receipt.monitors)
    except CannotReplayError as error:
        differences.append(error.difference)
        notes.append(str(error))
    else:
        differences += _monitor_differences(policy, receipt.monitors)
        differences += differences_of(receipt.decision, policy, signals, chance)
    return Replayed(differences, notes)


def signals_as_kept(
    kept: KeptPrediction, unfamiliar: Unfamiliar | None = None, monitors: tuple[Seen, ...] = ()
) -> Signals:
    """What rules look at, read off a prediction as it is kept.

    Args:
        kept: what was sent.
        unfamiliar: what the detector said of it.
        monitors: the states that were relied on.

    Raises:
        CannotReplayError: it cannot be read any more.
    """
    unreadable = Difference("prediction", kept.digest, None)
    try:
        return signals_of(_prediction(kept), unfamiliar, monitors)
    except (msgspec.MsgspecError, struct.error) as error:
        why = f"What is kept of the prediction cannot be read: {error}."
        raise CannotReplayError(why, unreadable) from None
    except Invalid as error:
        why = f"What is kept of the prediction cannot be decided on: {error.detail}"
        raise CannotReplayError(why, unreadable) from None


def differences_of(
    recorded: Decided, policy: Policy | None, signals: Signals, chance: Chance | None
) -> Iterator[Difference]:
    """Decide again, and compare field by field.

    Args:
        recorded: the decision as it was recorded.
        policy: the version that decided; None without one.
        signals: read off the prediction as it is kept.
        chance: as in `replay`.
    """
    if chance is None:
        as_recorded = AsRecorded.of(policy, recorded)
        outcome = decide(as_recorded.policy, signals, as_recorded.chance)
    else:
        outcome = decide(policy, signals, chance)
    again = decided(
        decision_of(
            recorded.id,
            signals,
            outcome,
            policy_id=None,
            item=None,
            decided_at=recorded.decided_at,
        )
    )
    names = policy.trace_names if policy is not None else []
    for name in Decided.__struct_fields__:
        was, comes = getattr(recorded, name), getattr(again, name)
        if name in _PER_RULE and len(was) == len(comes):
            for rule, one, other in zip(names, was, comes, strict=True):
                if not _same(one, other):
                    yield Difference(f"rules.{rule}.{_PER_RULE[name]}", one, other)
        elif not _same(was, comes):
            yield Difference(name, was, comes)


def _policy_differences(receipt: Receipt) -> Iterator[Difference]:
    policy = receipt.policy
    if policy is None:
        return
    document = policy.document
    digest = digest_of(document).hex()
    applies_to = {"model": receipt.decision.model}
    if policy.digest != digest:
        yield Difference("policy.digest", policy.digest, digest)
    if policy.name != document.get("name"):
        yield Difference("policy.name", policy.name, document.get("name"))
    if document.get("applies_to") != applies_to:
        yield Difference("policy.document.applies_to", document.get("applies_to"), applies_to)


def _monitor_differences(policy: Policy | None, monitors: tuple[Seen, ...]) -> Iterator[Difference]:
    """Monitors that the policy looks at and that are not recorded: it takes them for collecting."""
    recorded = {(seen.name, seen.segment) for seen in monitors}
    for needed in policy.monitors if policy is not None else ():
        if (needed.monitor, needed.segment) not in recorded:
            yield Difference(f"monitors.{needed.monitor}", None, COLLECTING)


def _prediction_differences(kept: KeptPrediction) -> Iterator[Difference]:
    content = kept.text.encode()
    if kept.embedding is not None:
        content += b"\n" + kept.embedding
    digest = hashlib.sha256(content).hexdigest()
    if digest != kept.digest:
        yield Difference("prediction.digest", kept.digest, digest)


def _compiled(written: WrittenPolicy | None) -> Policy | None:
    if written is None:
        return None
    try:
        return compile_policy(written.document, written.name, written.version)
    except Invalid as error:
        raise CannotReplayError(
            f"This release refuses the policy {written.reference}, so the decision cannot be made "
            f"again: {error.detail}",
            Difference("policy", written.reference, None),
        ) from None


def _prediction(kept: KeptPrediction) -> Prediction:
    prediction = msgspec.json.decode(kept.text, type=Prediction)
    if kept.embedding is None:
        return prediction
    count = len(kept.embedding) // FLOAT32_BYTES
    embedding = list(struct.unpack(f"<{count}f", kept.embedding))
    return msgspec.structs.replace(prediction, embedding=embedding)


_PER_RULE = {"states": "state", "observed": "observed"}


def _same(one: Any, other: Any) -> bool:
    """Floats are the same when their bits are, so -0.0 and 0.0 are not."""
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    return bool(one == other)


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
