"""Makes a database that has been in use for long: millions of decisions, and queues that are full.

Some predictions are posted to the service first. What it stored of them is multiplied inside
PostgreSQL, each copy with ids, request key, times and digest of its own, so that every column holds
what the service itself would write, whatever the columns are. The ids are spread evenly over the
last four weeks, and every copy that asks a human is still open, in the one queue that is claimed
from: the worst case of a claim.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec

from app.core.review.queue import PRIORITY_MAX, RANK_STEP
from app.dev.bench.batch import PATH
from app.dev.bench.connection import connected, request_bytes
from app.dev.bench.service import Service
from app.dev.bench.traffic import (
    CLAIMED_LABEL,
    KEY_DIGITS,
    MODEL,
    SCATTERED_PREFIX,
    SCATTERED_STEP,
    batch_body,
)
from app.store.ids import utc_now
from app.store.partitions import ensure_partitions

WEEKS = 4
SEEDS = 1_000
SEEDS_ASKED = 200
CHUNK_ROWS = 20_000
# the numbers of the copies, whose request keys must not meet those of what is measured
FIRST_NUMBER = 10**9
TABLES = "decisions, request_keys, items, assignments"


async def load(
    service: Service, decisions: int, assignments: int, advance: Callable[[int], None]
) -> None:
    """Load the database, and leave it as autovacuum and a checkpoint would.

    Args:
        service: what it belongs to.
        decisions: how many.
        assignments: how many of them ask a human.
        advance: told how many decisions came in.
    """
    async with service.ctx.db.write() as tx:
        await ensure_partitions(tx, utc_now() - timedelta(weeks=WEEKS), weeks_ahead=WEEKS)
    await _post_seeds(service)
    connection = await asyncpg.connect(service.database_url)
    try:
        await connection.execute(_SEEDS)
        copy = await _copy_statement(connection)
        for first in range(1, decisions + 1, CHUNK_ROWS):
            last = min(decisions, first + CHUNK_ROWS - 1)
            await connection.execute(copy, first, last, decisions, assignments)
            advance(last - first + 1)
        await connection.execute(f"VACUUM (ANALYZE) {TABLES}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _post_seeds(service: Service) -> None:
    drawn = random.Random(1)  # noqa: S311 - the same in every run
    seeds = [
        msgspec.json.encode(_seed(drawn, number, asked=number < SEEDS_ASKED))
        for number in range(SEEDS)
    ]
    async with connected(service.port, 1) as (connection,):
        request = request_bytes("POST", PATH, service.key, batch_body(seeds))
        await connection.expect(200, request)


def _seed(drawn: random.Random, number: int, *, asked: bool) -> dict[str, Any]:
    """A prediction that asks a human, or that mostly does not."""
    label = CLAIMED_LABEL if asked else drawn.choice(["negative", "neutral", "positive"])
    confidence = drawn.uniform(0.92, 0.99)
    words = " ".join(drawn.choice(["great", "just", "what", "I", "needed"]) for _ in range(12))
    return {
        "request_key": f"seed-{number:0{KEY_DIGITS}}",
        "model": MODEL,
        "model_version": "1",
        "label": label,
        "confidence": confidence,
        "scores": {label: confidence, "other": 1 - confidence},
        "features": {"n_tokens": drawn.randint(5, 60), "lang": "en"},
        "segment": {"source": drawn.choice(["tweets", "mail", "chat"])},
        "risk": drawn.uniform(0, 0.5),
        "input_key": f"text-{number}",
        "subject": {"text": words},
    }


# who asks a human, and who asks nobody, each numbered from 0; an audited one is neither
_SEEDS = f"""
CREATE TEMP TABLE seed_decisions AS
  SELECT (route = 'review') AS asked,
    row_number() OVER (PARTITION BY route = 'review' ORDER BY id) - 1 AS nth,
    count(*) OVER (PARTITION BY route = 'review') AS of, d.*
  FROM decisions d
  WHERE model = '{MODEL}' AND request_key LIKE 'seed-%' AND NOT audited;
