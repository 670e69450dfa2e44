"""Projects and keys as they are stored, and the log of what was changed."""

import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.core.access import Scope, secret_digest
from app.core.errors import NameTaken
from app.core.routing.decision import UNROUTED
from app.core.routing.document import DEFAULT_AUDITS
from app.store.engine import Database
from app.store.ids import new_id
from app.store.keys import (
    any_key,
    create_key,
    create_project,
    find_key,
    list_keys,
    list_projects,
    log_change,
    revoke_key,
    stored_key,
)
from app.store.queues import queues_by_name

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST = secret_digest(bytes(32))


async def add_key(
    db: Database,
    project_id: uuid.UUID | None,
    *,
    name: str = "serving",
    scopes: list[Scope] | None = None,
    expires_at: datetime | None = None,
) -> uuid.UUID:
    key_id = new_id()
    async with db.write() as tx:
        await create_key(
            tx,
            key_id,
            project_id=project_id,
            name=name,
            scopes=scopes or [Scope.PREDICT],
            secret_sha256=DIGEST,
            expires_at=expires_at,
        )
    return key_id


async def add_project(db: Database, name: str) -> uuid.UUID:
    async with db.write() as tx:
        return (await create_project(tx, name)).id


async def test_project_comes_with_its_builtin_queues_and_a_secret(db: Database) -> None:
    project_id = await add_project(db, "moderation")

    async with db.read() as tx:
        queues = await queues_by_name(tx, project_id)
        secret = await tx.raw.fetchval("SELECT secret FROM projects WHERE id = $1", project_id)
    assert {name: queue.blind for name, queue in queues.items()} == {
        UNROUTED: False,
        DEFAULT_AUDITS: True,
    }
    assert len(secret) == 32
    assert secret != bytes(32)


async def test_second_project_of_a_name_is_refused(db: Database) -> None:
    await add_project(db, "moderation")

    with pytest.raises(NameTaken, match="'moderation'") as refused:
        await add_project(db, "moderation")

    assert refused.value.places[0][0] == ("name",)


async def test_projects_are_listed_page_by_page(db: Database) -> None:
    made = [await add_project(db, f"p-{n}") for n in range(5)]

    async with db.read() as tx:
        first = await list_projects(tx, None, 3)
        rest = await list_projects(tx, first[-1].id, 3)

    assert [project.id for project in first + rest] == made


async def test_keys_are_listed_page_by_page_and_by_project(db: Database) -> None:
    here, there = await add_project(db, "here"), await add_project(db, "there")
    mine = [await add_key(db, here, name=f"k-{n}") for n in range(3)]
    other = await add_key(db, there)
    admin = await add_key(db, None, scopes=[Scope.ADMIN])

    async with db.read() as tx:
        everything = await list_keys(tx, None, 10)
        first = await list_keys(tx, None, 2, "here")
        rest = await list_keys(tx, first[-1].id, 2, "here")

    assert [key.id for key in everything] == [*mine, other, admin]
    assert [key.project for key in everything] == ["here"] * 3 + ["there", None]
    assert [key.id for key in first + rest] == mine


async def test_first_key_is_noticed(db: Database) -> None:
    async with db.read() as tx:
        assert not await any_key(tx)

    await add_key(db, await add_project(db, "moderation"))

    async with db.read() as tx:
        assert await any_key(tx)


async def test_unknown_key_is_none(db: Database) -> None:
    async with db.read() as tx:
        assert await stored_key(tx, new_id()) is None
        assert await find_key(tx, new_id()) is None


@pytest.mark.parametrize(
    ("expires_at", "live_s"),
    [
        pytest.param(None, None, id="no end"),
        pytest.param(NOON + timedelta(hours=1), 3600.0, id="an hour left"),
        pytest.param(NOON, 0.0, id="ends now"),
        pytest.param(NOON - timedelta(seconds=1), -1.0, id="over"),
    ],
)
async def test_time_that_a_key_is_good_for_is_by_the_database_clock(
    db: Database, expires_at: datetime | None, live_s: float | None
) -> None:
    key_id = await add_key(db, await add_project(db, "p"), expires_at=expires_at)
    db.now = NOON

    async with db.read() as tx:
        stored = await stored_key(tx, key_id)

    assert stored is not None
    assert stored.live_s == live_s
    assert (stored.scopes, stored.secret_sha256) == (frozenset({Scope.PREDICT}), DIGEST)


async def test_revoked_key_is_over_at_once_and_stays_so(db: Database) -> None:
    key_id = await add_key(db, await add_project(db, "p"), expires_at=NOON + timedelta(days=9))
    db.now = NOON
    async with db.write() as tx:
        await revoke_key(tx, key_id)

    db.now = NOON + timedelta(hours=1)
    async with db.write() as tx:
        await revoke_key(tx, key_id)
        stored = await stored_key(tx, key_id)
        shown = await find_key(tx, key_id)

    assert stored is not None
    assert shown is not None
    assert stored.live_s == 0
    assert shown.revoked_at == NOON


@pytest.mark.parametrize(
    ("in_project", "scopes"),
    [
        pytest.param(True, [Scope.ADMIN], id="admin key of a project"),
        pytest.param(False, [Scope.READ], id="project scope without a project"),
    ],
)
async def test_table_itself_refuses_an_admin_key_of_a_project(
    db: Database, in_project: bool, scopes: list[Scope]
) -> None:
    project_id = await add_project(db, "p") if in_project else None

    with pytest.raises(asyncpg.CheckViolationError, match="ck_keys_admin"):
        await add_key(db, project_id, scopes=scopes)


async def test_change_is_logged_with_who_what_before_and_after(db: Database) -> None:
    project_id = await add_project(db, "p")

    async with db.write() as tx:
        await log_change(
            tx,
            project_id=project_id,
            actor="key:1",
            action="queue.put",
            target="queue:triage",
            before={"due_s": 60},
            after={"due_s": 90},
        )

    async with db.read() as tx:
        row = await tx.raw.fetchrow("SELECT * FROM change_log WHERE project_id = $1", project_id)
    assert (row["actor"], row["action"], row["target"]) == ("key:1", "queue.put", "queue:triage")
    assert (row["before"], row["after"]) == ({"due_s": 60}, {"due_s": 90})
