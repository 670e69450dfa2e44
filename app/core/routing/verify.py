"""Checks a receipt with nothing but itself: no database, no network."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from app.core.errors import Invalid
from app.core.routing.draw import Chance, DayKey, day_of
from app.core.routing.receipt import FORMAT, DrawKey, Receipt, available_from, digest_of_receipt
from app.core.routing.replay import Difference, replay


class Verified(Struct, frozen=True):
    """What came of it.

    Attributes:
        valid: all that can be checked agrees.
        decision: its id; None where the receipt cannot be read.
        differences: where it does not agree.
        notes: sentences on what could not be checked, and why.
    """

    valid: bool
    decision: str | None
    differences: list[Difference]
    notes: list[str]

    def sentences(self) -> list[str]:
        """For people."""
        verdict = (
            f"The receipt holds: decision {self.decision} follows from what it was made of."
            if self.valid
            else "The receipt does not hold."
        )
        issued = (
            "That its parts agree does not show who issued it: compare its digest with "
            f"GET /v1/decisions/{self.decision}/receipt."
        )
        return [
            verdict,
            *(found.sentence() for found in self.differences),
            *self.notes,
            *[issued] * self.valid,
        ]


def verify(raw: bytes) -> Verified:
    """Check a receipt as it was served: its digests, its decision, and its draws.

    Before the key of the day is shown the draws are taken as they were recorded, and what follows
    from them is checked all the same.
    """
    try:
        receipt, content = _read(raw)
        differences = [*_digest_differences(receipt, content), *_key_differences(receipt)]
        replayed = replay(receipt, _chance(receipt))
    except (Invalid, ValueError, OverflowError, RecursionError) as error:
        return Verified(False, None, [], [f"It cannot be read as a receipt: {error}."])
    differences += replayed.differences
    notes = [*replayed.notes, *_notes_on_key(receipt.draw)]
    return Verified(not differences, str(receipt.decision.id), differences, notes)


class _Outline(Struct):
    format: str


def _read(raw: bytes) -> tuple[Receipt, dict[str, Any]]:
    """The receipt, and its content as plain values, of which its digest speaks.

    Raises:
        ValueError: not JSON; of another format or shape; a field twice, since readers differ in
            which of the two counts; a value that has a second spelling, as an id in capitals has.
    """
    outline = msgspec.json.decode(raw, type=_Outline)
    if outline.format != FORMAT:
        raise ValueError(f"its format is {outline.format!r}, and this release reads {FORMAT!r}")
    receipt = msgspec.json.decode(raw, type=Receipt)
    content: dict[str, Any] = json.loads(raw, object_pairs_hook=_each_once)
    if digest_of_receipt(json.loads(msgspec.json.encode(receipt))) != digest_of_receipt(content):
        raise ValueError("one of its values is spelled as no receipt spells it")
    return receipt, content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("one of its fields stands there twice")
    return fields


def _digest_differences(receipt: Receipt, content: dict[str, Any]) -> Iterator[Difference]:
    digest = digest_of_receipt(content)
    if digest != receipt.digest:
        yield Difference("digest", receipt.digest, digest)


def _key_differences(receipt: Receipt) -> Iterator[Difference]:
    draw = receipt.draw
    day = day_of(receipt.decision.id)
    if draw.day != day:
        yield Difference("draw.day", draw.day, day)
    if draw.available_at != available_from(day):
        yield Difference("draw.available_at", draw.available_at, available_from(day))
    if draw.key is not None:
        digest = hashlib.sha256(bytes.fromhex(draw.key)).hexdigest()
        if draw.key_sha256 != digest:
            yield Difference("draw.key_sha256", draw.key_sha256, digest)


def _notes_on_key(draw: DrawKey) -> Iterator[str]:
    if draw.key is None:
        yield (
            f"Its draws are taken as recorded; a receipt made from {draw.available_at:%FT%TZ} on "
            "holds the key that checks them."
        )


def _chance(receipt: Receipt) -> Chance | None:
    """The draws of its id, once their key is shown."""
    key = receipt.draw.key
    if key is None:
        return None
    return Chance(DayKey(bytes.fromhex(key)), receipt.decision.id.bytes)
