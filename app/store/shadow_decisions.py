"""What a shadow policy would have decided, beside what was decided."""

import uuid

from app.core.routing.shadow_report import Cell
from app.store.engine import Reader


async def shadow_cells(
    tx: Reader, project_id: uuid.UUID, policy_id: uuid.UUID, low: uuid.UUID, high: uuid.UUID
) -> list[Cell]:
    """Decisions that a version was evaluated beside, with what humans said about them.

    Shadow predictions, which nobody is ever asked about, count among the decisions only. A review
    stands for itself alone, also one that a `sample` rule chose: all reviews are judged, and those
    that it did not choose have another route.

    Args:
        tx: the transaction.
        project_id: of the version.
        policy_id: the version.
        low: the smallest id of the range.
        high: the id that ends it, excluded.
    """
    rows = await tx.raw.fetch(
        """
        SELECT d.route, d.reason, d.beside_route, d.beside_reason, d.label, count(*) AS decisions,
          count(r.agreed) AS judged, count(*) FILTER (WHERE NOT r.agreed) AS wrong,
          coalesce(sum(w.weight) FILTER (WHERE r.agreed IS NOT NULL), 0),
          coalesce(sum(w.weight) FILTER (WHERE NOT r.agreed), 0)
        FROM decisions d
        CROSS JOIN LATERAL (
          SELECT CASE WHEN d.route = 'review' THEN 1 ELSE 1 / nullif(d.inclusion_probability, 0) END
            AS weight
        ) w
        LEFT JOIN items i ON i.project_id = d.project_id AND i.id = d.item_id
        LEFT JOIN LATERAL (
          SELECT agreed FROM resolutions
          WHERE project_id = i.project_id AND item_id = i.id ORDER BY revision DESC LIMIT 1
        ) r ON i.state = 'resolved'
        WHERE d.project_id = $1 AND d.beside_policy_id = $2 AND d.id >= $3 AND d.id < $4
        GROUP BY d.route, d.reason, d.beside_route, d.beside_reason, d.label
        """,
        project_id,
        policy_id,
        low,
        high,
    )
    return [Cell(*row) for row in rows]
