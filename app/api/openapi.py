"""The OpenAPI document: what FastAPI sees, and what only this service knows.

FastAPI knows paths, parameters and Pydantic models. Added here: the msgspec structs of the hot
path, the JSON Schema of policies, problem responses with their codes, scopes and examples.
"""

import json
import re
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api import policy_schema, refusals
from app.api.admission import JSON, NDJSON, YAML
from app.api.compare import Compare, Comparison
from app.api.decision_out import DecisionOut
from app.api.decisions import DecisionPage
from app.api.detector_examples import DETECTOR_EXAMPLES
from app.api.detectors import PutDetector
from app.api.examples import EXAMPLES, Example
from app.api.explain import ExplanationOut, ReplayOut
from app.api.explain_examples import EXPLAIN_EXAMPLES
from app.api.imports import ImportA2I
from app.api.monitor_examples import MONITOR_EXAMPLES
from app.api.predictions import Batch, Results, Row
from app.api.problems import Place, Problem, RowProblem
from app.api.reference_examples import REFERENCE_EXAMPLES
from app.api.references import PutReference
from app.api.simulate import Simulate
from app.core.access import Scope
from app.core.drift import familiar
from app.core.drift.build import ROWS_MAX
from app.core.drift.familiar import FamiliarRow
from app.core.drift.rows import ReferenceRow
from app.core.routing.prediction import Prediction
from app.core.routing.receipt import Receipt
from app.core.routing.shadow_report import ShadowReport
from app.core.routing.whatif.simulation import Simulation

REF = "#/components/schemas/{name}"

DESCRIPTION = """\
A model-serving system posts each prediction and hears in milliseconds whether it may stand.
Labeling tools poll queues and send verdicts back. Dashboards read the metrics.

Errors are RFC 9457 problem documents with a stable `code`. Lists give a `next_cursor`, null on the
last page. Times are UTC, RFC 3339. Unknown fields are refused. Every response carries
`X-Request-Id`, the caller's own where the request had one.
"""
TAGS = {
    "predictions": "One prediction, or many: each is answered with its decision.",
    "decisions": "What was decided and why, and the human answer once it is there.",
    "policies": "Versioned documents of rules; one version is active per model.",
    "review": "Queues, leases, verdicts and items: what labeling tools call.",
    "drift": "What a model was validated on, and whether what comes in is still that.",
    "events": "A feed of what happened.",
    "metrics": "Shares, waiting times, agreement, and the error of what was accepted.",
    "jobs": "State, progress and result of what takes long.",
    "projects": "Projects and keys, for admin keys.",
    "operations": "Probes and figures for whoever runs the service.",
}
# said once for all operations that have them
PARAMETERS = {
    "assignment_id": "The assignment's id, as its lease gave it.",
    "audited": "Drawn by chance to be judged afterwards, or not.",
    "decision_id": "The decision's id.",
    "from": "Beginning of the range, included; 7 days back unless given.",
    "job_id": "The job's id.",
    "item_id": "The item's id.",
    "key_id": "The key's id: a part of its text, between the underscores.",
    "kind": "Why it is shown to a reviewer.",
    "label": "The label that the model gave.",
    "model": "The model's name.",
    "model_version": "The version of the model.",
    "name": "The policy's name.",
    "number": "The version's number.",
    "project": "The project's name.",
    "queue": "The queue's name.",
    "reason": "Id of the rule that decided, `default` or `no-policy`.",
    "request_key": "Your own id of the request; other filters are not looked at.",
    "route": "What was decided.",
    "segment": "A segment as `key:value`.",
    "state": "Where it is on its way to a human answer.",
    "to": "End of the range, excluded; now unless given.",
}
# request and answer of operations that read and write msgspec structs
STRUCTS: dict[str, tuple[Any, Any]] = {
    "post_prediction": (Prediction, DecisionOut),
    "post_predictions": (Batch, Results),
    "get_decision": (None, DecisionOut),
    "list_decisions": (None, DecisionPage),
    "lookup_decisions": (None, DecisionPage),
    "explain_decision": (None, ExplanationOut),
    "replay_decision": (None, ReplayOut),
    "get_receipt": (None, Receipt),
    "import_a2i_policy": (ImportA2I, None),
    "get_shadow_report": (None, ShadowReport),
    # its answer is a job, but for rows
    "simulate_policy": (Simulate, None),
    "put_reference": (PutReference, None),
    "put_detector": (PutDetector, None),
    "compare": (Compare, Comparison),
}
ALL_EXAMPLES = (
    EXAMPLES | EXPLAIN_EXAMPLES | REFERENCE_EXAMPLES | DETECTOR_EXAMPLES | MONITOR_EXAMPLES
)
# as `application/x-ndjson`, one a line
LINES = {Batch: Prediction, Results: Row, PutReference: ReferenceRow, PutDetector: FamiliarRow}
TAKES_POLICY = {"put_policy", "validate_policy"}
# they read the key without a dependency, which would cost as much as the decision
PREDICTS = {"post_prediction", "post_predictions"}
# one of two scopes is enough; FastAPI can only say that both are needed
EITHER = {"scrape"}
# what a second success status means, where one is possible
ALSO = {
    "post_prediction": ("200", "The first decision again, or a dry run."),
    "put_policy": ("200", "The latest version, which says the same already."),
    "import_a2i_policy": ("200", "The latest version, which says the same already."),
    "put_reference": ("200", "The latest version, which is the same already."),
}


