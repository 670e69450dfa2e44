"""The report on a shadow policy."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api.auth import Ctx, Reading
from app.api.policies import Number, PolicyName
from app.api.text import Moment
from app.api.wire import reply
from app.flows.shadow_report import shadow_report

router = APIRouter(tags=["policies"])


@router.get("/v1/policies/{name}/versions/{number}/shadow-report")
async def get_shadow_report(  # noqa: PLR0917 - FastAPI passes them by name
    ctx: Ctx,
    caller: Reading,
    name: PolicyName,
    number: Number,
    since: Annotated[Moment | None, Query(alias="from")] = None,
    until: Annotated[Moment | None, Query(alias="to")] = None,
) -> Response:
    """What the version would have changed while it was the shadow of its model.

    How many decisions would have another route, in which direction, by rule and by label, and how
    often the model was wrong there as far as humans judged: `wrong_share` weighs each judged one
    by how many it stands for. From 7 days back unless `from` is given.
    """
    report = await shadow_report(ctx, caller.project, name, number, since=since, until=until)
    return reply(report, 200)
