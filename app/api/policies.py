"""Policies: documents in JSON or YAML, their versions, and which of them are in use."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api import policy_schema
from app.api.auth import Ctx, Managing, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.policy_text import read_document
from app.api.text import NAME_PATTERN
from app.core.errors import Invalid
from app.core.routing.diff import Change, Diff
from app.core.routing.life import VersionState
from app.flows import policies as flow
from app.store.policies import PolicyVersion, Wanted

router = APIRouter(tags=["policies"])

# they are paths of their own
RESERVED_NAMES = ("validate", "simulate", "import", "schema")
NUMBER_MAX = 2**31 - 1
PolicyName = Annotated[str, Path(pattern=NAME_PATTERN)]
Number = Annotated[int, Path(ge=1, le=NUMBER_MAX)]
OtherNumber = Annotated[
    int | None, Query(ge=1, le=NUMBER_MAX, description="The other version; the latest by default.")
]


class PolicyOut(BaseModel):
    """One version of a policy; all of it but its state is immutable."""

    name: str
    version: int
    state: VersionState
    model: str = Field(description="The model whose predictions it decides.")
    digest: str = Field(description="SHA-256 over the document as canonical JSON (RFC 8785).")
    document: dict[str, Any]
    created_at: datetime
    created_by: str
    activated_at: datetime | None = Field(
        description="When it last became active, other than by a rollback; null: it never did."
    )

    @classmethod
    def of(cls, version: PolicyVersion) -> "PolicyOut":
        """From the stored version."""
        return cls.model_validate(_fields_of(version))


class VersionRef(BaseModel):
    """A version of a policy."""

    name: str
    version: int


class ActivatedOut(PolicyOut):
    """The version that decides now."""

    retired: VersionRef | None = Field(
        description="The one that decided for the model before; null where none did."
    )


class WarningOut(BaseModel):
    """What may be meant, but seldom is."""

    loc: list[str | int] = Field(description="Path to the part of the document.")
    message: str

    @classmethod
    def all_of(cls, warnings: flow.Warnings) -> "list[WarningOut]":
        """From what the check of the document found."""
        return [cls(loc=list(loc), message=message) for loc, message in warnings]


class PolicyPut(PolicyOut):
    """The version that says what the document says, and what is odd about it."""

    warnings: list[WarningOut]


class ValidOut(BaseModel):
    """The document can be taken."""

    valid: Literal[True] = True
    warnings: list[WarningOut]


class Rollback(BaseModel):
    """What to go back to."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"version": 1}})

    version: Annotated[int, Field(ge=1, le=NUMBER_MAX)] | None = Field(
        None, description="One that was active before; by default the one before the present one."
    )


class RuleChangeOut(BaseModel):
    """One rule that is different; one that was both changed and moved is there twice."""

    rule: str
    change: Change = Field(
        description="`moved`: it stands elsewhere among the rules that both versions have."
    )
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    position_before: int | None = Field(description="Its index among the rules, from 0.")
    position_after: int | None


class ResponseChangeOut(BaseModel):
    """One entry of `on_drift` that is different; the same one waits for the same state."""

    monitor: str
    change: Change
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    position_before: int | None = Field(description="Its index in `on_drift`, from 0.")
    position_after: int | None


class FieldChangeOut(BaseModel):
    """One other field; null where the document leaves it out."""

    field: str = Field(description="Its path, as `audit.probability`.")
    before: Any
    after: Any


class DiffOut(BaseModel):
    """What is different between two versions, as their documents are written."""

    from_: int = Field(serialization_alias="from")
    to: int
    rules: list[RuleChangeOut]
    on_drift: list[ResponseChangeOut]
    fields: list[FieldChangeOut]

    @classmethod
    def of(cls, number: int, other: int, found: Diff) -> "DiffOut":
        """From the differences."""
        return cls(
            from_=number,
            to=other,
            rules=[RuleChangeOut(**msgspec.structs.asdict(change)) for change in found.rules],
            on_drift=[
                ResponseChangeOut(**msgspec.structs.asdict(change)) for change in found.on_drift
            ],
            fields=[FieldChangeOut(**msgspec.structs.asdict(change)) for change in found.fields],
        )


class SchemaResponse(JSONResponse):
    """A JSON Schema."""

    media_type = "application/schema+json"


# a body that is left out
THE_ONE_BEFORE = Rollback()


@router.post("/v1/policies/validate")
async def validate_policy(ctx: Ctx, caller: Managing, request: Request) -> ValidOut:
    """Check a document and store nothing; every mistake is named by its place.

    A warning names a rule that can never decide, because an earlier one fires whenever it would.
    """
    warnings = await flow.validate(ctx, caller.project, await read_document(request))
    return ValidOut(warnings=WarningOut.all_of(warnings))


