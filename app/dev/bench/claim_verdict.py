"""Eight reviewers who each claim one assignment, submit the verdict on it, and go on.

The baseline is a plain loop over the driver, without HTTP: the same statements, as the service has
them, in the same two transactions (BEGIN, reopen and note the reviewer, claim, COMMIT; BEGIN, lock,
record, COMMIT), over eight connections, for as many assignments as ours has just settled.
"""

import uuid
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec

from app.core.review.queue import Queue
from app.core.review.verdict import Answer, Verdict, submit
from app.dev.bench.batch import PATH as BATCH_PATH
from app.dev.bench.connection import Connection, connected, request_bytes
from app.dev.bench.load import BenchError, Run, closed_loop
from app.dev.bench.report import Round
from app.dev.bench.service import Service
from app.dev.bench.traffic import CLAIMED_QUEUE, batch_body, claimed_body
from app.store import assignments, verdicts
from app.store.engine import Writer
from app.store.ids import new_id

NAME = "claim-verdict"
UNIT = "assignments"
BASELINE = (
    "the same statements in the same two transactions by a plain loop over the driver without "
    "HTTP; 8 at once, both"
)
REVIEWERS = 8
# more than a machine of this kind settles over HTTP; a quicker one ends before the time is up
SETTLED_PER_S_MAX = 1200
SEED_ROWS = 500
SECONDS_SPENT = 12.0


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    calls_max = REVIEWERS + round(SETTLED_PER_S_MAX * seconds)
    await fill_queue(service, 2 * calls_max)
    async with connected(service.port, REVIEWERS) as connections:
        reviewers = [_Reviewer(service, *numbered) for numbered in enumerate(connections)]
        ours = await closed_loop(
            [reviewer.settle_one for reviewer in reviewers], seconds=seconds, calls_max=calls_max
        )
    return Round(ours, await _baseline(service, ours.calls))


async def fill_queue(service: Service, count: int) -> None:
    """Put at least so many assignments into the queue that is claimed from."""
    async with connected(service.port, 1) as (connection,):
        for _ in range(0, count, SEED_ROWS):
            seeds = batch_body(claimed_body() for _ in range(SEED_ROWS))
            await connection.expect(200, request_bytes("POST", BATCH_PATH, service.key, seeds))


class _Claimed(msgspec.Struct):
    assignment_id: str
    token: int


class Claims(msgspec.Struct):
    """The answer to a claim, as far as it is read here."""

    leases: list[_Claimed]


_claims = msgspec.json.Decoder(Claims)


class _Reviewer:
    """One reviewer, over HTTP."""

    def __init__(self, service: Service, number: int, connection: Connection) -> None:
        self._connection = connection
        self._key = service.key
        body = msgspec.json.encode({"reviewer": f"r-{number}", "max": 1})
        path = f"/v1/queues/{CLAIMED_QUEUE}/leases"
        self._claim = request_bytes("POST", path, service.key, body)

    async def settle_one(self) -> None:
        leases = _claims.decode(await self._connection.expect(200, self._claim)).leases
        if not leases:
            raise BenchError("The queue ran empty.")
        body = b'{"token":%d,"verdict":"confirm","seconds_spent":12.0}' % leases[0].token
        path = f"/v1/assignments/{leases[0].assignment_id}/verdict"
        await self._connection.expect(201, request_bytes("POST", path, self._key, body))


async def _baseline(service: Service, calls: int) -> Run:
    pattern = await _pattern(service)
    connections = [await asyncpg.connect(service.database_url) for _ in range(REVIEWERS)]
    try:
        drivers = [_Driver(pattern, *numbered) for numbered in enumerate(connections)]
        return await closed_loop([driver.settle_one for driver in drivers], calls_max=calls)
    finally:
        for connection in connections:
            await connection.close()


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The four statements of a claim and its verdict, each with its arguments."""

    begin: tuple[str, tuple[Any, ...]]
    claim: tuple[str, tuple[Any, ...]]
    lock: tuple[str, tuple[Any, ...]]
    record: tuple[str, tuple[Any, ...]]


async def _pattern(service: Service) -> _Pattern:
    """The statements that the service executes, taken down while one verdict is given."""
    ctx, project_id = service.ctx, service.project_id
    queue = (await ctx.views.projects.get(project_id)).queues[CLAIMED_QUEUE]
    async with ctx.db.write() as tx:
        recorder = _Recorder(tx.raw)
        await _settle_one(Writer(tx.conn, recorder, tx.now), project_id, queue)
    return _Pattern(*recorder.statements)


async def _settle_one(tx: Writer, project_id: uuid.UUID, queue: Queue) -> None:
    """What the flows of a claim and of a verdict call, in their order."""
    await assignments.begin_claim(tx, project_id, queue.id, "r-0")
    (lease,) = await assignments.claim_open(
        tx, project_id, queue, "r-0", count=1, lease_s=queue.lease_s
    )
    target = await verdicts.lock_target(tx, project_id, lease.assignment_id)
    assert target is not None, "it was just claimed"
    verdict = Verdict(Answer.CONFIRM, seconds_spent=SECONDS_SPENT)
    await verdicts.record_verdict(
        tx,
        project_id,
        verdict_id=new_id(),
        assignment_id=lease.assignment_id,
        token=lease.token,
        verdict=verdict,
        submitted=submit(verdict, target.item),
    )


class _Recorder:
    """Around a driver connection: takes down what it executes."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.statements: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        async def run(sql: str, *arguments: Any) -> Any:
            self.statements.append((sql, arguments))
            return await getattr(self._raw, name)(sql, *arguments)

        return run


class _Driver:
    """One reviewer, over the driver."""

    def __init__(self, pattern: _Pattern, number: int, connection: Any) -> None:
        self._pattern = pattern
        self._connection = connection
        self._reviewer = f"r-{number}"

    async def settle_one(self) -> None:
        row = await self._claim()
        sql, (project_id, _, *rest) = self._pattern.lock
        async with self._connection.transaction():
            await self._connection.fetchrow(sql, project_id, row["assignment_id"], *rest)
            sql, (_, _, _, _, *said) = self._pattern.record
            await self._connection.fetchval(
                sql, project_id, row["assignment_id"], row["token"], new_id(), *said
            )

    async def _claim(self) -> Any:
        sql, (project_id, queue_id, _, *rest) = self._pattern.begin
        async with self._connection.transaction():
            await self._connection.execute(sql, project_id, queue_id, self._reviewer, *rest)
            sql, (_, _, _, *rest) = self._pattern.claim
            rows = await self._connection.fetch(sql, project_id, queue_id, self._reviewer, *rest)
        if not rows:
            raise BenchError("The queue ran empty.")
        return rows[0]
