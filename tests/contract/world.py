"""A project with one of everything that an operation can name, reached through the API."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI

from app.api.examples import EXAMPLES
from app.api.reference_examples import REFERENCE_EXAMPLES
from app.core.access import PROJECT_SCOPES, Scope
from app.core.drift.evaluate import StreamWindow, evaluate
from app.core.drift.familiar import ROWS_MIN
from app.core.drift.spec import CONFIDENCE_CELLS, ConfidenceBins
from app.flows import detectors, jobs, projects
from app.flows.context import Context
from app.main import build
from app.store.ids import new_id
from tests.contract.document import Operation

# as in the examples: the lease of that many claims
TOKEN = 7


@dataclass(frozen=True)
class World:
    """What is there, by the names of path parameters."""

    ctx: Context
    app: FastAPI
    key: str
    admin: str
    parameters: dict[str, str]

    def http(self, key: str | None) -> httpx.AsyncClient:
        """HTTP to the application with a key, or without one."""
        return _http(self.app, key)

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """Whatever is changed inside is rolled back."""
        async with self.ctx.db.read() as tx:
            savepoint = tx.raw.transaction()
            await savepoint.start()
        yield
        async with self.ctx.db.read():
            await savepoint.rollback()
        self.ctx.views.forget()

    def path(self, operation: Operation) -> str:
        """The address of what is there."""
        missing = [name for name in operation.path_parameters if name not in self.parameters]
        assert not missing, (
            f"{operation.name} has the path parameters {missing}: let `prepare` in "
            "tests/contract/world.py make one of each, and name it in `parameters`"
        )
        return operation.path.format(**self.parameters)


async def prepare(
    ctx: Context, project: str = "moderation", queue: str = "triage", policy: str = "sentiment"
) -> World:
    """A project with a queue, an active policy and a draft, two reviews, a lease on the first."""
    app = build(ctx)
    key = await make_key(ctx, list(PROJECT_SCOPES), project)
    async with _http(app, key) as http:
        await done(http.put(f"/v1/queues/{queue}", json={"due_s": 14400}))
        document = _policy(policy, queue)
        first_version = {**document, "description": "the first"}
        await done(http.put(f"/v1/policies/{policy}", json=first_version))
        await done(http.post(f"/v1/policies/{policy}/versions/1/activate"))
        await done(http.put(f"/v1/policies/{policy}", json=document))
        first = await done(http.post("/v1/predictions", json=_prediction("req-80a", policy)))
        lease = await _lease_of(http, queue)
        await done(http.post("/v1/predictions", json=_prediction("req-80b", policy)))
        named = {"name": policy, "version": 1}
        for label in ("a", "b"):
            reference = {"model": policy, "rows": [{"label": label}]}
            await done(http.put(f"/v1/references/{policy}", json=reference))
        example = REFERENCE_EXAMPLES["put_reference"].request
        await done(http.put("/v1/references/validated", json={**example, "model": policy}))
        watched = {"model": policy, "signal": "confidence", "reference": policy}
        await done(http.put(f"/v1/monitors/{policy}", json=watched))
        # of another model, so that the examples' predictions are decided without one
        familiar = {"model": f"{policy}-judged", "rows": [{"scores": {"a": 1.0}}] * ROWS_MIN}
        await done(http.put(f"/v1/detectors/{policy}", json=familiar))
        assert await jobs.run_once(ctx, {detectors.KIND: detectors.work}) == 1
        job = await done(http.post("/v1/policies/simulate", json={"policy": named}))
    await _let_it_drift(ctx, policy)
    parameters = {
        "assignment_id": lease["assignment_id"],
        "decision_id": first["id"],
        "item_id": first["item"]["id"],
        "job_id": job["id"],
        "key_id": str(uuid.UUID(key.split("_")[1])),
        "name": policy,
        # a draft: the active version cannot be the shadow too
        "number": "2",
        "queue": queue,
    }
    return World(ctx, app, key, await make_key(ctx, [Scope.ADMIN]), parameters)


async def make_key(
    ctx: Context,
    scopes: list[Scope],
    project: str | None = None,
    expires_at: datetime | None = None,
) -> str:
    """A key's text; its project is made where it is not there."""
    new = await projects.create_key(
        ctx,
        "test",
        project=project,
        name="k",
        scopes=scopes,
        expires_at=expires_at,
        make_project=True,
    )
    return new.text


