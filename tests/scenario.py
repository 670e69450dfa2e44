"""Reaches states through flows, so that a test cannot start from an impossible one."""

import uuid
from dataclasses import dataclass
from typing import Any

from app.core.access import PROJECT_SCOPES
from app.flows import projects as project_flows
from app.flows.context import Context
from app.store.keys import find_project


@dataclass
class Scenario:
    """One project and its key."""

    ctx: Context
    project: uuid.UUID
    name: str
    key: str

    @classmethod
    async def start(cls, ctx: Context, name: str | None = None) -> "Scenario":
        name = name or f"p-{uuid.uuid4().hex[:8]}"
        new = await project_flows.create_key(
            ctx,
            "test",
            project=name,
            name="all",
            scopes=list(PROJECT_SCOPES),
            make_project=True,
        )
        async with ctx.db.read() as tx:
            project = await find_project(tx, name)
        assert project is not None
        return cls(ctx, project.id, name, new.text)

    def prediction(self, **changes: Any) -> dict[str, Any]:
        """A prediction as it is posted; `changes` replace or add fields."""
        return {
            "request_key": f"req-{uuid.uuid4().hex[:12]}",
            "model": "sentiment",
            "model_version": "1",
            "label": "positive",
            "confidence": 0.91,
            "subject": {"text": "great, just what I needed"},
            **changes,
        }
