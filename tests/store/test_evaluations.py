"""Which states the closing of a bucket starts from."""

import uuid
from types import SimpleNamespace
from typing import Any

from app.core.drift.monitor import MEMORY
from app.flows.context import Context
from app.store.evaluations import standings_of
from app.store.ids import new_id
from tests.scenario import Scenario


async def set_state(ctx: Context, project: uuid.UUID, length: int, untested: int) -> None:
    async with ctx.db.write() as tx:
        await tx.raw.execute(
            "INSERT INTO monitor_states (project_id, monitor_id, model_version, segment, length, "
            "state, track, evaluation_id, since) "
            "SELECT $1, id, '9', '', $2, 'stable', $3::text::jsonb, $4, statement_timestamp() "
            "FROM monitors WHERE project_id = $1",
            project,
            length,
            f'{{"state": "stable", "recent": [], "untested": {untested}}}',
            new_id(),
        )


async def lengths(ctx: Context, project: uuid.UUID) -> set[int]:
    async with ctx.db.read() as tx:
        id_ = await tx.raw.fetchval("SELECT id FROM monitors WHERE project_id = $1", project)
        monitor: Any = SimpleNamespace(id=id_)
        return {length for _, length in await standings_of(tx, project, [monitor], ["1"])}


async def test_a_version_that_one_length_still_waits_for_comes_with_all_lengths(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.monitor("confidence")
    await set_state(ctx, scenario.project, 1, MEMORY)
    await set_state(ctx, scenario.project, 24, MEMORY - 1)

    assert await lengths(ctx, scenario.project) == {1, 24}


async def test_a_version_that_has_fallen_silent_is_left_out(
    ctx: Context, scenario: Scenario
) -> None:
    await scenario.monitor("confidence")
    await set_state(ctx, scenario.project, 1, MEMORY)
    await set_state(ctx, scenario.project, 24, MEMORY)

    assert await lengths(ctx, scenario.project) == set()
