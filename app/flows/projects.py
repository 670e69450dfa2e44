"""Projects and keys: making, listing, ending them."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from app.core.access import Scope, check_name, key_text, secret_digest
from app.core.errors import Invalid, NotFound
from app.flows.context import Context
from app.store import keys as store
from app.store.engine import Writer
from app.store.ids import new_id, new_secret
from app.store.metrics import present


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its text: the only moment at which anybody sees it."""

    key: store.Key
    text: str


async def create_project(ctx: Context, actor: str, name: str) -> store.Project:
    """Make a project; its built-in queues come with it."""
    async with ctx.db.write() as tx:
        return await _create_project(tx, actor, name)


async def list_projects(ctx: Context, after: uuid.UUID | None, limit: int) -> list[store.Project]:
    """A page of all projects."""
    async with ctx.db.read() as tx:
        return await store.list_projects(tx, after, limit)


async def create_key(
    ctx: Context,
    actor: str,
    *,
    project: str | None,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None = None,
    make_project: bool = False,
) -> NewKey:
    """Make a key.

    Args:
        ctx: the service.
        actor: who makes it, for the change log.
        project: the project's name; None for an admin key.
        name: for people, to tell keys apart.
        scopes: what it allows; one that is named twice counts once.
        expires_at: when it ends by itself.
        make_project: make the project where it is not there.

    Raises:
        Invalid: `admin` with a project, or a project's scope without one; a name that is none; an
            end that is over.
        NotFound: no such project.
    """
    scopes = list(dict.fromkeys(scopes))
    if (project is None) != (Scope.ADMIN in scopes) or (project is None and len(scopes) > 1):
        raise Invalid(
            "A key either belongs to a project, or has the one scope `admin` and no project.",
            loc=("scopes",),
        )
    check_name(name, ("name",))
    key_id, secret = new_id(), new_secret()
    async with ctx.db.write() as tx:
        if expires_at is not None and expires_at <= await present(tx):
            raise Invalid("expires_at must lie in the future.", loc=("expires_at",))
        project_id = None
        if project is not None:
            found = await store.find_project(tx, project)
            if found is None and make_project:
                check_name(project, ("project",))
                found = await _create_project(tx, actor, project)
            if found is None:
                raise NotFound(f"No project {project!r}.", loc=("project",))
            project_id = found.id
        await store.create_key(
            tx,
            key_id,
            project_id=project_id,
            name=name,
            scopes=scopes,
            secret_sha256=secret_digest(secret),
            expires_at=expires_at,
        )
        await store.log_change(
            tx,
            project_id=project_id,
            actor=actor,
            action="key.create",
            target=f"key:{key_id}",
            after={"name": name, "scopes": [scope.value for scope in scopes]},
        )
        key = await store.find_key(tx, key_id)
    assert key is not None, "it was inserted by this transaction"
    return NewKey(key, key_text(key_id, secret))


async def list_keys(
    ctx: Context, after: uuid.UUID | None, limit: int, project: str | None
) -> list[store.Key]:
    """A page of keys, of one project or of all."""
    async with ctx.db.read() as tx:
        return await store.list_keys(tx, after, limit, project)


async def revoke_key(ctx: Context, actor: str, key_id: uuid.UUID) -> None:
    """End a key; other replicas refuse it within `cache_s`.

    Raises:
        NotFound: no such key.
    """
    async with ctx.db.write() as tx:
        key = await store.find_key(tx, key_id)
        if key is None:
            raise NotFound(f"No key {key_id}.")
        await store.revoke_key(tx, key_id)
        project = await store.find_project(tx, key.project) if key.project else None
        await store.log_change(
            tx,
            project_id=project.id if project else None,
            actor=actor,
            action="key.revoke",
            target=f"key:{key_id}",
        )
    ctx.views.forget()


async def _create_project(tx: Writer, actor: str, name: str) -> store.Project:
    project = await store.create_project(tx, name)
    await store.log_change(
        tx,
        project_id=project.id,
        actor=actor,
        action="project.create",
        target=f"project:{name}",
    )
    return project
