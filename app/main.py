"""The composition root: settings, database, context and routes become one application."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from app import __version__
from app.api import (
    admission,
    compare,
    decisions,
    detectors,
    events,
    explain,
    health,
    imports,
    jobs,
    leases,
    metrics,
    monitors,
    openapi,
    plots,
    policies,
    predictions,
    problems,
    projects,
    prometheus,
    references,
    shadow,
    simulate,
)
from app.api import review as review_routes
from app.api.edge import Edge
from app.api.fast_lane import Application
from app.flows.context import Context
from app.settings import Settings
from app.store.engine import Database

ROUTERS = (
    # the hot paths first: routes are looked up in this order
    predictions.router,
    review_routes.router,
    decisions.router,
    explain.router,
    policies.router,
    imports.router,
    shadow.router,
    simulate.router,
    references.router,
    detectors.router,
    compare.router,
    jobs.router,
    monitors.router,
    plots.router,
    events.router,
    metrics.router,
    prometheus.router,
    projects.router,
    health.router,
)


def build(context: Context) -> Application:
    """The application over a context; the context's owner closes it."""
    settings = context.settings
    app = Application(
        title="Overrule",
        version=__version__,
        summary="Decides whether a model's prediction may stand or a human must see it first.",
        redoc_url=None,
        # it would redirect to whatever host the client sent
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
        dependencies=[Depends(admission.admitted)],
        # a body that does not say what it is is taken for JSON, as everywhere else here
        strict_content_type=False,
    )
    app.state.context = context
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_middleware(Edge, body_bytes_max=settings.body_bytes_max)
    app.open_lane(
        [*predictions.router.routes, *leases.router.routes],
        leases.QUICKLY,
        body_bytes_max=settings.body_bytes_max,
    )
    openapi.install(app)
    return app


def create(url: str, settings: Settings) -> Application:
    """The application with its own connections, for a server process."""
    database = Database(url, settings)
    context = Context.over(database, settings)
    app = build(context)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _spare_the_collector()
        async with context.running():
            yield
        await database.close()

    app.router.lifespan_context = lifespan
    return app


def _spare_the_collector() -> None:
    """Keep the garbage collector away from what lives as long as the process.

    A batch makes thousands of objects at once. With the defaults that sets off collections that
    walk through every imported module again and again: half of the time of decoding a batch.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
