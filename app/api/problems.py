"""Errors become RFC 9457 problem documents here and nowhere else."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.core import errors

# one status per family: the first family that the error belongs to
STATUS: list[tuple[type[errors.OverruleError], int]] = [
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Malformed, 400),
    (errors.Invalid, 422),
    (errors.TooLarge, 413),
    (errors.UnsupportedMediaType, 415),
    (errors.Conflict, 409),
    (errors.Unavailable, 503),
]
RETRY_AFTER_S = 1
TYPE_PREFIX = "urn:overrule:problem:"
CONTENT_TYPE = "application/problem+json"


class Place(BaseModel):
    """Where a request is wrong, and what about it."""

    loc: list[str | int] = Field(description="Path to the field.", examples=[["confidence"]])
    detail: str = Field(examples=["Must be a number between 0 and 1."])


class Problem(BaseModel):
    """RFC 9457 problem document."""

    type: str = Field(examples=["urn:overrule:problem:invalid"])
    title: str = Field(examples=["Invalid"])
    status: int = Field(examples=[422])
    code: str = Field(description="Stable; for programs.", examples=["invalid"])
    detail: str = Field(description="A sentence; for people.")
    errors: list[Place] = []
    instance: str | None = Field(None, description="The request's id, as in X-Request-Id.")


class RowProblem(Problem):
    """What is wrong with one row of many."""

    row: int = Field(
        description="Its index from 0; with NDJSON the number of its line from 1, blank ones "
        "counted."
    )
    request_key: str | None = Field(
        None, description="The row's own; left out where it could not be read."
    )


class ProblemResponse(JSONResponse):
    """A problem document as it is sent."""

    media_type = CONTENT_TYPE

    def render(self, content: Any) -> bytes:
        """Encode it; a field that a client made up can hold what UTF-8 cannot: lone surrogates."""
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def status_of(error: errors.OverruleError) -> int:
    """The HTTP status of an error's family."""
    return next(status for family, status in STATUS if isinstance(error, family))


def problem_of(error: errors.OverruleError, instance: str | None = None) -> dict[str, Any]:
    """The problem document of one error."""
    return _problem(
        status_of(error),
        error.code,
        error.detail,
        [{"loc": list(loc), "detail": detail} for loc, detail in error.places],
        instance,
    )


def problem_response(error: errors.OverruleError, request_id: str | None) -> ProblemResponse:
    """The whole response to a refused request."""
    status = status_of(error)
    headers = {}
    if status == 503:  # noqa: PLR2004
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:  # noqa: PLR2004
        headers["WWW-Authenticate"] = "Bearer"
    return ProblemResponse(problem_of(error, request_id), status, headers=headers)


def internal_problem(request_id: str | None) -> ProblemResponse:
    """The response to a request on which the service itself failed."""
    detail = "The service failed on this request; its log says where."
    return ProblemResponse(_problem(500, "internal", detail, [], request_id), 500)


def install(app: FastAPI) -> None:
    """Answer every error with a problem document, the framework's own included."""

    @app.exception_handler(errors.OverruleError)
    async def refuse(request: Request, error: errors.OverruleError) -> JSONResponse:
        return problem_response(error, request_id_of(request))

    @app.exception_handler(RequestValidationError)
    async def explain(request: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(_from_validation(error.errors()), request_id_of(request))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, errors.OverruleError):
            # refused while the framework read the body
            return problem_response(error.__cause__, request_id_of(request))
        if error.status_code == 400:  # noqa: PLR2004
            unread = errors.Malformed("The body cannot be read as JSON.", loc=("body",))
            return problem_response(unread, request_id_of(request))
        if error.status_code in {404, 405}:
            return _no_such_call(request, error.status_code)
        title = str(error.detail)
        code = title.lower().replace(" ", "_")
        return ProblemResponse(
            _problem(error.status_code, code, title + ".", [], request_id_of(request)),
            error.status_code,
            headers=dict(error.headers or {}),
        )


def _no_such_call(request: Request, status: int) -> ProblemResponse:
    """The path is unknown (404), or has other methods (405)."""
    path = request.scope["path"]
    request_id = request_id_of(request)
    methods = ", ".join(sorted(_methods_of(request.app.routes, path)))
    if status == 404 or not methods:  # noqa: PLR2004
        detail = f"There is no path {path[:256]}; GET /docs shows those that there are."
        return ProblemResponse(_problem(404, "not_found", detail, [], request_id), 404)
    detail = f"{request.method[:32]} is no method of this path, which has {methods}."
    problem = _problem(405, "method_not_allowed", detail, [], request_id)
    return ProblemResponse(problem, 405, headers={"Allow": methods})


def _methods_of(routes: Sequence[Any], path: str) -> set[str]:
    """Of all routes with that path: the framework names those of the first alone."""
    found: set[str] = set()
    for route in routes:
        inside = getattr(route, "original_router", None)
        if inside is not None:
            found |= _methods_of(inside.routes, path)
        elif route.path_regex.match(path):
            found |= route.methods or set()
    return found


def request_id_of(request: Request) -> str | None:
    """The id that the edge gave this request."""
    return request.scope.get("overrule.request_id")


def _from_validation(found: Sequence[Any]) -> errors.OverruleError:
    if any(place["type"] == "json_invalid" for place in found):
        return errors.Malformed("The body is not valid JSON.", loc=("body",))
    # the framework puts "body", "query" or "path" first; a body's field is named by itself
    return errors.Invalid.of([(_loc(place["loc"]), _sentence(place["msg"])) for place in found])


def _sentence(message: str) -> str:
    said = message.removeprefix("Value error, ")
    return f"{said[:1].upper()}{said[1:]}."


def _loc(loc: errors.Loc) -> errors.Loc:
    return loc[1:] if loc[0] == "body" and len(loc) > 1 else loc


def _problem(
    status: int, code: str, detail: str, places: list[dict[str, Any]], instance: str | None
) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + code,
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
        "errors": places,
        "instance": instance,
    }
