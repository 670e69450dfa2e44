"""The server process of the bench: the product's own application, and one baseline beside it.

The baseline is there twice: as any other endpoint of the server, and on the fast lane that the real
one takes.

Run as `python -m app.dev.bench.server`, with `OVERRULE_DATABASE_URL` in the environment.
"""

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api import predictions
from app.api.auth import context
from app.api.decision_out import DecisionOut
from app.api.wire import decode, encode
from app.core.access import Scope
from app.core.routing.prediction import Prediction, signals_of
from app.dev.bench.child import serve
from app.flows.authenticate import authenticate
from app.flows.predict import dry_run
from app.main import create
from app.settings import Settings

VALIDATE = "/bench/validate"
VALIDATE_ON_THE_LANE = "/bench/validate-on-the-lane"

_prediction = msgspec.json.Decoder(Prediction)


def main() -> None:
    """Serve until standard input ends."""
    settings = Settings()
    assert settings.database_url is not None, "the bench names its database"
    add_baseline(predictions.router, VALIDATE_ON_THE_LANE)
    app = create(settings.database_url, settings)
    add_baseline(app.router, VALIDATE)
    serve(app)


def add_baseline(router: APIRouter, path: str) -> None:
    """Add an endpoint that checks a prediction as the real one does, and answers at once.

    The key is checked, the body decoded and its signals read by the same code; nothing is decided
    or stored. The answer is a ready decision of usual size.

    Args:
        router: it comes first there.
        path: of the endpoint.
    """
    ready: list[bytes] = []

    @router.post(path, include_in_schema=False)
    async def validate(request: Request) -> Response:
        ctx = context(request)
        caller = await authenticate(ctx, request.headers.get("authorization"), Scope.PREDICT)
        prediction = decode(_prediction, await request.body())
        signals_of(prediction)
        if not ready:
            ready.append(encode(DecisionOut.of(await dry_run(ctx, caller.project, prediction))))
        return Response(ready[0], 201, media_type="application/json")

    router.routes.insert(0, router.routes.pop())


if __name__ == "__main__":
    main()
