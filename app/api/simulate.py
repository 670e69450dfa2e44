"""What-if: a policy over recorded decisions or posted rows."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from msgspec import Meta, Struct
from starlette.responses import Response

from app.api.auth import Ctx, Reading
from app.api.jobs import JobOut
from app.api.policies import NUMBER_MAX
from app.api.policy_text import DOCUMENT_BYTES_MAX, refuse_repeated_keys
from app.api.wire import decode, encode, reply
from app.core.access import Caller
from app.core.errors import Invalid, TooLarge
from app.core.routing.document import Name
from app.core.routing.prediction import Prediction
from app.core.routing.whatif.sweep import THRESHOLDS_MAX
from app.flows import simulate as flow
from app.flows.context import Context

router = APIRouter(tags=["policies"])

ROWS_MAX = 1000


class NamedVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """A version of a policy."""

    name: Name
    version: Annotated[int, Meta(ge=1, le=NUMBER_MAX)]


class Sweep(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One rule at many thresholds: its `id`, and either thresholds or a number of steps."""

    rule: Name
    thresholds: Annotated[list[float], Meta(min_length=1, max_length=THRESHOLDS_MAX)] | None = None
    steps: Annotated[
        Annotated[int, Meta(ge=1, le=THRESHOLDS_MAX)] | None,
        Meta(description="So many equal steps from 0 to 1."),
    ] = None


class Simulate(
    Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"since": "from", "until": "to"},
):
    """A policy, as a document or as a version, and what to try it on."""

    document: Annotated[
        dict[str, Any] | None, Meta(description="A policy document; it need not be stored.")
    ] = None
    policy: NamedVersion | None = None
    since: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(description="Recorded decisions from then on; a week before `to` by default."),
    ] = None
    until: Annotated[
        Annotated[datetime, Meta(tz=True)] | None, Meta(description="Until then; now by default.")
    ] = None
    rows: Annotated[
        Annotated[list[Prediction], Meta(min_length=1, max_length=ROWS_MAX)] | None,
        Meta(description="Predictions to try it on instead."),
    ] = None
    sweep: Sweep | None = None


_body = msgspec.json.Decoder(Simulate)


@router.post(
    "/v1/policies/simulate",
    status_code=202,
    response_model=JobOut,
    responses={
        202: {
            "headers": {
                "Location": {
                    "description": "Address of the job.",
                    "schema": {"type": "string"},
                }
            }
        },
        200: {
            "description": "The answer for posted rows.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Simulation"}}
            },
        },
    },
)
async def simulate_policy(ctx: Ctx, caller: Reading, request: Request) -> Response:
    """Tell what a policy would have done, and what it would let through.

    Recorded decisions of its model, of the last 7 days unless told otherwise, are decided again by
    a job: 202 with the job, whose result is a `Simulation`. Posted rows are compared with what the
    active policy says, at once: 200. Either way nothing is changed. The routes are exact, also what
    chance decides; errors are estimated from human answers to audits and reviews. Monitors and
    detectors say what was recorded with each decision, or what they say now of posted rows.

    With `sweep` one rule of the kind confidence, margin, entropy, risk or disagreement is tried at
    each threshold, and the result has a curve: how much is reviewed, and what escapes.
    """
    raw = await request.body()
    body = decode(_body, raw)
    if body.document is not None:
        # rows may make it long: not for the thread that answers predictions
        await asyncio.to_thread(refuse_repeated_keys, raw)
    policy = await _policy(ctx, caller, body)
    sweep = None
    if body.sweep is not None:
        sweep = flow.AskedSweep(body.sweep.rule, body.sweep.thresholds, body.sweep.steps)
    if body.rows is not None:
        if body.since is not None or body.until is not None:
            raise Invalid("Give either rows or a range.", loc=("rows",))
        return reply(await flow.simulate_rows(ctx, caller.project, policy, body.rows, sweep), 200)
    job = await flow.queue_simulation(
        ctx, caller, policy, since=body.since, until=body.until, sweep=sweep
    )
    return JSONResponse(
        JobOut.of(job).model_dump(mode="json"), 202, headers={"Location": f"/v1/jobs/{job.id}"}
    )


async def _policy(ctx: Context, caller: Caller, body: Simulate) -> flow.AskedPolicy:
    if (body.document is None) == (body.policy is None):
        raise Invalid("Give either a document or a policy.", loc=("policy",))
    if body.policy is not None:
        return await flow.policy_named(ctx, caller.project, body.policy.name, body.policy.version)
    assert body.document is not None, "one of the two was given"
    if len(encode(body.document)) > DOCUMENT_BYTES_MAX:
        raise TooLarge(f"A policy document has at most {DOCUMENT_BYTES_MAX} bytes.")
    return await flow.policy_written(ctx, caller.project, body.document)
