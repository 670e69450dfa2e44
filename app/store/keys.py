"""Projects, keys, and the log of what was changed."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import func, insert, select, update

from app.core.access import Scope
from app.core.errors import NameTaken
from app.core.routing.decision import UNROUTED
from app.core.routing.document import DEFAULT_AUDITS
from app.store.engine import Reader, Writer
from app.store.ids import new_id, new_secret
from app.store.tables import change_log, keys, projects, queues


@dataclass(frozen=True, slots=True)
class Project:
    """A tenant, as it is shown."""

    id: uuid.UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is shown: never its secret, which is not stored."""

    id: uuid.UUID
    project: str | None
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What it takes to check a key, as of the moment it was read.

    `live_s` is the time it is still good for by the database's clock (None: no end; 0 or less:
    over or revoked), so that a replica's own clock is not asked.
    """

    project_id: uuid.UUID | None
    scopes: frozenset[Scope]
    secret_sha256: bytes
    live_s: float | None


async def create_project(tx: Writer, name: str) -> Project:
    """Make a project with its built-in queues.

    They are where a prediction goes that no policy speaks of, and where audits go that name no
    queue of their own.

    Raises:
        NameTaken: there is one of that name.
    """
    project_id = new_id()
    try:
        await tx.execute(insert(projects).values(id=project_id, name=name, secret=new_secret()))
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"There is a project {name!r} already.", loc=("name",)) from error
    await tx.execute(
        insert(queues),
        [
            {"project_id": project_id, "id": new_id(), "name": UNROUTED, "blind": False},
            {"project_id": project_id, "id": new_id(), "name": DEFAULT_AUDITS, "blind": True},
        ],
    )
    found = await find_project(tx, name)
    assert found is not None, "it was inserted by this transaction"
    return found


async def find_project(tx: Reader, name: str) -> Project | None:
    """The project of that name."""
    row = (await tx.execute(_PROJECTS.where(projects.c.name == name))).one_or_none()
    return _project(row) if row else None


async def lock_project(tx: Writer, project_id: uuid.UUID) -> None:
    """Let one change of a project's policies, detectors or references at a time through.

    Numbering versions, and moving what a model has only one of, read first and write then. Changes
    are rare, so the project's row serialises them.
    """
    await tx.execute(
        select(projects.c.id).where(projects.c.id == project_id).with_for_update(key_share=True)
    )


async def list_projects(tx: Reader, after: uuid.UUID | None, limit: int) -> list[Project]:
    """Projects in the order of their ids, those after `after`."""
    query = _PROJECTS.order_by(projects.c.id).limit(limit)
    if after is not None:
        query = query.where(projects.c.id > after)
    return [_project(row) for row in await tx.execute(query)]


async def create_key(
    tx: Writer,
    key_id: uuid.UUID,
    *,
    project_id: uuid.UUID | None,
    name: str,
    scopes: list[Scope],
    secret_sha256: bytes,
    expires_at: datetime | None,
) -> None:
    """Store a new key by the hash of its secret."""
    await tx.execute(
        insert(keys).values(
            id=key_id,
            project_id=project_id,
            name=name,
            scopes=[scope.value for scope in scopes],
            secret_sha256=secret_sha256,
            expires_at=expires_at,
        )
    )


async def list_keys(
    tx: Reader, after: uuid.UUID | None, limit: int, project: str | None = None
) -> list[Key]:
    """Keys in the order of their ids, those after `after`."""
    query = _KEYS.order_by(keys.c.id).limit(limit)
    if after is not None:
        query = query.where(keys.c.id > after)
    if project is not None:
        query = query.where(projects.c.name == project)
    return [_key(row) for row in await tx.execute(query)]


async def find_key(tx: Reader, key_id: uuid.UUID) -> Key | None:
    """One key."""
    row = (await tx.execute(_KEYS.where(keys.c.id == key_id))).one_or_none()
    return _key(row) if row else None


async def any_key(tx: Reader) -> bool:
    """Whether a key was ever made here: none means a first start."""
    return bool(await tx.raw.fetchval("SELECT EXISTS (SELECT FROM keys)"))


async def revoke_key(tx: Writer, key_id: uuid.UUID) -> None:
    """End a key now; to end it again changes nothing."""
    await tx.execute(
        update(keys)
        .where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=func.coalesce(tx.now, func.statement_timestamp()))
    )


async def stored_key(tx: Reader, key_id: uuid.UUID) -> StoredKey | None:
    """What it takes to check a key."""
    row = await tx.raw.fetchrow(
        """
        SELECT project_id, scopes, secret_sha256,
          CASE WHEN revoked_at IS NOT NULL THEN 0 ELSE
            extract(epoch FROM expires_at - coalesce($2, statement_timestamp()))
          END::float8 AS live_s
        FROM keys WHERE id = $1
        """,
        key_id,
        tx.now,
    )
    if row is None:
        return None
    return StoredKey(
        row["project_id"],
        frozenset(Scope(scope) for scope in row["scopes"]),
        row["secret_sha256"],
        row["live_s"],
    )


async def log_change(
    tx: Writer,
    *,
    project_id: uuid.UUID | None,
    actor: str,
    action: str,
    target: str,
    before: Any = None,
    after: Any = None,
) -> None:
    """Note who changed what, in the transaction that changes it."""
    await tx.execute(
        insert(change_log).values(
            id=new_id(),
            project_id=project_id,
            actor=actor,
            action=action,
            target=target,
            before=before,
            after=after,
        )
    )


_PROJECTS = select(projects.c.id, projects.c.name, projects.c.created_at)
_KEYS = select(
    keys.c.id,
    projects.c.name.label("project"),
    keys.c.name,
    keys.c.scopes,
    keys.c.created_at,
    keys.c.expires_at,
    keys.c.revoked_at,
).outerjoin_from(keys, projects, keys.c.project_id == projects.c.id)


def _project(row: Any) -> Project:
    return Project(*row)


def _key(row: Any) -> Key:
    id_, project, name, scopes, created_at, expires_at, revoked_at = row
    return Key(
        id_, project, name, [Scope(scope) for scope in scopes], created_at, expires_at, revoked_at
    )
