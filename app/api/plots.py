"""A picture of a monitor, for a person to look at."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.auth import Ctx, Reading
from app.api.monitors import MonitorName
from app.core.drift.watched import LENGTH_MAX
from app.flows import monitor_plot as flow

router = APIRouter(tags=["drift"])

SVG = "image/svg+xml"


@router.get(
    "/v1/monitors/{name}/plot.svg",
    response_class=Response,
    responses={
        200: {
            "content": {SVG: {"schema": {"type": "string"}, "example": "<svg>…</svg>"}},
            "description": "The picture.",
        }
    },
)
async def plot_monitor(  # noqa: PLR0917 - FastAPI passes them by name
    ctx: Ctx,
    caller: Reading,
    name: MonitorName,
    model_version: Annotated[str | None, Query(max_length=256)] = None,
    segment: Annotated[
        str | None,
        Query(
            max_length=513,
            description="`key:value`; empty for the whole of a version.",
            examples=["source:tweets"],
        ),
    ] = None,
    length: Annotated[
        int | None, Query(ge=1, le=LENGTH_MAX, description="Of the windows, in buckets.")
    ] = None,
    stream: Annotated[
        str | None, Query(max_length=300, description="The worst of the last window unless given.")
    ] = None,
) -> Response:
    """Draw the reference against the last window, and the effect over time with its thresholds.

    What is left open is taken from the most alarming state.
    """
    chosen = flow.Chosen(model_version, segment, length, stream)
    picture = await flow.look(ctx, caller.project, name, chosen)
    svg = await asyncio.to_thread(_drawn, picture)
    return Response(svg, media_type=SVG)


def _drawn(picture: flow.Picture) -> bytes:
    # the first drawing loads the library, which takes a second or two
    from app.api.drawing import draw  # noqa: PLC0415

    return draw(picture)
