"""How strange an input is: a p-value against inputs that are known to be familiar.

A fitted detector turns an input into up to three raw scores, larger for stranger ones, and each
into a conformal p-value: the share of held-out familiar inputs that are at least as strange,
(1 + #{held out >= score}) / (held out + 1). For a familiar input each is at most alpha with a
probability of at most alpha, whatever the scores are and whatever the inputs look like (Vovk et al.
2005; Bates et al. 2023, arXiv:2104.08279). Of k scores, p = min(1, k min(p1, ..., pk))
(Bonferroni).

With an embedding the scores are

1. relative Mahalanobis distance (Ren et al. 2021, arXiv:2106.09022): the squared distance to the
   nearest class minus the one to all together, in the first principal components; without labels
   the latter alone. It sees what is odd in the directions in which familiar inputs differ.
2. the squared length of what the principal components leave out (the Q statistic of Jackson and
   Mudholkar 1979). It sees directions in which familiar inputs do not differ.
3. with labels, the distance to all together as well. The relative one is nearly blind where
   familiar inputs differ and their classes do not: of inputs ten standard deviations off in such a
   direction, 1 % were flagged without this score and all with it, and of familiar ones as few.

Without one there is a single score, made of the model's own: `strangeness` in `familiar`.

What is recorded as the score is the raw score that gave p, in standard deviations from its mean
over the held-out inputs, so that all are on one scale; of equal p-values the larger one counts.

A detector is kept as one blob whose bytes name it; all numbers in it are exact. Importing this
module imports numpy.
"""

import hashlib
import uuid
from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.drift.familiar import ScoresKind, kind_of, strangeness
from app.core.drift.judged import COMPONENTS_MAX, Judged
from app.core.errors import Invalid
from app.core.routing.prediction import Prediction, Unfamiliar

Floats = NDArray[np.float64]

TIE = 1e-9
"""Raw scores as close as this are equal: a product over a batch rounds otherwise than over one
vector, and a vector that was held out must count itself, whatever it is judged with."""
RESIDUAL_MIN = 1e-9
"""A smaller residual, as a share of the squared distance to the mean, is rounding."""


class Calibration(Struct, frozen=True):
    """One raw score over the held-out inputs.

    Attributes:
        scores: in ascending order, as little-endian doubles.
        mean: theirs.
        spread: their standard deviation; where they are all equal their size, or 1 if that is 0.
    """

    scores: bytes
    mean: float
    spread: float


class EmbeddingBlob(Struct, frozen=True, tag_field="format", tag="overrule-detector/embedding/1"):
    """A detector of strange embeddings; matrices are little-endian doubles, row by row.

    Attributes:
        dimension: of the embeddings.
        mean: of the familiar ones.
        axes: a column for each principal component, the one with the largest variance first.
        whitening: turns components so that their squared length is the Mahalanobis distance.
        class_whitening: the same within a class; None without classes.
        class_means: a row for each class, whitened; None without classes.
        distance: calibration of the (relative) Mahalanobis distance.
        residual: calibration of the residual; None where the components leave nothing out.
        overall: calibration of the distance to all together; None where `distance` is that.
    """

    dimension: int
    mean: bytes
    axes: bytes
    whitening: bytes
    class_whitening: bytes | None
    class_means: bytes | None
    distance: Calibration
    residual: Calibration | None
    overall: Calibration | None


class ScoresBlob(Struct, frozen=True, tag_field="format", tag="overrule-detector/scores/1"):
    """A detector of strange scores of the model: `probabilities` (also their top), or others."""

    scores_are: ScoresKind
    strangeness: Calibration


Blob = EmbeddingBlob | ScoresBlob
_decoder: "msgspec.msgpack.Decoder[Blob]" = msgspec.msgpack.Decoder(Blob)


class Measured(NamedTuple):
    """What is measured of vectors, by row."""

    p: Floats
    score: Floats
    components: Floats


