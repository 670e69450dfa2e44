"""What a database holds, as sets of lines: two of them differ readably."""

import asyncpg

# alembic's own table stays when everything else goes; partitions repeat their parent
_OURS = """
    n.nspname = 'public' AND c.relname <> 'alembic_version' AND NOT c.relispartition
"""

_COLUMNS = f"""
    SELECT format('%s.%s %s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END) AS line
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
"""

# key columns in their order: an index serves its leading columns only
_KEYS = f"""
    SELECT c.relname AS table, k.conname AS name, k.contype::text AS kind,
           array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (num, at)
                 JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num
                 ORDER BY u.at) AS columns
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS} AND k.contype IN ('p', 'u', 'f')
"""

_CONSTRAINTS = f"""
    SELECT format('%s: %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid)) AS line
    FROM pg_constraint k
    JOIN pg_class c ON c.oid = k.conrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS}
"""

_INDEXES = f"""
    SELECT pg_get_indexdef(i.indexrelid) AS line
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS}
"""

_DEFAULTS = f"""
    SELECT format('%s.%s DEFAULT %s', c.relname, a.attname, pg_get_expr(d.adbin, d.adrelid))
           AS line
    FROM pg_attrdef d
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    JOIN pg_class c ON c.oid = d.adrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS}
"""


async def columns(url: str) -> set[str]:
    """`table.column type [NOT NULL]` of every table."""
    return {row["line"] for row in await _fetch(url, _COLUMNS)}


async def keys(url: str) -> list[asyncpg.Record]:
    """Primary (`p`), unique (`u`) and foreign (`f`) keys: table, name, kind, columns in order."""
    return await _fetch(url, _KEYS)


async def primary_keys(url: str) -> set[str]:
    """`table (column, …)` of every primary key."""
    return {
        f"{key['table']} ({', '.join(key['columns'])})"
        for key in await keys(url)
        if key["kind"] == "p"
    }


async def everything(url: str) -> set[str]:
    """Columns, defaults, constraints and indexes."""
    lines = await columns(url)
    for query in (_CONSTRAINTS, _INDEXES, _DEFAULTS):
        lines |= {row["line"] for row in await _fetch(url, query)}
    return lines


async def _fetch(url: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()
