"""Policy versions, which of them is active, and what routing reads with every prediction."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from app.core.review.queue import Queue
from app.core.routing.life import VersionState
from app.core.routing.monitors import MonitorStates
from app.store.detectors import ready_by_model
from app.store.engine import Reader, Writer
from app.store.ids import new_id
from app.store.monitor_states import states_by_model
from app.store.queues import queues_by_name
from app.store.tables import policy_versions
from app.store.watched_models import WatchedModel, watched_models


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A stored policy version: all of it but its state is immutable.

    `activated_at`: when it last became active other than by a rollback; None when it never did.
    """

    id: uuid.UUID
    name: str
    version: int
    state: VersionState
    model: str
    document: dict[str, Any]
    digest: bytes
    created_at: datetime
    created_by: str
    activated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which versions a list shows; None leaves a field open."""

    name: str | None = None
    model: str | None = None
    state: VersionState | None = None


@dataclass(frozen=True, slots=True)
class RoutingView:
    """What a decision needs of a project.

    The draws' secret, and by model its policies, the states of its monitors, what they count, and
    its detector; queues by name.
    """

    secret: bytes
    active: dict[str, uuid.UUID]
    shadow: dict[str, uuid.UUID]
    monitors: dict[str, MonitorStates]
    watched: dict[str, WatchedModel]
    detectors: dict[str, uuid.UUID]
    queues: dict[str, Queue]


async def routing_view(tx: Reader, project_id: uuid.UUID) -> RoutingView:
    """Read it; see `flows/views.py` for how long it is kept.

    Policies before queues: a policy that is activated in between names queues that were there
    before it, so every queue of an active policy is found.
    """
    secret = await tx.raw.fetchval("SELECT secret FROM projects WHERE id = $1", project_id)
    # each of the two conditions has its index; `IN` would have none
    rows = await tx.raw.fetch(
        "SELECT model, state, id FROM policy_versions "
        "WHERE project_id = $1 AND (state = 'active' OR state = 'shadow')",
        project_id,
    )
    by_state: dict[str, dict[str, uuid.UUID]] = {"active": {}, "shadow": {}}
    for row in rows:
        by_state[row["state"]][row["model"]] = uuid.UUID(int=row["id"].int)
    return RoutingView(
        secret,
        **by_state,
        monitors=await states_by_model(tx, project_id),
        watched=await watched_models(tx, project_id),
        detectors=await ready_by_model(tx, project_id),
        queues=await queues_by_name(tx, project_id),
    )


async def latest_version(tx: Reader, project_id: uuid.UUID, name: str) -> PolicyVersion | None:
    """The newest version of a policy, whatever its state."""
    query = _of(project_id).where(policy_versions.c.name == name)
    row = (
        await tx.execute(query.order_by(policy_versions.c.version.desc()).limit(1))
    ).one_or_none()
    return _version(row) if row else None


async def find_version(
    tx: Reader, project_id: uuid.UUID, name: str, version: int
) -> PolicyVersion | None:
    """One version by its name and number."""
    query = _of(project_id).where(
        policy_versions.c.name == name, policy_versions.c.version == version
    )
    row = (await tx.execute(query)).one_or_none()
    return _version(row) if row else None


async def version_by_id(
    tx: Reader, project_id: uuid.UUID, policy_id: uuid.UUID
) -> PolicyVersion | None:
    """One version by its id."""
    row = (await tx.execute(_of(project_id).where(policy_versions.c.id == policy_id))).one_or_none()
    return _version(row) if row else None


async def version_in(
    tx: Reader, project_id: uuid.UUID, model: str, state: VersionState
) -> PolicyVersion | None:
    """The version that is active, or the shadow, for a model now."""
    query = _of(project_id).where(
        policy_versions.c.model == model, policy_versions.c.state == state
    )
    row = (await tx.execute(query)).one_or_none()
    return _version(row) if row else None


async def version_before_active(
    tx: Reader, project_id: uuid.UUID, name: str
) -> PolicyVersion | None:
    """The version of a policy that was active before the present one, for the same model.

    Versions of one policy can be active for several models; the one activated last counts.
    """
    columns = policy_versions.c
    newest = _of(project_id).where(columns.name == name).order_by(columns.activated_at.desc())
    present = (await tx.execute(newest.where(columns.state == "active").limit(1))).one_or_none()
    if present is None:
        return None
    earlier = newest.where(
        columns.model == present.model,
        columns.activated_at < present.activated_at,
        columns.gone_back_from.is_(False),
    )
    row = (await tx.execute(earlier.limit(1))).one_or_none()
    return _version(row) if row else None


async def note_rollback(tx: Writer, project_id: uuid.UUID, to: PolicyVersion) -> None:
    """Remember what was gone back from: every version that became active after this one."""
    columns = policy_versions.c
    await tx.execute(
        update(policy_versions)
        .where(
            columns.project_id == project_id,
            columns.name == to.name,
            columns.model == to.model,
            columns.activated_at >= to.activated_at,
        )
        .values(gone_back_from=columns.id != to.id)
    )


async def list_versions(
    tx: Reader, project_id: uuid.UUID, wanted: Wanted, after: uuid.UUID | None, limit: int
) -> list[PolicyVersion]:
    """Versions in the order in which they were made."""
    query = _of(project_id).order_by(policy_versions.c.id).limit(limit)
    for column, value in (
        (policy_versions.c.name, wanted.name),
        (policy_versions.c.model, wanted.model),
        (policy_versions.c.state, wanted.state),
    ):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(policy_versions.c.id > after)
    return [_version(row) for row in await tx.execute(query)]


async def add_version(
    tx: Writer,
    project_id: uuid.UUID,
    *,
    name: str,
    version: int,
    model: str,
    document: dict[str, Any],
    digest: bytes,
    created_by: str,
) -> PolicyVersion:
    """Store a new draft."""
    policy_id = new_id()
    await tx.execute(
        insert(policy_versions).values(
            project_id=project_id,
            id=policy_id,
            name=name,
            version=version,
            model=model,
            document=document,
            digest=digest,
            created_by=created_by,
        )
    )
    added = await version_by_id(tx, project_id, policy_id)
    assert added is not None, "it was inserted by this transaction"
    return added


async def set_state(
    tx: Writer,
    project_id: uuid.UUID,
    policy_id: uuid.UUID,
    state: VersionState,
    *,
    activated: bool,
) -> PolicyVersion:
    """Move one version to a state.

    Args:
        tx: the transaction.
        project_id: the project's id.
        policy_id: the version's id.
        state: the new one.
        activated: take this moment as the one at which it became active.
    """
    values: dict[str, Any] = {"state": state}
    if activated:
        values["activated_at"] = func.coalesce(tx.now, func.statement_timestamp())
        values["gone_back_from"] = False
    await tx.execute(
        update(policy_versions)
        .where(policy_versions.c.project_id == project_id, policy_versions.c.id == policy_id)
        .values(values)
    )
    moved = await version_by_id(tx, project_id, policy_id)
    assert moved is not None, "versions are never removed"
    return moved


def _of(project_id: uuid.UUID) -> Any:
    columns = policy_versions.c
    return select(
        columns.id,
        columns.name,
        columns.version,
        columns.state,
        columns.model,
        columns.document,
        columns.digest,
        columns.created_at,
        columns.created_by,
        columns.activated_at,
    ).where(columns.project_id == project_id)


def _version(row: Any) -> PolicyVersion:
    return PolicyVersion(**{**row._asdict(), "state": VersionState(row.state)})
