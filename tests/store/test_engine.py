"""What an error of the database says."""

import traceback

import asyncpg
import pytest
from sqlalchemy import Integer, bindparam, select

from app.flows.context import Context


async def test_text_of_an_error_holds_no_parameter_of_its_statement(ctx: Context) -> None:
    secret = 72057594
    statement = select(bindparam("secret", secret, Integer) / bindparam("zero", 0, Integer))

    with pytest.raises(asyncpg.DivisionByZeroError) as failed:
        async with ctx.db.write() as tx:
            await tx.execute(statement)

    assert str(secret) not in "".join(traceback.format_exception(failed.value))
