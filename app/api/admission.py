"""What a request may say beside its body: its parameters, and what kind of body it is.

A parameter that is not known is refused, as an unknown field is: one that is misspelt and ignored
would look obeyed. All routes are held to this, those of the fast lane included.
"""

from typing import get_origin
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute
from starlette.types import Scope

from app.core.errors import Invalid, UnsupportedMediaType

JSON = "application/json"
NDJSON = "application/x-ndjson"
YAML = "application/yaml"
FORM = "application/x-www-form-urlencoded"

_USUAL = JSON.encode()
# what people call it besides; nothing is registered
_LINES = frozenset({NDJSON, "application/ndjson", "application/jsonl", "application/jsonlines"})
_YAML_ENDS = ("/yaml", "/x-yaml", "/vnd.yaml", "+yaml")
# the framework does not see the bodies of these, since they read the request themselves
_READ_BY_ROUTE = {
    "post_prediction": (JSON,),
    "post_predictions": (JSON, NDJSON),
    "put_reference": (JSON, NDJSON),
    "put_detector": (JSON, NDJSON),
    "put_policy": (JSON, YAML),
    "validate_policy": (JSON, YAML),
    "import_a2i_policy": (JSON,),
    "simulate_policy": (JSON,),
    "compare": (JSON,),
}
_PARAMETERS_READ_BY_ROUTE = {"post_prediction": {"dry_run": False}}
# whoever probes may have hung anything on the address, and must not be told that all is broken
_PROBES = {"live", "ready"}
_INSTEAD = {
    ("post_predictions", "dry_run"): "A dry run is of one prediction: POST "
    "/v1/predictions?dry_run=true."
}
# by the name of a route: its parameters, and whether each may stand several times
_known: dict[str, dict[str, bool]] = {}


async def admitted(request: Request) -> None:
    """A dependency of every route: `admit`."""
    admit(request.scope["route"], request.scope)


def admit(route: APIRoute, scope: Scope) -> None:
    """Let a request through to its route.

    Raises:
        Invalid: a query parameter that the route has not, or one too many of it.
        UnsupportedMediaType: the body is of a kind that the route does not read.
    """
    if scope["query_string"]:
        _check_parameters(route, scope["query_string"])
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value != _USUAL:
                _check_type(route, value)
            return


def are_lines(content_type: bytes) -> bool:
    """Whether a body of that type is one JSON text a line."""
    return _media_type(content_type) in _LINES


def sends_lines(request: Request) -> bool:
    """Whether the body of a request is one JSON text a line."""
    return are_lines(request.headers.get("content-type", "").encode("latin-1"))


def sends_yaml(request: Request) -> bool:
    """Whether the body of a request is YAML."""
    sent = request.headers.get("content-type", "").encode("latin-1")
    return _media_type(sent).endswith(_YAML_ENDS)


def _check_parameters(route: APIRoute, query: bytes) -> None:
    if route.name in _PROBES:
        return
    known = _parameters(route)
    seen = set()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        loc = ("query", name[:128])
        if name not in known:
            there = f"there are: {', '.join(known)}" if known else "there are none"
            instead = _INSTEAD.get((route.name, name))
            raise Invalid(instead or f"Not a parameter of this call; {there}.", loc=loc)
        if name in seen and not known[name]:
            raise Invalid(f"The parameter {name} stands twice; it has one value.", loc=loc)
        seen.add(name)


def _parameters(route: APIRoute) -> dict[str, bool]:
    known = _known.get(route.name)
    if known is None:
        known = {
            field.alias: get_origin(field.field_info.annotation) is list
            for field in get_flat_params(route.dependant)
            if isinstance(field.field_info, Query)
        }
        _known[route.name] = known = known | _PARAMETERS_READ_BY_ROUTE.get(route.name, {})
    return known


def _check_type(route: APIRoute, content_type: bytes) -> None:
    taken = _READ_BY_ROUTE.get(route.name, (JSON,) if route.body_field is not None else ())
    kind = _media_type(content_type)
    if not taken or _fits(kind, taken):
        return
    detail = f"The body must be {' or '.join(taken)}, and not {kind[:128]}"
    if kind == FORM:
        detail += ", which curl says unless it is told: send the header Content-Type"
    raise UnsupportedMediaType(f"{detail}.", loc=("header", "content-type"))


def _fits(kind: str, taken: tuple[str, ...]) -> bool:
    return (
        kind in {JSON, ""}
        or (kind.startswith("application/") and kind.endswith("+json"))
        or (NDJSON in taken and kind in _LINES)
        or (YAML in taken and kind.endswith(_YAML_ENDS))
    )


def _media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")
