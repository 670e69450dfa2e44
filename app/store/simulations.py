"""What a simulation reads: recorded decisions page by page, and what humans said about them.

A page is a read of its own and no transaction lasts over the whole range: decisions never change
and the range's ids are fixed, so pages read one after the other are those of one moment. (One that
was committed late, behind a page that was read already, is not seen: a matter of milliseconds
before `until`.) What humans said can come in meanwhile, and then counts or not.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from app.core.routing.whatif.simulation import VerdictSeconds
from app.core.routing.whatif.tally import Past, Said
from app.store.engine import Reader

PAGE_ROWS = 5000
# enough for a median that does not move
VERDICTS_MAX = 20_000


class DecisionPage(Struct, frozen=True):
    """Recorded decisions of one model.

    Attributes:
        decisions: in the order of their ids.
        last: the id to go on after; None at the end.
        said: what humans said, by decision.
    """

    decisions: Sequence[Past]
    last: uuid.UUID | None
    said: dict[uuid.UUID, Said]


async def recorded_page(
    tx: Reader, project_id: uuid.UUID, model: str, after: uuid.UUID, before: uuid.UUID
) -> DecisionPage:
    """The decisions on a model's predictions among the next 5,000 of all.

    Those of other models are looked at and left out, so that a page of a rare model costs no more
    than any other.
    """
    rows = await tx.raw.fetch(
        f"""
        SELECT id, CASE WHEN model = $4 THEN prediction END AS prediction,
          route, reason, inclusion_probability, stratum,
          monitors, unfamiliar_p, unfamiliar_score, detector_id
        FROM decisions WHERE project_id = $1 AND id > $2 AND id < $3 ORDER BY id LIMIT {PAGE_ROWS}
        """,
        project_id,
        after,
        before,
        model,
    )
    if not rows:
        return DecisionPage([], None, {})
    answers = await tx.raw.fetch(_SAID, project_id, rows[0]["id"], rows[-1]["id"], tx.now)
    return DecisionPage(
        [row for row in rows if row["prediction"] is not None],
        rows[-1]["id"] if len(rows) == PAGE_ROWS else None,
        dict(answers),
    )


async def first_under_way(
    tx: Reader, project_id: uuid.UUID, model: str, low: uuid.UUID, high: uuid.UUID
) -> datetime | None:
    """When the first decision of a range was made whose answer is neither there nor overdue."""
    moment: datetime | None = await tx.raw.fetchval(
        """
        SELECT min(decided_at) FROM items
        WHERE project_id = $1 AND model = $2 AND decision_id > $3 AND decision_id < $4
          AND kind IN ('review', 'audit') AND state IN ('open', 'disputed')
          AND due_at > coalesce($5::timestamptz, statement_timestamp())
        """,
        project_id,
        model,
        low,
        high,
        tx.now,
    )
    return moment


async def seconds_by_queue(
    tx: Reader, project_id: uuid.UUID, since: datetime | None, until: datetime | None
) -> dict[str, VerdictSeconds]:
    """What a verdict takes, by queue: those of the range, else the latest ones.

    A verdict counts the seconds that were sent with it; else those since its lease began or since
    the reviewer's verdict before, whichever is less.
    """
    latest = await tx.raw.fetch(_SECONDS, project_id, None, None)
    found = {name: VerdictSeconds(median, count, "latest") for name, median, count in latest}
    if since is not None:
        within = await tx.raw.fetch(_SECONDS, project_id, since, until)
        found |= {name: VerdictSeconds(median, count, "range") for name, median, count in within}
    return found


_SAID: Any = """
SELECT i.decision_id, CASE
    WHEN i.state IN ('open', 'disputed')
      AND i.due_at > coalesce($4::timestamptz, statement_timestamp()) THEN 'under_way'
    WHEN i.state <> 'resolved' OR r.agreed IS NULL THEN 'undecided'
    WHEN r.agreed THEN 'right' ELSE 'wrong' END
FROM items i
LEFT JOIN LATERAL (
  SELECT agreed FROM resolutions
  WHERE project_id = i.project_id AND item_id = i.id ORDER BY revision DESC LIMIT 1
) r ON i.state = 'resolved'
WHERE i.project_id = $1 AND i.decision_id BETWEEN $2 AND $3 AND i.kind IN ('review', 'audit')
"""

_SECONDS = f"""
WITH chosen AS (
  SELECT * FROM verdicts
  WHERE project_id = $1 AND revision = 1
    AND ($2::timestamptz IS NULL OR submitted_at >= $2)
    AND ($3::timestamptz IS NULL OR submitted_at < $3)
  ORDER BY submitted_at DESC LIMIT {VERDICTS_MAX}
), timed AS (
  SELECT item_id, coalesce(seconds_spent, least(seconds_leased,
    extract(epoch FROM submitted_at - lag(submitted_at) OVER (
      PARTITION BY reviewer ORDER BY submitted_at, id))::float8)) AS seconds
  FROM chosen
)
SELECT q.name, percentile_cont(0.5) WITHIN GROUP (ORDER BY t.seconds), count(*)
FROM timed t
JOIN items i ON i.project_id = $1 AND i.id = t.item_id
JOIN queues q ON q.project_id = $1 AND q.id = i.queue_id
GROUP BY q.name
"""
