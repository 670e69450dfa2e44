"""The way of the hot paths through the server: straight from the edge to their handlers.

A framework's layers (middleware, routing, dependencies, contexts for files and exits) cost a
request as much as its decision, and these handlers use none of them: they read the key and the
body themselves. The same functions are routes of the application too, which is where their
documentation comes from.
"""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.edge import Edge
from app.api.problems import problem_response
from app.core.errors import OverruleError


class FastLane:
    """Answers requests to some routes, each a function of the request alone."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        }

    def takes(self, scope: Scope) -> bool:
        """Whether a request is for one of them."""
        return scope["type"] == "http" and (scope["method"], scope["path"]) in self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that it takes."""
        route = self._routes[scope["method"], scope["path"]]
        scope["route"] = route
        try:
            response = await route.endpoint(Request(scope, receive, send))
        except OverruleError as error:
            response = problem_response(error, scope["overrule.request_id"])
        await response(scope, receive, send)


class Application(FastAPI):
    """A FastAPI application with a fast lane beside its own ways."""

    lane: FastLane
    edge: ASGIApp

    def open_lane(self, routes: Iterable[BaseRoute], **edge: Any) -> None:
        """Let requests to these routes take it, with an edge of their own around it."""
        self.lane = FastLane(routes)
        self.edge = Edge(self.lane, **edge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if self.lane.takes(scope):
            scope["app"] = self
            await self.edge(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
