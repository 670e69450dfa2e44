"""Monitors and their evaluations as they are shown."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.core.drift.audited import DAY_S
from app.core.drift.monitor import MonitorState, combined, effective
from app.core.drift.watched import AUDITED, CONCEPT
from app.core.drift.windows import EPOCH
from app.flows.monitor_acts import Accepted
from app.flows.monitors import Shown
from app.store.monitor_history import Evaluated, LengthState
from app.store.monitors import Monitor

StateName = Literal["collecting", "stable", "warning", "drifting"]


class ReferenceRef(BaseModel):
    """A version of a reference."""

    name: str
    version: int


class LengthOut(BaseModel):
    """The state that windows of one length say."""

    length: int = Field(description="Of the windows, in buckets.")
    state: StateName
    since: datetime = Field(description="End of the window that brought it about.")
    evaluation: uuid.UUID = Field(description="Of that window.")


class StateOut(BaseModel):
    """The state of one model version as a whole, or of one of its segments."""

    model_version: str
    segment: str | None = Field(description="`key:value`; null for the whole of the version.")
    state: StateName = Field(description="The most alarming of its lengths.")
    effective: StateName = Field(description="What routing uses: `stable` while an alarm is muted.")
    since: datetime = Field(description="End of the window that brought it about.")
    evaluation: uuid.UUID
    acknowledged: bool = Field(description="Somebody has seen it since it was found.")
    by_length: list[LengthOut]


class MonitorSummaryOut(BaseModel):
    """A monitor, and the most alarming of its states."""

    name: str
    model: str
    signal: str
    reference: ReferenceRef | None = Field(description="Null for `concept` and `gap`.")
    certified_error: float | None = Field(description="Of `concept`; else null.")
    bucket_s: int = Field(description="Seconds of a bucket; of `concept` and `gap` a day.")
    grace_s: int
    windows: list[int] = Field(description="Lengths in buckets.")
    state: StateName = Field(
        description="The most alarming effective state of all versions and segments."
    )
    muted_until: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None = Field(description="Name of the key.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, shown: Shown) -> "MonitorSummaryOut":
        """From the stored monitor."""
        return cls(**_fields(shown))


class MonitorOut(MonitorSummaryOut):
    """A monitor with its states."""

    states: list[StateOut] = Field(
        description="By model version and segment; of more than 1,000 lengths the alarming ones."
    )

    @classmethod
    def of(cls, shown: Shown) -> "MonitorOut":
        """From the stored monitor."""
        return cls(**_fields(shown), states=_states(shown))


class LevelOut(BaseModel):
    """One severity's test."""

    severity: Literal["none", "shift", "drift", "severe"]
    threshold: float = Field(description="Of the true shift, in the unit of `effect`.")
    p_min: float = Field(description="Chance of such counts if the true shift were the threshold.")
    p_holm: float = Field(description="The same, adjusted for the family.")


class DistancesOut(BaseModel):
    """Other distances, for display."""

    psi: float | None
    jensen_shannon: float | None
    l_infinity: float | None
    kolmogorov_smirnov: float | None
    wasserstein: float | None = Field(description="In standard deviations of the reference.")


class StreamOut(BaseModel):
    """One stream's window against its reference."""

    stream: str
    m: int = Field(description="Size of the reference.")
    n: int = Field(description="Size of the window.")
    cells: int = Field(description="Occupied in either.")
    family: int = Field(description="Tests that p_holm is adjusted for.")
    insufficient: str | None = Field(
        description="Why it is not tested: `reference_too_small`, `window_too_small`, "
        "`too_few_for_cells`; else null."
    )
    severity: Literal["none", "shift", "drift", "severe"] | None
    statistic: float = Field(description="G.")
    effect: float = Field(description="g = G (1/m + 1/n), about PSI.")
    p: float | None = Field(description="Of the plain G-test.")
    g_lcb: float | None = Field(description="The true shift exceeds it, at 99 %.")
    levels: list[LevelOut]
    unseen: int | None = Field(description="With categories that the reference did not have.")
    unseen_low: float | None = Field(description="99 % lower bound of their share.")
    distances: DistancesOut


class ConceptOut(BaseModel):
    """A day's audits against the certified error."""

    bound: float = Field(description="`certified_error` and a point: what is not to be exceeded.")
    evidence: float = Field(description="That it is exceeded, from this day and those before.")
    alarm_at: float
    accepted: int
    audited: int = Field(description="Audits with a usable answer.")
    wrong: int
    undecided: int = Field(description="Audits without; they are no evidence.")


class GapOut(BaseModel):
    """A day's audited error against what the model's own confidence says."""

    audited_error: float | None
    low: float | None
    high: float | None
    confidence: float = Field(description="Of the interval from low to high.")
    without_labels: float | None = Field(description="Mean of 1 - confidence; null without.")
    assumes: str
    at_least: float | None = Field(description="Size of the gap at least; null if not to be told.")
    direction: Literal["worse", "better"] | None = Field(description="Where the audited error is.")
    accepted: int
    audited: int
    wrong: int
    undecided: int


