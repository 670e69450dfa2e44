"""Policies made from what other services call theirs."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta, Struct

from app.api.auth import Ctx, Managing
from app.api.policies import (
    RESERVED_NAMES,
    PolicyOut,
    PolicyPut,
    WarningOut,
)
from app.api.policy_text import DOCUMENT_BYTES_MAX, refuse_repeated_keys
from app.api.wire import decode
from app.core.errors import Invalid, Malformed, TooLarge
from app.core.routing.document import Name
from app.core.routing.prediction import Key
from app.flows.import_a2i import FIELD, import_a2i

router = APIRouter(tags=["policies"])


class ImportA2I(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Activation conditions of Amazon A2I, and what they do not say."""

    name: Annotated[Name, Meta(description="Of the policy.")]
    model: Annotated[Key, Meta(description="The model whose predictions it decides.")]
    queue: Annotated[Name, Meta(description="Where reviewers are asked.")]
    conditions: Annotated[
        dict[str, Any] | str,
        Meta(
            description="The object with `Conditions`, or its text as `CreateFlowDefinition` takes "
            "it in `HumanLoopActivationConditions`."
        ),
    ]
    labels: Annotated[
        list[Any] | None, Meta(description="As in a policy; reviewers choose among them.")
    ] = None
    segments: Annotated[list[Any] | None, Meta(description="As in a policy.")] = None
    audit: Annotated[dict[str, Any] | None, Meta(description="As in a policy.")] = None
    description: Annotated[str | None, Meta(description="As in a policy.")] = None


OTHERS = ("labels", "segments", "audit", "description")
_body = msgspec.json.Decoder(ImportA2I)
_anything = msgspec.json.Decoder(Any)


@router.post("/v1/policies/import/a2i", status_code=201)
async def import_a2i_policy(
    ctx: Ctx, caller: Managing, request: Request, response: Response
) -> PolicyPut:
    """Make a policy of Amazon A2I's activation conditions, as a draft, with the same outcomes.

    Each condition becomes a rule `a2i-1`, `a2i-2` …, so that a decision's reason tells which one
    held. Confidences stay percentages in it, while scores of predictions lie between 0 and 1: with
    a score of 55.3 the rule cannot be evaluated, and a human decides. Conditions on form keys,
    which Amazon Textract has, are refused. 200 with the latest version when it says the same
    already.
    """
    raw = await request.body()
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise TooLarge(f"Conditions have at most {DOCUMENT_BYTES_MAX} bytes.")
    body = decode(_body, raw)
    refuse_repeated_keys(raw)
    if body.name in RESERVED_NAMES:
        raise Invalid(f"{body.name!r} is reserved; choose another name.", loc=("name",))
    put = await import_a2i(
        ctx,
        caller,
        name=body.name,
        model=body.model,
        queue=body.queue,
        conditions=_object(body.conditions),
        others={name: given for name in OTHERS if (given := getattr(body, name)) is not None},
    )
    response.status_code = 201 if put.new else 200
    return PolicyPut(
        **PolicyOut.of(put.version).model_dump(), warnings=WarningOut.all_of(put.warnings)
    )


def _object(conditions: Any) -> Any:
    if not isinstance(conditions, str):
        return conditions
    try:
        found = decode(_anything, conditions.encode())
        refuse_repeated_keys(conditions.encode())
    except Malformed as error:
        raise Invalid(error.detail, loc=(FIELD,)) from None
    except Invalid as error:
        raise Invalid.of([((FIELD,), why) for _, why in error.places]) from None
    return found
