"""What each operation may refuse, with every code: written into the OpenAPI document."""

from typing import Any

from app.api.problems import CONTENT_TYPE, RETRY_AFTER_S, status_of
from app.core import errors

ANYWHERE = (errors.DatabaseUnavailable, errors.Unavailable)
WITH_KEY = (errors.Unauthenticated, errors.Forbidden)
WITH_BODY = (
    errors.Malformed,
    errors.Invalid,
    errors.TooLarge,
    errors.UnsupportedMediaType,
)

# what does not follow from the shape of the operation
PARTICULAR: dict[str, tuple[type[errors.OverruleError], ...]] = {
    "post_prediction": (errors.RequestKeyConflict, errors.Unstorable, errors.Overloaded),
    "post_predictions": (errors.Overloaded,),
    "claim": (errors.NotFound,),
    "extend": (errors.LeaseLost, errors.ExtensionsUsedUp),
    "release": (errors.LeaseLost,),
    "submit_verdict": (
        errors.BlindNeedsLabel,
        errors.LabelRequired,
        errors.LeaseLost,
        errors.StateConflict,
        errors.VerdictConflict,
    ),
    "shadow_policy": (errors.StateConflict,),
    "rollback_policy": (errors.NoEarlierVersion,),
    "put_detector": (errors.Overloaded,),
    "retire_detector": (errors.StateConflict,),
    "simulate_policy": (errors.NotFound, errors.Overloaded),
    "put_monitor": (errors.MonitorFixed, errors.MonitorsFull, errors.TimingFixed),
    "delete_monitor": (errors.MonitorInUse,),
    "accept_monitor": (errors.NothingToAccept,),
    "create_project": (errors.NameTaken,),
    "create_key": (errors.NotFound,),
    "ready": (errors.NotReady,),
}
# answered as long as the process lives
NEVER_REFUSED = {"live"}
# asked with whatever hangs on their address
PROBES = {"live", "ready"}
# a PUT makes what is not there
MAKES_IT = {"put_monitor", "put_policy", "put_queue", "put_reference", "put_detector"}

STATUSES = {
    400: "The body is not what its content type says",
    401: "No good key",
    403: "The key lacks the scope",
    404: "Not in this project",
    409: "Does not fit the present state; nothing was changed",
    413: "Past a limit of size",
    415: "The body is of a kind that is not read here",
    422: "Cannot be taken; `errors` name the fields",
    503: "Overloaded or without database; nothing is half-done, send it again",
}
HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "example": "Bearer"}},
    503: {
        "Retry-After": {
            "description": "Seconds.",
            "schema": {"type": "integer"},
            "example": RETRY_AFTER_S,
        }
    },
}


def document(name: str, path: str, operation: dict[str, Any], shared: dict[str, Any]) -> None:
    """Write an operation's problem responses into it.

    Args:
        name: its operationId.
        path: its template.
        operation: as FastAPI described it.
        shared: `components.responses`, where equal responses of several operations stand once.
    """
    responses = operation["responses"]
    # FastAPI's own idea of a refused request, which `problems.py` replaces
    responses.pop("422", None)
    by_status: dict[int, set[str]] = {}
    for error in _errors(name, path, operation):
        by_status.setdefault(_status(error), set()).add(error.code)
    for status, codes in sorted(by_status.items()):
        key = ".".join((str(status), *sorted(codes)))
        shared[key] = _response(status, sorted(codes))
        responses[str(status)] = {"$ref": f"#/components/responses/{key}"}


def _errors(name: str, path: str, operation: dict[str, Any]) -> set[type[errors.OverruleError]]:
    if name in NEVER_REFUSED:
        return set()
    found: set[type[errors.OverruleError]] = {*ANYWHERE, *PARTICULAR.get(name, ())}
    if "security" in operation:
        found.update(WITH_KEY)
    if "requestBody" in operation:
        found.update(WITH_BODY)
    if name not in PROBES:
        # a parameter that is not known
        found.add(errors.Invalid)
    if "{" in path and name not in MAKES_IT:
        found.add(errors.NotFound)
    return found


def _status(error: type[errors.OverruleError]) -> int:
    return status_of(error(""))


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    named = ", ".join(f"`{code}`" for code in codes)
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"type": "object", "properties": {"code": {"enum": codes}}},
        ]
    }
    response: dict[str, Any] = {
        "description": f"{STATUSES[status]}. Codes: {named}.",
        "content": {CONTENT_TYPE: {"schema": schema}},
    }
    if status in HEADERS:
        response["headers"] = HEADERS[status]
    return response
