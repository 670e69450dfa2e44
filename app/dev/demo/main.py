"""`overrule demo`: a service of its own, the story, and how to look on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCOPES = ("predict", "review", "read", "manage")
STOP_S = 30


def main(*, json_path: Path | None, data_dir: Path, cache_dir: Path) -> int:
    """Run the demo against a server process of its own; the exit status."""
    console = Console()
    try:
        from app.dev.demo.run import run  # noqa: PLC0415 - needs scikit-learn
        from app.dev.demo.service import ServiceRefusedError  # noqa: PLC0415
        from app.dev.demo.texts import DemoDataError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        console.print(f"The demo needs {error.name}: run `make demo`, which installs it.")
        return 1
    # a project of its own, so that a second run does not meet the first one's decisions
    project = f"demo-{uuid.uuid4().hex[:8]}"
    try:
        with _service(data_dir) as base_url:
            run(
                base_url=base_url,
                key=_key(data_dir, project),
                json_path=json_path,
                cache_dir=cache_dir,
                pictures=data_dir / "pictures",
                console=console,
            )
    except (DemoDataError, ServiceRefusedError) as error:
        console.print(str(error), highlight=False)
        return 1
    console.print(
        f"To look on: `overrule serve --data-dir {data_dir}`, with a key made by\n"
        f"`overrule keys create --data-dir {data_dir} --project {project} --name me --scope read`.",
        highlight=False,
    )
    return 0


@contextmanager
def _service(data_dir: Path) -> Iterator[str]:
    """A real `overrule serve`; its address."""
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*_OVERRULE, "serve", "--port", "0", "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OVERRULE_LOG_LEVEL": "warning"},
    )
    try:
        assert process.stdout is not None, "its output is our pipe"
        for line in process.stdout:
            if line.startswith("API "):
                yield line.split()[1]
                return
        message = "The service did not start; see above."
        raise SystemExit(message)
    finally:
        process.terminate()
        process.wait(STOP_S)


def _key(data_dir: Path, project: str) -> str:
    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    made = subprocess.run(  # noqa: S603 - our own program
        [
            *_OVERRULE, "keys", "create", "--json", "--data-dir", str(data_dir),
            "--project", project, "--name", "demo", *scopes,
        ],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip
    return str(json.loads(made.stdout)["key"])


_OVERRULE = [sys.executable, "-m", "app.cli"]
