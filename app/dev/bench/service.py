"""What is measured: a throwaway database, a server process and a worker, as in production."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.core.access import PROJECT_SCOPES
from app.dev.bench.connection import connected, request_bytes
from app.dev.bench.load import BenchError
from app.dev.bench.traffic import CLAIMED_QUEUE, POLICY, REVIEW_QUEUE, body
from app.flows.context import Context
from app.flows.projects import create_key
from app.settings import Settings
from app.store.embedded import EmbeddedPostgres
from app.store.engine import Database
from app.store.keys import find_project
from app.store.migrations import migrate

STOP_S = 30
# it may only be starting, on a busy machine
WORKER_WAIT_S = 60
# whatever else is set (lanes, pools) holds for the service that is measured
_NOT_OURS = ("OVERRULE_DATABASE_URL", "OVERRULE_MIGRATE_URL", "OVERRULE_DATA_DIR")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service with one project.

    Attributes:
        plain_port: of a server that is no part of it, to compare it with.
        ctx: this process's own way to the same database, for what a baseline prepares.
    """

    port: int
    plain_port: int
    database_url: str
    ctx: Context
    project_id: uuid.UUID
    key: str

    async def settled(self) -> None:
        """Wait until the worker is done, so that the next measurement has the cores for itself."""
        until = time.monotonic() + WORKER_WAIT_S
        async with self.ctx.db.read() as tx:
            while await tx.raw.fetchval("SELECT count(*) FROM inbox"):
                if time.monotonic() > until:
                    raise BenchError("The worker did not fold what was counted; see above.")
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running_service(data_dir: Path) -> AsyncIterator[Service]:
    """Start everything on a new data folder; PostgreSQL has the product's own settings."""
    embedded = EmbeddedPostgres.start(data_dir)
    try:
        settings = Settings(database_url=embedded.url)
        db = Database(embedded.url, settings)
        try:
            await migrate(embedded.url, db)
            ctx = Context.over(db, settings)
            project_id, key = await _make_project(ctx)
            with (
                _server("app.dev.bench.server", embedded.url) as port,
                _server("app.dev.bench.plain_server", embedded.url) as plain_port,
                _worker(embedded.url),
            ):
                service = Service(port, plain_port, embedded.url, ctx, project_id, key)
                await _put_policy(service)
                await _worker_is_up(service)
                yield service
        finally:
            await db.close()
    finally:
        embedded.stop()


def child_environment() -> dict[str, str]:
    """This process's environment without the user's own database, and quiet."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return {"OVERRULE_LOG_LEVEL": "warning", **kept}


async def _make_project(ctx: Context) -> tuple[uuid.UUID, str]:
    new = await create_key(
        ctx,
        "overrule bench",
        project="bench",
        name="bench",
        scopes=list(PROJECT_SCOPES),
        make_project=True,
    )
    async with ctx.db.read() as tx:
        project = await find_project(tx, "bench")
    assert project is not None, "it came with the key"
    return project.id, new.text


async def _put_policy(service: Service) -> None:
    async with connected(service.port, 1) as (connection,):
        for queue in (REVIEW_QUEUE, CLAIMED_QUEUE):
            await connection.put(f"/v1/queues/{queue}", service.key, {})
        path = f"/v1/policies/{POLICY['name']}"
        version = (await connection.put(path, service.key, POLICY))["version"]
        activate = f"{path}/versions/{version}/activate"
        await connection.expect(200, request_bytes("POST", activate, service.key, b""))


async def _worker_is_up(service: Service) -> None:
    """Wait until the worker has folded a first prediction: its start should not be measured."""
    async with connected(service.port, 1) as (connection,):
        request = request_bytes("POST", "/v1/predictions", service.key, body())
        await connection.expect(201, request)
    await service.settled()


@contextmanager
def _server(module: str, database_url: str) -> Iterator[int]:
    """A server process; its port."""
    with _child([module], database_url) as process:
        assert process.stdout is not None, "its output is our pipe"
        port = process.stdout.readline().strip()
        if not port:
            raise BenchError("The server did not start; see above.")
        yield int(port)


@contextmanager
def _worker(database_url: str) -> Iterator[None]:
    """The worker that `overrule serve` starts: it folds the inbox while the load runs."""
    with _child(["app.cli", "worker", "--while-stdin"], database_url):
        yield


@contextmanager
def _child(module: list[str], database_url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its standard input does."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", *module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**child_environment(), "OVERRULE_DATABASE_URL": database_url},
        # Ctrl-C is for us: the children end after the load does
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None, "it is our pipe"
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None, "it is our pipe"
        process.stdout.close()
