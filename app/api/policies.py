"""Policies: documents in JSON or YAML, their versions, and which one is active."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import yaml
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from app.api.auth import Ctx, Managing, Reading
from app.api.paging import PAGE_ROWS, Cursor, Limit, Page, after, next_cursor
from app.api.text import NAME_PATTERN
from app.api.wire import decode
from app.core.errors import Invalid, Malformed, TooLarge
from app.flows import policies as flow
from app.store.policies import PolicyVersion

router = APIRouter(tags=["policies"])

DOCUMENT_BYTES_MAX = 256 * 1024
# they are paths of their own
RESERVED_NAMES = ("validate", "simulate", "import")
PolicyName = Annotated[str, Path(pattern=NAME_PATTERN)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]

_anything = msgspec.json.Decoder(Any)


class PolicyOut(BaseModel):
    """One version of a policy; all of it but its state is immutable."""

    name: str
    version: int
    state: Literal["draft", "active", "shadow", "retired"]
    model: str = Field(description="The model whose predictions it decides.")
    digest: str = Field(description="SHA-256 over the document as canonical JSON (RFC 8785).")
    document: dict[str, Any]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, version: PolicyVersion) -> "PolicyOut":
        """From the stored version."""
        return cls.model_validate(
            {
                "name": version.name,
                "version": version.version,
                "state": version.state,
                "model": version.model,
                "digest": version.digest.hex(),
                "document": version.document,
                "created_at": version.created_at,
                "created_by": version.created_by,
            }
        )


class ValidOut(BaseModel):
    """The document can be taken."""

    valid: Literal[True] = True


@router.post("/v1/policies/validate")
async def validate_policy(ctx: Ctx, caller: Managing, request: Request) -> ValidOut:
    """Check a document and store nothing; every mistake is named by its place."""
    await flow.validate(ctx, caller.project, await _document(request))
    return ValidOut()


@router.put("/v1/policies/{name}", status_code=201)
async def put_policy(
    ctx: Ctx, caller: Managing, name: PolicyName, request: Request, response: Response
) -> PolicyOut:
    """Make the next version, as a draft; 200 with the latest one when it is the same document."""
    if name in RESERVED_NAMES:
        raise Invalid(f"{name!r} is reserved; choose another name.", loc=("path", "name"))
    version, new = await flow.put(ctx, caller, name, await _document(request))
    response.status_code = 201 if new else 200
    return PolicyOut.of(version)


@router.get("/v1/policies")
async def list_policies(
    ctx: Ctx, caller: Reading, limit: Limit = PAGE_ROWS, cursor: Cursor = None
) -> Page[PolicyOut]:
    """List all versions of all policies, in the order in which they were made."""
    rows = await flow.list_versions(ctx, caller.project, after(cursor), limit)
    return Page(
        items=[PolicyOut.of(row) for row in rows],
        next_cursor=next_cursor([row.id for row in rows], limit),
    )


@router.get("/v1/policies/{name}/versions/{number}")
async def get_policy(ctx: Ctx, caller: Reading, name: PolicyName, number: Number) -> PolicyOut:
    """One version."""
    return PolicyOut.of(await flow.find(ctx, caller.project, name, number))


@router.post("/v1/policies/{name}/versions/{number}/activate")
async def activate_policy(
    ctx: Ctx, caller: Managing, name: PolicyName, number: Number
) -> PolicyOut:
    """Let a version decide for its model from now on; activating a retired one rolls back."""
    return PolicyOut.of(await flow.activate(ctx, caller, name, number))


@router.post("/v1/policies/{name}/versions/{number}/retire")
async def retire_policy(ctx: Ctx, caller: Managing, name: PolicyName, number: Number) -> PolicyOut:
    """Take a version out of use; without an active one everything goes to review."""
    return PolicyOut.of(await flow.retire(ctx, caller, name, number))


class _PlainLoader(yaml.SafeLoader):
    """YAML as far as JSON goes.

    No aliases: a few lines of them unfold into gigabytes. No repeated keys: the later one would
    win without a word.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: ARG002
        mapping = super().construct_mapping(node, deep=True)
        if len(mapping) != len(node.value):
            raise yaml.YAMLError("a key stands twice in one mapping")
        return mapping


def _yaml(raw: bytes) -> Any:
    """Seconds for the largest document: not for the thread that answers predictions."""
    return yaml.load(raw, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader with less


async def _document(request: Request) -> Any:
    """The body as plain data: JSON, or YAML where the content type says so."""
    raw = await request.body()
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise TooLarge(f"A policy document has at most {DOCUMENT_BYTES_MAX} bytes.")
    if "yaml" not in request.headers.get("content-type", ""):
        return decode(_anything, raw)
    try:
        # through JSON: a date becomes text, NaN null, and what is left must be a document anyway
        loaded = await asyncio.to_thread(_yaml, raw)
        return decode(_anything, msgspec.json.encode(loaded, order=None))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise Malformed(f"Not valid YAML: {error}.", loc=("body",)) from None
