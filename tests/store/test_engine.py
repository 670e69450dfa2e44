"""Addresses of databases, and what an error of one says."""

import traceback

import asyncpg
import pytest
from sqlalchemy import Integer, bindparam, select

from app.core.errors import Invalid
from app.flows.context import Context
from app.store.engine import driver_url


async def test_text_of_an_error_holds_no_parameter_of_its_statement(ctx: Context) -> None:
    secret = 72057594
    statement = select(bindparam("secret", secret, Integer) / bindparam("zero", 0, Integer))

    with pytest.raises(asyncpg.DivisionByZeroError) as failed:
        async with ctx.db.write() as tx:
            await tx.execute(statement)

    assert str(secret) not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://u@db:5432/name", "postgresql+asyncpg://u@db:5432/name"),
        ("postgres://u@db/name?sslmode=require", "postgresql+asyncpg://u@db/name?ssl=require"),
        ("postgresql:///name?host=/run/pg", "postgresql+asyncpg:///name?host=%2Frun%2Fpg"),
    ],
)
def test_address_is_taken_as_people_write_it(given: str, taken: str) -> None:
    assert str(driver_url(given)) == taken


@pytest.mark.parametrize(
    "given",
    [
        pytest.param("no address", id="no address"),
        pytest.param("mysql://u:hunter2@db/name", id="another database"),
        pytest.param("postgresql://u:hunter2@db:99999/name", id="no port"),
        pytest.param("postgresql://u:hunter2@db/name?target=x", id="unknown parameter"),
    ],
)
def test_address_that_cannot_be_used_is_refused_without_its_password(given: str) -> None:
    with pytest.raises(Invalid, match="OVERRULE_DATABASE_URL") as refused:
        driver_url(given)

    assert "hunter2" not in refused.value.detail
