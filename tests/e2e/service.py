"""`overrule serve` as its users run it: a process of its own, reached over sockets."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil  # type: ignore[import-untyped]

T = TypeVar("T")

OVERRULE = [sys.executable, "-m", "app.cli"]
REPOSITORY = Path(__file__).parents[2]
START_LIMIT_S = 90
STOP_LIMIT_S = 60
SCOPES = ["predict", "review", "read", "manage"]
# in the environment of all that one test starts, so that what it leaves behind can be found
MARK = "STARTED_BY_TEST"


def environment(mark: str, **more: str) -> dict[str, str]:
    """Ours, without settings of the developer's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OVERRULE_")}
    return {**kept, MARK: mark, **more}


class Service:
    """One server process, its output, and its folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, data_dir: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self._folder = folder

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *options: str,
        mark: str,
        command: list[str] = OVERRULE,
        **variables: str,
    ) -> "Service":
        """Start without waiting; `url` waits."""
        folder = Path(tempfile.mkdtemp(prefix="serve-", dir=data_dir.parent))
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [*command, "serve", "--port", "0", "--data-dir", str(data_dir), *options],
                cwd=REPOSITORY,
                env=environment(mark, **variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return cls(process, folder, data_dir)

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    @property
    def url(self) -> str:
        """Its address, as it prints it once it can be used."""

        def printed() -> str | None:
            assert self.process.poll() is None, f"it ended:\n{self.out}\n{self.err}"
            return address(self.out)

        return until(printed, START_LIMIT_S)

    @property
    def worker(self) -> Any:
        """Its worker's process, or None."""
        found = psutil.Process(self.process.pid).children()
        return next((child for child in found if "--while-stdin" in _arguments(child)), None)

    def client(self, key: str) -> httpx.AsyncClient:
        """HTTP to it, with many connections; no answer within 20 s is an error."""
        return httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=20
        )

    def kill(self) -> None:
        """Kill -9 the server process, and only that."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_LIMIT_S)

    def new_project(self, admin_key: str) -> str:
        """A key of a project of its own."""
        name = f"p-{uuid.uuid4().hex[:8]}"
        headers = {"Authorization": f"Bearer {admin_key}"}
        with httpx.Client(base_url=self.url, headers=headers, timeout=20) as http:
            http.post("/v1/projects", json={"name": name}).raise_for_status()
            body = {"project": name, "name": "all", "scopes": SCOPES}
            made = http.post("/v1/keys", json=body).raise_for_status()
        return str(made.json()["key"])


def new_folder() -> Path:
    """With a short path, as a socket's has to be."""
    return Path(tempfile.mkdtemp(prefix="overrule-e2e-"))


def copy_of(data_dir: Path, folder: Path) -> Path:
    """The same cluster in another folder."""
    copy = folder / f"d{uuid.uuid4().hex[:6]}"
    subprocess.run(["cp", "-a", str(data_dir), str(copy)], check=True)
    return copy


def run(*arguments: str, mark: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """One `overrule` command, to its end."""
    return subprocess.run(
        [*OVERRULE, *arguments],
        cwd=REPOSITORY,
        env=environment(mark, **variables),
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        check=False,
    )


def address(printed: str) -> str | None:
    """The API's address in what a server has printed."""
    lines = [line.split() for line in printed.splitlines() if line.startswith("API ")]
    return lines[0][1] if lines else None


def postmaster(data_dir: Path) -> int:
    """The process id of a folder's PostgreSQL."""
    return int((data_dir / "pg" / "postmaster.pid").read_text().splitlines()[0])


def processes(mark: str, folder: Path) -> list[Any]:
    """What lives of that mark, and the PostgreSQL servers below the folder."""
    return [p for p in psutil.process_iter() if _is_of(p, mark, folder)]


def until(found: Callable[[], T | None], limit_s: float) -> T:
    """Ask again and again until the answer is something."""
    deadline = time.monotonic() + limit_s
    while (result := found()) is None:
        assert time.monotonic() < deadline, f"not within {limit_s} s"
        time.sleep(0.02)
    return result


def _is_of(process: Any, mark: str, folder: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.name().startswith("postgres"):
            return folder in Path(str(process.cwd())).parents
        return bool(process.environ().get(MARK) == mark)
    except (OSError, psutil.Error):
        return False


def _arguments(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
