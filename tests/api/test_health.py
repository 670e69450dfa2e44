"""Probes: alive without a database, ready only with all that a request needs."""

from datetime import timedelta

import httpx
import pytest

from app.flows.context import Context
from app.main import build
from app.settings import Settings
from app.store.engine import Database
from app.store.partitions import partitions_until


def probing(ctx: Context) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=build(ctx)), base_url="http://overrule.test"
    )


@pytest.fixture
def lost(settings: Settings) -> Context:
    """A service whose database is not there."""
    database = Database("postgresql://nobody@127.0.0.1:9/nowhere?password=s3cret", settings)
    return Context.over(database, settings)


async def test_a_process_lives_without_a_database(lost: Context) -> None:
    async with probing(lost) as client:
        response = await client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_a_process_is_not_ready_without_a_database(lost: Context) -> None:
    async with probing(lost) as client:
        response = await client.get("/readyz")

    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert response.json()["code"] == "not_ready"
    assert [place["loc"] for place in response.json()["errors"]] == [["database"]]
    assert "s3cret" not in response.text


async def test_a_process_is_ready_on_a_migrated_database(ctx: Context) -> None:
    async with probing(ctx) as client:
        response = await client.get("/readyz")

    assert (response.status_code, response.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("revision", "status"),
    [
        pytest.param("0000", 503, id="older than the code"),
        pytest.param("9999", 200, id="newer: a release is rolling out"),
    ],
)
async def test_readiness_needs_the_codes_revision_or_a_newer_one(
    ctx: Context, revision: str, status: int
) -> None:
    async with ctx.db.write() as tx:
        await tx.raw.execute("UPDATE alembic_version SET version_num = $1", revision)

    async with probing(ctx) as client:
        response = await client.get("/readyz")

    assert response.status_code == status


async def test_readiness_needs_partitions_ahead_of_the_present(ctx: Context) -> None:
    async with ctx.db.read() as tx:
        until = await partitions_until(tx)
    assert until is not None
    statuses = []

    async with probing(ctx) as client:
        for left in (timedelta(hours=25), timedelta(hours=23)):
            ctx.db.now = until - left
            response = await client.get("/readyz")
            statuses.append(response.status_code)

    assert statuses == [200, 503]
    assert [place["loc"] for place in response.json()["errors"]] == [["partitions"]]
