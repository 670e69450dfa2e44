"""Jobs: what takes longer than a request may, and when it is tried again."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from app.core.errors import Loc, OverruleError

# then it has failed; the pauses between make about a minute
ATTEMPTS_MAX = 5
RETRY_AFTER_S = 2.0
RETRY_AFTER_S_MAX = 300.0
# of one project: a caller who asks without end must not keep the others waiting
UNFINISHED_MAX = 100

# tells what is done of how much, in units of the job's own; both shown to whoever waits
Report = Callable[[int, int | None], Awaitable[None]]


class JobState(StrEnum):
    """Where a job is; `queued` also between two attempts."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Failure(Struct, frozen=True):
    """Why a job failed: what an error says."""

    code: str
    detail: str
    places: list[tuple[Loc, str]] = []


class Job(Struct, frozen=True):
    """One job.

    Attributes:
        kind: names the work.
        arguments: plain data, complete: what it takes to do the work again from the beginning.
        done: units that are done, of `total`; None while that is not known.
        result: plain data, once it is done.
        failure: once it has failed.
        attempts: how often it was begun.
    """

    project_id: uuid.UUID
    id: uuid.UUID
    kind: str
    arguments: Any
    state: JobState
    done: int
    total: int | None
    result: Any
    failure: Failure | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def over(self) -> bool:
        """Done or failed."""
        return self.state in {JobState.DONE, JobState.FAILED}


def retry_after_s(attempts: int) -> float | None:
    """Seconds until the next attempt after so many; None when there is none."""
    if attempts >= ATTEMPTS_MAX:
        return None
    return min(RETRY_AFTER_S * 2.0 ** (attempts - 1), RETRY_AFTER_S_MAX)


def failure_of(error: Exception) -> Failure:
    """What a caller may know of an error: nothing of what is not meant for callers."""
    if isinstance(error, OverruleError):
        return Failure(error.code, error.detail, error.places)
    return Failure("internal", "The service failed on this job; its log says where.")


ABANDONED = Failure(
    "internal", "The job was begun again and again, and each time its worker disappeared."
)
