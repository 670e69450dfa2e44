"""What the worker calls now and then."""

import uuid
from typing import Any

import pytest

from app.flows import upkeep
from app.flows.context import Context
from app.store import counts
from tests.scenario import Scenario


async def test_counts_that_cannot_be_folded_do_not_stop_those_of_other_projects(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenarios = [await Scenario.start(ctx) for _ in range(3)]
    for scenario in scenarios:
        await scenario.decided()
    broken, *others = sorted(scenario.project for scenario in scenarios)
    fold = counts.fold

    async def failing(tx: Any, project_id: uuid.UUID, rows_max: int) -> int:
        if project_id == broken:
            raise RuntimeError("these counts are broken")
        return await fold(tx, project_id, rows_max)

    monkeypatch.setattr(counts, "fold", failing)

    with pytest.raises(RuntimeError, match="broken"):
        await upkeep.fold(ctx)

    async with ctx.db.read() as tx:
        assert await counts.waiting_rows(tx, broken) == 1
        assert [await counts.waiting_rows(tx, project) for project in others] == [0, 0]
