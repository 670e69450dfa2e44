"""The process behind `overrule serve`: database, worker and HTTP server under one roof.

The embedded PostgreSQL and the worker are processes of their own. A thread looks after both and
starts again what has died, so that a killed database or worker needs no restart by hand. The
worker's standard input is a pipe from here: when this process is gone, however it died, the pipe
ends and so does the worker.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import NoReturn, Self

import uvicorn

from app.core.access import PROJECT_SCOPES
from app.core.errors import NameTaken
from app.flows import projects
from app.flows.context import Context
from app.main import create
from app.settings import Settings
from app.store import keys
from app.store.embedded import EmbeddedPostgres, database
from app.store.engine import Database
from app.store.migrations import migrate

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.25
WORKER_STOP_S = 15
GRACEFUL_STOP_S = 30
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
BACKLOG = 2048
FIRST_PROJECT = "default"
FIRST_KEY_FILE = "first-key"


class ListenError(Exception):
    """The address to listen on is taken, or not ours; the message says what to do."""


def serve(settings: Settings, *, with_worker: bool) -> None:
    """Serve until told to stop (SIGINT, SIGTERM, SIGHUP); what was accepted is finished first.

    Raises:
        ListenError: the address is taken or not ours.
        EmbeddedPostgresError: the embedded database does not start.
        DatabaseUnavailable: nor can the other one be reached.
    """
    # a product over a batch takes microseconds: BLAS threads would wait longer for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # the server re-raises the signal that ended it; as an exit it unwinds what is entered below
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    # a terminal that is closed must not leave the database behind; under nohup it stays ignored
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with _listening(settings) as listener, database(settings) as (url, embedded):
        asyncio.run(_prepare(url, settings))
        worker = _Worker(url) if with_worker else None
        with worker or nullcontext(), _looked_after(embedded, worker):
            # whoever reads the address can connect, and waits for the server's first look
            listener.listen(BACKLOG)
            host, port = listener.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            print(f"API   {address}\nDocs  {address}/docs", flush=True)  # noqa: T201
            config = uvicorn.Config(
                create(url, settings),
                log_config=None,
                access_log=False,
                server_header=False,
                # nothing here asks who the client is
                proxy_headers=False,
                timeout_graceful_shutdown=GRACEFUL_STOP_S,
            )
            uvicorn.Server(config).run(sockets=[listener])


def _stop(*_: object) -> NoReturn:
    # said twice (an impatient Ctrl-C), it must not cut short the end of what was started
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Take the address first: one that is taken should fail before anything was started."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise ListenError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
                "Choose another address with --host and --port."
            ) from error
        yield listener


async def _prepare(url: str, settings: Settings) -> None:
    """Migrate, and make the first key where there is none."""
    db = Database(url, settings)
    try:
        await migrate(settings.migrate_url or url, db)
        async with db.read() as tx:
            first_start = not await keys.any_key(tx)
        # another process that starts on this database now may be the one that makes it
        with suppress(NameTaken):
            if first_start:
                new = await projects.create_key(
                    Context.over(db, settings),
                    "overrule serve",
                    project=FIRST_PROJECT,
                    name="first",
                    scopes=list(PROJECT_SCOPES),
                    make_project=True,
                )
                _show_first_key(new.text, settings.data_dir)
    finally:
        await db.close()


def _show_first_key(text: str, data_dir: Path) -> None:
    """On a terminal only; logs are kept and read by others, so else into a file for its owner."""
    if sys.stdout.isatty():
        print(f"Key   {text}  (project {FIRST_PROJECT}; shown this once)", flush=True)  # noqa: T201
        return
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / FIRST_KEY_FILE
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    print(f"Key   in {path}  (project {FIRST_PROJECT})", flush=True)  # noqa: T201


class _Worker:
    """The worker as a child process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None, "it was started when the block was entered"
        assert process.stdin is not None, "its standard input is our pipe"
        process.stdin.close()
        # the pipe's end is noticed by a worker that works, this also by one that is only starting
        process.terminate()
        try:
            process.wait(WORKER_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self) -> None:
        """Start it, in a session of its own: Ctrl-C on the terminal is for us to pass on."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "worker", "--while-stdin"],
            stdin=subprocess.PIPE,
            env={**os.environ, "OVERRULE_DATABASE_URL": self._url},
            start_new_session=True,
        )

    def start_again_if_dead(self) -> None:
        """For the thread that looks after it."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("the worker ended with %s; starting it again", self._process.returncode)
            assert self._process.stdin is not None, "it is our pipe"
            self._process.stdin.close()
            self.start()


@contextmanager
def _looked_after(embedded: EmbeddedPostgres | None, worker: _Worker | None) -> Iterator[None]:
    """Start again what dies while the block runs."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            try:
                if embedded is not None and embedded.ensure_running():
                    log.warning("the embedded PostgreSQL had died; it runs again")
                if worker is not None:
                    worker.start_again_if_dead()
            except Exception as error:  # noqa: BLE001 - a look that fails must not be the last one
                log.error("cannot start again yet: %s", error)  # noqa: TRY400 - tried again soon

    thread = threading.Thread(target=look, name="looking-after", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
