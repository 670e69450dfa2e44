"""Counts of decisions: filters, buckets, and the same answer before, during and after a fold."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from app.core.learning.period import Period, Unit
from app.store import counts
from app.store.counts import Counted, Selection
from app.store.engine import Database
from app.store.ids import lowest_id_at
from tests.store.metric_rows import DAY, TEN, CountRow, Rows, decisions_of

EVERYTHING = Selection()


async def fold(rows: Rows, rows_max: int = 100) -> int:
    async with rows.db.write() as tx:
        return await counts.fold(tx, rows.project, rows_max)


async def test_what_is_read_is_the_same_while_rows_are_half_folded(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    for n in range(4):
        await rows.inbox(CountRow(decisions=10 + n, audited=n), CountRow(label="negative"))

    seen = [await decisions_of(rows)]
    for _ in range(4):
        assert await fold(rows, rows_max=1) == 1
        seen.append(await decisions_of(rows))

    assert seen == [50] * 5
    assert await fold(rows) == 0


async def test_a_fold_adds_up_equal_keys_and_empties_the_inbox(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    await rows.inbox(CountRow(decisions=3, audited=1), CountRow(route="review", decisions=2))
    await rows.inbox(CountRow(decisions=4, audited=2))

    folded = await fold(rows)

    assert folded == 2
    async with db.read() as tx:
        stored = await tx.raw.fetch(
            "SELECT route, decisions, audited FROM decision_counts WHERE project_id = $1 "
            "ORDER BY route",
            rows.project,
        )
        assert [tuple(row) for row in stored] == [("accept", 7, 3), ("review", 2, 0)]
        assert await counts.waiting_rows(tx, rows.project) == 0
        assert rows.project not in await counts.projects_waiting(tx)


async def test_the_lag_is_how_long_the_oldest_commit_has_been_waiting(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    async with db.read() as tx:
        assert await counts.fold_lag_s(tx, rows.project) == 0
    await rows.inbox(CountRow())
    async with db.write() as tx:
        await tx.raw.execute("UPDATE inbox SET id = $1", lowest_id_at(TEN))
    await rows.inbox(CountRow())
    db.now = TEN + timedelta(seconds=7)

    async with db.read() as tx:
        lag_s = await counts.fold_lag_s(tx, rows.project)

    assert lag_s == 7
    await fold(rows)
    async with db.read() as tx:
        assert await counts.fold_lag_s(tx, rows.project) == 0


async def test_the_longest_keys_are_folded_too(db: Database) -> None:
    chance = random.Random(1)
    # four bytes a character, and nothing that compression could make shorter
    longest = ["".join(chr(chance.randint(0x20000, 0x2A6D0)) for _ in range(256)) for _ in range(3)]
    rows = await Rows.of_new_project(db)
    named = CountRow(model=longest[0], model_version=longest[1], label=longest[2], decisions=3)
    await rows.inbox(named)
    await rows.inbox(named, replace(named, label="positive"))

    folded = await fold(rows)

    assert folded == 2
    assert await decisions_of(rows, Selection(label=longest[2])) == 6
    assert await decisions_of(rows) == 9


async def test_a_fold_adds_to_what_was_folded_before(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    await rows.inbox(CountRow(decisions=3))
    await fold(rows)
    await rows.inbox(CountRow(decisions=4))

    await fold(rows)

    assert await decisions_of(rows) == 7


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        pytest.param(EVERYTHING, 111, id="no filter"),
        pytest.param(Selection(model="sentiment"), 11, id="model"),
        pytest.param(Selection(model_version="2"), 10, id="model version"),
        pytest.param(Selection(label="negative"), 10, id="label"),
        pytest.param(Selection(segment={"source": "tweets"}), 101, id="segment"),
        pytest.param(Selection(segment={"source": "tweets", "lang": "en"}), 100, id="two segments"),
        pytest.param(Selection(model="sentiment", segment={"source": "tweets"}), 1, id="combined"),
        pytest.param(Selection(model="sentiment", label="spam"), 0, id="combined, nothing left"),
    ],
)
@pytest.mark.parametrize("folded", [True, False])
async def test_filters_are_exact_folded_or_not(
    db: Database, which: Selection, expected: int, folded: bool
) -> None:
    rows = await Rows.of_new_project(db)
    await rows.inbox(
        CountRow(decisions=1, segment={"source": "tweets"}),
        CountRow(decisions=10, model_version="2", label="negative", segment={"source": "nyt"}),
        CountRow(decisions=100, model="spam", segment={"source": "tweets", "lang": "en"}),
    )
    if folded:
        await fold(rows)

    assert await decisions_of(rows, which) == expected


async def test_shadow_predictions_are_counted_apart(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    await rows.inbox(CountRow(decisions=5), CountRow(decisions=7, shadow=True))

    assert await decisions_of(rows) == 5
    assert await decisions_of(rows, shadow=True) == 7


async def test_another_projects_counts_are_never_read(db: Database) -> None:
    ours, theirs = await Rows.of_new_project(db), await Rows.of_new_project(db)
    await theirs.inbox(CountRow(decisions=5))
    await theirs.inbox(CountRow(decisions=6))
    await fold(theirs, rows_max=1)

    assert await decisions_of(ours) == 0


async def test_the_range_includes_its_first_hour_and_not_the_hour_at_its_end(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    for hours in range(4):
        await rows.inbox(CountRow(hour=TEN + timedelta(hours=hours), decisions=10**hours))
    await fold(rows, rows_max=2)
    period = Period(TEN + timedelta(hours=1), TEN + timedelta(hours=3))

    async with db.read() as tx:
        found = await counts.decisions_by(tx, rows.project, period, EVERYTHING, ("bucket",))

    assert {at.hour: counted.decisions for (at,), counted in found.items()} == {11: 10, 12: 100}


async def test_days_are_utc_days(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    late, next_day = TEN.replace(hour=23), TEN + timedelta(days=1)
    await rows.inbox(*(CountRow(hour=hour, audited=1) for hour in (TEN, late, next_day)))
    two_days = replace(DAY, end=DAY.end + timedelta(days=1))

    async with db.write() as tx:
        await tx.raw.execute("SET LOCAL timezone = 'Pacific/Auckland'")
        found = await counts.decisions_by(
            tx, rows.project, two_days, EVERYTHING, ("bucket",), unit=Unit.DAY
        )

    assert found == {(DAY.start,): Counted(2, 2), (DAY.end,): Counted(1, 1)}


async def test_only_the_most_frequent_are_given_where_rows_are_limited(db: Database) -> None:
    rows = await Rows.of_new_project(db)
    await rows.inbox(*(CountRow(reason=f"rule-{n}", decisions=n) for n in (3, 1, 2)))

    async with db.read() as tx:
        found = await counts.decisions_by(
            tx, rows.project, DAY, EVERYTHING, ("reason",), rows_max=2
        )

    assert [reason for (reason,) in found] == ["rule-3", "rule-2"]
