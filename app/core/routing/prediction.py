"""A prediction as it is posted, and what is read off it.

The struct is decoded straight from the body: it is at once the wire format, the limits on it, and
what is recorded, so that the digest speaks of what the caller sent.
"""

import hashlib
import math
import re
import struct
import uuid
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from app.core.errors import Invalid, Loc
from app.core.routing.monitors import Seen

SCORES_MAX = 1000
MEMBERS_MAX = 50
FEATURES_MAX = 200
SEGMENTS_MAX = 20
EMBEDDING_MAX = 4096
TEXT_MAX = 100_000
DEPTH_MAX = 16
# real outputs of models sum to 1.00002 and exceed 1 by float noise: clipped, not refused
SUM_TOLERANCE = 1e-3

Key = Annotated[str, Meta(min_length=1, max_length=256)]
LabelText = Annotated[str, Meta(min_length=1, max_length=256)]
Share = Annotated[float, Meta(ge=-SUM_TOLERANCE, le=1 + SUM_TOLERANCE)]
# what is stored of an embedding: its elements must fit
FLOAT32_MAX = 3.4028234663852886e38
Float32 = Annotated[float, Meta(ge=-FLOAT32_MAX, le=FLOAT32_MAX)]
Scores = Annotated[dict[LabelText, float], Meta(min_length=1, max_length=SCORES_MAX)]
Feature = float | bool | Annotated[str, Meta(max_length=1024)] | None
ScoresAre = Literal["probabilities", "top_k", "independent"]


