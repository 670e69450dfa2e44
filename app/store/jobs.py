"""Jobs: queued by a request, taken up by a worker, and finished by one of them.

Written here and not taken from a library, because of four things that a job needs and that the
libraries over PostgreSQL do not give together: it belongs to a project, which alone may see it;
progress and result are read by whoever waits, so they stand in its row; it is queued by the
transaction of whatever causes it; and it must work behind a pooler in transaction mode (no LISTEN,
no session lock) and on tables distributed by project (a claim goes to one shard).

Why a job is never lost and never finished twice:

- **Claiming** locks one due job with SKIP LOCKED and turns it into a lease in the same statement,
  so two workers never take the same one and none waits.
- **A worker that dies** leaves a lease that runs out, and then the job is due again.
- **A worker that only stood still** (swapped out, a database that was away) may wake up after its
  lease, while another does the job. So every write after the claim names the attempt, as a verdict
  names the token of its lease: `attempts` grows with each claim and is never reused, so the
  latecomer's writes find no row and it learns that the job is lost to it.

A job may thus be begun more than once; its work must be such that doing it again does no harm.
Times are the database's own (`Reader.now` is null in production).
"""

import uuid
from typing import Any

import msgspec

from app.core.jobs import ATTEMPTS_MAX, Failure, Job, JobState
from app.store.engine import Reader, Writer
from app.store.ids import new_id


async def add_job(
    tx: Writer, project_id: uuid.UUID, kind: str, arguments: Any, created_by: str
) -> Job:
    """Queue a job; it is due at once."""
    row = await tx.raw.fetchrow(
        f"""
        INSERT INTO jobs (project_id, id, kind, arguments, created_by, created_at, run_after)
        VALUES ($1, $2, $3, $4::text::jsonb, $5, {_now(6)}, {_now(6)}) RETURNING {_COLUMNS}
        """,
        project_id,
        new_id(),
        kind,
        _json(arguments),
        created_by,
        tx.now,
    )
    return _job(row)


async def unfinished_jobs(tx: Reader, project_id: uuid.UUID) -> int:
    """How many jobs of a project are queued or running."""
    count: int = await tx.raw.fetchval(
        f"SELECT count(*) FROM jobs WHERE project_id = $1 AND {_UNFINISHED}", project_id
    )
    return count


async def find_job(tx: Reader, project_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
    """One job."""
    row = await tx.raw.fetchrow(
        f"SELECT {_COLUMNS} FROM jobs WHERE project_id = $1 AND id = $2", project_id, job_id
    )
    return _job(row) if row else None


async def projects_due(tx: Reader, kinds: list[str]) -> list[uuid.UUID]:
    """Projects that have a job to take up, the longest waiting first."""
    rows = await tx.raw.fetch(
        f"""
        SELECT project_id FROM jobs
        WHERE {_UNFINISHED} AND {_DUE} <= {_now(1)} AND kind = ANY ($2::text[])
        GROUP BY project_id ORDER BY min({_DUE}), project_id
        """,
        tx.now,
        kinds,
    )
    return [row["project_id"] for row in rows]


async def claim_job(
    tx: Writer, project_id: uuid.UUID, kinds: list[str], lease_s: float
) -> Job | None:
    """Lease the job of a project that is due longest; None when others have taken all.

    A job whose last attempt was left behind by its worker is not begun again: `fail_abandoned`.
    """
    row = await tx.raw.fetchrow(
        f"""
        WITH chosen AS MATERIALIZED (
          SELECT id FROM jobs
          WHERE project_id = $1 AND {_UNFINISHED} AND {_DUE} <= {_now(2)}
            AND kind = ANY ($3::text[]) AND (state = 'queued' OR attempts < {ATTEMPTS_MAX:d})
          ORDER BY {_DUE}, id LIMIT 1
          FOR UPDATE SKIP LOCKED
        )
        UPDATE jobs SET state = 'running', attempts = attempts + 1, done = 0, total = NULL,
          started_at = coalesce(started_at, {_now(2)}),
          lease_until = {_now(2)} + $4 * interval '1 second'
        WHERE project_id = $1 AND id = (SELECT id FROM chosen)
        RETURNING {_COLUMNS}
        """,
        project_id,
        tx.now,
        kinds,
        lease_s,
    )
    return _job(row) if row else None


async def fail_abandoned(tx: Writer, project_id: uuid.UUID, failure: Failure) -> int:
    """End the jobs whose last attempt was left behind by its worker; how many."""
    rows = await tx.raw.fetch(
        f"""
        UPDATE jobs SET state = 'failed', lease_until = NULL, problem = $2::text::jsonb,
          finished_at = {_now(3)}
        WHERE project_id = $1 AND state = 'running' AND attempts >= {ATTEMPTS_MAX:d}
          AND lease_until <= {_now(3)}
        RETURNING id
        """,
        project_id,
        _json(failure),
        tx.now,
    )
    return len(rows)


async def hold_job(tx: Writer, job: Job, lease_s: float) -> bool:
    """Let the lease run on; False when the job is lost to another worker."""
    return await _write(tx, job, f"lease_until = {_now(4)} + $5 * interval '1 second'", lease_s)


async def report_job(tx: Writer, job: Job, done: int, total: int | None, lease_s: float) -> bool:
    """Show how far it is, and let the lease run on; False when the job is lost."""
    return await _write(
        tx,
        job,
        f"done = $6, total = $7, lease_until = {_now(4)} + $5 * interval '1 second'",
        lease_s,
        done,
        total,
    )


async def finish_job(tx: Writer, job: Job, result: Any) -> bool:
    """Keep its result; False when the job is lost."""
    return await _write(
        tx,
        job,
        f"state = 'done', lease_until = NULL, finished_at = {_now(4)}, result = $5::text::jsonb",
        _json(result),
    )


async def fail_job(tx: Writer, job: Job, failure: Failure) -> bool:
    """Keep why it failed; False when the job is lost."""
    return await _write(
        tx,
        job,
        f"state = 'failed', lease_until = NULL, finished_at = {_now(4)}, problem = $5::text::jsonb",
        _json(failure),
    )


async def queue_job_again(tx: Writer, job: Job, after_s: float) -> bool:
    """Give it back, to be begun again after so many seconds; False when the job is lost."""
    return await _write(
        tx,
        job,
        f"state = 'queued', lease_until = NULL, run_after = {_now(4)} + $5 * interval '1 second'",
        after_s,
    )


_UNFINISHED = "state IN ('queued', 'running')"
# of what is running, when its lease ends
_DUE = "coalesce(lease_until, run_after)"
_COLUMNS = (
    "project_id, id, kind, arguments, state, done, total, result, problem, attempts, created_at, "
    "started_at, finished_at"
)


def _now(parameter: int) -> str:
    return f"coalesce(${parameter}::timestamptz, statement_timestamp())"


async def _write(tx: Writer, job: Job, changes: str, *values: Any) -> bool:
    """Change a running job, as long as this attempt of it is the last."""
    found = await tx.raw.fetchval(
        f"""
        UPDATE jobs SET {changes}
        WHERE project_id = $1 AND id = $2 AND attempts = $3 AND state = 'running'
        RETURNING id
        """,
        job.project_id,
        job.id,
        job.attempts,
        tx.now,
        *values,
    )
    return found is not None


def _job(row: Any) -> Job:
    fields = dict(row)
    problem = fields.pop("problem")
    return Job(
        **{**fields, "state": JobState(fields["state"])},
        failure=msgspec.convert(problem, Failure) if problem is not None else None,
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
