"""What is counted of decisions: per hour and per everything that a metric filters by.

Counts outlive the rows, and the strata of an estimate are known from them exactly.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from app.core.routing.decision import Decision
from app.core.routing.policy import Policy
from app.core.routing.prediction import Prediction

_sorted_json = msgspec.json.Encoder(order="sorted").encode
NO_SEGMENT = "{}"

CountKey = tuple[str, str, str, str, str, str, str, str, bool]


def declared_segment(policy: Policy | None, prediction: Prediction) -> str:
    """The segment values that the policy declares, as canonical JSON text.

    Undeclared ones are recorded with the decision and not counted: a caller that puts an id into
    a segment must not make a counter per id.
    """
    if policy is None or not policy.segments or not prediction.segment:
        return NO_SEGMENT
    segment = prediction.segment
    return _segment_text(policy.segments, tuple(map(segment.get, policy.segments)))


@lru_cache(maxsize=1024)
def _segment_text(keys: tuple[str, ...], values: tuple[str | None, ...]) -> str:
    present = zip(keys, values, strict=True)
    return _sorted_json({key: value for key, value in present if value is not None}).decode()


def hour_of(moment: datetime) -> str:
    """The hour of a UTC time as text, `2026-11-24T10:00:00Z`."""
    return _hour(moment.year, moment.month, moment.day, moment.hour)


@lru_cache(maxsize=64)
def _hour(year: int, month: int, day: int, hour: int) -> str:
    # formatting costs as much as evaluating a rule, and an hour has many decisions
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:00:00Z"


def count_key(decision: Decision, segment: str) -> CountKey:
    """Where a decision is counted; `segment` as `declared_segment` gives it."""
    outcome = decision.outcome
    return (
        hour_of(decision.decided_at),
        decision.model,
        decision.model_version,
        decision.label or "",
        segment,
        outcome.route,
        outcome.reason,
        outcome.stratum,
        decision.shadow,
    )


def count(keyed: Iterable[tuple[uuid.UUID, CountKey, bool]]) -> dict[uuid.UUID, list[list[Any]]]:
    """Sum up one commit.

    Args:
        keyed: (project, key, audited) of each decision.

    Returns:
        By project, rows of the key's fields followed by decisions and audited.
    """
    sums: dict[tuple[uuid.UUID, CountKey], list[int]] = defaultdict(lambda: [0, 0])
    for project_id, key, audited in keyed:
        entry = sums[project_id, key]
        entry[0] += 1
        entry[1] += audited
    rows: dict[uuid.UUID, list[list[Any]]] = defaultdict(list)
    for (project_id, key), (decisions, audits) in sums.items():
        rows[project_id].append([*key, decisions, audits])
    return rows
