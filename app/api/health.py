"""Probes: whether the process lives, and whether it can take requests. Neither asks for a key."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.auth import Ctx
from app.flows.readiness import check_ready

router = APIRouter(tags=["operations"])


class HealthOut(BaseModel):
    """The process answers."""

    status: Literal["ok"] = Field("ok", description="Says nothing about the database.")


class ReadyOut(BaseModel):
    """The process can take requests."""

    status: Literal["ready"] = Field("ready", description="Database, migrations and partitions.")


@router.get("/healthz")
async def live() -> HealthOut:
    """Answer as long as the process lives."""
    return HealthOut()


@router.get("/readyz")
async def ready(ctx: Ctx) -> ReadyOut:
    """Answer 200 when requests can be taken, else 503 with what is missing."""
    await check_ready(ctx)
    return ReadyOut()
