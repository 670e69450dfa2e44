"""What a monitor may watch, and the settings that make sense for it.

Most signals are streams of a reference. Two are errors instead and need none: `concept` sets the
audited error against what was certified, `gap` against the model's own confidence.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from app.core.drift.concept import MARGIN
from app.core.drift.streams import (
    COMPONENT,
    CONFIDENCE,
    DISAGREEMENT,
    EMBEDDING,
    FEATURE,
    LABEL,
    MISSING,
    OUT_OF_DISTRIBUTION,
)
from app.core.drift.windows import Timing
from app.core.errors import Invalid, Loc

CONCEPT = "concept"
GAP = "gap"
AUDITED = (CONCEPT, GAP)
FEATURES = "features"
# a signal by one name; those of one feature are `feature:<name>`
SIGNALS = (
    LABEL,
    CONFIDENCE,
    DISAGREEMENT,
    FEATURES,
    EMBEDDING,
    OUT_OF_DISTRIBUTION,
    MISSING,
    *AUDITED,
)

BUCKET_S_MAX = 86_400
GRACE_S_MAX = 86_400
LENGTHS_MAX = 4
LENGTH_MAX = 168
"""Buckets of a window: a week of hours."""
MONITORS_MAX = 100
"""Of one model. Each distinct reference is counted with every prediction."""
MUTE_MAX = timedelta(days=30)


class TimingAsked(Struct, frozen=True):
    """Settings of time as they are asked for; None takes what the model has, or the default."""

    bucket_s: int | None = None
    grace_s: int | None = None
    lengths: tuple[int, ...] | None = None


def check_signal(signal: str, *, has_reference: bool, certified_error: float | None) -> None:
    """Refuse a signal that is none, and settings that do not fit it.

    Raises:
        Invalid: `places` name every mistake.
    """
    places: list[tuple[Loc, str]] = []
    if signal not in SIGNALS and not _is_feature(signal):
        known = ", ".join((*SIGNALS, f"{FEATURE}<name>"))
        places.append((("signal",), f"Must be one of {known}."))
    elif has_reference == (signal in AUDITED):
        places.append(
            (("reference",), f"The signal {signal} is not compared with a reference: leave it out.")
            if has_reference
            else (("reference",), f"The signal {signal} needs a reference to be compared with.")
        )
    places += _certified_mistakes(signal, certified_error)
    if places:
        raise Invalid.of(places)


def watched(signal: str, streams: Sequence[str]) -> list[str]:
    """Those of a reference's streams that a signal stands for, in their order."""
    if signal in AUDITED:
        return []
    if signal == FEATURES:
        return [stream for stream in streams if _is_feature(stream)]
    if signal == EMBEDDING:
        return [stream for stream in streams if stream.startswith(COMPONENT)]
    return [stream for stream in streams if stream == signal]


def settled(asked: TimingAsked, present: Timing | None) -> Timing:
    """The timing that is meant.

    Args:
        asked: what was asked for.
        present: the model's; None before its first monitor.

    Raises:
        Invalid: past a limit.
    """
    usual = present or Timing()
    bucket_s = usual.bucket_s if asked.bucket_s is None else asked.bucket_s
    grace_s = usual.grace_s if asked.grace_s is None else asked.grace_s
    lengths = tuple(sorted(usual.lengths if asked.lengths is None else asked.lengths))
    places: list[tuple[Loc, str]] = []
    if not 1 <= bucket_s <= BUCKET_S_MAX:
        places.append((("bucket_s",), f"Must be between 1 and {BUCKET_S_MAX} seconds."))
    if not 0 <= grace_s <= GRACE_S_MAX:
        places.append((("grace_s",), f"Must be between 0 and {GRACE_S_MAX} seconds."))
    if not 1 <= len(set(lengths)) == len(lengths) <= LENGTHS_MAX:
        places.append((("windows",), f"Between 1 and {LENGTHS_MAX} different lengths are needed."))
    elif not 1 <= lengths[0] <= lengths[-1] <= LENGTH_MAX:
        places.append((("windows",), f"A window has between 1 and {LENGTH_MAX} buckets."))
    if places:
        raise Invalid.of(places)
    return Timing(bucket_s, grace_s, lengths)


def check_mute(until: datetime, now: datetime) -> None:
    """Refuse to mute for the past, or for too long.

    Raises:
        Invalid: it is.
    """
    if not now < until <= now + MUTE_MAX:
        raise Invalid(f"Must lie within the next {MUTE_MAX.days} days.", loc=("until",))


def _is_feature(name: str) -> bool:
    return name.startswith(FEATURE) and name != FEATURE


def _certified_mistakes(signal: str, certified_error: float | None) -> list[tuple[Loc, str]]:
    loc = ("certified_error",)
    if signal != CONCEPT:
        return [(loc, f"Only for the signal {CONCEPT}.")] if certified_error is not None else []
    if certified_error is None:
        return [(loc, "Is required: the upper bound of the error that was certified, a share.")]
    if not 0 <= certified_error <= 1 - 2 * MARGIN:
        return [(loc, f"Must be between 0 and {1 - 2 * MARGIN}.")]
    return []