@router.get(
    "/v1/policies/schema",
    response_class=SchemaResponse,
    responses={
        200: {
            "content": {
                SchemaResponse.media_type: {
                    "schema": {"type": "object"},
                    "example": {"$schema": policy_schema.DIALECT, "title": policy_schema.NAME},
                }
            }
        }
    },
)
async def get_policy_schema(caller: Reading) -> SchemaResponse:  # noqa: ARG001
    """Give the JSON Schema of a policy document, complete in itself: for editors and checks.

    What only the project knows (its queues) or only an evaluation shows (expressions) is left to
    `POST /v1/policies/validate`.
    """
    return SchemaResponse(policy_schema.document())


@router.put("/v1/policies/{name}", status_code=201)
async def put_policy(
    ctx: Ctx, caller: Managing, name: PolicyName, request: Request, response: Response
) -> PolicyPut:
    """Make the next version, as a draft; 200 with the latest one when it is the same document."""
    if name in RESERVED_NAMES:
        raise Invalid(f"{name!r} is reserved; choose another name.", loc=("path", "name"))
    put = await flow.put(ctx, caller, name, await read_document(request))
    response.status_code = 201 if put.new else 200
    return PolicyPut(**_fields_of(put.version), warnings=WarningOut.all_of(put.warnings))


@router.get("/v1/policies")
async def list_policies(  # noqa: PLR0917 - FastAPI passes them by name
    ctx: Ctx,
    caller: Reading,
    name: Annotated[
        str | None, Query(max_length=128, description="Only versions of this policy.")
    ] = None,
    model: Annotated[
        str | None, Query(max_length=256, description="Only those that decide for this model.")
    ] = None,
    state: Annotated[
        VersionState | None,
        Query(description="With `model`, `active` finds the version that decides for it now."),
    ] = None,
    limit: Limit = PAGE_ROWS,
    cursor: Cursor = None,
) -> Page[PolicyOut]:
    """List versions of policies, in the order in which they were made."""
    wanted = Wanted(name, model, state)
    rows = await flow.list_versions(ctx, caller.project, wanted, after("policies", cursor), limit)
    return Page(
        items=[PolicyOut.of(row) for row in rows],
        next_cursor=next_cursor("policies", [row.id for row in rows], limit),
    )


@router.get("/v1/policies/{name}/versions/{number}")
async def get_policy(ctx: Ctx, caller: Reading, name: PolicyName, number: Number) -> PolicyOut:
    """One version."""
    return PolicyOut.of(await flow.find(ctx, caller.project, name, number))


@router.get("/v1/policies/{name}/versions/{number}/diff")
async def diff_policy(
    ctx: Ctx, caller: Reading, name: PolicyName, number: Number, to: OtherNumber = None
) -> DiffOut:
    """Tell what is different in another version, rule by rule and field by field."""
    other, found = await flow.compare(ctx, caller.project, name, number, to)
    return DiffOut.of(number, other, found)


@router.post("/v1/policies/{name}/versions/{number}/activate")
async def activate_policy(
    ctx: Ctx, caller: Managing, name: PolicyName, number: Number
) -> ActivatedOut:
    """Let a version decide for its model from now on; the one that did is retired."""
    activated = await flow.activate(ctx, caller, name, number)
    former = activated.retired
    retired = VersionRef(name=former.name, version=former.version) if former is not None else None
    return ActivatedOut(**_fields_of(activated.version), retired=retired)


@router.post("/v1/policies/{name}/versions/{number}/shadow")
async def shadow_policy(ctx: Ctx, caller: Managing, name: PolicyName, number: Number) -> PolicyOut:
    """Evaluate a version beside the active one of its model, without any effect.

    A model has at most one shadow version: the former one is a draft again. The active version
    cannot be the shadow too (409).
    """
    return PolicyOut.of(await flow.shadow(ctx, caller, name, number))


@router.post("/v1/policies/{name}/versions/{number}/retire")
async def retire_policy(ctx: Ctx, caller: Managing, name: PolicyName, number: Number) -> PolicyOut:
    """Take a version out of use; without an active one everything goes to review."""
    return PolicyOut.of(await flow.retire(ctx, caller, name, number))


@router.post("/v1/policies/{name}/rollback")
async def rollback_policy(
    ctx: Ctx, caller: Managing, name: PolicyName, body: Rollback = THE_ONE_BEFORE
) -> PolicyOut:
    """Let an earlier version decide again, and answer with it.

    Without `version` it is the one that was active before the present one, and the next rollback
    goes one further back; with it the same call can safely be sent twice. 409 when there is nothing
    to go back to.
    """
    return PolicyOut.of(await flow.roll_back(ctx, caller, name, body.version))


def _fields_of(version: PolicyVersion) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "state": version.state,
        "model": version.model,
        "digest": version.digest.hex(),
        "document": version.document,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "activated_at": version.activated_at,
    }
