"""A receipt: all that one decision was made of, so that anybody can make it again, offline.

It holds what was sent, the policy version, the states of monitors and the detector's score that it
relied on, what was decided, and the key of the draws once their day is over. `replay.py` makes the
decision again and compares; `verify.py` does so with a file.

Two things speak for every field. The receipt's own digest finds whatever was changed after it was
issued. Who computes that digest anew is found out by what follows from the rest: the policy's
digest, the prediction's digest, and every value of the decision but the times in it. States and
scores were measured at that moment: they are inputs, which a receipt states and cannot prove.
"""

import hashlib
import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from app.core.routing.decision import Decision
from app.core.routing.document import digest_of
from app.core.routing.draw import day_of
from app.core.routing.monitors import Seen
from app.core.routing.prediction import Recorded, Unfamiliar
from app.core.routing.rules.base import STATE_NAMES, Observed

FORMAT = "overrule-receipt/1"

# `$` alone would let a newline at the end through
Hex = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
State = Literal["passed", "fired", "missing", "error", "not_applicable"]


class Decided(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A decision as it is recorded; names and thresholds of its rules stand in the policy."""

    id: uuid.UUID
    request_key: str
    model: str
    model_version: str
    label: str | None
    confidence: float | None
    segment: dict[str, str] | None
    shadow: bool
    route: str
    reason: str
    states: Annotated[
        list[State],
        Meta(description="Of the policy's rules, in their order, then of its drift responses."),
    ]
    observed: Annotated[list[Observed], Meta(description="What each saw, in the same order.")]
    queue: Annotated[str | None, Meta(description="Where a human is asked; null: nobody is.")]
    priority: int
    audited: bool
    audit_probability: Annotated[float | None, Meta(description="Null for a review.")]
    audit_draw: Annotated[
        float | None, Meta(description="Audited when below the probability; null for a review.")
    ]
    inclusion_probability: Annotated[
        float, Meta(description="The chance that a human sees it; 0 for a shadow prediction.")
    ]
    stratum: Annotated[
        str, Meta(description="Decisions of one policy version, route and probability share it.")
    ]
    decided_at: datetime


class WrittenPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """The policy version that decided."""

    name: str
    version: int
    digest: Annotated[
        Hex, Meta(description="SHA-256 of the document as RFC 8785 canonical JSON, in hex.")
    ]
    document: dict[str, Any]

    @property
    def reference(self) -> str:
        """Name and number, `sentiment@3`."""
        return f"{self.name}@{self.version}"


class KeptPrediction(Struct, frozen=True, forbid_unknown_fields=True):
    """What was sent, as it is kept."""

    text: Annotated[
        str, Meta(description="The prediction without its embedding, as JSON with sorted keys.")
    ]
    embedding: Annotated[
        bytes | None, Meta(description="Little-endian float32 values in base64; null: none.")
    ]
    digest: Annotated[
        Hex,
        Meta(
            description="SHA-256 in hex of the text and, where there is one, a line feed and the "
            "embedding's bytes."
        ),
    ]


class DrawKey(Struct, frozen=True, forbid_unknown_fields=True):
    """The key of the day's draws, shown once nobody can foresee a draw with it.

    u = HMAC-SHA-256(key, purpose ‖ the id's 16 bytes); its first 53 bits are the number in [0, 1).
    """

    day: Annotated[date, Meta(description="The UTC day of the decision's id.")]
    available_at: Annotated[datetime, Meta(description="From when receipts hold the key.")]
    key_sha256: Annotated[
        Hex,
        Meta(description="SHA-256 of the key in hex: fixes the key before it is shown."),
    ]
    key: Annotated[Hex | None, Meta(description="In hex; null before `available_at`.")]


class Receipt(Struct, frozen=True, forbid_unknown_fields=True):
    """All that one decision was made of; `overrule verify` checks it offline."""

    format: Annotated[str, Meta(description=f"`{FORMAT}`.")]
    decision: Decided
    policy: Annotated[
        WrittenPolicy | None, Meta(description="Null: none was active, so it went to review.")
    ]
    prediction: KeptPrediction
    monitors: Annotated[
        tuple[Seen, ...], Meta(description="The states of monitors that it relied on.")
    ]
    unfamiliar: Annotated[
        Unfamiliar | None, Meta(description="What the detector said; null without one.")
    ]
    draw: DrawKey
    digest: Annotated[
        Hex,
        Meta(
            description="SHA-256 in hex of the receipt without this field, as RFC 8785 canonical "
            "JSON."
        ),
    ]


def receipt_of(
    decision: Decision,
    kept: Recorded,
    policy: WrittenPolicy | None,
    key_of_day: bytes,
    now: datetime,
) -> Receipt:
    """The receipt of a recorded decision.

    Args:
        decision: as it was recorded.
        kept: the prediction as it is kept.
        policy: the version that decided; None without one.
        key_of_day: of the UTC day of the decision's id.
        now: by the database's clock; the key is shown once its day is over.
    """
    day = day_of(decision.id)
    available_at = available_from(day)
    receipt = Receipt(
        format=FORMAT,
        decision=decided(decision),
        policy=policy,
        prediction=KeptPrediction(kept.text, kept.embedding, kept.digest.hex()),
        monitors=decision.monitors,
        unfamiliar=decision.unfamiliar,
        draw=DrawKey(
            day,
            available_at,
            hashlib.sha256(key_of_day).hexdigest(),
            key_of_day.hex() if now >= available_at else None,
        ),
        digest="",
    )
    content = msgspec.json.decode(msgspec.json.encode(receipt))
    return msgspec.structs.replace(receipt, digest=digest_of_receipt(content))


def digest_of_receipt(content: dict[str, Any]) -> str:
    """What the field `digest` says of the others, in hex.

    Raises:
        Invalid: a number that canonical JSON cannot carry.
    """
    return digest_of({name: value for name, value in content.items() if name != "digest"}).hex()


def available_from(day: date) -> datetime:
    """When a UTC day is over."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def decided(decision: Decision) -> Decided:
    """What is recorded of a decision."""
    outcome: dict[str, Any] = msgspec.structs.asdict(decision.outcome)
    return Decided(
        id=decision.id,
        request_key=decision.request_key,
        model=decision.model,
        model_version=decision.model_version,
        label=decision.label,
        confidence=decision.confidence,
        segment=decision.segment,
        shadow=decision.shadow,
        decided_at=decision.decided_at,
        **{**outcome, "states": [STATE_NAMES[state] for state in decision.outcome.states]},
    )
