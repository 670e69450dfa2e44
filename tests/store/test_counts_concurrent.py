"""Folding with many workers at once, and with workers that die."""

import asyncio
import random
from collections import Counter

import pytest

from app.core.errors import DatabaseUnavailable
from app.store import counts
from app.store.engine import Database
from tests.store.metric_rows import CountRow, Rows, decisions_of

FOLDERS = 8
COMMITS = 400


def a_shuffled_day(seed: int) -> list[list[CountRow]]:
    chance = random.Random(seed)
    keys = [(label, route) for label in "abcde" for route in ("accept", "review", "reject")]
    commits = []
    for _ in range(COMMITS):
        chosen = chance.sample(keys, chance.randint(1, 8))
        commits.append(
            [
                CountRow(label=label, route=route, decisions=chance.randint(1, 9), audited=1)
                for label, route in chosen
            ]
        )
    return commits


def recomputed(commits: list[list[CountRow]]) -> dict[tuple[str, str], int]:
    totals: Counter[tuple[str, str]] = Counter()
    for commit in commits:
        for row in commit:
            totals[row.label, row.route] += row.decisions
    return dict(totals)


async def stored(rows: Rows) -> dict[tuple[str, str], int]:
    async with rows.db.read() as tx:
        found = await tx.raw.fetch(
            "SELECT label, route, decisions FROM decision_counts WHERE project_id = $1",
            rows.project,
        )
    return {(row["label"], row["route"]): row["decisions"] for row in found}


async def fold_everything(rows: Rows, rows_max: int) -> int:
    done = 0
    while True:
        async with rows.db.write() as tx:
            folded = await counts.fold(tx, rows.project, rows_max)
        if not folded:
            return done
        done += folded


async def test_eight_folders_store_what_one_stores_and_what_was_counted(
    committed_db: Database,
) -> None:
    commits = a_shuffled_day(seed=1)
    many, one = await Rows.of_new_project(committed_db), await Rows.of_new_project(committed_db)
    for commit in commits:
        await many.inbox(*commit)
    for commit in sorted(commits, key=str):
        await one.inbox(*commit)

    folded = await asyncio.gather(*(fold_everything(many, rows_max=7) for _ in range(FOLDERS)))
    await fold_everything(one, rows_max=1000)

    assert sum(folded) == COMMITS
    assert sum(1 for share in folded if share) > 1
    assert await stored(many) == await stored(one) == recomputed(commits)


async def test_a_reader_sees_each_count_once_while_folders_run(committed_db: Database) -> None:
    rows = await Rows.of_new_project(committed_db)
    commits = a_shuffled_day(seed=2)
    for commit in commits:
        await rows.inbox(*commit)
    expected = sum(recomputed(commits).values())

    folding = [asyncio.create_task(fold_everything(rows, rows_max=5)) for _ in range(2)]
    seen = set()
    while not all(task.done() for task in folding):
        seen.add(await decisions_of(rows))
    await asyncio.gather(*folding)

    assert seen == {expected}


async def test_a_folder_passes_over_what_another_holds(committed_db: Database) -> None:
    rows = await Rows.of_new_project(committed_db)
    await rows.inbox(CountRow(label="positive"))
    await rows.inbox(CountRow(label="negative"))

    async with committed_db.write() as slow:
        held = await counts.fold(slow, rows.project, 1)
        async with asyncio.timeout(10), committed_db.write() as quick:
            taken = await counts.fold(quick, rows.project, 10)

    assert (held, taken) == (1, 1)
    assert len(await stored(rows)) == 2


async def test_a_folder_that_dies_has_done_nothing(committed_db: Database) -> None:
    rows = await Rows.of_new_project(committed_db)
    await rows.inbox(CountRow(decisions=3))

    async def fold_and_die() -> None:
        async with committed_db.write() as dying, committed_db.write() as other:
            assert await counts.fold(dying, rows.project, 10) == 1
            await other.raw.execute("SELECT pg_terminate_backend($1)", dying.raw.get_server_pid())

    with pytest.raises(DatabaseUnavailable):
        await fold_and_die()

    assert await stored(rows) == {}
    assert await fold_everything(rows, rows_max=10) == 1
    assert await stored(rows) == {("positive", "accept"): 3}
