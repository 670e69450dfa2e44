"""What is kept of monitors: the names of evaluations, and what is told of a change of state."""

import hashlib
import uuid
from datetime import datetime

from msgspec import Struct, field

from app.core.drift.windows import EPOCH, Window

CHANGED = "monitor.changed"
"""The type of the event that tells of a change."""


class Change(Struct, frozen=True, kw_only=True):
    """A monitor's combined state of one model version and segment became another.

    Attributes:
        monitor: its name.
        model: whose predictions it watches.
        model_version: of them.
        segment: `source:tweets`; None is the whole of the version.
        before: the state that was.
        after: the state that is.
        evaluation: that brought it about; None where an operator did.
        window_start: of that evaluation.
        window_end: of that evaluation.
    """

    monitor: str
    model: str
    model_version: str
    segment: str | None
    before: str = field(name="from")
    after: str = field(name="to")
    evaluation: uuid.UUID | None = None
    window_start: datetime | None = None
    window_end: datetime | None = None


def evaluation_id(
    monitor_id: uuid.UUID, model_version: str, segment: str, window: Window, end: datetime
) -> uuid.UUID:
    """The id of an evaluation: the same whoever makes it, and in the order of time.

    It has the form of a UUIDv7: milliseconds of the window's end, then bits of a SHA-256.
    """
    parts = (str(monitor_id), model_version, segment, str(window.first), str(window.last))
    key = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    chosen = int.from_bytes(hashlib.sha256(key).digest()[:10], "big")
    milliseconds = int((end - EPOCH).total_seconds() * 1000)
    number = milliseconds << 80 | chosen
    number = number & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=number & ~(0x3 << 62) | 2 << 62)
