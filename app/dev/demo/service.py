"""The few calls to Overrule's HTTP API that the demo needs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import httpx

_ATTEMPTS_MAX = 6

# httpx looks at each of its connections on every call: with 19 at once a call costs the processor
# twice as much as with 6, and here the service runs on the same processor.
_CALLS_AT_ONCE = 6
_OVERLOADED = frozenset({429, 503})
_STORED = frozenset({200, 201})

Json = dict[str, Any]


class ServiceRefusedError(Exception):
    """The service answered a call of the demo with an error; the text is its problem document."""


class Service:
    """One project of a running Overrule, reached with a key of that project."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._turn = asyncio.Semaphore(_CALLS_AT_ONCE)

    async def put_queue(self, queue: str, settings: Mapping[str, Any]) -> None:
        """Make the queue, or change its settings."""
        await self._call("PUT", f"/v1/queues/{queue}", settings)

    async def put_active_policy(self, document: Mapping[str, Any]) -> int:
        """Store the policy document and make it the active one; its version."""
        path = f"/v1/policies/{document['name']}"
        version = int((await self._call("PUT", path, document))["version"])
        await self._call("POST", f"{path}/versions/{version}/activate")
        return version

    async def predict(self, predictions: Sequence[Json]) -> list[Json]:
        """Post the predictions as one batch; their decisions, in the same order.

        Raises:
            ServiceRefusedError: a row was refused.
        """
        body = {"predictions": predictions}
        answer = await self._call("POST", "/v1/predictions/batch", body)
        return [_decision(row) for row in answer["results"]]

    async def lease(self, queue: str, reviewer: str, count: int) -> list[Json]:
        """Claim up to `count` assignments for the reviewer; none when nothing is open."""
        body = {"reviewer": reviewer, "max": count}
        leases: list[Json] = (await self._call("POST", f"/v1/queues/{queue}/leases", body))[
            "leases"
        ]
        return leases

    async def submit(self, assignment_id: str, verdict: Mapping[str, Any]) -> None:
        """Send the reviewer's verdict on a leased assignment."""
        await self._call("POST", f"/v1/assignments/{assignment_id}/verdict", verdict)

    async def accepted_error(self, model: str, segment: str) -> Json:
        """The estimated error of what was accepted: `value`, `low` and `high`."""
        query = {"model": model, "segment": segment}
        return await self._call("GET", "/v1/metrics/accepted-error", query=query)

    async def put(self, path: str, body: Mapping[str, Any]) -> Json:
        """Make something under its name."""
        return await self._call("PUT", path, body)

    async def fit_detector(self, name: str, familiar: Mapping[str, Any]) -> None:
        """Make a detector and wait until it judges.

        Raises:
            ServiceRefusedError: it could not be fitted.
        """
        made = await self._call("PUT", f"/v1/detectors/{name}", familiar)
        await self._done(await self._call("GET", f"/v1/jobs/{made['job']}"))

    async def events(self, type_: str) -> list[Json]:
        """All events of a type, oldest first."""
        found: list[Json] = []
        query = {"type": type_, "limit": "200"}
        while True:
            page = await self._call("GET", "/v1/events", query=query)
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]

    async def picture(self, path: str) -> bytes:
        """A drawing, as it is served."""
        return (await self._response("GET", path)).content

    async def explain(self, decision_id: str) -> Json:
        """A decision in sentences."""
        return await self._call("GET", f"/v1/decisions/{decision_id}/explain")

    async def simulate(self, asked: Mapping[str, Any]) -> Json:
        """The result of a simulation over recorded decisions, once its job has ended.

        Raises:
            ServiceRefusedError: the simulation failed.
        """
        return await self._done(await self._call("POST", "/v1/policies/simulate", asked))

    async def _done(self, job: Json) -> Json:
        """The result of a job, once it is over."""
        while job["state"] in {"queued", "running"}:
            job = await self._call("GET", f"/v1/jobs/{job['id']}", query={"wait_s": "5"})
        if job["state"] != "done":
            raise ServiceRefusedError(f"the job {job['kind']} failed: {job['problem']}")
        result: Json = job["result"]
        return result

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Json:
        response = await self._response(method, path, body, query)
        answer: Json = msgspec.json.decode(response.content) if response.content else {}
        return answer

    async def _response(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        for attempt in range(1, _ATTEMPTS_MAX + 1):
            async with self._turn:
                response = await self._client.request(
                    method, path, content=content, headers=headers, params=query
                )
            if response.status_code not in _OVERLOADED or attempt == _ATTEMPTS_MAX:
                break
            # Every call here may be sent again: the service answers a repetition like the first.
            await asyncio.sleep(float(response.headers.get("Retry-After", 1)))
        if response.is_error:
            raise ServiceRefusedError(f"{method} {path}: {response.status_code} {response.text}")
        return response


def _decision(row: Json) -> Json:
    if row["status"] not in _STORED:
        raise ServiceRefusedError(f"a prediction was refused: {row.get('problem')}")
    decision: Json = row["decision"]
    return decision
