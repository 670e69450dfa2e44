"""Policies: documents become versions, which become active, shadow, retired, and active again."""

import uuid
from dataclasses import dataclass
from typing import Any

from app.core.access import Caller
from app.core.errors import Invalid, Loc, NoEarlierVersion, NotFound
from app.core.routing.coverage import warnings_of
from app.core.routing.diff import Diff, diff
from app.core.routing.document import Document, digest_of, parse
from app.core.routing.life import ONE_PER_MODEL, VersionEvent, VersionState, after
from app.flows.context import Context
from app.store import policies as store
from app.store.detectors import ready_detector
from app.store.engine import Reader, Writer, retried
from app.store.keys import lock_project, log_change
from app.store.monitor_states import monitor_names
from app.store.queues import queues_by_name

Warnings = list[tuple[Loc, str]]


@dataclass(frozen=True, slots=True)
class Put:
    """What a PUT found or made."""

    version: store.PolicyVersion
    new: bool
    warnings: Warnings


@dataclass(frozen=True, slots=True)
class Activated:
    """A version that decides now, and the one that was retired for it."""

    version: store.PolicyVersion
    retired: store.PolicyVersion | None


async def validate(ctx: Context, project_id: uuid.UUID, data: Any) -> Warnings:
    """Check a document against itself and against the project.

    Returns:
        What may be meant, but seldom is, by its place.

    Raises:
        Invalid: every mistake, by its place.
    """
    async with ctx.db.read() as tx:
        return await _warnings(tx, project_id, await checked(tx, project_id, data))


@retried
async def put(ctx: Context, caller: Caller, name: str, data: Any) -> Put:
    """Make the next version of a policy, as a draft.

    A document equal to the latest version's makes none.

    Raises:
        Invalid: every mistake, by its place.
    """
    project_id = caller.project
    async with ctx.db.write() as tx:
        await lock_project(tx, project_id)
        document = await checked(tx, project_id, data, name)
        warnings = await _warnings(tx, project_id, document)
        digest = digest_of(data)
        latest = await store.latest_version(tx, project_id, name)
        if latest is not None and latest.digest == digest:
            return Put(latest, new=False, warnings=warnings)
        version = await store.add_version(
            tx,
            project_id,
            name=name,
            version=latest.version + 1 if latest is not None else 1,
            model=document.head.applies_to.model,
            document=data,
            digest=digest,
            created_by=caller.name,
        )
        await _log(tx, caller, version, "put", before=None, after=data)
    return Put(version, new=True, warnings=warnings)


@retried
async def activate(ctx: Context, caller: Caller, name: str, number: int) -> Activated:
    """Let a version decide for its model; the one that did is retired.

    Other replicas follow within `cache_s`.

    Raises:
        NotFound: no such version.
    """
    async with ctx.db.write() as tx:
        await lock_project(tx, caller.project)
        version = await _found(tx, caller.project, name, number)
        former = await store.version_in(tx, caller.project, version.model, VersionState.ACTIVE)
        moved = await _moved(tx, caller, version, VersionEvent.ACTIVATE)
    ctx.views.forget()
    return Activated(moved, former if former is not None and former.id != moved.id else None)


async def shadow(ctx: Context, caller: Caller, name: str, number: int) -> store.PolicyVersion:
    """Evaluate a version beside the active one of its model; the former shadow is a draft again.

    Raises:
        NotFound: no such version.
        StateConflict: it is the active one.
    """
    return await _change(ctx, caller, name, number, VersionEvent.SHADOW)


async def retire(ctx: Context, caller: Caller, name: str, number: int) -> store.PolicyVersion:
    """Take a version out of use; without an active one everything goes to review.

    Raises:
        NotFound: no such version.
    """
    return await _change(ctx, caller, name, number, VersionEvent.RETIRE)


@retried
async def roll_back(
    ctx: Context, caller: Caller, name: str, number: int | None = None
) -> store.PolicyVersion:
    """Let an earlier version decide again: this one, or the one before the present one.

    Rolling back does not count as an activation, so that rolling back twice goes two versions
    back and not to and fro.

    Raises:
        NotFound: no such policy or version.
        NoEarlierVersion: the policy has no active version, or none was active before it; or the
            version that was asked for never was.
    """
    project_id = caller.project
    async with ctx.db.write() as tx:
        await lock_project(tx, project_id)
        earlier = await _to_roll_back_to(tx, project_id, name, number)
        version = await _moved(tx, caller, earlier, VersionEvent.ROLLBACK)
    ctx.views.forget()
    return version


async def find(ctx: Context, project_id: uuid.UUID, name: str, number: int) -> store.PolicyVersion:
    """One version.

    Raises:
        NotFound: no such version.
    """
    async with ctx.db.read() as tx:
        return await _found(tx, project_id, name, number)


