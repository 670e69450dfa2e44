"""Callers and reviewers that keep a service busy, and remember what it has promised them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

SINGLE_CALLERS = 8
BATCH_CALLERS = 2
BATCH_ROWS = 25
REVIEWERS = 4
MADE = {200, 201}
ANSWERS_LIMIT_S = 40


@dataclass
class Load:
    """What was sent, what was answered, and what should not have been answered.

    With `service_stays` a lost connection is a mistake of the service, and what was refused for
    the moment is sent again until it is answered. Without it the first lost connection ends a
    caller: the service is gone.
    """

    http: httpx.AsyncClient
    service_stays: bool
    callers: int = 1
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    decided: dict[str, str] = field(default_factory=dict)
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    judged: dict[str, tuple[int, str]] = field(default_factory=dict)
    refused: int = 0
    mistakes: list[str] = field(default_factory=list)
    _over: bool = False
    _answered: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Busy within the block, and every caller at its end after it."""
        async with self.http, asyncio.TaskGroup() as group:
            for _ in range(SINGLE_CALLERS * self.callers):
                group.create_task(self._until_over(self._post_one))
            for _ in range(BATCH_CALLERS * self.callers):
                group.create_task(self._until_over(self._post_batch))
            for n in range(REVIEWERS * self.callers):
                group.create_task(self._until_over(self._review, f"r-{n}"))
            try:
                yield
            finally:
                self._over = True

    async def answers(self, decisions: int, verdicts: int) -> None:
        """Wait until so many more are answered."""
        decisions, verdicts = decisions + len(self.decided), verdicts + len(self.judged)
        async with asyncio.timeout(ANSWERS_LIMIT_S):
            while len(self.decided) < decisions or len(self.judged) < verdicts:
                self._answered.clear()
                await self._answered.wait()

    def expect_the_same(
        self, decisions: dict[str, tuple[int, str]], verdicts: dict[str, tuple[int, str]]
    ) -> None:
        """What is sent again is answered as the first time."""
        others = {
            key: decisions[key]
            for key, decision in self.decided.items()
            if decisions[key] != (200, decision)
        }
        assert not others, f"answered otherwise than before: {others}"
        assert set(decisions) == set(self.sent), "a row was not answered"
        assert verdicts == {
            assignment: (200, verdict) for assignment, (_, verdict) in self.judged.items()
        }, f"answered otherwise than before: {verdicts}"

    async def send_again(self, http: httpx.AsyncClient) -> dict[str, tuple[int, str]]:
        """Every prediction once more: its row's status, and its decision."""
        found: dict[str, tuple[int, str]] = {}
        everything = list(self.sent.values())
        for at in range(0, len(everything), 500):
            rows = everything[at : at + 500]
            answer = await http.post("/v1/predictions/batch", json={"predictions": rows})
            for row in answer.raise_for_status().json()["results"]:
                decision = row["decision"]
                found[decision["request_key"]] = row["status"], decision["id"]
        return found

    async def submit_again(self, http: httpx.AsyncClient) -> dict[str, tuple[int, str]]:
        """Every answered verdict once more: its status, and its id."""
        again = {}
        for assignment_id, (token, _) in self.judged.items():
            answer = await http.post(
                f"/v1/assignments/{assignment_id}/verdict", json=_verdict(token)
            )
            again[assignment_id] = answer.status_code, answer.json().get("id")
        return again

    async def _until_over(self, turn: Any, *arguments: str) -> None:
        while not self._over:
            try:
                await turn(*arguments)
                self._answered.set()
            except httpx.TransportError as error:
                if self.service_stays:
                    self.mistakes.append(f"connection: {error!r}")
                return

    async def _post_one(self) -> None:
        decision = await self._insist("/v1/predictions", self._prediction())
        if decision is not None:
            self.decided[decision["request_key"]] = decision["id"]

    async def _post_batch(self) -> None:
        rows = [self._prediction() for _ in range(BATCH_ROWS)]
        while rows:
            answer = await self._insist("/v1/predictions/batch", {"predictions": rows})
            if answer is None:
                return
            refused = []
            for posted, row in zip(rows, answer["results"], strict=True):
                if row["status"] in MADE:
                    self.decided[row["decision"]["request_key"]] = row["decision"]["id"]
                elif row["status"] == 503:
                    refused.append(posted)
                else:
                    self.mistakes.append(f"row: {row}")
            self.refused += len(refused)
            rows = refused if not self._over else []

    async def _review(self, reviewer: str) -> None:
        asked = {"reviewer": reviewer, "lease_s": 300, "resume": True}
        claimed = await self._insist("/v1/queues/unrouted/leases", asked)
        for lease in claimed["leases"] if claimed is not None else []:
            self.held[reviewer] = lease
            path = f"/v1/assignments/{lease['assignment_id']}/verdict"
            verdict = await self._insist(path, _verdict(lease["token"]))
            if verdict is not None:
                del self.held[reviewer]
                self.judged[lease["assignment_id"]] = lease["token"], verdict["id"]

    async def _insist(self, path: str, body: dict[str, Any]) -> Any:
        """The answer, after as many refusals as it takes; None where it is over before."""
        while True:
            answer = await self.http.post(path, json=body)
            if answer.status_code in MADE:
                return answer.json()
            if answer.status_code != 503 or "retry-after" not in answer.headers:
                self.mistakes.append(f"{path}: {answer.status_code} {answer.text}")
                return None
            self.refused += 1
            if self._over:
                return None
            await asyncio.sleep(0.05)

    def _prediction(self) -> dict[str, Any]:
        made = prediction()
        self.sent[made["request_key"]] = made
        return made


def prediction() -> dict[str, Any]:
    """New content under a new key; where no policy decides it, it goes to a human."""
    return {
        "request_key": f"req-{uuid.uuid4().hex[:12]}",
        "model": "sentiment",
        "model_version": "1",
        "label": "positive",
        "confidence": 0.61,
        "subject": {"text": "great, just what I needed"},
    }


def _verdict(token: int) -> dict[str, Any]:
    return {"token": token, "verdict": "confirm", "seconds_spent": 2.5}
