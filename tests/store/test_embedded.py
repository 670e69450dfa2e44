"""The embedded PostgreSQL, for real: every test has servers and data folders of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from app.store.embedded import EmbeddedPostgres, EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start: TypeAlias = Callable[..., EmbeddedPostgres]

REPOSITORY = Path(__file__).parents[2]
SMALL = {"shared_buffers": "16MB", "fsync": "off"}
"""Enough here: a killed process loses nothing that it had given to the system."""

ATTACH_AND_WAIT = """
import sys
from pathlib import Path
from app.store.embedded import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]), settings={"shared_buffers": "16MB", "fsync": "off"})
print(server.url, flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def created_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Below a folder of pytest's, which is closed to other accounts at first."""
    folder = tmp_path_factory.mktemp("embedded") / "data"
    EmbeddedPostgres.start(folder, settings=SMALL).stop()
    return folder


@pytest.fixture
def data_dir(created_once: Path) -> Iterator[Path]:
    """One cluster for all tests that leave it whole; each has a server of its own."""
    yield created_once
    end_what_is_left(created_once)


@pytest.fixture
def doomed_dir(created_once: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy, for tests that move or delete it: cheaper than making another."""
    folder = tmp_path / "data"
    subprocess.run(["cp", "-a", created_once, folder], check=True)
    yield folder
    end_what_is_left(folder)


@pytest.fixture
def new_dir(tmp_path: Path) -> Iterator[Path]:
    """A data folder that does not exist yet."""
    folder = tmp_path / "new"
    yield folder
    end_what_is_left(folder)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start with small settings; what a failed test leaves open is stopped after it."""
    started: list[EmbeddedPostgres] = []

    def start(folder: Path, **settings: str) -> EmbeddedPostgres:
        server = EmbeddedPostgres.start(folder, settings={**SMALL, **settings})
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def end_what_is_left(folder: Path) -> None:
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(postmaster_pid(folder), signal.SIGQUIT)


def postmaster_pid(folder: Path) -> int:
    return int((folder / "pg" / "postmaster.pid").read_text().splitlines()[0])


def runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def kill_and_await(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    while runs(pid):
        time.sleep(0.005)


def attach_in_a_process(folder: Path) -> subprocess.Popen[str]:
    """Another user of the folder; prints its URL once attached, stops when its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", ATTACH_AND_WAIT, folder],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def sleeping_as_owner_of(folder: Path) -> subprocess.Popen[bytes]:
    """A process whose pid PostgreSQL takes for a server's, being of its own account."""
    return subprocess.Popen(["sleep", "60"], user=folder.stat().st_uid)


def move(folder: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(to)


def exists(path: Path) -> bool:
    return path.exists()


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def ask(server: EmbeddedPostgres, query: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


@pytest.mark.slow
async def test_a_new_folder_gets_a_database_that_keeps_what_was_committed(
    new_dir: Path, start: Start
) -> None:
    """Slow: creates a cluster, durably."""
    server = start(new_dir, fsync="on")
    await ask(server, "CREATE TABLE kept AS SELECT 17 AS n")
    server.stop()

    again = start(new_dir)

    assert await ask(again, "SELECT n FROM kept") == 17
    assert await ask(again, "SELECT current_database()") == "overrule"


async def test_the_stated_settings_are_in_force(data_dir: Path) -> None:
    server = EmbeddedPostgres.start(data_dir)
    memory = psutil.virtual_memory().total

    try:
        shown = {
            name: await ask(server, f"SELECT current_setting('{name}')")
            for name in (
                "max_wal_size",
                "wal_compression",
                "fsync",
                "max_connections",
                "listen_addresses",
                "timezone",
            )
        }
        buffers = await ask(server, "SELECT pg_size_bytes(current_setting('shared_buffers'))")
    finally:
        server.stop()

    assert shown == {
        "max_wal_size": "4GB",
        "wal_compression": "pglz",
        "fsync": "on",
        "max_connections": "100",
        "listen_addresses": "",
        "timezone": "UTC",
    }
    assert isinstance(buffers, int)
    assert 16 * 2**20 <= buffers <= min(4 * 2**30, memory // 4)


async def test_settings_of_a_start_override_the_stated_ones_until_the_next(
    data_dir: Path, start: Start
) -> None:
    server = start(data_dir, max_connections="23", search_path='"its", public')

    overridden = await ask(server, "SHOW max_connections")
    quoted = await ask(server, "SHOW search_path")
    server.stop()
    server = start(data_dir)

    assert overridden == "23"
    assert quoted == '"its", public'
    assert await ask(server, "SHOW max_connections") == "100"


async def test_text_is_utf8_and_sorts_by_code_point(data_dir: Path, start: Start) -> None:
    server = start(data_dir)

    encoding = await ask(server, "SHOW server_encoding")
    ordered = await ask(
        server, "SELECT string_agg(t, '' ORDER BY t) FROM unnest(ARRAY['ä','b','A','a','B']) t"
    )
    upper = await ask(server, "SELECT upper('ä')")

    assert (encoding, ordered, upper) == ("UTF8", "ABabä", "Ä")


async def test_the_url_serves_sqlalchemy_too_whatever_the_environment_says(
    data_dir: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGHOST", "elsewhere.invalid")
    monkeypatch.setenv("PGDATABASE", "other")
    server = start(data_dir)
    engine = create_async_engine(server.url.replace("postgresql:", "postgresql+asyncpg:"))

    async with engine.connect() as connection:
        found = await connection.scalar(text("SELECT current_database()"))
    await engine.dispose()

    assert found == "overrule"
    assert await ask(server, "SELECT current_user") == "postgres"


def test_only_the_server_s_own_account_can_reach_its_folder(data_dir: Path, start: Start) -> None:
    start(data_dir)

    found = (data_dir / "pg").stat()

    assert permissions(data_dir / "pg") == 0o700
    assert (found.st_uid == os.geteuid()) == (os.geteuid() != 0)
    assert (data_dir / "pg" / ".s.PGSQL.5432").is_socket()
    assert not permissions(data_dir) & (stat.S_IROTH | stat.S_IWOTH)


async def test_the_server_runs_until_its_last_handle_stops(data_dir: Path, start: Start) -> None:
    first = start(data_dir)
    second = start(data_dir)
    pid = postmaster_pid(data_dir)

    first.stop()
    first.stop()
    still_answers = await ask(second, "SELECT 1")
    second.stop()

    assert second.url == first.url
    assert still_answers == 1
    assert not runs(pid)


@pytest.mark.slow
async def test_another_process_keeps_the_server_until_it_too_stops(
    data_dir: Path, start: Start
) -> None:
    """Slow: starts a Python of its own."""
    server = start(data_dir)
    pid = postmaster_pid(data_dir)

    with attach_in_a_process(data_dir) as other:
        attached_to = first_line(other)
        server.stop()
        ran_for_the_other = runs(pid)
        other.communicate("")

    assert attached_to == server.url
    assert ran_for_the_other
    assert not runs(pid)


@pytest.mark.slow
async def test_a_killed_process_does_not_count_as_a_user(data_dir: Path, start: Start) -> None:
    """Slow: starts a Python of its own."""
    with attach_in_a_process(data_dir) as other:
        first_line(other)
        other.kill()
    pid = postmaster_pid(data_dir)
    outlived_its_user = runs(pid)

    server = start(data_dir)
    server.stop()

    assert outlived_its_user
    assert not runs(pid)


@pytest.mark.slow
def test_two_processes_may_start_a_new_folder_at_once(new_dir: Path) -> None:
    """Slow: creates a cluster, and starts two Pythons."""
    with attach_in_a_process(new_dir) as one, attach_in_a_process(new_dir) as two:
        urls = {first_line(one), first_line(two)}
        pid = postmaster_pid(new_dir)
        one.communicate("")
        ran_for_the_other = runs(pid)
        two.communicate("")

    assert (one.returncode, two.returncode) == (0, 0)
    assert len(urls) == 1
    assert ran_for_the_other
    assert not runs(pid)


async def test_a_killed_postmaster_is_started_again_with_what_was_committed(
    data_dir: Path, start: Start
) -> None:
    server = start(data_dir)
    await ask(server, "CREATE TABLE kept AS SELECT 17 AS n")
    nothing_to_do = server.ensure_running()

    kill_and_await(postmaster_pid(data_dir))
    restarted = server.ensure_running()

    assert not nothing_to_do
    assert restarted
    assert await ask(server, "SELECT n FROM kept") == 17
    assert not server.ensure_running()


@pytest.mark.slow
async def test_a_statement_that_outlives_the_postmaster_does_not_keep_it_from_restarting(
    data_dir: Path, start: Start
) -> None:
    """Slow: the busy backend gets a second to leave before it is killed."""
    server = start(data_dir)
    connection = await asyncpg.connect(server.url)
    backend = await connection.fetchval("SELECT pg_backend_pid()")
    endless = "DO $$ BEGIN LOOP END LOOP; END $$"
    busy = asyncio.create_task(connection.execute(endless))
    while (
        await ask(server, f"SELECT state FROM pg_stat_activity WHERE pid = {backend}") != "active"
    ):
        pass

    kill_and_await(postmaster_pid(data_dir))
    outlived = runs(backend)
    restarted = server.ensure_running()

    with pytest.raises(asyncpg.PostgresConnectionError):
        await busy
    assert outlived
    assert restarted
    assert not runs(backend)
    assert await ask(server, "SELECT 1") == 1


async def test_stale_lock_files_that_name_a_living_process_are_not_a_server(
    data_dir: Path, start: Start
) -> None:
    start(data_dir).stop()
    # What a container's restart leaves: the dead postmaster's pid is somebody else's today.
    with sleeping_as_owner_of(data_dir / "pg") as other:
        lines = [other.pid, data_dir / "pg", 1700000000, 5432, data_dir / "pg", "", "1 1", "ready"]
        for stale in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (data_dir / "pg" / stale).write_text("".join(f"{line}\n" for line in lines))

        server = start(data_dir)
        answer = await ask(server, "SELECT 1")
        other.kill()

    assert answer == 1


def test_a_stopped_handle_restarts_nothing(data_dir: Path, start: Start) -> None:
    server = start(data_dir)
    server.stop()

    restarted = server.ensure_running()

    assert not restarted
    assert not (data_dir / "pg" / "postmaster.pid").exists()


def test_a_vanished_cluster_is_an_error_and_not_an_empty_database(
    doomed_dir: Path, start: Start
) -> None:
    server = start(doomed_dir)
    kill_and_await(postmaster_pid(doomed_dir))
    shutil.rmtree(doomed_dir / "pg", ignore_errors=True)

    with pytest.raises(EmbeddedPostgresError, match="lost its database"):
        server.ensure_running()

    assert not (doomed_dir / "pg" / "PG_VERSION").exists()


def test_stopping_after_the_folder_was_deleted_is_quiet(doomed_dir: Path, start: Start) -> None:
    server = start(doomed_dir)
    kill_and_await(postmaster_pid(doomed_dir))
    shutil.rmtree(doomed_dir)

    server.stop()

    assert not doomed_dir.exists()


# A socket's path may have 107 bytes, and a URL's host takes no comma or colon.
@pytest.mark.parametrize(
    "name", ["deep/" * 30 + "end", "with a, b: c & 'd' é"], ids=["long path", "odd characters"]
)
async def test_a_folder_whose_path_suits_no_socket_works_all_the_same(
    doomed_dir: Path, tmp_path: Path, start: Start, name: str
) -> None:
    moved = tmp_path / name
    move(doomed_dir, moved)

    server = start(moved)
    attached = start(moved)
    socket_dir = Path(server.url.partition("host=")[2].partition("&")[0])

    assert await ask(attached, "SELECT 1") == 1
    assert socket_dir.parent == Path("/tmp")
    assert permissions(socket_dir) == 0o700
    server.stop()
    attached.stop()
    assert not exists(socket_dir)


def test_a_path_that_the_start_command_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="--data-dir"):
        EmbeddedPostgres.start(tmp_path / "a$b")

    assert not (tmp_path / "a$b").exists()


def test_a_failed_start_quotes_the_log_and_leaves_no_user_behind(
    data_dir: Path, start: Start
) -> None:
    with pytest.raises(EmbeddedPostgresError) as failed:
        start(data_dir, no_such_setting="1")

    said = str(failed.value)
    assert 'unrecognized configuration parameter "no_such_setting"' in said
    assert "OVERRULE_DATABASE_URL" in said
    server = start(data_dir)
    pid = postmaster_pid(data_dir)
    server.stop()
    assert not runs(pid)


def test_a_folder_that_is_a_file_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedPostgresError, match="Cannot use"):
        EmbeddedPostgres.start(tmp_path / "file")


def test_the_server_is_out_of_reach_of_the_terminal_s_interrupt(
    data_dir: Path, start: Start
) -> None:
    start(data_dir)
    pid = postmaster_pid(data_dir)

    session = os.getsid(pid)

    assert session != os.getsid(0)
    assert os.getpgid(pid) != os.getpgrp()
