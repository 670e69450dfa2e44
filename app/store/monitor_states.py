"""The states of monitors, as routing reads them."""

import uuid
from collections import defaultdict
from typing import Any

from app.core.routing.monitors import MonitorStates
from app.store.engine import Reader


async def states_by_model(tx: Reader, project_id: uuid.UUID) -> dict[str, MonitorStates]:
    """The effective states of all monitors: the most alarming of a monitor's lengths counts.

    While it is muted, a monitor that alarms is taken for stable. `collecting` only where no length
    knows more.
    """
    rows = await tx.raw.fetch(_STATES, project_id, tx.now)
    of: defaultdict[str, defaultdict[str, dict[tuple[str, str], Any]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for row in rows:
        place = row["model_version"], row["segment"]
        of[row["model"]][row["name"]][place] = row["state"], row["evaluation_id"]
    return {model: MonitorStates(states) for model, states in of.items()}


async def monitor_names(tx: Reader, project_id: uuid.UUID, model: str) -> set[str]:
    """The names of the monitors of a model."""
    rows = await tx.raw.fetch(
        "SELECT name FROM monitors WHERE project_id = $1 AND model = $2", project_id, model
    )
    return {row["name"] for row in rows}


_STATES = """
SELECT DISTINCT ON (m.model, m.name, s.model_version, s.segment)
  m.model, m.name, s.model_version, s.segment, s.evaluation_id,
  CASE WHEN s.state IN ('warning', 'drifting')
    AND m.muted_until > coalesce($2::timestamptz, statement_timestamp())
  THEN 'stable' ELSE s.state END AS state
FROM monitors m JOIN monitor_states s ON s.project_id = m.project_id AND s.monitor_id = m.id
WHERE m.project_id = $1
ORDER BY m.model, m.name, s.model_version, s.segment,
  array_position(ARRAY['drifting', 'warning', 'stable', 'collecting'], s.state), s.length
"""