def _http(app: FastAPI, key: str | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        # an error that nobody caught is answered, as by a server, with 500
        transport=httpx.ASGITransport(app=app, raise_app_exceptions=False),
        base_url="http://overrule.test",
        headers={"Authorization": f"Bearer {key}"} if key is not None else {},
    )


async def done(request: Any) -> Any:
    """What a request that must succeed answers."""
    response = await request
    assert response.is_success, response.text
    return response.json()


async def _lease_of(http: httpx.AsyncClient, queue: str) -> Any:
    """A lease of r-17 whose token is that of the examples."""
    for number in range(1, TOKEN + 1):
        claimed = await done(http.post(f"/v1/queues/{queue}/leases", json={"reviewer": "r-17"}))
        (lease,) = claimed["leases"]
        assert lease["token"] == number
        if number < TOKEN:
            address = f"/v1/assignments/{lease['assignment_id']}/release"
            response = await http.post(address, json={"token": number})
            assert response.is_success, response.text
    return lease


def _policy(name: str, queue: str) -> Any:
    example = EXAMPLES["put_policy"].request
    rules = [{**rule, "queue": queue} for rule in example["rules"]]
    return {**example, "name": name, "applies_to": {"model": name}, "rules": rules}


def _prediction(request_key: str, model: str) -> Any:
    example = EXAMPLES["post_prediction"].request
    return {**example, "request_key": request_key, "model": model}


async def _let_it_drift(ctx: Context, monitor: str) -> None:
    """One evaluated window, of the present hour, that left the monitor drifting."""
    async with ctx.db.write() as tx:
        kept = await tx.raw.fetchrow(
            """
            SELECT m.project_id, m.id, m.reference_id, r.document,
              floor(extract(epoch FROM statement_timestamp()) / 3600)::bigint AS hour
            FROM monitors m JOIN drift_references r
              ON r.project_id = m.project_id AND r.id = m.reference_id
            WHERE m.name = $1
            """,
            monitor,
        )
        sizes = [len(stream["counts"]) for stream in kept["document"]["streams"]]
        # the streams are label, confidence and missing; everything is in the first cell of each
        counts = [count for size in sizes for count in [1000, *[0] * (size - 1)]]
        window = [1000, *[0] * CONFIDENCE_CELLS]
        usual = [*[0] * CONFIDENCE_CELLS, 2000]
        found = evaluate([StreamWindow("confidence", ConfidenceBins(), usual, window)])
        id_ = new_id()
        await tx.raw.execute(
            """
            INSERT INTO stream_counts (project_id, reference_id, model_version, segment, bucket,
              predictions, late, moved, counts)
            VALUES ($1, $2, '1', '', $3, 1000, 0, 0, $4)
            """,
            kept["project_id"],
            kept["reference_id"],
            kept["hour"],
            counts,
        )
        await tx.raw.execute(
            """
            INSERT INTO evaluations (project_id, id, monitor_id, reference_id, model_version,
              segment, first_bucket, last_bucket, state, results)
            VALUES ($1, $2, $3, $4, '1', '', $5, $5, 'drifting', $6::text::jsonb)
            """,
            kept["project_id"],
            id_,
            kept["id"],
            kept["reference_id"],
            kept["hour"],
            msgspec.json.encode(found).decode(),
        )
        await tx.raw.execute(
            """
            INSERT INTO monitor_states (project_id, monitor_id, model_version, segment, length,
              state, track, evaluation_id, since)
            VALUES ($1, $2, '1', '', 1, 'drifting', '{}', $3, statement_timestamp())
            """,
            kept["project_id"],
            kept["id"],
            id_,
        )
