"""Reaches states through flows, so that a test cannot start from an impossible one."""

import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from app.core.access import PROJECT_SCOPES, Caller
from app.core.errors import OverruleError
from app.core.review.task import Lease
from app.core.review.verdict import Answer, Verdict
from app.core.routing.prediction import Prediction
from app.flows import leases as lease_flows
from app.flows import policies as policy_flows
from app.flows import projects as project_flows
from app.flows import queues as queue_flows
from app.flows import verdicts as verdict_flows
from app.flows.context import Context
from app.flows.predict import Answered, predict
from app.store.ids import new_id
from app.store.keys import find_project
from app.store.policies import PolicyVersion


@dataclass
class Scenario:
    """One project and its key."""

    ctx: Context
    project: uuid.UUID
    name: str
    key: str
    caller: Caller

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
        caller = Caller(new.key.id, project.id, frozenset(PROJECT_SCOPES))
        return cls(ctx, project.id, name, new.text, caller)

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

    def posted(self, **changes: Any) -> Prediction:
        """The same, as a flow takes it."""
        return msgspec.convert(self.prediction(**changes), Prediction)

    async def decide(self, *predictions: Prediction) -> list[Answered | OverruleError]:
        """Decide and commit predictions, as one request."""
        return await predict(self.ctx, self.project, predictions, lambda answered: answered)

    async def decided(self, **changes: Any) -> Answered:
        """The decision on one prediction."""
        (answer,) = await self.decide(self.posted(**changes))
        assert isinstance(answer, Answered), answer
        return answer

    def document(self, *rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """A policy document for the model of `prediction`."""
        return {
            "name": "sentiment",
            "applies_to": {"model": "sentiment"},
            "rules": list(rules),
            **fields,
        }

    async def queue(self, name: str, *, blind: bool = False) -> None:
        """A queue with usual settings."""
        await queue_flows.put_queue(
            self.ctx,
            self.caller,
            name,
            queue_flows.QueueSettings(
                blind=blind,
                judge="single",
                lease_s=None,
                lease_s_max=None,
                extensions_max=10,
                due_s=86400,
                guidelines=None,
            ),
        )

    async def policy(self, *rules: dict[str, Any], **fields: Any) -> PolicyVersion:
        """An active policy of these rules; their queues are made where they are missing."""
        document = self.document(*rules, **fields)
        routing = [*rules, *document.get("on_drift", [])]
        for queue in {one["queue"] for one in routing if "queue" in one}:
            await self.queue(queue)
        name = document["name"]
        put = await policy_flows.put(self.ctx, self.caller, name, document)
        activated = await policy_flows.activate(self.ctx, self.caller, name, put.version.version)
        return activated.version

    async def monitor(
        self,
        name: str,
        state: str | None = None,
        *,
        model: str = "sentiment",
        version: str = "1",
        segment: str = "",
    ) -> None:
        """A monitor of a model, in a state for one version and segment: set, not evaluated."""
        async with self.ctx.db.write() as tx:
            await tx.raw.execute(
                "INSERT INTO monitored_models (project_id, model, bucket_s, grace_s, lengths, "
                "first_open) VALUES ($1, $2, 3600, 900, '{1}', 0) ON CONFLICT DO NOTHING",
                self.project,
                model,
            )
            await tx.raw.execute(
                "INSERT INTO monitors (project_id, id, name, model, signal, settings) "
                "VALUES ($1, $2, $3, $4, 'concept', '{}') ON CONFLICT DO NOTHING",
                self.project,
                new_id(),
                name,
                model,
            )
            if state is not None:
                await tx.raw.execute(
                    "INSERT INTO monitor_states (project_id, monitor_id, model_version, segment, "
                    "length, state, track, evaluation_id, since) "
                    "SELECT $1, id, $3, $4, 1, $5, '[]', $6, statement_timestamp() "
                    "FROM monitors WHERE project_id = $1 AND name = $2 "
                    "ON CONFLICT ON CONSTRAINT pk_monitor_states DO UPDATE "
                    "SET state = excluded.state, evaluation_id = excluded.evaluation_id",
                    self.project,
                    name,
                    version,
                    segment,
                    state,
                    new_id(),
                )
        # another replica's worker sets states; this one hears of them within its cache's time
        self.ctx.views.forget()

    async def leased(self, queue: str = "unrouted", reviewer: str = "r-17") -> Lease:
        """The first assignment of a queue, claimed."""
        asked = lease_flows.Claim(reviewer, 1, None, 0, resume=False)
        (lease,) = await lease_flows.claim(self.ctx, self.project, queue, asked)
        return lease

    async def resolved(self, label: str = "negative", **changes: Any) -> Answered:
        """A decision that a human corrected to `label`."""
        answered = await self.decided(**changes)
        assert answered.decision.item is not None, "nobody was asked about this prediction"
        await self.corrected(await self.leased(answered.decision.item.queue), label)
        return answered

    async def corrected(self, lease: Lease, label: str) -> None:
        """The verdict of a lease: another label than the model's."""
        await verdict_flows.submit(
            self.ctx,
            self.project,
            lease.assignment_id,
            lease.token,
            Verdict(Answer.CORRECT, label),
        )
