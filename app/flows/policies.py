"""The life of a policy version: draft, active, retired."""

import uuid
from typing import Any

from app.core.access import Caller
from app.core.errors import Invalid, NotFound
from app.core.routing.document import digest_of, parse
from app.core.routing.policy import policy_of
from app.flows.context import Context
from app.store import policies as store
from app.store.engine import Reader, retried
from app.store.keys import log_change
from app.store.queues import queues_by_name


async def validate(ctx: Context, project_id: uuid.UUID, data: Any) -> None:
    """Check a document against itself and against the project.

    Raises:
        Invalid: every mistake, by its place.
    """
    async with ctx.db.read() as tx:
        await _checked(tx, project_id, data)


@retried
async def put(
    ctx: Context, caller: Caller, name: str, data: Any
) -> tuple[store.PolicyVersion, bool]:
    """Make the next version of a policy, as a draft.

    Returns:
        The version, and whether it is new: a document equal to the latest version's makes none.

    Raises:
        Invalid: every mistake, by its place.
    """
    project_id = caller.project
    async with ctx.db.write() as tx:
        await store.lock_policies(tx, project_id)
        model = await _checked(tx, project_id, data, name)
        digest = digest_of(data)
        latest = await store.latest_version(tx, project_id, name)
        if latest is not None and latest.digest == digest:
            return latest, False
        version = await store.add_version(
            tx,
            project_id,
            name=name,
            version=latest.version + 1 if latest is not None else 1,
            model=model,
            document=data,
            digest=digest,
            created_by=caller.name,
        )
        await log_change(
            tx,
            project_id=project_id,
            actor=caller.name,
            action="policy.put",
            target=f"policy:{name}@{version.version}",
            after=data,
        )
        return version, True


@retried
async def activate(ctx: Context, caller: Caller, name: str, number: int) -> store.PolicyVersion:
    """Let a version decide for its model; the one that did is retired.

    Other replicas follow within `cache_s`. Activating a retired version is the way back.

    Raises:
        NotFound: no such version.
    """
    project_id = caller.project
    async with ctx.db.write() as tx:
        await store.lock_policies(tx, project_id)
        version = await _found(tx, project_id, name, number)
        before = await store.active_version(tx, project_id, version.model)
        if before is not None and before.id != version.id:
            await store.set_state(tx, project_id, before.id, "retired")
        await store.set_state(tx, project_id, version.id, "active")
        await log_change(
            tx,
            project_id=project_id,
            actor=caller.name,
            action="policy.activate",
            target=f"policy:{name}@{number}",
            before=f"{before.name}@{before.version}" if before is not None else None,
            after=f"{name}@{number}",
        )
        activated = await _found(tx, project_id, name, number)
    ctx.views.forget()
    return activated


@retried
async def retire(ctx: Context, caller: Caller, name: str, number: int) -> store.PolicyVersion:
    """Take a version out of use; without an active one everything goes to review.

    Raises:
        NotFound: no such version.
    """
    project_id = caller.project
    async with ctx.db.write() as tx:
        await store.lock_policies(tx, project_id)
        version = await _found(tx, project_id, name, number)
        await store.set_state(tx, project_id, version.id, "retired")
        await log_change(
            tx,
            project_id=project_id,
            actor=caller.name,
            action="policy.retire",
            target=f"policy:{name}@{number}",
            before=version.state,
            after="retired",
        )
        retired = await _found(tx, project_id, name, number)
    ctx.views.forget()
    return retired


async def find(ctx: Context, project_id: uuid.UUID, name: str, number: int) -> store.PolicyVersion:
    """One version.

    Raises:
        NotFound: no such version.
    """
    async with ctx.db.read() as tx:
        return await _found(tx, project_id, name, number)


async def list_versions(
    ctx: Context, project_id: uuid.UUID, after: uuid.UUID | None, limit: int
) -> list[store.PolicyVersion]:
    """A page of all versions of all policies."""
    async with ctx.db.read() as tx:
        return await store.list_versions(tx, project_id, after, limit)


async def _found(tx: Reader, project_id: uuid.UUID, name: str, number: int) -> store.PolicyVersion:
    version = await store.find_version(tx, project_id, name, number)
    if version is None:
        raise NotFound(f"No version {number} of a policy {name!r}.")
    return version


async def _checked(tx: Reader, project_id: uuid.UUID, data: Any, name: str | None = None) -> str:
    """Check a document whole; the model that it applies to."""
    document = parse(data)
    if name is not None and document.head.name != name:
        raise Invalid(
            f"The document calls itself {document.head.name!r}, the address {name!r}.",
            loc=("name",),
        )
    policy = policy_of(document, document.head.name, version=0)
    unknown = policy.queues() - set(await queues_by_name(tx, project_id))
    if unknown:
        raise Invalid(
            f"There is no queue {', '.join(sorted(unknown))}; make it first "
            "(PUT /v1/queues/{queue}).",
            loc=("rules",),
        )
    return policy.model
