"""Decisions that are recorded, with their items and human answers."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from app.core.routing.decision import Answer, Asked, Decision, Outcome
from app.core.routing.monitors import Seen
from app.core.routing.prediction import Recorded, Unfamiliar
from app.store.engine import Reader
from app.store.ids import lowest_id_at, utc_now

# a page that has looked at this many rows ends, however few of them matched
SCANNED_MAX = 10_000


async def decisions_by_id(
    tx: Reader, project_id: uuid.UUID, ids: list[uuid.UUID]
) -> dict[uuid.UUID, Decision]:
    """Decisions with their items and resolutions."""
    rows = await tx.raw.fetch(
        f"{_SELECT} WHERE d.project_id = $1 AND d.id = ANY ($2::uuid[])", project_id, ids
    )
    return {row["id"]: _decision(row) for row in rows}


async def kept_prediction(
    tx: Reader, project_id: uuid.UUID, decision_id: uuid.UUID
) -> Recorded | None:
    """What is kept of the prediction that a decision is about."""
    row = await tx.raw.fetchrow(
        "SELECT prediction, embedding, digest FROM decisions WHERE project_id = $1 AND id = $2",
        project_id,
        decision_id,
    )
    return Recorded(row["prediction"], row["embedding"], row["digest"]) if row else None


class Filter(Struct, frozen=True):
    """Which decisions a list shows; None does not filter."""

    model: str | None = None
    model_version: str | None = None
    route: str | None = None
    reason: str | None = None
    label: str | None = None
    audited: bool | None = None
    segment: dict[str, str] | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_decisions(
    tx: Reader, project_id: uuid.UUID, wanted: Filter, after: uuid.UUID | None, limit: int
) -> tuple[list[Decision], uuid.UUID | None]:
    """Decisions in the order of their ids (that is, of time).

    Looks at no more than `SCANNED_MAX` rows, so a filter that matches little costs the same as
    one that matches much: the page is then short and its cursor goes on.

    Returns:
        The page, and the id to go on after; None at the end.
    """
    low = after or lowest_id_at(wanted.since or _week_ago(tx))
    high = lowest_id_at(wanted.until) if wanted.until else uuid.UUID(int=2**128 - 1)
    rows = await tx.raw.fetch(
        f"""
        WITH looked_at AS MATERIALIZED (
          SELECT id, model, model_version, route, reason, label, audited, prediction
          FROM decisions WHERE project_id = $1 AND id > $2 AND id < $3
          ORDER BY id LIMIT {SCANNED_MAX}
        ), matching AS MATERIALIZED (
          SELECT id FROM looked_at
          WHERE ($4::text IS NULL OR model = $4) AND ($5::text IS NULL OR model_version = $5)
            AND ($6::text IS NULL OR route = $6) AND ($7::text IS NULL OR reason = $7)
            AND ($8::text IS NULL OR label = $8) AND ($9::bool IS NULL OR audited = $9)
            AND ($10::text IS NULL OR (prediction::jsonb -> 'segment') @> $10::text::jsonb)
          ORDER BY id LIMIT $11
        )
        SELECT (SELECT count(*) FROM looked_at) AS scanned,
          (SELECT id FROM looked_at ORDER BY id DESC LIMIT 1) AS last_scanned,
          found.* FROM (SELECT 1) AS one
        LEFT JOIN ({_SELECT} WHERE d.project_id = $1 AND d.id IN (SELECT id FROM matching))
          AS found ON true
        ORDER BY found.id
        """,
        project_id,
        low,
        high,
        wanted.model,
        wanted.model_version,
        wanted.route,
        wanted.reason,
        wanted.label,
        wanted.audited,
        msgspec.json.encode(wanted.segment).decode() if wanted.segment else None,
        limit,
    )
    found = [_decision(row) for row in rows if row["id"] is not None]
    if len(found) == limit:
        return found, found[-1].id
    if rows[0]["scanned"] == SCANNED_MAX:
        return found, rows[0]["last_scanned"]
    return found, None


_SELECT = """
    SELECT d.id, d.request_key, d.model, d.model_version, d.label, d.confidence, d.prediction,
      d.shadow, d.route, d.reason, d.queue, d.priority, d.trace, d.audited, d.audit_probability,
      d.audit_draw, d.inclusion_probability, d.stratum, d.policy_id, d.decided_at,
      d.monitors, d.unfamiliar_p, d.unfamiliar_score, d.detector_id,
      i.id AS item_id, i.blocking, q.name AS asked_queue,
      r.outcome, r.label AS human_label, r.judge, r.agreed, r.resolved_at
    FROM decisions d
    LEFT JOIN items i ON i.project_id = d.project_id AND i.id = d.item_id
    LEFT JOIN queues q ON q.project_id = i.project_id AND q.id = i.queue_id
    LEFT JOIN LATERAL (
      SELECT outcome, label, judge, agreed, resolved_at FROM resolutions
      WHERE project_id = i.project_id AND item_id = i.id ORDER BY revision DESC LIMIT 1
    ) r ON i.state = 'resolved'
"""


class _Segment(Struct):
    """What is read of a recorded prediction here."""

    segment: dict[str, str] | None = None


_segment = msgspec.json.Decoder(_Segment)
_monitors = msgspec.json.Decoder(tuple[Seen, ...])


def _decision(row: Any) -> Decision:
    asked = row["item_id"] is not None
    return Decision(
        id=row["id"],
        request_key=row["request_key"],
        model=row["model"],
        model_version=row["model_version"],
        label=row["label"],
        confidence=row["confidence"],
        segment=_segment.decode(row["prediction"]).segment,
        shadow=row["shadow"],
        unfamiliar=Unfamiliar(row["unfamiliar_p"], row["unfamiliar_score"], row["detector_id"])
        if row["detector_id"] is not None
        else None,
        monitors=_monitors.decode(row["monitors"]) if row["monitors"] is not None else (),
        outcome=_outcome(row),
        policy_id=row["policy_id"],
        item=Asked(row["item_id"], row["asked_queue"], row["blocking"]) if asked else None,
        resolution=Answer(
            row["human_label"], row["outcome"], row["judge"], row["agreed"], row["resolved_at"]
        )
        if row["judge"]
        else None,
        decided_at=row["decided_at"],
    )


def _outcome(row: Any) -> Outcome:
    states, observed = msgspec.json.decode(row["trace"])
    return Outcome(
        route=row["route"],
        reason=row["reason"],
        states=states,
        observed=observed,
        queue=row["queue"],
        priority=row["priority"],
        audited=row["audited"],
        audit_probability=row["audit_probability"],
        audit_draw=row["audit_draw"],
        inclusion_probability=row["inclusion_probability"],
        stratum=row["stratum"],
    )


def _week_ago(tx: Reader) -> datetime:
    return (tx.now or utc_now()) - timedelta(days=7)
