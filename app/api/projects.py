"""Projects and keys, for admin keys."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.auth import Administering, Ctx
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.text import Moment, Name
from app.core.access import Scope
from app.flows import projects as flows
from app.store.keys import Key, Project

router = APIRouter(tags=["projects"])


class ProjectIn(BaseModel):
    """A new project."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"name": "contracts"}})

    name: Name


class ProjectOut(BaseModel):
    """A project: everything else belongs to one."""

    id: uuid.UUID
    name: str
    created_at: datetime

    @classmethod
    def of(cls, project: Project) -> "ProjectOut":
        """From the stored project."""
        return cls(id=project.id, name=project.name, created_at=project.created_at)


class KeyIn(BaseModel):
    """A new key."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"project": "moderation", "name": "serving", "scopes": ["predict"]}
        },
    )

    project: Name | None = Field(None, description="Its name; null only for an admin key.")
    name: Name
    scopes: list[Scope] = Field(min_length=1, max_length=5)
    expires_at: Moment | None = None


class KeyOut(BaseModel):
    """A key, without its secret."""

    id: uuid.UUID
    project: str | None
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: Key) -> "KeyOut":
        """From the stored key."""
        return cls(
            id=key.id,
            project=key.project,
            name=key.name,
            scopes=key.scopes,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )


class NewKeyOut(KeyOut):
    """A new key, with its text: it is shown this once."""

    key: str = Field(description="Send it as `Authorization: Bearer <key>`.")


@router.post("/v1/projects", status_code=201)
async def create_project(ctx: Ctx, caller: Administering, body: ProjectIn) -> ProjectOut:
    """Make a project."""
    return ProjectOut.of(await flows.create_project(ctx, caller.name, body.name))


@router.get("/v1/projects")
async def list_projects(
    ctx: Ctx,
    caller: Administering,  # noqa: ARG001 - asked for is checked
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[ProjectOut]:
    """List all projects."""
    rows = await flows.list_projects(ctx, after("projects", cursor), limit)
    return Page(
        items=[ProjectOut.of(row) for row in rows],
        next_cursor=next_cursor("projects", [row.id for row in rows], limit),
    )


@router.post("/v1/keys", status_code=201)
async def create_key(ctx: Ctx, caller: Administering, body: KeyIn) -> NewKeyOut:
    """Make a key; its text is shown this once."""
    new = await flows.create_key(
        ctx,
        caller.name,
        project=body.project,
        name=body.name,
        scopes=body.scopes,
        expires_at=body.expires_at,
    )
    return NewKeyOut(**KeyOut.of(new.key).model_dump(), key=new.text)


@router.get("/v1/keys")
async def list_keys(
    ctx: Ctx,
    caller: Administering,  # noqa: ARG001 - asked for is checked
    project: Annotated[str | None, Query(max_length=128)] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[KeyOut]:
    """List keys, of one project or of all."""
    rows = await flows.list_keys(ctx, after("keys", cursor), limit, project)
    return Page(
        items=[KeyOut.of(row) for row in rows],
        next_cursor=next_cursor("keys", [row.id for row in rows], limit),
    )


@router.delete("/v1/keys/{key_id}", status_code=204)
async def revoke_key(ctx: Ctx, caller: Administering, key_id: uuid.UUID) -> None:
    """Revoke a key, now."""
    await flows.revoke_key(ctx, caller.name, key_id)