async def compare(
    ctx: Context, project_id: uuid.UUID, name: str, number: int, to: int | None
) -> tuple[int, Diff]:
    """What is different in another version of the policy.

    Args:
        ctx: the service.
        project_id: the project.
        name: the policy's.
        number: the version to start from.
        to: the other version; None is the latest.

    Returns:
        The number of the other version, and the differences.

    Raises:
        NotFound: one of them is not there.
    """
    async with ctx.db.read() as tx:
        before = await _found(tx, project_id, name, number)
        if to is None:
            other = await store.latest_version(tx, project_id, name)
            assert other is not None, "versions are never removed"
        else:
            other = await _found(tx, project_id, name, to)
    return other.version, diff(before.document, other.document)


async def list_versions(
    ctx: Context,
    project_id: uuid.UUID,
    wanted: store.Wanted,
    after_id: uuid.UUID | None,
    limit: int,
) -> list[store.PolicyVersion]:
    """A page of the versions that are wanted."""
    async with ctx.db.read() as tx:
        return await store.list_versions(tx, project_id, wanted, after_id, limit)


async def checked(
    tx: Reader, project_id: uuid.UUID, data: Any, name: str | None = None
) -> Document:
    """Check a document against itself and against the queues and monitors of the project.

    Raises:
        Invalid: every mistake, by its place; another name than that of its address is one, too.
    """
    queues = (await queues_by_name(tx, project_id)).keys()
    document = parse(data, queues, await _monitors_of(tx, project_id, data))
    if name is not None and document.head.name != name:
        raise Invalid(
            f"The document calls itself {document.head.name!r}, the address {name!r}.",
            loc=("name",),
        )
    return document


async def _warnings(tx: Reader, project_id: uuid.UUID, document: Document) -> Warnings:
    detector = await ready_detector(tx, project_id, document.head.applies_to.model)
    return warnings_of(document, has_detector=detector is not None)


async def _monitors_of(tx: Reader, project_id: uuid.UUID, data: Any) -> set[str] | None:
    """The monitors of the model that a document names; None where it names none: a mistake."""
    match data:
        case {"applies_to": {"model": str(model)}}:
            return await monitor_names(tx, project_id, model)
        case _:
            return None


@retried
async def _change(
    ctx: Context, caller: Caller, name: str, number: int, event: VersionEvent
) -> store.PolicyVersion:
    async with ctx.db.write() as tx:
        await lock_project(tx, caller.project)
        version = await _found(tx, caller.project, name, number)
        version = await _moved(tx, caller, version, event)
    ctx.views.forget()
    return version


async def _moved(
    tx: Writer, caller: Caller, version: store.PolicyVersion, event: VersionEvent
) -> store.PolicyVersion:
    """The version in the state that the event leads to; every change of a state is logged."""
    state = after(version.state, event)
    if state == version.state:
        return version
    if state in ONE_PER_MODEL:
        # first, since a unique index counts them
        former = await store.version_in(tx, caller.project, version.model, state)
        if former is not None:
            await _moved(tx, caller, former, VersionEvent.REPLACE)
    activated = event is VersionEvent.ACTIVATE
    moved = await store.set_state(tx, caller.project, version.id, state, activated=activated)
    if event is VersionEvent.ROLLBACK:
        await store.note_rollback(tx, caller.project, moved)
    await _log(tx, caller, version, event, before=version.state, after=state)
    return moved


async def _log(
    tx: Writer, caller: Caller, version: store.PolicyVersion, what: str, *, before: Any, after: Any
) -> None:
    await log_change(
        tx,
        project_id=caller.project,
        actor=caller.name,
        action=f"policy.{what}",
        target=f"policy:{version.name}@{version.version}",
        before=before,
        after=after,
    )


async def _to_roll_back_to(
    tx: Reader, project_id: uuid.UUID, name: str, number: int | None
) -> store.PolicyVersion:
    if number is None:
        if await store.latest_version(tx, project_id, name) is None:
            raise NotFound(f"No policy {name!r}.")
        earlier = await store.version_before_active(tx, project_id, name)
        if earlier is None:
            raise NoEarlierVersion(
                f"No version of {name!r} was active before the present one; name a version."
            )
        return earlier
    version = await _found(tx, project_id, name, number)
    if version.activated_at is None:
        raise NoEarlierVersion(f"Version {number} of {name!r} never was active; activate it.")
    return version


async def _found(tx: Reader, project_id: uuid.UUID, name: str, number: int) -> store.PolicyVersion:
    version = await store.find_version(tx, project_id, name, number)
    if version is None:
        raise NotFound(f"No version {number} of a policy {name!r}.")
    return version
