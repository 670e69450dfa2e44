"""Connections and transactions: where a transaction begins, and the one place where it commits.

SQLAlchemy keeps the pool and compiles Core statements; its driver connections are in autocommit,
and a transaction is asyncpg's own, begun and committed here. So Core statements (`tx.execute`) and
hand-written ones (`tx.raw.fetch`) share it without a rule about who comes first.

Nothing here depends on the state of a session, so a pooler in transaction mode may stand between.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

import asyncpg
import msgspec
import sqlalchemy.exc
from sqlalchemy import URL, CursorResult, Executable, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.core.errors import DatabaseUnavailable, Invalid, Unavailable
from app.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")

# the server went away, cannot go on now, or turned read-only under us (a failover)
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # "cannot switch to state": what a connection that dies within a statement says of itself
    asyncpg.InternalClientError,
    asyncpg.ReadOnlySQLTransactionError,
    # stopping, starting, a statement that took too long (57…); out of disk, memory or slots (53…);
    # an error of its disk (58…)
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    # it lets us in no more, or the database is gone
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    EOFError,
    OSError,
    TimeoutError,
    sqlalchemy.exc.TimeoutError,
)
RETRIED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
RETRIES_MAX = 5
PORT_MAX = 65_535
BACKENDS = ("postgresql", "postgres")
# those of libpq that the driver knows too
URL_PARAMETERS = frozenset(
    {"host", "port", "user", "password", "passfile", "ssl", "target_session_attrs"}
)
NO_ADDRESS = (
    "The database's address does not read like postgresql://user:password@host:5432/name, perhaps "
    "with ?sslmode=require. Mend OVERRULE_DATABASE_URL or OVERRULE_MIGRATE_URL."
)


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection to read from.

    `now` is null in production, where SQL takes the database's own clock, so that replicas with
    skewed clocks agree; tests put a time there.
    """

    conn: AsyncConnection
    raw: Any
    now: datetime | None

    async def execute(
        self, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """Run one SQLAlchemy Core statement, once for each of `rows` where they are given.

        Its errors are the driver's, as those of hand-written statements.
        """
        try:
            return await self.conn.execute(statement, rows)
        except sqlalchemy.exc.DBAPIError as error:
            raise _driver_error(error) from error


@dataclass(frozen=True, slots=True)
class Writer(Reader):
    """A transaction that commits when its block ends."""


class Database:
    """One process's connections to PostgreSQL."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._engine = _engine(url, settings)
        # tests set it; see Reader.now
        self.now: datetime | None = None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """A connection for single statements, each its own snapshot."""
        async with self._connection() as (conn, raw):
            yield Reader(conn, raw, self.now)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        """Several reads of one and the same moment."""
        async with (
            self._connection() as (conn, raw),
            raw.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield Reader(conn, raw, self.now)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """A transaction; it is on disk when the block has ended without an error."""
        async with self._connection() as (conn, raw), raw.transaction():
            yield Writer(conn, raw, self.now)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Writer]:
        """A connection for one writing statement, which is on disk when it has returned."""
        async with self._connection() as (conn, raw):
            yield Writer(conn, raw, self.now)

    async def close(self) -> None:
        """Give all connections back to the server."""
        await self._engine.dispose()

    def pool_figures(self) -> dict[str, int]:
        """Connections by what they do at this moment: `in_use` and `idle`."""
        pool: Any = self._engine.pool
        return {"in_use": pool.checkedout(), "idle": pool.checkedin()}

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[AsyncConnection, Any]]:
        with lost_is_unavailable():
            async with self._engine.connect() as conn:
                raw = await _live_driver_connection(conn)
                try:
                    yield conn, raw
                except BaseException as error:
                    # also on cancellation: a connection left inside a statement or a
                    # transaction must not serve somebody else
                    if _is_lost(error) or raw.is_closed() or raw.is_in_transaction():
                        # without a farewell, which may fail like the rest
                        raw.terminate()
                        await conn.invalidate()
                    raise


@contextmanager
def lost_is_unavailable() -> Iterator[None]:
    """Tell a lost database from everything else that goes wrong.

    Raises:
        DatabaseUnavailable: with what the driver said as its cause.
    """
    try:
        yield
    except Exception as error:
        cause = _driver_error(error)
        if _is_lost(cause):
            raise DatabaseUnavailable("The database cannot be reached; send it again.") from cause
        raise


def driver_url(url: str) -> URL:
    """The database's address as SQLAlchemy takes it.

    Raises:
        Invalid: it is no address.
    """
    try:
        given = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # not quoted: it may hold a password
        raise Invalid(NO_ADDRESS) from None
    # as libpq and hosted databases name it, and as the driver does
    query = {"ssl" if name == "sslmode" else name: value for name, value in given.query.items()}
    if (
        given.get_backend_name() not in BACKENDS
        or (given.port or 0) > PORT_MAX
        or not set(query) <= URL_PARAMETERS
    ):
        raise Invalid(NO_ADDRESS)
    return given.set(drivername="postgresql+asyncpg", query=query)


def _is_lost(error: BaseException) -> bool:
    # asyncpg's own complaint about an argument is an InterfaceError as well
    return isinstance(error, LOST) and not isinstance(error, ValueError)


def _driver_error(error: BaseException) -> BaseException:
    """What asyncpg raised, where SQLAlchemy has wrapped its own errors around it."""
    if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _engine(url: str, settings: Settings) -> AsyncEngine:
    return create_async_engine(
        driver_url(url),
        isolation_level="AUTOCOMMIT",
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=settings.pool_wait_s,
        pool_use_lifo=True,
        # an error's text ends in logs, and a parameter may be a project's secret
        hide_parameters=True,
        # a connection comes back outside of any transaction, or not at all; see `_connection`
        pool_reset_on_return=None,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
        connect_args={
            "command_timeout": settings.statement_timeout_s,
            "statement_cache_size": settings.statement_cache,
            "prepared_statement_cache_size": settings.statement_cache,
            "server_settings": {"application_name": "overrule"},
        },
    )


async def _live_driver_connection(conn: AsyncConnection) -> Any:
    """The driver's connection, a fresh one where the pooled one died (costs no round trip)."""
    raw = (await conn.get_raw_connection()).driver_connection
    if raw is None or raw.is_closed():
        await conn.invalidate()
        raw = (await conn.get_raw_connection()).driver_connection
    return raw


def retried(flow: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Run a flow again when PostgreSQL chose it as the loser of a deadlock or of a race.

    Raises:
        Unavailable: it lost every time.
    """

    @functools.wraps(flow)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for attempt in range(RETRIES_MAX):
            try:
                return await flow(*args, **kwargs)
            except RETRIED:
                await asyncio.sleep(0.005 * 2**attempt)
        raise Unavailable("The database is too busy; send it again.")

    return run