class EmbeddingDetector:
    """A detector of strange embeddings, ready to judge."""

    def __init__(self, blob: EmbeddingBlob, detector_id: uuid.UUID, digest: str) -> None:
        self.id = detector_id
        self.digest = digest
        self.dimension = blob.dimension
        self.space = Space.of(blob)
        self.component_count = min(COMPONENTS_MAX, self.space.axes.shape[1])
        self._distance = Scale(blob.distance)
        self._residual = Scale(blob.residual) if blob.residual is not None else None
        self._overall = Scale(blob.overall) if blob.overall is not None else None

    def judge(self, predictions: Sequence[Prediction]) -> list[Judged | Invalid]:
        """Judge predictions together; an error stands for one that cannot be judged.

        A prediction is judged by its embedding as it is recorded, in single precision.
        """
        found: list[Judged | Invalid] = [Judged(Unfamiliar(None, None, self.id))] * len(predictions)
        places = []
        packed = array("f")
        for place, prediction in enumerate(predictions):
            embedding = prediction.embedding
            if embedding is None:
                continue
            if len(embedding) != self.dimension:
                found[place] = self._refusal(f"not {len(embedding)}")
            else:
                places.append(place)
                packed.extend(embedding)
        if places:
            vectors = np.frombuffer(packed, np.float32).reshape(len(places), self.dimension)
            for place, judged in zip(places, self._judge_vectors(vectors), strict=True):
                found[place] = judged
        return found

    def measure(self, vectors: NDArray[Any]) -> Measured:
        """The p-value, the score and the first components of each row of finite numbers."""
        raw = self.space.raw_of(vectors)
        p, score = self._distance.p_of(raw.distance), self._distance.standard(raw.distance)
        tests = 1
        for scale, other_raw in ((self._residual, raw.residual), (self._overall, raw.overall)):
            if scale is None:
                continue
            tests += 1
            other_p, other_score = scale.p_of(other_raw), scale.standard(other_raw)
            other = (other_p < p) | ((other_p == p) & (other_score > score))
            p, score = np.where(other, other_p, p), np.where(other, other_score, score)
        p = np.minimum(1.0, tests * p)
        return Measured(p, _rounded(score), _rounded(raw.components[:, : self.component_count]))

    def _judge_vectors(self, vectors: NDArray[np.float32]) -> list[Judged | Invalid]:
        finite: NDArray[Any] = np.asarray(np.isfinite(vectors).all(axis=1))
        usable: NDArray[Any] = finite & np.asarray(vectors.any(axis=1))
        everything = bool(usable.all())
        measured = self.measure(vectors if everything else vectors[usable])
        judged = [
            Judged(Unfamiliar(p, score, self.id), tuple(components))
            for p, score, components in zip(
                *(numbers.tolist() for numbers in measured), strict=True
            )
        ]
        if everything:
            return [*judged]
        rest = iter(judged)
        return [
            next(rest) if fits else self._refusal("not all 0" if known else "each of them finite")
            for fits, known in zip(usable.tolist(), finite.tolist(), strict=True)
        ]

    def _refusal(self, what: str) -> Invalid:
        return Invalid(
            f"The model's detector needs an embedding of {self.dimension} numbers, {what}.",
            loc=("embedding",),
        )


class ScoresDetector:
    """A detector of strange scores, ready to judge."""

    component_count = 0

    def __init__(self, blob: ScoresBlob, detector_id: uuid.UUID, digest: str) -> None:
        self.id = detector_id
        self.digest = digest
        self.scores_are = blob.scores_are
        self._scale = Scale(blob.strangeness)

    def judge(self, predictions: Sequence[Prediction]) -> list[Judged | Invalid]:
        """Judge predictions; scores of another kind than those it was fitted on are missing."""
        found: list[Judged | Invalid] = [Judged(Unfamiliar(None, None, self.id))] * len(predictions)
        strange = {
            place: strangeness(prediction.scores, prediction.scores_are)
            for place, prediction in enumerate(predictions)
            if prediction.scores is not None and kind_of(prediction.scores_are) == self.scores_are
        }
        raw = np.array([*strange.values()], np.float64)
        p, score = self._scale.p_of(raw).tolist(), self._scale.standard(raw).tolist()
        for at, place in enumerate(strange):
            found[place] = Judged(Unfamiliar(p[at], score[at], self.id))
        return found


