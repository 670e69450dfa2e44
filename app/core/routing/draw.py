"""Chance that can be recomputed.

A draw is u = HMAC-SHA-256(K_day, purpose ‖ decision id) as a number in [0, 1), with
K_day = HMAC-SHA-256(project secret, UTC day of the id). Nobody outside can foresee it; whoever is
given the key of a day that is over can check each draw of that day. One number for two purposes
would couple them, so each purpose (`audit`, `rule:<id>`) has its own.
"""

import hashlib
import hmac
import uuid
from datetime import date
from functools import lru_cache

from msgspec import Struct


def day_key(project_secret: bytes, day: date) -> bytes:
    """The key of one UTC day's draws."""
    return hmac.digest(project_secret, day.isoformat().encode(), "sha256")


class DayKey:
    """A key of a day, ready to draw.

    HMAC(K, m) = H(K ⊕ opad ‖ H(K ⊕ ipad ‖ m)) (RFC 2104); what comes before m is the same for all
    draws of a day, so it is hashed once. That takes a third of the time of `hmac.digest`.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key_of_day: bytes) -> None:
        padded = key_of_day.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in padded))

    def code(self, message: bytes) -> bytes:
        """HMAC-SHA-256 of a message."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


@lru_cache(maxsize=4096)
def ready_day_key(project_secret: bytes, day: date) -> DayKey:
    """The key of one UTC day's draws, made ready once for all draws of the day."""
    return DayKey(day_key(project_secret, day))


def day_of(decision_id: uuid.UUID) -> date:
    """The UTC day of a decision's id, whose key its draws are made with."""
    return _utc_day((decision_id.int >> 80) // _DAY_MS)


class Chance(Struct, frozen=True, gc=False):
    """The draws of one decision.

    Attributes:
        key_of_day: of the UTC day of the decision's id.
        decision_id: its 16 bytes.
    """

    key_of_day: DayKey
    decision_id: bytes

    def draw(self, purpose: bytes) -> float:
        """A number in [0, 1), uniform over decisions and independent between purposes.

        Args:
            purpose: `audit` or `rule:<id>`, in UTF-8.
        """
        code = self.key_of_day.code(purpose + self.decision_id)
        # the first 53 bits: every value is a double, and 1.0 cannot come out
        return (int.from_bytes(code[:7], "big") >> 3) / 2**53


@lru_cache(maxsize=8)
def _utc_day(days_since_1970: int) -> date:
    return date.fromordinal(_EPOCH + days_since_1970)


_EPOCH = date(1970, 1, 1).toordinal()
_DAY_MS = 86_400_000
# of SHA-256; a key of a day has 32
_BLOCK_BYTES = 64
