"""The PostgreSQL 18 that Overrule brings along: one server for each data folder.

Inside the data folder:

    pg/            PGDATA: the cluster, its `overrule.conf`, its `server.log`, usually its socket
    pg.lock        held exclusively while somebody creates, starts or stops the server
    pg.users       held shared by each live user of the server

Both locks are the kernel's (`flock`), so they end with their holder however it dies: a process
killed with -9 neither counts as a user nor blocks the next start. Whoever can turn its shared
lock on `pg.users` into an exclusive one is the last user, and stops the server.

Who may connect: authentication is `trust`, and the fence is the file system. The socket lies in a
folder of mode 0700 that belongs to the account the server runs as, and TCP is off. That account is
the one that runs Overrule; only root, as which PostgreSQL refuses to run, lends it to the account
that owns the cluster already, or else to `pgserver`, and reaches the socket by being root.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]

from app.store.postmaster import (
    PORT,
    REMEDY,
    SOCKET_NAME,
    START_LIMIT_S,
    Account,
    EmbeddedPostgresError,
    account_for,
    admit,
    clear_after_crash,
    demand,
    find_postmaster,
    is_ready,
    run_program,
    shut_down,
    tail,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from app.settings import Settings

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "database"]

DATABASE = "overrule"
SOCKET_PATH_BYTES_MAX = 103  # macOS allows 103 and Linux 107, without the final NUL
SHARED_BUFFERS_MAX_MB = 4096


class EmbeddedPostgres:
    """One data folder's own PostgreSQL server, as held by one of its users.

    Any number of handles, in any number of processes, share one server; the last one stops it.
    There is no exit hook: who starts also stops, in a `finally`.
    """

    url: str
    """For asyncpg as it is, for SQLAlchemy with `postgresql+asyncpg` as its scheme."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        self._data_dir = data_dir
        self._pgdata = data_dir / "pg"
        self._settings = settings
        self._presence: IO[bytes] | None = None

    @classmethod
    def start(
        cls, data_dir: Path, *, settings: Mapping[str, str] | None = None
    ) -> EmbeddedPostgres:
        """Create the cluster when it is new, and start its server or attach to the running one.

        `settings` override the stated ones of a server that this call (or a later
        `ensure_running`) starts; a server that already runs keeps its own.

        Raises:
            EmbeddedPostgresError: With PostgreSQL's own last words and the remedy.
        """
        try:
            data_dir = data_dir.resolve()
            _refuse_unquotable(data_dir)
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            server = cls(data_dir, dict(settings or {}))
            with server._only_one():
                server._enter()
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot use {data_dir}: {error}. {REMEDY}") from error
        return server

    def ensure_running(self) -> bool:
        """Start the server again if its postmaster died; True if this call had to.

        Blocks until the restarted server has recovered. Never creates a cluster: one that
        vanished is an error, not an empty database.

        Raises:
            EmbeddedPostgresError: It does not start; worth another try, the cause may pass.
        """
        if self._presence is None or find_postmaster(self._pgdata) is not None:
            return False
        try:
            with self._only_one():
                if not (self._pgdata / "PG_VERSION").exists():
                    raise EmbeddedPostgresError(f"{self._pgdata} has lost its database. {REMEDY}")
                return self._presence is not None and self._bring_up()
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot use {self._pgdata}: {error}. {REMEDY}") from error

    def stop(self) -> None:
        """Let go of the server, and shut it down if nobody else uses it. May be called again."""
        if self._presence is None:
            return
        if not self._data_dir.exists():
            # Deleted under us: a postmaster that misses its files ends by itself in a minute.
            self._leave()
            return
        with self._only_one():
            try:
                if self._is_last_user():
                    shut_down(self._pgdata)
                    _remove_socket_dir(self._pgdata)
            finally:
                self._leave()

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        # Opened anew each time: locks of one open file would not exclude this process's threads.
        with _open_lock(self._data_dir / "pg.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _enter(self) -> None:
        self._presence = _open_lock(self._data_dir / "pg.users")
        fcntl.flock(self._presence, fcntl.LOCK_SH)
        try:
            if not (self._pgdata / "PG_VERSION").exists():
                self._create_cluster()
            self._bring_up()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._presence is not None:
            self._presence.close()
            self._presence = None

    def _is_last_user(self) -> bool:
        if self._presence is None:
            return False
        try:
            # A failed conversion may lose the shared lock too, which suits somebody who leaves.
            fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _create_cluster(self) -> None:
        """Build the cluster under another name, so that `pg` exists only when it is whole."""
        for left_over in self._data_dir.glob("pg.new-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        account = account_for(self._pgdata)
        new = Path(tempfile.mkdtemp(prefix="pg.new-", dir=self._data_dir))
        admit(account, new)
        # initdb syncs what it wrote (0.1 s of 0.6 s) unless the caller gave up durability anyway.
        no_sync = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        made = run_program("initdb", [*_INITDB, *no_sync, f"--pgdata={new}"], account)
        demand(made, f"Cannot create a database in {self._pgdata}")
        conf = new / "postgresql.conf"
        _write_durably(conf, conf.read_text(encoding="utf-8") + _INCLUDE, account)
        _write_durably(new / "overrule.conf", "", account)
        new.rename(self._pgdata)
        _sync(self._data_dir)

    def _bring_up(self) -> bool:
        """Have the server ready with its database in it; True if this started it."""
        socket_dir = _socket_dir(self._pgdata)
        self.url = f"postgresql://postgres@/{DATABASE}?host={quote(str(socket_dir))}&port={PORT}"
        launched = self._launch_unless_ready(socket_dir)
        made = self._create_database(socket_dir)
        if made.returncode != 0:  # it may have died just now: the one found running, above all
            launched = self._launch_unless_ready(socket_dir) or launched
            made = self._create_database(socket_dir)
        demand(made, f"The PostgreSQL in {self._pgdata} runs, but without database {DATABASE!r}")
        return launched

    def _launch_unless_ready(self, socket_dir: Path) -> bool:
        if is_ready(self._pgdata):
            return False
        account = account_for(self._pgdata)
        clear_after_crash(self._pgdata, socket_dir)
        admit(account, self._pgdata)
        _make_socket_dir(socket_dir, self._pgdata)
        self._launch(socket_dir, account)
        return True

    def _launch(self, socket_dir: Path, account: Account | None) -> None:
        place = {"unix_socket_directories": str(socket_dir), "port": str(PORT)}
        conf = _conf_text({**self._settings, **place})
        _write_durably(self._pgdata / "overrule.conf", conf, account)
        log = self._pgdata / "server.log"
        with suppress(FileNotFoundError):
            log.replace(self._pgdata / "server.log.1")
        # pg_ctl gives the server a session of its own: Ctrl-C in our terminal does not reach it.
        arguments = ["start", "--wait", f"--timeout={START_LIMIT_S}", f"--log={log}"]
        started = run_program("pg_ctl", [*arguments, f"--pgdata={self._pgdata}"], account)
        if started.returncode != 0 and log.exists():  # then pg_ctl itself only names the log
            started.stdout = f"{log} ends with: {tail(log.read_text(errors='replace'))}"
        demand(started, f"The PostgreSQL in {self._pgdata} does not start")

    def _create_database(self, socket_dir: Path) -> subprocess.CompletedProcess[str]:
        # At each start, since a process may be killed between starting a new server and this.
        arguments = [*_PSQL, f"--host={socket_dir}"]
        return run_program("psql", arguments, account_for(self._pgdata), stdin=_CREATE_DATABASE)


@contextmanager
def database(settings: Settings) -> Iterator[tuple[str, EmbeddedPostgres | None]]:
    """The database's address, and the embedded server where that is what is used."""
    if settings.database_url is not None:
        yield settings.database_url, None
        return
    embedded = EmbeddedPostgres.start(settings.data_dir)
    try:
        yield embedded.url, embedded
    finally:
        embedded.stop()


_INITDB = (
    "--username=postgres",
    "--encoding=UTF8",
    # Sorting by code point, the same on every machine; upper and lower case still know Unicode.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth-local=trust",
    "--auth-host=reject",
    "--no-instructions",
)

_INCLUDE = """
# Overrule's settings. A line of your own below this one wins.
include = 'overrule.conf'
"""

_PSQL = (
    "--no-psqlrc",
    "--quiet",
    "--username=postgres",
    "--dbname=postgres",
    f"--port={PORT}",
    "--set=ON_ERROR_STOP=1",
    f"--set=database={DATABASE}",
)

_CREATE_DATABASE = r"""
SELECT format('CREATE DATABASE %I', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
"""

_STATED = {  # name: (value, reason); the reasons are written beside the values
    "max_wal_size": ("4GB", "a burst of batches forces no checkpoint, which logs whole pages anew"),
    "wal_compression": ("pglz", "whole pages are most of the log; the wheel is built without lz4"),
    "autovacuum_naptime": ("10s", "tables grow from nothing to millions of rows within minutes"),
    "fsync": ("on", "an answer means that it is on disk"),
    "max_connections": ("100", "the pools of a few API processes and workers"),
    "listen_addresses": ("", "reached by its socket only, never over a network"),
    "unix_socket_permissions": ("0700", "a second fence behind the socket's folder"),
    "timezone": ("UTC", "times read the same on every machine"),
    "log_timezone": ("UTC", "the server's log reads like Overrule's own"),
    "log_min_messages": ("log", "Overrule reports failed statements; here they would keep data"),
    "log_checkpoints": ("off", "a line every five minutes would drown the others"),
}


def _conf_text(overrides: Mapping[str, str]) -> str:
    memory = (f"{_shared_buffers_mb()}MB", "a quarter of memory up to 4 GB; the rest caches files")
    lines = ["# Written anew at each start of the server."]
    for name, (value, reason) in {"shared_buffers": memory, **_STATED}.items():
        lines += [f"# {reason}", _conf_line(name, value)]
    lines.append("# Given at this start; the last line of a name counts.")
    lines += [_conf_line(name, value) for name, value in overrides.items()]
    return "\n".join(lines) + "\n"


def _conf_line(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "''")
    return f"{name} = '{quoted}'"


def _shared_buffers_mb() -> int:
    memory = psutil.virtual_memory().total
    # A container sees its host's memory, but is killed at its own limit ("max": none).
    with suppress(OSError, ValueError):
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(min(SHARED_BUFFERS_MAX_MB, memory // 4 // 2**20))


def _refuse_unquotable(data_dir: Path) -> None:
    # pg_ctl hands the path to a shell, within double quotes.
    if re.search(r'["$`\\\n]', str(data_dir)):
        raise EmbeddedPostgresError(
            f"The folder {str(data_dir)!r} has a quote, dollar sign, backslash or line break in "
            "its path, which PostgreSQL's own start command cannot take. Name another folder with "
            "--data-dir."
        )


def _socket_dir(pgdata: Path) -> Path:
    """PGDATA itself, or a short stand-in where its path is too long or not plain for a URL."""
    if len(os.fsencode(pgdata / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX and re.fullmatch(
        r"[\w/.-]+", str(pgdata), re.ASCII
    ):
        return pgdata
    # The inode too: a server whose folder was deleted and made anew may still hold the old name.
    name = hashlib.sha256(f"{pgdata}:{pgdata.stat().st_ino}".encode(errors="surrogateescape"))
    # Not TMPDIR, in which two users of one server may differ.
    return Path("/tmp", f"overrule-{name.hexdigest()[:16]}")  # noqa: S108 - made 0700, owner checked


def _make_socket_dir(socket_dir: Path, pgdata: Path) -> None:
    if socket_dir == pgdata:
        return
    owner = pgdata.stat()
    with suppress(FileExistsError):
        socket_dir.mkdir(mode=0o700)
        os.chown(socket_dir, owner.st_uid, owner.st_gid)
    found = socket_dir.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner.st_uid or found.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"{socket_dir}, which should hold the server's socket, belongs to somebody else or is "
            "open to others. Remove it and start again."
        )


def _remove_socket_dir(pgdata: Path) -> None:
    with suppress(OSError):  # not there, or not empty after a shutdown in a hurry
        if (socket_dir := _socket_dir(pgdata)) != pgdata:
            socket_dir.rmdir()


def _open_lock(path: Path) -> IO[bytes]:
    # 0600: whoever can open the file can hold its lock for ever.
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "rb+")


def _write_durably(path: Path, text: str, account: Account | None) -> None:
    """Replace the file whole, so that a crash leaves the old text or the new one."""
    new = path.with_name(f"{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if account is not None:
        os.chown(new, account.uid, account.gid)
    new.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