CREATE TEMP TABLE seed_items AS
  SELECT s.nth, i.* FROM seed_decisions s
  JOIN items i ON i.project_id = s.project_id AND i.id = s.item_id;
ANALYZE seed_decisions, seed_items
"""  # noqa: S608 - constants

# in the place of what the seed's own columns hold
_DECISION = {
    "id": "new_id",
    "request_key": "new_key",
    "item_id": "new_item_id",
    "digest": "sha256(convert_to(new_prediction, 'UTF8'))",
    "decided_at": "uuid_extract_timestamp(new_id)",
    "prediction": "new_prediction",
}
# nothing falls due, whose consequences would be measured with the rest
_ITEM = {
    "id": "new_item_id",
    "decision_id": "new_id",
    "decided_at": "uuid_extract_timestamp(new_id)",
    "queued_at": "uuid_extract_timestamp(new_id)",
    "due_at": "statement_timestamp() + interval '1 year'",
}


async def _copy_statement(connection: Any) -> str:
    """Copies $1 to $2 of $3 decisions, $4 of which ask a human, evenly spread."""
    decision = await _columns(connection, "decisions", _DECISION)
    item = await _columns(connection, "items", _ITEM)
    return f"""
    WITH numbered AS MATERIALIZED (
      SELECT n, n * $4 / $3 > (n - 1) * $4 / $3 AS asked,
        uuidv7(make_interval(weeks => -{WEEKS}) * (1 - (n - 1)::float8 / $3)) AS new_id,
        '{SCATTERED_PREFIX}' || lpad(
          (({FIRST_NUMBER} + n)::numeric * {SCATTERED_STEP} % 1e{KEY_DIGITS})::bigint::text,
          {KEY_DIGITS}, '0') AS new_key
      FROM generate_series($1::bigint, $2::bigint) AS n
    ), made AS MATERIALIZED (
      SELECT m.*, s.nth, CASE WHEN m.asked THEN uuidv7(new_id_age) END AS new_item_id,
        replace(s.prediction, s.request_key, m.new_key) AS new_prediction
      FROM (SELECT *, uuid_extract_timestamp(new_id) - clock_timestamp() AS new_id_age
            FROM numbered) m
      JOIN seed_decisions s ON s.asked = m.asked AND s.nth = m.n % s.of
    ), decided AS (
      INSERT INTO decisions ({", ".join(decision)})
      SELECT {", ".join(decision.values())}
      FROM made JOIN seed_decisions s USING (asked, nth) ORDER BY n
    ), keyed AS (
      INSERT INTO request_keys (project_id, request_key, decision_id, digest)
      SELECT s.project_id, new_key, new_id, {_DECISION["digest"]}
      FROM made JOIN seed_decisions s USING (asked, nth) ORDER BY n
    ), queued AS (
      INSERT INTO items ({", ".join(item)})
      SELECT {", ".join(item.values())}
      FROM made JOIN seed_items s USING (nth) WHERE asked ORDER BY n
    )
    INSERT INTO assignments (project_id, id, item_id, queue_id, rank)
    SELECT s.project_id, uuidv7(new_id_age), new_item_id, s.queue_id,
      ({PRIORITY_MAX} - s.priority) * {RANK_STEP}::bigint
        + (extract(epoch FROM uuid_extract_timestamp(new_id)) * 1000)::bigint
    FROM made JOIN seed_items s USING (nth) WHERE asked ORDER BY n
    """  # noqa: S608 - names of our own tables, and constants


async def _columns(connection: Any, table: str, replaced: dict[str, str]) -> dict[str, str]:
    """By column, what a copy has there: what the seed has, unless it is replaced."""
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute "
        "WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        table,
    )
    return {row["attname"]: replaced.get(row["attname"], f"s.{row['attname']}") for row in rows}
