"""The way of the hot paths through the server: straight from the edge to their handlers.

A framework's layers (middleware, routing, dependencies, contexts for files and exits) cost a
request as much as its decision, and these handlers use none of them: they read the key and the
body themselves. The routes are in the application too, which is where their documentation comes
from.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.admission import admit
from app.api.edge import Edge
from app.api.problems import problem_response
from app.core.errors import OverruleError

# answers a request; None where it should go the ordinary way after all
Handler = Callable[[Request], Awaitable[Response | None]]


class FastLane:
    """Answers requests to some routes, each by a function of the request alone.

    A handler that meets anything unusual (a body that is not what it should be) leaves the request
    to the ordinary route, which explains it.

    Args:
        routes: whose own functions take nothing but the request.
        handlers: by the name of a route, what answers most requests to it.
        ordinary: the application.
    """

    def __init__(
        self, routes: Iterable[BaseRoute], handlers: Mapping[str, Handler], ordinary: ASGIApp
    ) -> None:
        self._ordinary = ordinary
        self._exact: dict[tuple[str, str], tuple[APIRoute, Handler]] = {}
        self._patterns: list[tuple[APIRoute, Handler]] = []
        for route in routes:
            if not isinstance(route, APIRoute):
                continue
            if route.name in handlers:
                self._patterns.append((route, handlers[route.name]))
            elif not route.param_convertors:
                for method in route.methods or ():
                    self._exact[method, route.path] = route, route.endpoint

    def found(self, scope: Scope) -> tuple[APIRoute, Handler] | None:
        """The route and the handler of a request that it takes."""
        if scope["type"] != "http":
            return None
        exact = self._exact.get((scope["method"], scope["path"]))
        if exact is not None:
            return exact
        for route, handler in self._patterns:
            if scope["method"] in (route.methods or ()):
                match = route.path_regex.match(scope["path"])
                if match is not None:
                    scope["path_params"] = match.groupdict()
                    return route, handler
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that it takes."""
        route, handler = scope.pop(FOUND)
        scope["route"] = route
        request = Request(scope, receive, send)
        try:
            admit(route, scope)
            response = await handler(request)
        except OverruleError as error:
            response = problem_response(error, scope["overrule.request_id"])
        if response is None:
            await self._ordinary(scope, _again(await request.body(), receive), send)
        else:
            await response(scope, receive, send)


FOUND = "overrule.lane"


def _again(body: bytes, receive: Receive) -> Receive:
    """A request whose body has been read, as if it had not."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


class Application(FastAPI):
    """A FastAPI application with a fast lane beside its own ways."""

    lane: FastLane
    edge: ASGIApp

    def open_lane(
        self, routes: Iterable[BaseRoute], handlers: Mapping[str, Handler], **edge: Any
    ) -> None:
        """Let requests to these routes take it, with an edge of their own around it."""
        self.lane = FastLane(routes, handlers, super().__call__)
        self.edge = Edge(self.lane, **edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        found = self.lane.found(scope)
        if found is None:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            scope[FOUND] = found
            await self.edge(scope, receive, send)
