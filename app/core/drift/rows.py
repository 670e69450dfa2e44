"""A row of a reference as it is posted: a prediction without what names it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from app.core.routing.prediction import (
    EMBEDDING_MAX,
    FEATURES_MAX,
    MEMBERS_MAX,
    Feature,
    Float32,
    Key,
    LabelText,
    Member,
    Prediction,
    Scores,
    ScoresAre,
    Share,
)


class ReferenceRow(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What one prediction of the validated data looked like; each field as in a prediction."""

    label: Annotated[LabelText | None, Meta(description="Null: the top of `scores`.")] = None
    confidence: Annotated[Share | None, Meta(description="Null: the label's score.")] = None
    scores: Annotated[Scores | None, Meta(description="By label.")] = None
    scores_are: ScoresAre = "probabilities"
    members: Annotated[list[Member], Meta(min_length=1, max_length=MEMBERS_MAX)] | None = None
    features: Annotated[dict[Key, Feature], Meta(max_length=FEATURES_MAX)] | None = None
    embedding: Annotated[list[Float32], Meta(min_length=1, max_length=EMBEDDING_MAX)] | None = None


def prediction_of(row: ReferenceRow, model: str) -> Prediction:
    """The row as a prediction, to be read by what reads those.

    A row may be without label and scores, since that is a distribution too; a prediction that is
    must have an output, so it gets one.
    """
    values: dict[str, Any] = msgspec.structs.asdict(row)
    without = row.label is None and row.scores is None
    return Prediction(
        request_key="row", model=model, model_version="any", output=without or None, **values
    )
