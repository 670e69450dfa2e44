"""Chance that can be recomputed.

A draw is u = HMAC-SHA-256(K_day, purpose ‖ decision id) as a number in [0, 1), with
K_day = HMAC-SHA-256(project secret, UTC day of the id). Nobody outside can foresee it; whoever is
given the key of a day that is over can check each draw of that day. One number for two purposes
would couple them, so each purpose (`audit`, `rule:<id>`) has its own.
"""

import hmac
from datetime import date


def day_key(project_secret: bytes, day: date) -> bytes:
    """The key of one UTC day's draws."""
    return hmac.digest(project_secret, day.isoformat().encode(), "sha256")


def draw(key_of_day: bytes, purpose: str, decision_id: bytes) -> float:
    """A number in [0, 1), uniform over decisions and independent between purposes.

    Args:
        key_of_day: of the UTC day of the decision's id.
        purpose: `audit` or `rule:<id>`.
        decision_id: its 16 bytes.
    """
    code = hmac.digest(key_of_day, purpose.encode() + decision_id, "sha256")
    # the first 53 bits: every value is a double, and 1.0 cannot come out
    return (int.from_bytes(code[:7], "big") >> 3) / 2**53