Detector = EmbeddingDetector | ScoresDetector


def load(blob: bytes, detector_id: uuid.UUID) -> Detector:
    """A detector as `dump` wrote it.

    Raises:
        ValueError: of a format that is not known here.
    """
    read = _decoder.decode(blob)
    digest = hashlib.sha256(blob).hexdigest()
    if isinstance(read, EmbeddingBlob):
        return EmbeddingDetector(read, detector_id, digest)
    return ScoresDetector(read, detector_id, digest)


def dump(blob: Blob) -> bytes:
    """The bytes that are kept; the same content has the same bytes."""
    return msgspec.msgpack.encode(blob)


class Raw(NamedTuple):
    """Raw scores of vectors, and their components."""

    distance: Floats
    residual: Floats
    overall: Floats
    components: Floats


class Space(NamedTuple):
    """The principal components of familiar embeddings, and distances in them."""

    mean: Floats
    axes: Floats
    whitening: Floats
    class_whitening: Floats | None
    class_means: Floats | None

    @classmethod
    def of(cls, blob: EmbeddingBlob) -> "Space":
        """From what is kept."""
        mean = _read(blob.mean)
        axes = _read(blob.axes).reshape(blob.dimension, -1)
        size = axes.shape[1]
        within, means = blob.class_whitening, blob.class_means
        return cls(
            mean,
            axes,
            _read(blob.whitening).reshape(size, size),
            _read(within).reshape(size, size) if within is not None else None,
            _read(means).reshape(-1, size) if means is not None else None,
        )

    def raw_of(self, vectors: NDArray[Any]) -> Raw:
        """The raw scores of each row."""
        centred = vectors - self.mean
        components = centred @ self.axes
        # nothing overflows: what single precision holds has squares that double precision holds
        overall = distance = _squared(components @ self.whitening)
        if self.class_means is not None:
            distance = self._to_nearest_class(components) - overall
        length = _squared(centred)
        residual = length - _squared(components)
        residual[residual < RESIDUAL_MIN * length] = 0.0
        return Raw(distance, residual, overall, components)

    def _to_nearest_class(self, components: Floats) -> Floats:
        assert self.class_whitening is not None, "classes have a covariance"
        assert self.class_means is not None, "the caller asked"
        whitened = components @ self.class_whitening
        # |z - m|^2 = |z|^2 + |m|^2 - 2 z m: no array of rows x classes x components
        to_means = _squared(self.class_means) - 2 * (whitened @ self.class_means.T)
        nearest: Floats = _squared(whitened) + to_means.min(axis=1)
        return nearest


class Scale:
    """Turns one raw score into a p-value and into standard deviations."""

    def __init__(self, calibration: Calibration) -> None:
        self._scores = _read(calibration.scores)
        self._mean = calibration.mean
        self._spread = calibration.spread

    def p_of(self, raw: Floats) -> Floats:
        """(1 + how many held-out ones are at least as strange) / (1 + how many there are)."""
        strangest = len(self._scores)
        below = np.searchsorted(self._scores, raw - TIE * np.maximum(self._spread, np.abs(raw)))
        p: NDArray[Any] = (1.0 + strangest - below) / (strangest + 1.0)
        return p

    def standard(self, raw: Floats) -> Floats:
        """Standard deviations from the mean of the held-out ones."""
        standard: Floats = (raw - self._mean) / self._spread
        return standard


def _rounded(numbers: Floats) -> Floats:
    """To 24 binary digits.

    A product over a batch rounds otherwise than over one vector; the same vector must be counted in
    the same cell, whatever it is judged with.
    """
    mantissa, exponent = np.frexp(numbers)
    rounded: Floats = np.ldexp(np.round(mantissa * 2**24) / 2**24, exponent)
    return rounded


def _squared(rows: Floats) -> Floats:
    """The squared length of each row."""
    squared: Floats = np.einsum("ij,ij->i", rows, rows)
    return squared


def _read(numbers: bytes) -> Floats:
    return np.frombuffer(numbers, np.dtype("<f8"))
