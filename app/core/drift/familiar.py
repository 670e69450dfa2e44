"""What a detector is fitted on: rows that are known to be familiar, packed."""

import math
from array import array
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from app.core.errors import Invalid, TooLarge
from app.core.routing.prediction import (
    EMBEDDING_MAX,
    Float32,
    LabelText,
    Scores,
    ScoresAre,
    checked_scores,
)

ROWS_MIN = 2000
"""Half of them are held out: see `detector_fit`."""
ROWS_MAX = 50_000
ELEMENTS_MAX = 2**25
"""Numbers in all embeddings together: 128 MiB. More of them would not fit better."""
ENERGY_MAX = 1e100
"""Scores can be any doubles; the mean and the spread of energies must be doubles too."""

ScoresKind = Literal["probabilities", "independent"]


class FamiliarRow(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One familiar input: its embedding, or else what the model said of it."""

    embedding: Annotated[
        Annotated[list[Float32], Meta(min_length=1, max_length=EMBEDDING_MAX)] | None,
        Meta(description="All rows have one, of the same length; or none has."),
    ] = None
    label: Annotated[
        LabelText | None, Meta(description="Its class; with classes near misses are told better.")
    ] = None
    scores: Annotated[Scores | None, Meta(description="By label; only without embeddings.")] = None
    scores_are: ScoresAre = "probabilities"


class Training(Struct, frozen=True):
    """Rows, packed.

    Attributes:
        dimension: of the embeddings; 0 where there are none and `numbers` are raw scores.
        numbers: single precision of embeddings, row by row; double precision of raw scores.
        labels: of the rows; None where it is not known.
        scores_are: of what kind the scores are that raw scores were made of.
        left_out: rows that had nothing to fit on, or something else than the others.
    """

    dimension: int
    numbers: bytes
    labels: list[str | None]
    scores_are: ScoresKind = "probabilities"
    left_out: int = 0


class Sent:
    """Collects rows as they are sent; the first one tells what the others must have."""

    def __init__(self) -> None:
        self._embeddings = array("f")
        self._strange = array("d")
        self._labels: list[str | None] = []
        self._first: FamiliarRow | None = None

    def add(self, row: FamiliarRow) -> None:
        """One more row.

        Raises:
            Invalid: it is not like the first one, a zero vector, or its scores are not what they
                are said to be.
            TooLarge: there are as many as can be taken.
        """
        self._first = self._first or row
        if row.embedding is not None:
            _check_embedding(row.embedding, self._first)
            self._embeddings.extend(row.embedding)
        else:
            self._strange.append(_checked_strangeness(row, self._first))
        self._labels.append(row.label)
        if len(self._labels) > ROWS_MAX or len(self._embeddings) > ELEMENTS_MAX:
            raise TooLarge(
                f"A detector is fitted on at most {ROWS_MAX} rows with at most {ELEMENTS_MAX} "
                "numbers in all embeddings together."
            )

    def training(self) -> Training:
        """What there is to fit on.

        Raises:
            Invalid: too few rows.
        """
        first = self._first
        if first is None or len(self._labels) < ROWS_MIN:
            raise too_few(f"{len(self._labels)} were sent")
        if first.embedding is None:
            return Training(0, self._strange.tobytes(), self._labels, kind_of(first.scores_are))
        return Training(len(first.embedding), self._embeddings.tobytes(), self._labels)


class Recorded:
    """Collects recorded predictions, the newest first; that one tells what the others must have."""

    def __init__(self) -> None:
        self._embeddings = bytearray()
        self._embedding_bytes = 0
        self._labels: list[str | None] = []
        self._strange = array("d")
        self._scores_are: ScoresKind | None = None
        self._seen = 0

    @property
    def full(self) -> bool:
        """Whether no more are taken."""
        elements = len(self._embeddings) + self._embedding_bytes
        return self._seen >= ROWS_MAX or elements > 4 * ELEMENTS_MAX

    def add_embedding(self, embedding: bytes, label: str | None) -> None:
        """One with an embedding, as it is recorded."""
        self._seen += 1
        self._embedding_bytes = self._embedding_bytes or len(embedding)
        if len(embedding) == self._embedding_bytes and any(embedding):
            self._embeddings += embedding
            self._labels.append(label)

    def add_scores(self, scores: Mapping[str, float] | None, scores_are: ScoresAre) -> None:
        """One without an embedding."""
        self._seen += 1
        self._scores_are = self._scores_are or kind_of(scores_are)
        if scores is not None and kind_of(scores_are) == self._scores_are:
            self._strange.append(strangeness(scores, scores_are))

    def training(self) -> Training:
        """What there is to fit on: embeddings, if there are enough, or else scores.

        Raises:
            Invalid: there is too little of both.
        """
        if len(self._labels) >= ROWS_MIN:
            return Training(
                self._embedding_bytes // 4,
                bytes(self._embeddings),
                self._labels,
                left_out=self._seen - len(self._labels),
            )
        if len(self._strange) >= ROWS_MIN:
            return Training(
                0,
                self._strange.tobytes(),
                [None] * len(self._strange),
                self._scores_are or "probabilities",
                self._seen - len(self._strange),
            )
        raise too_few(
            f"the range holds {self._seen} predictions of the model, {len(self._labels)} with an "
            f"embedding and {len(self._strange)} others with scores"
        )


def kind_of(scores_are: ScoresAre) -> ScoresKind:
    """What is comparable: the highest of all probabilities and of the top few is the same."""
    return "independent" if scores_are == "independent" else "probabilities"


def strangeness(scores: Mapping[str, float], scores_are: ScoresAre) -> float:
    """The raw score of a model's scores; larger is stranger.

    1 - the highest probability (Hendrycks and Gimpel 2017, arXiv:1610.02136), or the energy
    -ln sum exp of independent scores (Liu et al. 2020, arXiv:2010.03759).
    """
    highest = max(scores.values())
    if scores_are != "independent":
        return 1.0 - min(1.0, max(0.0, highest))
    energy = -highest - math.log(math.fsum(math.exp(one - highest) for one in scores.values()))
    return max(-ENERGY_MAX, min(ENERGY_MAX, energy))


def too_few(found: str) -> Invalid:
    """Why nothing can be fitted."""
    return Invalid(
        f"A detector needs {ROWS_MIN} rows with an embedding or, without any, with scores; "
        f"{found}.",
        loc=("rows",),
    )


def _check_embedding(embedding: list[float], first: FamiliarRow) -> None:
    if first.embedding is None or len(embedding) != len(first.embedding):
        expected = "none" if first.embedding is None else f"one of {len(first.embedding)} numbers"
        raise Invalid(f"The first row has {expected}; all rows must be alike.", loc=("embedding",))
    if not any(embedding):
        raise Invalid("Must not be all 0.", loc=("embedding",))


def _checked_strangeness(row: FamiliarRow, first: FamiliarRow) -> float:
    if first.embedding is not None:
        raise Invalid("The first row has one; all rows must be alike.", loc=("embedding",))
    if row.scores is None:
        raise Invalid("A row has an embedding or scores.", loc=("scores",))
    if kind_of(row.scores_are) != kind_of(first.scores_are):
        raise Invalid("All rows must be of the same kind.", loc=("scores_are",))
    return strangeness(checked_scores(row.scores, row.scores_are, ("scores",)), row.scores_are)
