"""What is on disk: read past the service, from its own PostgreSQL."""

import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from app.core.access import parse_key
from app.store.embedded import EmbeddedPostgres
from tests.e2e.load import Load


@dataclass(frozen=True)
class Kept:
    """The rows of one project."""

    decisions: Counter[tuple[str, str]]
    request_keys: dict[str, str]
    items: Counter[str]
    assignments: Counter[str]
    verdicts: Counter[tuple[str, int, str]]
    resolutions: int
    counted: int

    @classmethod
    async def read(cls, data_dir: Path, key: str) -> "Kept":
        """The rows of the key's project."""
        server = EmbeddedPostgres.start(data_dir)
        try:
            connection = await asyncpg.connect(server.url)
            try:
                return await cls._read(connection, key)
            finally:
                await connection.close()
        finally:
            server.stop()

    @classmethod
    async def _read(cls, connection: Any, key: str) -> "Kept":
        parsed = parse_key(key)
        assert parsed is not None
        project = await connection.fetchval("SELECT project_id FROM keys WHERE id = $1", parsed[0])

        async def rows(query: str) -> list[Any]:
            found = await connection.fetch(f"{query} WHERE project_id = $1", project)
            return [tuple(str(c) if isinstance(c, uuid.UUID) else c for c in row) for row in found]

        return cls(
            Counter(await rows("SELECT request_key, id FROM decisions")),
            dict(await rows("SELECT request_key, decision_id FROM request_keys")),
            Counter(row[0] for row in await rows("SELECT decision_id FROM items")),
            Counter(row[0] for row in await rows("SELECT item_id FROM assignments")),
            Counter(await rows("SELECT assignment_id, token, id FROM verdicts")),
            len(await rows("SELECT item_id FROM resolutions")),
            await _counted(connection, project),
        )

    def expect_promises_of(self, load: Load) -> None:
        """Everything answered is there, everything there is there once, and whole."""
        answered = set(load.decided.items())
        judged = {(assignment, *verdict) for assignment, verdict in load.judged.items()}
        assert answered - set(self.decisions) == set(), "an answered decision is lost"
        assert judged - set(self.verdicts) == set(), "an answered verdict is lost"
        assert set(self.decisions.values()) == {1}
        assert dict(self.decisions.keys()) == self.request_keys
        assert self.items == Counter(self.request_keys.values())
        assert set(self.assignments.values()) == {1}
        assert len(self.assignments) == len(self.items)
        assert len({assignment for assignment, _, _ in self.verdicts}) == len(self.verdicts)
        assert self.resolutions == len(self.verdicts)
        assert self.counted == len(self.decisions), "the counts differ"


async def _counted(connection: Any, project: uuid.UUID) -> int:
    """Decisions by the counts, folded or waiting to be: of one moment, since in one statement."""
    return int(
        await connection.fetchval(
            """
            SELECT coalesce(sum(n), 0) FROM (
              SELECT decisions AS n FROM decision_counts WHERE project_id = $1
              UNION ALL
              SELECT (e ->> 9)::bigint FROM inbox CROSS JOIN LATERAL jsonb_array_elements(counts) e
              WHERE project_id = $1
            ) all_counts
            """,
            project,
        )
    )
