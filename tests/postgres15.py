"""A throwaway PostgreSQL from an installed one, to run tests on another version than the embedded.

Debian keeps its programs in /usr/lib/postgresql/15/bin; no cluster of the machine is touched.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

# PostgreSQL refuses to run as root; the package's own account stands in for it
ACCOUNT_OF_ROOT = "postgres"
PORT = 5432  # names the socket file only: there is no TCP


@contextmanager
def installed_postgres(bin_dir: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """Start a new cluster with the programs in `bin_dir`, and remove it afterwards.

    Args:
        bin_dir: where `initdb` and `pg_ctl` are.
        settings: server parameters, beside those that keep it to a socket in its own folder.

    Yields:
        The URL of its `postgres` database.
    """
    # not pytest's folder: a socket's path has at most 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="overrule-pg-"))
    account = ACCOUNT_OF_ROOT if os.geteuid() == 0 else None
    if account:
        shutil.chown(folder, account, account)
    data = folder / "data"
    try:
        _run(
            account, bin_dir / "initdb", "--pgdata", data, "--username=postgres", "--auth=trust",
            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        stated = {"unix_socket_directories": str(folder), "listen_addresses": "", "port": str(PORT)}
        with (data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{k} = '{v}'\n" for k, v in {**stated, **settings}.items())
        _run(account, bin_dir / "pg_ctl", "--pgdata", data, "--log", folder / "log", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={quote(str(folder))}&port={PORT}"
        finally:
            _run(account, bin_dir / "pg_ctl", "--pgdata", data, "--mode=immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(account: str | None, *command: str | Path) -> None:
    """Run a program to its end; what it said is in the error when it fails."""
    # a file, not a pipe: the server that pg_ctl leaves behind would hold a pipe open
    with tempfile.TemporaryFile("w+") as said:
        code = subprocess.run(
            command, user=account, group=account, extra_groups=[] if account else None,
            cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False,
        ).returncode  # fmt: skip
        said.seek(0)
        assert code == 0, f"{command[0]} failed:\n{said.read()}"
