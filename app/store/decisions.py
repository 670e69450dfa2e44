"""Decisions: the hot insert. `recorded_decisions.py` reads them back.

Two ways write the very same rows. Each message that wakes another process costs more than the
work of a row, so a few rows go as one statement, which is its own transaction: one message there
and one back, instead of five. For many rows a COPY is cheaper in the driver and in PostgreSQL.

Two writers can meet at one request key only: `request_keys` decides who is first (the other waits
for that commit and then inserts nothing). Rows go in the order of (project, request key), so two
writers with the same keys wait for each other in one direction and never deadlock. Everything else
is keyed by ids that only this call knows.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import asyncpg
from msgspec import Struct

from app.core.drift.watching import deltas, single_deltas
from app.core.routing.counts import count
from app.store.decision_rows import (
    ASKED_COLUMNS,
    DECISION_COLUMNS,
    ITEM_COLUMNS,
    NewDecision,
    json_text,
)
from app.store.engine import Reader, Writer
from app.store.ids import new_id

# from here on a COPY is quicker, measured in whole requests
AT_ONCE_MAX = 50


class RowsRefusedError(Exception):
    """PostgreSQL cannot keep one of the rows; nothing was inserted."""


class PartitionMissingError(Exception):
    """There is no partition for the week of one of the rows; nothing was inserted."""


class Kept(Struct, frozen=True, gc=False):
    """What a request key already stands for."""

    decision_id: uuid.UUID
    digest: bytes


async def insert_few(tx: Writer, rows: list[NewDecision]) -> set[uuid.UUID]:
    """Commit decisions with their request keys, items, assignments and counts, in one statement.

    Args:
        tx: a connection outside a transaction, or a transaction.
        rows: each (project, request key) once.

    Returns:
        Ids of the decisions that are new; the others were there under their request key.

    Raises:
        PartitionMissingError: `ensure_partitions` for the ids' weeks, and try again.
        RowsRefusedError: try without the row that PostgreSQL cannot keep.
    """
    ordered = _ordered(rows)
    counts = [json_text([*row.count_key, 1, int(row.audited)]) for row in ordered]
    with _refusals():
        inserted = await tx.raw.fetch(
            _INSERT_ALL,
            *zip(*[row.values for row in ordered], strict=True),
            counts,
            [_single_streams(row) for row in ordered],
            *_asked_columns(ordered),
            tx.now,
        )
    return {row["decision_id"] for row in inserted}


async def insert_many(tx: Writer, rows: list[NewDecision]) -> set[uuid.UUID]:
    """As `insert_few`, for many rows: in several statements of one transaction."""
    ordered = _ordered(rows)
    with _refusals():
        inserted = await tx.raw.fetch(
            _INSERT_KEYS,
            [row.project_id for row in ordered],
            [row.request_key for row in ordered],
            [row.id for row in ordered],
            [row.digest for row in ordered],
        )
        new_ids: set[uuid.UUID] = {row["decision_id"] for row in inserted}
        all_new = len(new_ids) == len(ordered)
        new = ordered if all_new else [row for row in ordered if row.id in new_ids]
        if new:
            await _insert_new(tx, new)
    return new_ids


async def _insert_new(tx: Writer, new: list[NewDecision]) -> None:
    counts = count((row.project_id, row.count_key, row.audited) for row in new)
    await tx.raw.copy_records_to_table(
        "decisions", records=[row.values for row in new], columns=list(DECISION_COLUMNS)
    )
    await tx.raw.execute(
        _INSERT_ASKED_AND_COUNTS,
        *_asked_columns(new),
        list(counts),
        [new_id() for _ in counts],
        [json_text(rows) for rows in counts.values()],
        _streams(new, list(counts)),
        tx.now,
    )


async def kept_keys(
    tx: Reader, keys: list[tuple[uuid.UUID, str]]
) -> dict[tuple[uuid.UUID, str], Kept]:
    """What request keys already stand for, as far as they are committed."""
    rows = await tx.raw.fetch(
        """
        SELECT k.project_id, k.request_key, k.decision_id, k.digest
        FROM unnest($1::uuid[], $2::text[]) AS asked (project_id, request_key)
        JOIN request_keys k USING (project_id, request_key)
        """,
        [project_id for project_id, _ in keys],
        [request_key for _, request_key in keys],
    )
    return {
        (row["project_id"], row["request_key"]): Kept(row["decision_id"], row["digest"])
        for row in rows
    }


def _ordered(rows: list[NewDecision]) -> list[NewDecision]:
    return sorted(rows, key=lambda row: (row.project_id.bytes, row.request_key))


def _streams(new: list[NewDecision], projects: list[uuid.UUID]) -> list[str | None]:
    """What the rows add to streams, for each of the projects; None where nothing is watched."""
    watched = defaultdict(list)
    for row in new:
        if row.counted is not None:
            watched[row.project_id].append((*row.counted_as, row.counted))
    return [json_text(deltas(watched[one])) if one in watched else None for one in projects]


def _single_streams(row: NewDecision) -> str | None:
    """What one row adds to streams: elements of a list, without its brackets."""
    if row.counted is None:
        return None
    return json_text(single_deltas(*row.counted_as, row.counted))[1:-1]


def _asked_columns(rows: list[NewDecision]) -> Sequence[Sequence[Any]]:
    """What is asked as one array per column, as `unnest` takes them."""
    asked = [row.asked for row in rows if row.asked is not None]
    return list(zip(*asked, strict=True)) or [[]] * len(ASKED_COLUMNS)


@contextmanager
def _refusals() -> Iterator[None]:
    """Tell a row that cannot be kept, or a week without a partition, from a lost database."""
    try:
        yield
    except _ROW_REFUSED as error:
        # the same code as for a violated CHECK, which has a name; the message is in any language
        if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None:
            raise PartitionMissingError(str(error)) from error
        raise RowsRefusedError(str(error)) from error


# what speaks against a row and not against the database; the last three are the driver's, for a
# value that it cannot encode
_ROW_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    OverflowError,
    TypeError,
)


def _unnested(columns: Mapping[str, str], first: int) -> str:
    """`unnest($1::uuid[], …) AS rows (id, …)`; JSON comes as text."""
    parameters = ", ".join(
        f"${n}::{'text' if kind == 'jsonb' else kind}[]"
        for n, kind in enumerate(columns.values(), first)
    )
    return f"unnest({parameters}) AS rows ({', '.join(columns)})"


def _asked_inserts(now: str) -> str:
    """Items and their assignments, from the rows of `asked`."""
    values = ", ".join(
        f"{name}::jsonb" if kind == "jsonb" else name for name, kind in ITEM_COLUMNS.items()
    )
    return f"""
        queued AS (
          INSERT INTO items ({", ".join(ITEM_COLUMNS)}, queued_at, due_at)
          SELECT {values}, {now}, {now} + make_interval(secs => due_s) FROM asked
        ), assigned AS (
          INSERT INTO assignments (project_id, id, item_id, queue_id, rank)
          SELECT project_id, assignment_id, id, queue_id, rank FROM asked
        )
    """


_INSERT_KEYS = """
    INSERT INTO request_keys (project_id, request_key, decision_id, digest)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bytea[])
    ON CONFLICT DO NOTHING RETURNING decision_id
