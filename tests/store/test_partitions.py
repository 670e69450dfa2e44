"""Weekly partitions of decisions, found by the time inside an id."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.store.engine import Database
from app.store.ids import lowest_id_at, new_id, time_of, utc_now
from app.store.partitions import ensure_partitions, partitions_until, week_of

FAR = datetime(2031, 3, 5, 17, 30, tzinfo=UTC)
WEEK = timedelta(weeks=1)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 23, tzinfo=UTC),
        datetime(2026, 11, 29, 23, 59, 59, 999_999, tzinfo=UTC),
        # a clock face that still shows Sunday
        datetime(2026, 11, 22, 23, tzinfo=timezone(timedelta(hours=-2))),
    ],
    ids=["its first moment", "its last moment", "another time zone"],
)
def test_week_begins_on_monday_in_utc(moment: datetime) -> None:
    assert week_of(moment) == datetime(2026, 11, 23, tzinfo=UTC)


async def test_weeks_ahead_are_made_once(db: Database) -> None:
    async with db.write() as tx:
        made = await ensure_partitions(tx, FAR)
        again = await ensure_partitions(tx, FAR + timedelta(days=1))
        until = await partitions_until(tx)

    assert (made, again) == (5, 0)
    assert until == week_of(FAR) + 5 * WEEK


async def test_missing_week_between_others_is_made(db: Database) -> None:
    async with db.write() as tx:
        await ensure_partitions(tx, FAR, weeks_ahead=0)
        await ensure_partitions(tx, FAR + 2 * WEEK, weeks_ahead=0)

        assert await ensure_partitions(tx, FAR, weeks_ahead=2) == 1


async def test_migrated_database_has_partitions_for_the_next_weeks(db: Database) -> None:
    async with db.read() as tx:
        until = await partitions_until(tx)

    assert until is not None
    assert until > utc_now() + 4 * WEEK


async def test_database_without_partitions_has_no_horizon(db: Database) -> None:
    async with db.write() as tx:
        names = await tx.raw.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits "
            "WHERE inhparent = 'decisions'::regclass"
        )
        for row in names:
            await tx.raw.execute(f"DROP TABLE {row['name']}")

        assert await partitions_until(tx) is None


async def test_ids_of_a_week_fall_into_its_partition_and_no_other(db: Database) -> None:
    week = week_of(FAR)
    first, last = lowest_id_at(week), uuid.UUID(int=lowest_id_at(week + WEEK).int - 1)
    async with db.write() as tx:
        await ensure_partitions(tx, FAR, weeks_ahead=1)
        names = {}
        for id_ in (first, last, lowest_id_at(week + WEEK)):
            names[id_] = await tx.raw.fetchval(
                """
                INSERT INTO decisions (project_id, id, request_key, model, model_version, route,
                  reason, priority, trace, audited, inclusion_probability, stratum, shadow, digest,
                  decided_at, prediction)
                VALUES ($1, $2, 'r', 'm', '1', 'accept', 'default', 50, '', false, 0.5, 's', false,
                  $3, now(), '{}')
                RETURNING tableoid::regclass::text
                """,
                new_id(),
                id_,
                bytes(32),
            )

    assert names[first] == names[last] == f"decisions_y{week:%Ym%md%d}"
    assert names[lowest_id_at(week + WEEK)] == f"decisions_y{week + WEEK:%Ym%md%d}"


def test_ids_sort_by_the_time_at_which_they_were_minted() -> None:
    before = utc_now()
    minted = [new_id() for _ in range(1_000)]
    after = utc_now()

    assert minted == sorted(minted)
    assert len(set(minted)) == 1_000
    for id_ in minted:
        assert id_.version == 7
        assert before - timedelta(milliseconds=1) <= time_of(id_) <= after
        assert lowest_id_at(time_of(id_)) <= id_


def test_moment_before_1970_has_the_smallest_id() -> None:
    first = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))

    assert lowest_id_at(first) == uuid.UUID(int=0)
