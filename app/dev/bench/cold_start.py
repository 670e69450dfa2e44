"""From `overrule serve` on a new data folder to the first decision.

The baseline is what of it is PostgreSQL: making a cluster and a database, and starting the server.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.dev.bench.connection import connected, request_bytes
from app.dev.bench.load import BenchError, Run
from app.dev.bench.report import Round
from app.dev.bench.service import STOP_S, child_environment
from app.dev.bench.traffic import body
from app.store.embedded import EmbeddedPostgres

NAME = "cold-start"
UNIT = "starts"
BASELINE = "making and starting the embedded PostgreSQL alone, on a new data folder"
KNOCK_EVERY_S = 0.005


async def measure(folder: Path) -> Round:
    """One round."""
    return Round(await _first_decision(folder / "serve"), _postgres_alone(folder / "postgres"))


async def _first_decision(data_dir: Path) -> Run:
    began = time.perf_counter()
    with _serving(data_dir) as process:
        port = _port(process)
        key = (data_dir / "first-key").read_text().strip()
        await _predict(port, key)
        took_s = time.perf_counter() - began
    return Run(took_s, [took_s])


@contextmanager
def _serving(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "app.cli", "serve", "--data-dir", str(data_dir), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S)


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None, "it is our pipe"
    for line in process.stdout:
        if line.startswith("API "):
            return int(line.rpartition(":")[2])
    raise BenchError("The service did not start; see above.")


async def _predict(port: int, key: str) -> None:
    """Post one prediction as soon as somebody listens."""
    request = request_bytes("POST", "/v1/predictions", key, body())
    while True:
        try:
            async with connected(port, 1) as (connection,):
                await connection.expect(201, request)
                return
        except ConnectionRefusedError:
            await asyncio.sleep(KNOCK_EVERY_S)


def _postgres_alone(data_dir: Path) -> Run:
    began = time.perf_counter()
    server = EmbeddedPostgres.start(data_dir)
    took_s = time.perf_counter() - began
    server.stop()
    return Run(took_s, [took_s])