"""


def _insert_asked_and_counts() -> str:
    first = 1 + len(ASKED_COLUMNS)
    return f"""
        WITH asked AS (SELECT * FROM {_unnested(ASKED_COLUMNS, 1)}),
        {_asked_inserts(f"coalesce(${first + 4}, statement_timestamp())")}
        INSERT INTO inbox (project_id, id, counts, streams)
        SELECT project_id, id, counts::jsonb, streams::jsonb
        FROM unnest(${first}::uuid[], ${first + 1}::uuid[], ${first + 2}::text[],
          ${first + 3}::text[]) AS c (project_id, id, counts, streams)
    """


def _insert_all() -> str:
    names = ", ".join(DECISION_COLUMNS)
    arrays = {name: f"${n}::{kind}[]" for n, (name, kind) in enumerate(DECISION_COLUMNS.items(), 1)}
    counted = 1 + len(DECISION_COLUMNS)
    asked = counted + 2
    now = f"coalesce(${asked + len(ASKED_COLUMNS)}, statement_timestamp())"
    # arrays are unnested where they are read, with no more columns than are read there: rows that
    # are kept between two parts of a statement are copied
    keys = ", ".join(arrays[name] for name in ("project_id", "request_key", "id", "digest"))
    # a new decision's id names the counts of its commit: no other has it
    return f"""
        WITH kept AS (
          INSERT INTO request_keys (project_id, request_key, decision_id, digest)
          SELECT * FROM unnest({keys}) ON CONFLICT DO NOTHING RETURNING decision_id
        ), inserted AS (
          INSERT INTO decisions ({names})
          SELECT {names} FROM {_unnested(DECISION_COLUMNS, 1)}
          WHERE id IN (SELECT decision_id FROM kept)
        ), asked AS (
          SELECT * FROM {_unnested(ASKED_COLUMNS, asked)}
          WHERE decision_id IN (SELECT decision_id FROM kept)
        ), {_asked_inserts(now)}, counted AS (
          INSERT INTO inbox (project_id, id, counts, streams)
          SELECT project_id, (array_agg(id))[1], ('[' || string_agg(counts, ',') || ']')::jsonb,
            ('[' || string_agg(streams, ',') || ']')::jsonb
          FROM unnest({arrays["project_id"]}, {arrays["id"]}, ${counted}::text[],
            ${counted + 1}::text[]) AS counts (project_id, id, counts, streams)
          WHERE id IN (SELECT decision_id FROM kept) GROUP BY project_id
        )
        SELECT decision_id FROM kept
    """


_INSERT_ASKED_AND_COUNTS = _insert_asked_and_counts()
_INSERT_ALL = _insert_all()
