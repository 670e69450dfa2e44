"""Policy versions, which of them is active, and what routing reads with every prediction."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from app.core.review.queue import Queue
from app.store.engine import Reader, Writer
from app.store.ids import new_id
from app.store.queues import queues_by_name
from app.store.tables import policy_versions, projects


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A stored policy version: all of it but its state is immutable."""

    id: uuid.UUID
    name: str
    version: int
    state: str
    model: str
    document: dict[str, Any]
    digest: bytes
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class RoutingView:
    """What a decision needs of a project: the draws' secret, active policies, queues."""

    secret: bytes
    active: dict[str, uuid.UUID]
    queues: dict[str, Queue]


async def routing_view(tx: Reader, project_id: uuid.UUID) -> RoutingView:
    """Read it; see `flows/views.py` for how long it is kept.

    Policies before queues: a policy that is activated in between names queues that were there
    before it, so every queue of an active policy is found.
    """
    secret = await tx.raw.fetchval("SELECT secret FROM projects WHERE id = $1", project_id)
    rows = await tx.raw.fetch(
        "SELECT model, id FROM policy_versions WHERE project_id = $1 AND state = 'active'",
        project_id,
    )
    return RoutingView(
        secret,
        {row["model"]: uuid.UUID(int=row["id"].int) for row in rows},
        await queues_by_name(tx, project_id),
    )


async def lock_policies(tx: Writer, project_id: uuid.UUID) -> None:
    """Let one change of policies at a time through, per project.

    Numbering versions and moving `active` both read first and write then; changes are rare, so
    the project's row serialises them.
    """
    await tx.execute(
        select(projects.c.id).where(projects.c.id == project_id).with_for_update(key_share=True)
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


async def active_version(tx: Reader, project_id: uuid.UUID, model: str) -> PolicyVersion | None:
    """The version that decides for a model now."""
    query = _of(project_id).where(
        policy_versions.c.model == model, policy_versions.c.state == "active"
    )
    row = (await tx.execute(query)).one_or_none()
    return _version(row) if row else None


async def list_versions(
    tx: Reader, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[PolicyVersion]:
    """Versions in the order in which they were made."""
    query = _of(project_id).order_by(policy_versions.c.id).limit(limit)
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


async def set_state(tx: Writer, project_id: uuid.UUID, policy_id: uuid.UUID, state: str) -> None:
    """Move one version to a state."""
    await tx.execute(
        update(policy_versions)
        .where(policy_versions.c.project_id == project_id, policy_versions.c.id == policy_id)
        .values(state=state)
    )


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
    ).where(columns.project_id == project_id)


def _version(row: Any) -> PolicyVersion:
    return PolicyVersion(*row)
