"""`overrule bench`: the cases, one after the other, and what came out."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from uvicorn.loops.auto import auto_loop_factory

from app.dev.bench import (
    batch,
    batch_watched,
    batch_watched_50,
    claim_verdict,
    cold_start,
    engine,
    growth,
    ndjson,
    open_loop,
    single,
    single_lane,
    single_plain,
)
from app.dev.bench.growth import Size
from app.dev.bench.load import BenchError
from app.dev.bench.report import Result, Round, closing_words, document, table
from app.dev.bench.service import running_service

# against a running service; the others come after them, when that has ended
LOADED: tuple[ModuleType, ...] = (
    single,
    single_lane,
    single_plain,
    batch,
    batch_watched,
    batch_watched_50,
    ndjson,
    open_loop,
    claim_verdict,
)
NAMES = [case.NAME for case in (*LOADED, engine, cold_start)]
# an odd number: one of them has the median ratio
ROUNDS = 3
WARM_UP_S = 1.0
# it only computes: a longer look sees no more
ENGINE_S_MAX = 1.0


def main(
    *,
    json_path: Path | None,
    cases: list[str] | None,
    seconds: float,
    decisions: int,
    assignments: int,
) -> int:
    """Measure, print, and write the figures; the exit status.

    Args:
        json_path: where to write them, for programs.
        cases: names; None for all but growth.
        seconds: of one measurement; a case takes three of ours, and a baseline after each.
        decisions: how many the case `growth` loads.
        assignments: how many of them ask a human, and are still open.
    """
    console = Console()
    wanted = cases or NAMES
    size = Size(decisions, assignments)
    if not set(wanted) <= {*NAMES, growth.NAME} or seconds <= 0:
        known = ", ".join([*NAMES, growth.NAME])
        console.print(f"The cases are {known}; each takes more than 0 seconds.")
        return 2
    if not 0 < size.assignments < size.decisions:
        console.print("Growth loads at least one assignment, and more decisions than that.")
        return 2
    try:
        # the event loop that the server uses: the baselines should not be slower for want of it
        with _folder() as folder, asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            results, facts = [], None
            if set(wanted) & set(NAMES):
                results += runner.run(_measured(wanted, seconds, folder, console))
            if growth.NAME in wanted:
                grown, facts = runner.run(_grown(size, seconds, folder, console))
                results += grown
    except BenchError as error:
        console.print(str(error), markup=False)
        return 1
    console.print(table(results))
    if facts is not None:
        console.print(growth.words(facts), highlight=False)
    console.print(closing_words(results), highlight=False)
    if json_path is not None:
        json_path.write_text(json.dumps(document(results, facts), indent=1) + "\n")
    return 0


async def _measured(
    wanted: Sequence[str], seconds: float, folder: Path, console: Console
) -> list[Result]:
    loaded = [case for case in LOADED if case.NAME in wanted]
    results: list[Result] = []
    with _progress(console) as progress:
        bar = progress.add_task("set-up", total=len(set(wanted) & set(NAMES)) * ROUNDS)

        async def take(case: ModuleType, measure: Callable[[], Awaitable[Round]]) -> None:
            progress.update(bar, description=case.NAME)
            rounds = []
            for _ in range(ROUNDS):
                rounds.append(await measure())
                progress.advance(bar)
            by_tail = case is open_loop
            results.append(Result(case.NAME, case.UNIT, case.BASELINE, rounds, by_tail))

        if loaded:
            async with running_service(folder / "service") as service:
                for case in loaded:
                    await case.measure(service, min(WARM_UP_S, seconds))
                    await take(case, partial(case.measure, service, seconds))
        if engine.NAME in wanted:
            await take(engine, partial(engine.measure, min(ENGINE_S_MAX, seconds)))
        if cold_start.NAME in wanted:
            await take(cold_start, lambda: cold_start.measure(Path(tempfile.mkdtemp(dir=folder))))
    return results


async def _grown(
    size: Size, seconds: float, folder: Path, console: Console
) -> tuple[list[Result], dict[str, Any]]:
    console.print(size.announced(folder), highlight=False)
    with _progress(console) as progress:
        bar = progress.add_task("set-up", total=size.decisions)

        def advance(step: str, rows: int) -> None:
            progress.update(bar, description=step, advance=rows)

        async with running_service(folder / "growth") as service:
            return await growth.measure(service, size, ROUNDS, seconds, advance)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:<15}"), BarColumn(), MofNCompleteColumn())
    # drawn rarely: it runs where the load does
    return Progress(*columns, TimeElapsedColumn(), console=console, refresh_per_second=2)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for throwaway databases, on the same disk as other temporary files."""
    folder = Path(tempfile.mkdtemp(prefix="overrule-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