class WindowOut(BaseModel):
    """The range of time that was looked at."""

    from_: datetime = Field(serialization_alias="from", description="Included.")
    to: datetime = Field(description="Excluded.")
    length: int = Field(description="In buckets.")


class EvaluationOut(BaseModel):
    """What a monitor found in one window."""

    id: uuid.UUID
    reference: ReferenceRef | None
    model_version: str
    segment: str | None
    window: WindowOut
    state: StateName = Field(description="Of windows of this length, after it.")
    streams: list[StreamOut] = Field(description="Empty for `concept` and `gap`.")
    concept: ConceptOut | None
    gap: GapOut | None
    evaluated_at: datetime

    @classmethod
    def of(cls, monitor: Monitor, found: Evaluated) -> "EvaluationOut":
        """From what is stored."""
        audited = found.results[0] if monitor.signal in AUDITED else None
        is_concept = monitor.signal == CONCEPT
        return cls(
            id=found.id,
            reference=_reference(found.reference, found.reference_version),
            model_version=found.model_version,
            segment=found.segment or None,
            window=_window(monitor, found),
            state=_name(found.state),
            streams=[] if audited else [StreamOut.model_validate(one) for one in found.results],
            concept=ConceptOut.model_validate(audited) if audited and is_concept else None,
            gap=GapOut.model_validate(audited) if audited and not is_concept else None,
            evaluated_at=found.evaluated_at,
        )


class AcceptedOut(BaseModel):
    """The new reference, and who compares with it."""

    reference: ReferenceRef
    predictions: int = Field(description="That it was made from.")
    digest: str
    monitors: list[str] = Field(description="Those that compare with it from now on.")

    @classmethod
    def of(cls, accepted: Accepted) -> "AcceptedOut":
        """From what was made."""
        made = accepted.reference
        return cls(
            reference=ReferenceRef(name=made.name, version=made.version),
            predictions=made.predictions,
            digest=made.digest.hex(),
            monitors=accepted.monitors,
        )


def bucket_s_of(monitor: Monitor) -> int:
    """Seconds of its buckets: audited errors are looked at by the day."""
    return DAY_S if monitor.signal in AUDITED else monitor.timing.bucket_s


def _window(monitor: Monitor, found: Evaluated) -> WindowOut:
    seconds = bucket_s_of(monitor)
    return WindowOut(
        from_=EPOCH + timedelta(seconds=found.first_bucket * seconds),
        to=EPOCH + timedelta(seconds=(found.last_bucket + 1) * seconds),
        length=found.last_bucket - found.first_bucket + 1,
    )


def _fields(shown: Shown) -> dict[str, Any]:
    monitor = shown.monitor
    audited = monitor.signal in AUDITED
    return {
        "name": monitor.name,
        "model": monitor.model,
        "signal": monitor.signal,
        "reference": _reference(monitor.reference, monitor.reference_version),
        "certified_error": monitor.certified_error,
        "bucket_s": bucket_s_of(monitor),
        "grace_s": 0 if audited else monitor.timing.grace_s,
        "windows": [1] if audited else list(monitor.timing.lengths),
        "state": combined(MonitorState(state.effective) for state in _states(shown)),
        "muted_until": monitor.muted_until,
        "acknowledged_at": monitor.acknowledged_at,
        "acknowledged_by": monitor.acknowledged_by,
        "created_at": monitor.created_at,
        "updated_at": monitor.updated_at,
    }


def _states(shown: Shown) -> list[StateOut]:
    by_place = groupby(shown.states, key=lambda one: (one.model_version, one.segment))
    return [_state(shown, list(lengths)) for _, lengths in by_place]


def _state(shown: Shown, lengths: Sequence[LengthState]) -> StateOut:
    state = combined(MonitorState(one.state) for one in lengths)
    # of those that say so the one with the shortest window, as routing takes it
    bringing = next(one for one in lengths if one.state == state)
    seen_at = shown.monitor.acknowledged_at
    noticed_at = bringing.noticed_at
    return StateOut(
        model_version=bringing.model_version,
        segment=bringing.segment or None,
        state=_name(state),
        effective=_name(effective(state, muted_until=shown.monitor.muted_until, now=shown.now)),
        since=bringing.since,
        evaluation=bringing.evaluation_id,
        acknowledged=seen_at is not None and noticed_at is not None and seen_at >= noticed_at,
        by_length=[
            LengthOut(
                length=one.length,
                state=_name(one.state),
                since=one.since,
                evaluation=one.evaluation_id,
            )
            for one in lengths
        ],
    )


def _name(state: str) -> StateName:
    name: StateName = MonitorState(state).value
    return name


def _reference(name: str | None, version: int | None) -> ReferenceRef | None:
    if name is None or version is None:
        return None
    return ReferenceRef(name=name, version=version)
