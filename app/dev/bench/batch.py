"""Five hundred predictions a request, 5 % of them to review.

The baseline is a plain loop over the driver, without HTTP: the statements by which the service
stores such rows (request_keys first; then decisions, items, assignments and inbox), each an
`INSERT … SELECT FROM unnest`, with the columns that the service itself made, and fresh ids and
request keys, all prepared before the clock starts. BEGIN, the statements, COMMIT, 500 rows at a
time, as many rows as ours has just stored, over as many connections as the service has commit
lanes.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import asyncpg
import msgspec

from app.core.routing.prediction import Prediction
from app.dev.bench.connection import request_bytes
from app.dev.bench.load import Run, closed_loop
from app.dev.bench.prepared import post_prepared
from app.dev.bench.report import Round
from app.dev.bench.service import Service
from app.dev.bench.traffic import KEY_PREFIX, batch_body, body, fresh_key
from app.flows.context import Context
from app.flows.gather import Gatherer, Result
from app.flows.predict import predict
from app.store.decision_rows import ASKED_COLUMNS, DECISION_COLUMNS, NewDecision
from app.store.decisions import insert_many
from app.store.engine import Writer
from app.store.ids import new_id

NAME = "batch"
UNIT = "rows"
BASELINE = (
    "the same statements with the same columns, prepared beforehand, 500 rows a transaction by a "
    "plain loop over the driver without HTTP, on as many connections as the service has commit "
    "lanes"
)
PATH = "/v1/predictions/batch"
ROWS = 500
NO_CONNECTION: Any = None
# fewer leave the server idle while all of them are being committed
REQUESTS_AT_ONCE = 8
# more than a machine of this kind answers; a quicker one ends before the time is up
REQUESTS_PER_S_MAX = 100

# SQL with its arguments
Statement = tuple[str, tuple[Any, ...]]


async def measure(service: Service, seconds: float) -> Round:
    """One round."""
    ours = await post_batches(service, seconds)
    pattern = await _pattern(service)
    return Round(ours, await _baseline(service, [_renewed(pattern) for _ in range(ours.calls)]))


async def post_batches(service: Service, seconds: float, make: Callable[[], bytes] = body) -> Run:
    """Post batches of 500, eight at once; `make` gives the next prediction."""
    # made beforehand, as the baseline's rows are
    return await post_prepared(
        service.port,
        requests(service, ceil(REQUESTS_PER_S_MAX * seconds), make),
        rows=ROWS,
        at_once=REQUESTS_AT_ONCE,
        seconds=seconds,
    )


def requests(service: Service, count: int, make: Callable[[], bytes] = body) -> list[bytes]:
    """So many requests of 500 predictions each."""
    return [
        request_bytes("POST", PATH, service.key, batch_body(make() for _ in range(ROWS)))
        for _ in range(count)
    ]


async def _baseline(service: Service, batches: list[list[Statement]]) -> Run:
    lanes = service.ctx.settings.commit_lanes
    connections = [await asyncpg.connect(service.database_url) for _ in range(lanes)]
    try:
        callers = [_Driver(connection, batches) for connection in connections]
        return await closed_loop(
            [caller.insert for caller in callers], calls_max=len(batches), units_per_call=ROWS
        )
    finally:
        for connection in connections:
            await connection.close()


class _Driver:
    """One connection that takes prepared batches off a common list."""

    def __init__(self, connection: Any, batches: list[list[Statement]]) -> None:
        self._connection = connection
        self._batches = batches

    async def insert(self) -> None:
        statements = self._batches.pop()
        async with self._connection.transaction():
            for sql, arguments in statements:
                await self._connection.fetch(sql, *arguments)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The statements for one batch, and the ids in them that stand for what is there already."""

    statements: list[Statement]
    kept: frozenset[uuid.UUID]


async def _pattern(service: Service) -> _Pattern:
    """What the service would execute for a batch, without executing it."""
    ctx = service.ctx
    keeping = _Keeping(ctx.db, ctx.settings)
    decode = msgspec.json.Decoder(Prediction).decode
    predictions = [decode(body()) for _ in range(ROWS)]
    await predict(_with_gatherer(ctx, keeping), service.project_id, predictions, type)
    recorder = _Recorder(await _column_types(ctx))
    await insert_many(Writer(conn=NO_CONNECTION, raw=recorder, now=None), keeping.rows)
    kept = {service.project_id}
    for row in keeping.rows:
        kept.add(dict(zip(DECISION_COLUMNS, row.values, strict=True))["policy_id"])
        if row.asked is not None:
            kept.add(dict(zip(ASKED_COLUMNS, row.asked, strict=True))["queue_id"])
    return _Pattern(recorder.statements, frozenset(kept))


def _with_gatherer(ctx: Context, gatherer: Gatherer) -> Context:
    return replace(ctx, gatherer=gatherer)


class _Keeping(Gatherer):
    """Keeps what it should commit."""

    rows: list[NewDecision]

    async def commit(self, rows: list[NewDecision]) -> list[Result]:
        """Keep the rows, and say that they are new."""
        self.rows = rows
        return [True] * len(rows)


class _Recorder:
    """In the place of a driver connection: writes down what it should execute."""

    def __init__(self, column_types: dict[str, dict[str, str]]) -> None:
        self._column_types = column_types
        self.statements: list[Statement] = []

    async def fetch(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """The insert of the request keys, which returns the ids that are new: all."""
        self.statements.append((sql, arguments))
        return [{"decision_id": decision_id} for decision_id in arguments[2]]

    async def execute(self, sql: str, *arguments: Any) -> None:
        """The insert of everything else."""
        self.statements.append((sql, arguments))

    async def copy_records_to_table(
        self, table: str, *, records: Iterable[tuple[Any, ...]], columns: Sequence[str]
    ) -> None:
        """A COPY, in the baseline an insert like the others."""
        types = [self._column_types[table][column] for column in columns]
        # the driver takes JSON as text
        arrays = ["text" if kind == "jsonb" else kind for kind in types]
        sql = (
            f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - names of our own tables
            f"SELECT {', '.join(f'c{n}::{kind}' for n, kind in enumerate(types))} FROM unnest("
            f"{', '.join(f'${n}::{kind}[]' for n, kind in enumerate(arrays, 1))}) "
            f"AS rows ({', '.join(f'c{n}' for n in range(len(columns)))})"
        )
        self.statements.append((sql, tuple(zip(*records, strict=True))))


async def _column_types(ctx: Context) -> dict[str, dict[str, str]]:
    """By table, the types of its columns."""
    async with ctx.db.read() as tx:
        rows = await tx.raw.fetch(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = 'public'"
        )
    types: dict[str, dict[str, str]] = {}
    for row in rows:
        types.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    return types


def _renewed(pattern: _Pattern) -> list[Statement]:
    """The same statements for rows of other ids and request keys."""
    fresh: dict[Any, Any] = {found: found for found in pattern.kept}

    def renew(value: Any) -> Any:
        if value is None:
            return None
        known = fresh.get(value)
        if known is None:
            known = fresh[value] = new_id() if isinstance(value, uuid.UUID) else fresh_key()
        return known

    return [
        (sql, tuple([*map(renew, column)] if _names_rows(column) else column for column in columns))
        for sql, columns in pattern.statements
    ]


def _names_rows(column: Any) -> bool:
    """Whether a column holds ids or request keys; an item's id is null where nobody is asked."""
    if not isinstance(column, Sequence) or isinstance(column, str):
        return False
    first = next((value for value in column if value is not None), None)
    return isinstance(first, uuid.UUID) or (isinstance(first, str) and first.startswith(KEY_PREFIX))
