"""What is left of the speed once millions of decisions are stored and the queues are full.

Single predictions, batches of 500 and claims of one assignment are measured on an empty database;
it is loaded (`growth_rows.py`), and the same is measured again. The baseline of each case is its
own rate on the empty database. Request keys are scattered, as random ones are: each new one belongs
somewhere else in their index, so that an index which has grown can be seen to cost more.

It takes a long time and much of the disk, so it runs only when it is asked for.
"""

import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import msgspec

from app.dev.bench.batch import post_batches
from app.dev.bench.claim_verdict import REVIEWERS, Claims, fill_queue
from app.dev.bench.connection import Connection, connected, request_bytes
from app.dev.bench.growth_rows import TABLES, load
from app.dev.bench.load import BenchError, Run, closed_loop
from app.dev.bench.report import Result, Round
from app.dev.bench.service import Service
from app.dev.bench.single import PATH, post_many
from app.dev.bench.traffic import CLAIMED_QUEUE, scattered_body

NAME = "growth"
CASES = {"growth-single": "predictions", "growth-batch": "rows", "growth-claim": "assignments"}
# more than a machine of this kind claims; a quicker one ends before the time is up
CLAIMS_PER_S_MAX = 2_000
# longer than the loading takes, so that no claim of before runs out while the same is measured
LEASE_S = 3_600
WARM_UP_S = 1.0
# as measured, indexes included, and rounded up
BYTES_PER_DECISION = 1_200
BYTES_PER_ASSIGNMENT = 1_400
# max_wal_size, which checkpoints may exceed
LOG_BYTES = 6 * 10**9
# on two cores that are busy otherwise
DECISIONS_PER_S = 10_000


@dataclass(frozen=True, slots=True)
class Size:
    """What is loaded."""

    decisions: int
    assignments: int

    @property
    def disk_bytes(self) -> int:
        """About how much disk it takes, the database's log included."""
        rows = self.decisions * BYTES_PER_DECISION + self.assignments * BYTES_PER_ASSIGNMENT
        return rows + min(LOG_BYTES, 2 * rows)

    def announced(self, folder: Path) -> str:
        """What will be done, and what it takes.

        Raises:
            BenchError: the disk is too full for it.
        """
        free = shutil.disk_usage(folder).free
        need = (
            f"{self.decisions:,} decisions and {self.assignments:,} open assignments take about "
            f"{_gigabytes(self.disk_bytes)} in {folder}, where {_gigabytes(free)} are free"
        )
        if self.disk_bytes > free:
            raise BenchError(f"{need}. Make room, or set TMPDIR to a larger disk.")
        minutes = self.decisions / DECISIONS_PER_S / 60
        return f"{need}, and some {ceil(minutes)} minutes to load."


async def measure(
    service: Service, size: Size, rounds: int, seconds: float, advance: Callable[[str, int], None]
) -> tuple[list[Result], dict[str, Any]]:
    """All three cases, and what they were measured on.

    Args:
        service: on an empty database.
        size: what to load.
        rounds: of each measurement.
        seconds: of one measurement.
        advance: told what is done now, and how many decisions came in.
    """
    advance("growth, empty", 0)
    empty = await _measured(service, rounds, seconds)
    advance("growth, loading", 0)
    await load(
        service, size.decisions, size.assignments, lambda rows: advance("growth, loading", rows)
    )
    facts = await _facts(service)
    advance("growth, loaded", 0)
    loaded = await _measured(service, rounds, seconds)
    baseline = "the same on the empty database"
    results = [
        Result(name, unit, baseline, [*map(Round, _by_rate(loaded[name]), _by_rate(empty[name]))])
        for name, unit in CASES.items()
    ]
    return results, facts


def words(facts: Mapping[str, Any]) -> str:
    """For people: what the growth cases found when they were measured on the loaded database."""
    settings = ", ".join(f"{name} {value}" for name, value in facts["postgresql"].items())
    return (
        f"growth: on {facts['decisions']:,} decisions and {facts['assignments']:,} open "
        f"assignments, {_gigabytes(facts['bytes'])} with their indexes. PostgreSQL has {settings}."
    )


async def _measured(service: Service, rounds: int, seconds: float) -> dict[str, list[Run]]:
    measures: dict[str, Callable[[float], Awaitable[Run]]] = {
        "growth-single": lambda s: post_many(service.port, PATH, service.key, s, scattered_body),
        "growth-batch": lambda s: post_batches(service, s, scattered_body),
        "growth-claim": lambda s: _claim(service, s),
    }
    runs: dict[str, list[Run]] = {}
    for name, measure_once in measures.items():
        await measure_once(min(WARM_UP_S, seconds))
        runs[name] = []
        for _ in range(rounds):
            await service.settled()
            runs[name].append(await measure_once(seconds))
    return runs


def _by_rate(runs: list[Run]) -> list[Run]:
    """Before and after do not take turns: the medians belong together, and so on."""
    return sorted(runs, key=lambda run: run.per_s)


async def _claim(service: Service, seconds: float) -> Run:
    """Claims of one assignment each, by eight reviewers at once."""
    calls_max = REVIEWERS + round(CLAIMS_PER_S_MAX * seconds)
    await fill_queue(service, calls_max)
    await service.settled()
    async with connected(service.port, REVIEWERS) as connections:
        reviewers = [_Reviewer(service, *numbered) for numbered in enumerate(connections)]
        return await closed_loop(
            [reviewer.claim for reviewer in reviewers], seconds=seconds, calls_max=calls_max
        )


class _Reviewer:
    """A reviewer who claims and claims."""

    def __init__(self, service: Service, number: int, connection: Connection) -> None:
        self._connection = connection
        body = msgspec.json.encode({"reviewer": f"r-{number}", "max": 1, "lease_s": LEASE_S})
        path = f"/v1/queues/{CLAIMED_QUEUE}/leases"
        self._request = request_bytes("POST", path, service.key, body)

    async def claim(self) -> None:
        answer = await self._connection.expect(200, self._request)
        if not msgspec.json.decode(answer, type=Claims).leases:
            raise BenchError("The queue ran empty.")


async def _facts(service: Service) -> dict[str, Any]:
    async with service.ctx.db.read() as tx:
        decisions = await tx.raw.fetchval("SELECT count(*) FROM decisions")
        assignments = await tx.raw.fetchval("SELECT count(*) FROM assignments WHERE state = 'open'")
        used = await tx.raw.fetchval(
            "SELECT sum(pg_total_relation_size(relid)) FROM unnest($1::text[]) AS t (name) "
            "CROSS JOIN pg_partition_tree(name::regclass)",
            TABLES.split(", "),
        )
        settings = await tx.raw.fetch(
            "SELECT name, current_setting(name) AS value FROM pg_settings "
            "WHERE name = ANY ($1) ORDER BY name",
            ["shared_buffers", "max_wal_size", "wal_compression", "fsync", "full_page_writes"],
        )
    return {
        "decisions": decisions,
        "assignments": assignments,
        "bytes": int(used),
        "postgresql": {row["name"]: row["value"] for row in settings},
    }


def _gigabytes(count: int) -> str:
    return f"{count / 10**9:,.1f} GB"
