"""Growth is measured on a database that holds what the service itself would have stored."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.core.routing.prediction import Prediction, recorded
from app.dev.bench.connection import connected, request_bytes
from app.dev.bench.growth import CASES, Size, measure, words
from app.dev.bench.growth_rows import WEEKS
from app.dev.bench.service import Service, running_service

SIZE = Size(decisions=700, assignments=70)


@pytest.mark.slow  # a database, servers and a worker, each as the real process
@pytest.mark.timeout(120)
async def test_growth_is_measured_on_rows_like_those_of_the_service(tmp_path: Path) -> None:
    steps: dict[str, int] = {}

    def advance(step: str, rows: int) -> None:
        steps[step] = steps.get(step, 0) + rows

    async with running_service(tmp_path / "service") as service:
        results, facts = await measure(service, SIZE, rounds=1, seconds=0.1, advance=advance)
        rows = await _loaded(service)
        shown = await _shown(service, rows[0]["id"])

    assert [result.name for result in results] == list(CASES)
    assert all(result.typical.ratio > 0 for result in results)
    assert steps == {"growth, empty": 0, "growth, loading": 700, "growth, loaded": 0}
    assert "PostgreSQL has fsync on" in words(facts)
    assert facts["decisions"] > len(rows) == SIZE.decisions
    asked = [row for row in rows if row["item_id"] is not None]
    assert facts["assignments"] > len(asked) == SIZE.assignments
    for row in rows:
        prediction = msgspec.json.decode(row["prediction"], type=Prediction)
        assert prediction.request_key == row["request_key"]
        assert recorded(prediction).text == row["prediction"]
        assert recorded(prediction).digest == row["digest"] == row["key_digest"]
    assert rows[-1]["decided_at"] - rows[0]["decided_at"] > timedelta(weeks=WEEKS) * 0.99
    assert shown["request_key"] == rows[0]["request_key"]
    # they have waited longest, so a claim finds them first
    assert max(row["rank"] for row in asked) < rows[0]["other_rank_min"]


async def _loaded(service: Service) -> list[Any]:
    """What was loaded is older than the project that it belongs to."""
    async with service.ctx.db.read() as tx:
        rows: list[Any] = await tx.raw.fetch("""
            SELECT d.*, k.digest AS key_digest, a.rank, (
                SELECT min(other.rank) FROM assignments other JOIN items i ON i.id = other.item_id
                WHERE i.queued_at >= p.created_at) AS other_rank_min
            FROM projects p
            JOIN decisions d ON d.decided_at < p.created_at
            JOIN request_keys k ON k.decision_id = d.id
            LEFT JOIN assignments a ON a.item_id = d.item_id
            ORDER BY d.id
            """)
    return rows


async def _shown(service: Service, decision_id: Any) -> Any:
    request = request_bytes("GET", f"/v1/decisions/{decision_id}", service.key, b"")
    async with connected(service.port, 1) as (connection,):
        return msgspec.json.decode(await connection.expect(200, request))