def operation_id(route: APIRoute) -> str:
    """The name of the function: short, and it stays when a path is added."""
    return route.name


def install(app: FastAPI) -> None:
    """Give the application its document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def build(app: FastAPI) -> dict[str, Any]:
    """The whole document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    components = document["components"]
    components["responses"] = {}
    _add_schemas(components["schemas"])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation, components)
    return _with_plain_names(document)


def _add_schemas(schemas: dict[str, Any]) -> None:
    structs = {part for pair in STRUCTS.values() for part in pair if part is not None} | {
        Row,
        Simulation,
        ReferenceRow,
        FamiliarRow,
    }
    _, added = msgspec.json.schema_components(list(structs), ref_template=REF)
    added |= policy_schema.components(REF)
    for model in (Place, Problem, RowProblem):
        # there already where an answer holds one
        schemas.pop(model.__name__, None)
        added[model.__name__] = model.model_json_schema(
            ref_template=REF.replace("{name}", "{model}")
        )
        added[model.__name__].pop("$defs", None)
    # rows stay undecoded until each is read for itself, so the struct does not tell
    added["Batch"]["properties"]["predictions"] = {
        "type": "array",
        "items": _ref("Prediction"),
        "maxItems": 1000,
    }
    rows = {"type": "array", "items": _ref("ReferenceRow"), "maxItems": ROWS_MAX}
    added["PutReference"]["properties"]["rows"] = {"anyOf": [rows, {"type": "null"}]}
    rows = {"type": "array", "items": _ref("FamiliarRow"), "minItems": familiar.ROWS_MIN}
    added["PutDetector"]["properties"]["rows"] = {"anyOf": [rows, {"type": "null"}]}
    document = {"anyOf": [_ref(policy_schema.NAME), {"type": "null"}]}
    added["Simulate"]["properties"]["document"] |= document
    added["Row"]["properties"]["problem"] = {"anyOf": [_ref("RowProblem"), {"type": "null"}]}
    both = sorted(added.keys() & schemas.keys())
    assert not both, f"two things are called {both}: the later would hide the earlier"
    schemas |= added
    # FastAPI's own idea of a refused request
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)


def _complete(path: str, operation: dict[str, Any], components: dict[str, Any]) -> None:
    name = operation["operationId"]
    responses = operation["responses"]
    body, answer = STRUCTS.get(name, (None, None))
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    if name in TAKES_POLICY:
        content = {kind: {"schema": _ref(policy_schema.NAME)} for kind in (JSON, YAML)}
        operation["requestBody"] = {"required": True, "content": content}
    if answer is not None:
        responses[next(iter(responses))]["content"] = _content(answer)
    if name in ALSO:
        status, meaning = ALSO[name]
        responses[status] = {**responses["201"], "description": meaning}
    if name == "post_prediction":
        operation["parameters"] = [_DRY_RUN]
    _secure(name, operation)
    _put_examples(
        operation,
        ALL_EXAMPLES.get(name, Example()),
        components["schemas"],
    )
    refusals.document(name, path, operation, components["responses"])
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", PARAMETERS.get(parameter["name"]))
    _say(operation)


_DRY_RUN = {
    "name": "dry_run",
    "in": "query",
    "description": "Decide and store nothing.",
    "schema": {"type": "boolean", "default": False},
}


def _secure(name: str, operation: dict[str, Any]) -> None:
    if name in PREDICTS:
        operation["security"] = [{"key": [Scope.PREDICT]}]
    if name in EITHER:
        (both,) = operation["security"]
        operation["security"] = [{"key": [scope]} for scope in both["key"]]


def _say(operation: dict[str, Any]) -> None:
    """The docstring's first line as the summary; below it the rest, and the scope."""
    first, _, rest = operation.get("description", "").partition("\n")
    scopes = [scope for way in operation.get("security", ()) for scope in way["key"]]
    asked = " or ".join(f"`{scope}`" for scope in scopes)
    needs = f"Needs a key with the scope {asked}." if scopes else "Needs no key."
    operation["summary"] = first.rstrip(".")
    operation["description"] = "\n\n".join(part for part in (rest.strip(), needs) if part)


def _put_examples(operation: dict[str, Any], example: Example, schemas: dict[str, Any]) -> None:
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        if kind == NDJSON:
            continue
        model = schemas[media["schema"]["$ref"].rpartition("/")[2]]
        # a Pydantic model's example stands beside the model, in its schema
        media["example"] = model.get("example") or example.request
    for status, response in operation["responses"].items():
        if status.startswith("2") and JSON in response.get("content", {}):
            response["content"][JSON]["example"] = example.also.get(status, example.response)


def _content(type_: Any) -> dict[str, Any]:
    content = {JSON: {"schema": _ref(type_.__name__)}}
    if type_ in LINES:
        content[NDJSON] = {"schema": _ref(LINES[type_].__name__)}
    return content


def _with_plain_names(document: dict[str, Any]) -> dict[str, Any]:
    """`Page_ItemOut_`, as a generic model is called, as `ItemPage`."""
    text = re.sub(r"\bPage_(\w+?)Out_", r"\1Page", json.dumps(document))
    plain: dict[str, Any] = json.loads(text)
    return plain


def _ref(name: str) -> dict[str, str]:
    return {"$ref": REF.format(name=name)}
