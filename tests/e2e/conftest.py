"""Real server processes on real clusters, with fsync on; none of them outlives its test."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import Service, copy_of, new_folder, processes, run

Start = Callable[..., Service]


@dataclass(frozen=True)
class Installed:
    """A data folder after its first start, and what that start said."""

    data_dir: Path
    out: str
    err: str
    first_key: str
    admin_key: str


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    """Started once, to be copied: creating a cluster takes longer than most tests here."""
    folder, mark = new_folder(), uuid.uuid4().hex
    data_dir = folder / "first"
    service = Service.start(data_dir, "--no-worker", mark=mark)
    assert service.url
    made = run(
        "keys",
        "create",
        "--name",
        "root",
        "--scope",
        "admin",
        "--data-dir",
        str(data_dir),
        mark=mark,
    )
    assert service.stop() == 0
    first_key = (data_dir / "first-key").read_text().strip()
    yield Installed(data_dir, service.out, service.err, first_key, made.stdout.strip())
    shutil.rmtree(folder)


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def folder(mark: str) -> Iterator[Path]:
    """For data folders; what still runs in it after the test is a failure of the service."""
    made = new_folder()
    yield made
    left = processes(mark, made)
    told = [f"{p.pid} {p.name()} {p.cmdline()}" for p in left]
    for process in left:
        process.kill()
    shutil.rmtree(made, ignore_errors=True)
    assert told == []


@pytest.fixture
def data_dir(folder: Path, installed: Installed) -> Path:
    """A copy of the installed one, to be used and abused."""
    return copy_of(installed.data_dir, folder)


@pytest.fixture
def start(folder: Path, mark: str) -> Iterator[Start]:
    """Start servers; those that still run after the test are stopped in order."""
    started: list[Service] = []

    def start(data_dir: Path, *options: str, **more: Any) -> Service:
        service = Service.start(data_dir, *options, mark=mark, **more)
        started.append(service)
        return service

    yield start
    for service in started:
        if service.process.poll() is None:
            assert service.stop() == 0
