"""What a scrape of `/metrics` says of projects: the summary's figures, and how work stands."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from app.flows.context import Context
from app.flows.metrics import Summary, summary_in
from app.store import counts as count_store
from app.store import keys as key_store
from app.store import metrics as store
from app.store.counts import Counted, Selection
from app.store.engine import Reader
from app.store.partitions import partitions_until

MODELS_MAX = 1000
PROJECTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class ProjectFacts:
    """What `/metrics` says of one project, over the default range."""

    project: str
    by_model: Mapping[tuple[str, str, str], Counted]
    summary: Summary
    inbox_rows: int
    fold_lag_s: float


async def facts(ctx: Context, project_id: uuid.UUID | None) -> list[ProjectFacts]:
    """The facts of one project, or of all (the first thousand) for an admin key."""
    async with ctx.db.snapshot() as tx:
        if project_id is not None:
            named = {project_id: await store.project_name(tx, project_id)}
        else:
            projects = await key_store.list_projects(tx, None, PROJECTS_MAX)
            named = {project.id: project.name for project in projects}
        return [await _facts(tx, id_, name) for id_, name in named.items()]


async def partition_horizon(ctx: Context) -> datetime | None:
    """The end of the last partition of decisions."""
    async with ctx.db.read() as tx:
        return await partitions_until(tx)


async def _facts(tx: Reader, project_id: uuid.UUID, name: str) -> ProjectFacts:
    everything = Selection()
    found = await summary_in(tx, project_id, everything)
    by_model = await count_store.decisions_by(
        tx,
        project_id,
        found.period,
        everything,
        ("model", "model_version", "route"),
        rows_max=MODELS_MAX,
    )
    waiting = await count_store.waiting_rows(tx, project_id)
    lag_s = await count_store.fold_lag_s(tx, project_id)
    models = {(m, v, r): n for (m, v, r), n in by_model.items()}
    return ProjectFacts(name, models, found, waiting, lag_s)
