"""What happens to every request before and after its route: ids, sizes, times.

Pure ASGI, since it stands in the hot path.
"""

import re
import time
from functools import lru_cache
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.admission import are_lines
from app.api.problems import internal_problem, problem_response
from app.core.errors import Invalid, OverruleError, TooLarge, UnsupportedMediaType
from app.store.ids import new_request_id
from app.telemetry import REQUEST_SECONDS

NDJSON_PATHS = ("/v1/predictions/batch", "/v1/references/", "/v1/detectors/")
# for the figures alone, as nginx has it
CLIENT_GONE = 499
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Edge:
    """Gives a request its id, holds its body to the limit, and measures it."""

    def __init__(self, app: ASGIApp, body_bytes_max: int) -> None:
        self.app = app
        self.body_bytes_max = body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        # what comes from the fast lane has been at an edge
        if scope["type"] != "http" or "overrule.request_id" in scope:
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["overrule.request_id"] = request_id
        began = time.perf_counter()
        status = 500
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        try:
            refused = self._refusal(scope)
            if refused is not None:
                await problem_response(refused, request_id)(scope, receive, send_with_id)
                return
            await self.app(scope, self._counted(scope, receive), send_with_id)
        except ClientDisconnect:
            # hung up before its request was read: nobody to answer, and no failure of ours
            status = CLIENT_GONE
        except Exception:
            # a mistake of ours: who waits gets a problem document, and the log the traceback
            if not started:
                await internal_problem(request_id)(scope, receive, send_with_id)
            raise
        finally:
            # the route's template, not the path: ids must not become metric labels
            route: Any = scope.get("route")
            path = getattr(route, "path", "unmatched")
            _seconds(scope["method"], path, status).observe(time.perf_counter() - began)

    def _refusal(self, scope: Scope) -> OverruleError | None:
        if b"%00" in scope["query_string"] or "\x00" in scope["path"]:
            return Invalid("The address must not contain NUL characters.", loc=("path",))
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self.body_bytes_max:
                if not _streams(scope):
                    return self._too_large()
            elif name == b"content-encoding" and value.lower() not in {b"", b"identity"}:
                return _encoded(value)
        return None

    def _counted(self, scope: Scope, receive: Receive) -> Receive:
        if _streams(scope):
            return receive
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.body_bytes_max:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A body has at most {self.body_bytes_max} bytes; send several.")


@lru_cache(maxsize=1024)
def _seconds(method: str, path: str, status: int) -> Any:
    # the library's own look-up takes a lock and costs as much as a rule
    return REQUEST_SECONDS.labels(method, path, str(status))


def _streams(scope: Scope) -> bool:
    """Whether it is NDJSON where that is read line by line, with limits of its own."""
    if not scope["path"].startswith(NDJSON_PATHS):
        return False
    # of several the first counts, as for the route: what it reads whole must not pass as lines
    types = (value for name, value in scope["headers"] if name == b"content-type")
    return are_lines(next(types, b""))


def _encoded(encoding: bytes) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"A body is taken as it is, and not with the encoding {encoding[:128].decode('latin-1')}.",
        loc=("header", "content-encoding"),
    )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()