class Member(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One member of an ensemble: its label, or its scores, or both."""

    name: Key
    label: LabelText | None = None
    scores: Scores | None = None


class Subject(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The data that was judged: inline text, or a reference to it."""

    text: Annotated[str, Meta(max_length=TEXT_MAX)] | None = None
    uri: Annotated[
        Annotated[str, Meta(min_length=1, max_length=2048)] | None,
        Meta(
            description="An address, or your own name for it, kept as it is. Labeling tools show "
            "it as a link, so what a browser would run is refused: `javascript:`, `vbscript:` and "
            "`data:` other than `data:image/` (of these, no SVG); control characters too."
        ),
    ] = None


class Prediction(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One output of one model version for one input.

    `request_key` is the caller's own id, unique in its project. One of `label`, `scores` and
    `output` is required. Of a field that stands twice the later one counts.
    """

    request_key: Annotated[
        Key, Meta(description="Your own id of this request; sent again it is safe.")
    ]
    model: Annotated[Key, Meta(description="Its name; the policy that is active for it decides.")]
    model_version: Key
    label: Annotated[LabelText | None, Meta(description="Null: the top of `scores`.")] = None
    confidence: Annotated[
        Share | None, Meta(description="In the label; null: its score. Float noise is clipped.")
    ] = None
    scores: Annotated[Scores | None, Meta(description="By label.")] = None
    scores_are: Annotated[
        ScoresAre,
        Meta(
            description="`probabilities` sum to 1, `top_k` to at most 1; `independent` scores are "
            "not checked, and have no margin."
        ),
    ] = "probabilities"
    members: Annotated[
        Annotated[list[Member], Meta(min_length=1, max_length=MEMBERS_MAX)] | None,
        Meta(description="What each member of an ensemble said."),
    ] = None
    features: Annotated[
        Annotated[dict[Key, Feature], Meta(max_length=FEATURES_MAX)] | None,
        Meta(description="What rules may look at besides."),
    ] = None
    embedding: Annotated[
        Annotated[list[Float32], Meta(min_length=1, max_length=EMBEDDING_MAX)] | None,
        Meta(description="Kept in single precision."),
    ] = None
    segment: Annotated[
        Annotated[dict[Key, Key], Meta(max_length=SEGMENTS_MAX)] | None,
        Meta(
            description="Where it came from; those that the policy declares can be measured apart."
        ),
    ] = None
    risk: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="What an error would cost, as you see it."),
    ] = None
    context_key: Annotated[
        Key | None,
        Meta(
            description="Names what the input is a part of (a thread, a scene); reviewers see it."
        ),
    ] = None
    input_key: Annotated[
        Key | None,
        Meta(description="Names the input, the same for every model version that saw it."),
    ] = None
    subject: Annotated[Subject | None, Meta(description="What a reviewer looks at.")] = None
    output: Annotated[
        Any, Meta(description=f"A structured answer, at most {DEPTH_MAX} levels deep.")
    ] = None
    occurred_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None, Meta(description="When the model answered.")
    ] = None
    shadow: Annotated[
        bool, Meta(description="Recorded and evaluated; never queued for a human.")
    ] = False


class Unfamiliar(Struct, frozen=True, gc=False):
    """How strange an input is to a detector.

    Attributes:
        p: the share of familiar inputs at least as strange, in (0, 1]; None where the prediction
            has not what the detector looks at.
        score: the detector's own, larger is stranger; None with `p`.
        detector: its id.
    """

    p: float | None
    score: float | None
    detector: uuid.UUID


class Signals(Struct, frozen=True, gc=False):
    """What rules look at, read off a prediction once.

    `label` and `confidence` are filled in from the scores where they were not sent; `scores` are
    clipped to [0, 1]. None means that the signal is missing.

    `recalibrated` is the confidence on the scale of a calibration map, `unfamiliar` what an
    out-of-distribution detector says. None: the model has no map, or no detector. `monitors` are
    those that the policy looks at.
    """

    prediction: Prediction
    label: str | None
    confidence: float | None
    scores: dict[str, float] | None
    recalibrated: float | None = None
    unfamiliar: Unfamiliar | None = None
    monitors: tuple[Seen, ...] = ()


def signals_of(
    prediction: Prediction,
    unfamiliar: Unfamiliar | None = None,
    monitors: tuple[Seen, ...] = (),
) -> Signals:
    """Check a prediction as a whole and read its signals.

    Args:
        prediction: as it was posted.
        unfamiliar: what the model's detector says; None without one.
        monitors: those that the policy looks at.

    Raises:
        Invalid: no label, scores or output; scores that are not what they are declared to be;
            output nested too deeply; an address that a browser would run.
    """
    scores = prediction.scores
    label = prediction.label
    confidence = prediction.confidence
    if scores is not None:
        scores = checked_scores(scores, prediction.scores_are, ("scores",))
        if label is None:
            label = top_of(scores)
        if confidence is None and prediction.scores_are != "independent":
            confidence = scores.get(label)
    elif label is None and prediction.output is None:
        raise Invalid("Send one of label, scores and output.", loc=("label",))
    if prediction.members is not None:
        _check_members(prediction)
    if prediction.output is not None:
        _check_depth(prediction.output)
    if prediction.subject is not None and prediction.subject.uri is not None:
        _check_uri(prediction.subject.uri)
    if confidence is not None:
        confidence = min(1.0, max(0.0, confidence))
    return Signals(prediction, label, confidence, scores, None, unfamiliar, monitors)


def top_of(scores: dict[str, float]) -> str:
    """The label of the highest score; of equals the first by name.

    The order in which scores were sent must not matter: what is stored does not keep it.
    """
    highest = max(scores.values())
    return min(label for label, score in scores.items() if score == highest)


def checked_scores(scores: dict[str, float], scores_are: ScoresAre, loc: Loc) -> dict[str, float]:
    """Scores that are what they are declared to be, clipped to [0, 1] unless independent.

    Args:
        scores: by label.
        scores_are: `probabilities` sum to 1, `top_k` to at most 1, `independent` are not checked.
        loc: where they stand, for the error.

    Raises:
        Invalid: out of range, or a sum that is off by more than 1e-3.
    """
    if scores_are == "independent":
        return scores
    low, high = min(scores.values()), max(scores.values())
    if low < -SUM_TOLERANCE or high > 1 + SUM_TOLERANCE:
        raise Invalid(
            "Scores must lie between 0 and 1; logits must be turned into probabilities first, or "
            "declared with scores_are: independent.",
            loc=loc,
        )
    total = math.fsum(scores.values())
    if total > 1 + SUM_TOLERANCE or (scores_are == "probabilities" and total < 1 - SUM_TOLERANCE):
        raise Invalid(
            f"Scores declared as {scores_are} sum to {total:.6g}; declare scores_are: top_k or "
            "independent if they are meant so.",
            loc=loc,
        )
    if low < 0 or high > 1:
        return {label: min(1.0, max(0.0, score)) for label, score in scores.items()}
    return scores


class Recorded(Struct, frozen=True, gc=False):
    """A prediction as it is kept.

    Attributes:
        text: what was sent, without its embedding, as JSON with sorted keys, absent fields left
            out and numbers as the shortest text that reads back as the same double.
        embedding: its elements as float32 bytes.
        digest: SHA-256 of both: the same content, whatever its spelling, has the same digest.
    """

    text: str
    embedding: bytes | None
    digest: bytes


def recorded(prediction: Prediction) -> Recorded:
    """What is kept of a prediction."""
    embedding = prediction.embedding
    if embedding is None:
        text = _sorted_json(prediction)
        return Recorded(text.decode(), None, hashlib.sha256(text).digest())
    text = _sorted_json(msgspec.structs.replace(prediction, embedding=None))
    vector = float32_bytes(embedding)
    return Recorded(text.decode(), vector, hashlib.sha256(text + b"\n" + vector).digest())


def float32_bytes(embedding: list[float]) -> bytes:
    """Little-endian IEEE 754 single precision, four bytes an element."""
    return struct.pack(f"<{len(embedding)}f", *embedding)


_sorted_json = msgspec.json.Encoder(order="sorted").encode


def _check_members(prediction: Prediction) -> None:
    assert prediction.members is not None, "the caller asked"
    names = set()
    for place, member in enumerate(prediction.members):
        if member.label is None and member.scores is None:
            raise Invalid("A member has a label or scores.", loc=("members", place))
        if member.name in names:
            raise Invalid(f"Two members are called {member.name!r}.", loc=("members", place))
        names.add(member.name)
        if member.scores is not None:
            checked_scores(member.scores, prediction.scores_are, ("members", place, "scores"))


# a browser skips blanks before a scheme, and tabs and line breaks within it
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_RUN_BY_BROWSERS = re.compile(
    r" *(?:(?:javascript|vbscript):|data:(?!image/(?!svg)))", re.IGNORECASE
)


def _check_uri(uri: str) -> None:
    if _CONTROL.search(uri) is not None:
        raise Invalid("Must not contain control characters.", loc=("subject", "uri"))
    if _RUN_BY_BROWSERS.match(uri) is not None:
        raise Invalid("A browser would run it; give the address itself.", loc=("subject", "uri"))


def _check_depth(output: Any) -> None:
    level = [output]
    for _ in range(DEPTH_MAX):
        level = [
            child
            for value in level
            if isinstance(value, dict | list)
            for child in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise Invalid(f"Output is nested more than {DEPTH_MAX} levels deep.", loc=("output",))
