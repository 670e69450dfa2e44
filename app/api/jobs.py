"""Jobs: state, progress and result of what takes long."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.auth import Ctx, Reading
from app.api.problems import TYPE_PREFIX, Place
from app.core.jobs import Failure, Job, JobState
from app.flows import jobs as flow

router = APIRouter(tags=["jobs"])

WAIT_S_MAX = 30


class ProgressOut(BaseModel):
    """How far it is, in units of the job's own: of a simulation, decisions; of a fit, rows."""

    done: int
    total: int | None = Field(description="Null while it is not known; it may be a little high.")


class JobProblem(BaseModel):
    """Why a job failed, as a problem document without a status."""

    type: str
    title: str
    code: str = Field(description="As of a refused request, or `internal`.")
    detail: str
    errors: list[Place]

    @classmethod
    def of(cls, failure: Failure) -> "JobProblem":
        """From what is stored."""
        return cls(
            type=TYPE_PREFIX + failure.code,
            title=failure.code.replace("_", " ").capitalize(),
            code=failure.code,
            detail=failure.detail,
            errors=[Place(loc=list(loc), detail=detail) for loc, detail in failure.places],
        )


class JobOut(BaseModel):
    """One job."""

    id: uuid.UUID
    kind: str = Field(description="`simulation`: its result is a `Simulation`; `fit_detector`.")
    state: JobState = Field(description="`queued` also before it is tried again.")
    progress: ProgressOut
    result: Any | None = Field(description="Null until it is done.")
    problem: JobProblem | None = Field(description="Null unless it failed.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        """From the stored job."""
        return cls(
            id=job.id,
            kind=job.kind,
            state=job.state,
            progress=ProgressOut(done=job.done, total=job.total),
            result=job.result,
            problem=JobProblem.of(job.failure) if job.failure is not None else None,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


@router.get("/v1/jobs/{job_id}")
async def get_job(
    ctx: Ctx,
    caller: Reading,
    job_id: uuid.UUID,
    wait_s: Annotated[
        float, Query(ge=0, le=WAIT_S_MAX, description="Seconds to wait for its end.")
    ] = 0,
) -> JobOut:
    """One job; with `wait_s`, once it is over."""
    return JobOut.of(await flow.find(ctx, caller.project, job_id, wait_s))
