"""The scope that a route asks for, and the key that it is called with."""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from app.core.access import Caller, Scope
from app.core.errors import Forbidden
from app.flows.authenticate import authenticate
from app.flows.context import Context

# only for the OpenAPI document; the header is read below, so that its errors are ours
bearer = HTTPBearer(
    auto_error=False, description="A key, `ovr_…`, that belongs to one project.", scheme_name="key"
)


def context(request: Request) -> Context:
    """The service behind this request."""
    ctx: Context = request.app.state.context
    return ctx


class _Needs:
    """A dependency that lets through only callers with one scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request, _: Annotated[Any, Security(bearer)]) -> Caller:
        return await authenticate(
            context(request), request.headers.get("authorization"), self.scope
        )


async def _reads_or_administers(request: Request, _: Annotated[Any, Security(bearer)]) -> Caller:
    ctx, header = context(request), request.headers.get("authorization")
    try:
        return await authenticate(ctx, header, Scope.READ)
    except Forbidden as refused:
        try:
            return await authenticate(ctx, header, Scope.ADMIN)
        except Forbidden:
            raise refused from None


async def _injected_context(request: Request) -> Context:
    # a coroutine, since a plain function would be run in a thread, with every request
    return context(request)


Ctx = Annotated[Context, Depends(_injected_context)]
# `Reading`, `Managing` … as a parameter's type is all that a route needs to be protected; `scopes`
# only tells the OpenAPI document
Predicting = Annotated[Caller, Security(_Needs(Scope.PREDICT), scopes=[Scope.PREDICT])]
Reviewing = Annotated[Caller, Security(_Needs(Scope.REVIEW), scopes=[Scope.REVIEW])]
Reading = Annotated[Caller, Security(_Needs(Scope.READ), scopes=[Scope.READ])]
Managing = Annotated[Caller, Security(_Needs(Scope.MANAGE), scopes=[Scope.MANAGE])]
Administering = Annotated[Caller, Security(_Needs(Scope.ADMIN), scopes=[Scope.ADMIN])]
# one project's figures for its readers, all projects' for an admin key
Scraping = Annotated[Caller, Security(_reads_or_administers, scopes=[Scope.READ, Scope.ADMIN])]
