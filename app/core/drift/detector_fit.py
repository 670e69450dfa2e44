"""Fitting a detector: principal components, covariances, and what is held out to calibrate it.

Which rows are held out is told by their content, so that the same rows give the same detector and
rows that occur twice are not on both sides. Importing this module imports numpy and scipy.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular

from app.core.drift.detector import (
    TIE,
    Calibration,
    EmbeddingBlob,
    Floats,
    ScoresBlob,
    Space,
    dump,
)
from app.core.drift.familiar import Training
from app.core.errors import Invalid

Vectors = NDArray[np.float32]

HELD_OUT_MIN = 1000
"""Of familiar inputs 1 % or less have p <= 0.01 on average over what is held out. With so many the
share of one detector is within 0.3 points of that (one standard deviation)."""
HELD_OUT_MAX = 10_000
HELD_OUT_SHARE = 0.2
COMPONENTS_FITTED_MAX = 128
ROWS_PER_COMPONENT = 10
CLASS_ROWS_MIN = 10
"""A label of fewer rows is no class: its mean would be these rows themselves."""
CLASSES_MIN = 2
"""The distance to a single class minus that to everything would be about nothing."""
VARIANCE_MIN = 1e-9
"""A component of a smaller share of the largest one's variance is rounding."""
RIDGE = 1e-9
"""Added to a covariance, as a share of the mean variance: identical rows of a class have none."""
CHUNK_ROWS = 4096


class Fitted(Struct, frozen=True):
    """A detector as it is kept, and what is shown of it."""

    blob: bytes
    summary: dict[str, Any]

    @property
    def digest(self) -> bytes:
        """SHA-256 over the blob."""
        return hashlib.sha256(self.blob).digest()


class Split(Struct, frozen=True):
    """Indexes of the rows to fit on and of those that are held out."""

    fitted: NDArray[np.intp]
    held_out: NDArray[np.intp]


class Shape(Struct, frozen=True):
    """What is learnt from the rows to fit on; `labels` are those of its classes."""

    space: Space
    summary: dict[str, Any]


def learnt_from(training: Training) -> tuple[Shape, Vectors]:
    """The shape of embeddings, and those that were held out from it.

    Raises:
        Invalid: the embeddings do not differ.
    """
    vectors = np.frombuffer(training.numbers, np.dtype("<f4")).reshape(-1, training.dimension)
    parts = split(vectors)
    labels = [training.labels[row] for row in parts.fitted]
    shape = shape_of(vectors[parts.fitted], labels)
    return shape, vectors[parts.held_out]


def split(rows: NDArray[Any]) -> Split:
    """Hold a fifth of the rows out, but at least 1,000 and at most 10,000.

    Args:
        rows: vectors or numbers, at least twice 1,000.
    """
    count = len(rows)
    held_out = min(max(HELD_OUT_MIN, int(count * HELD_OUT_SHARE)), HELD_OUT_MAX)
    assert held_out < count, "the caller asks for enough rows"
    digests = [hashlib.sha256(row.tobytes()).digest() for row in rows]
    order = np.array(sorted(range(count), key=digests.__getitem__), np.intp)
    return Split(fitted=order[held_out:], held_out=order[:held_out])


def shape_of(vectors: Vectors, labels: Sequence[str | None]) -> Shape:
    """Learn what familiar embeddings look like.

    Args:
        vectors: finite, a row for each embedding.
        labels: of the rows; None where it is not known.

    Raises:
        Invalid: the embeddings do not differ.
    """
    mean, axes, explained = _principal_components(vectors)
    components = np.concatenate([(part - mean) @ axes for part in _parts(vectors)])
    classes = _classes(labels)
    if len(classes) < CLASSES_MIN:
        covariance, shrinkage = ledoit_wolf(components)
        space = Space(mean, axes, _whitening(covariance, covariance), None, None)
    else:
        space, shrinkage = _with_classes(mean, axes, components, classes)
    summary = {
        "kind": "embedding",
        "score": "mahalanobis" if space.class_means is None else "relative_mahalanobis",
        "dimension": len(mean),
        "components": axes.shape[1],
        "variance_explained": explained,
        "shrinkage": shrinkage,
        "classes": 0 if space.class_means is None else len(classes),
        "fitted_on": len(vectors),
    }
    return Shape(space, summary)


def calibrated(shape: Shape, held_out: Vectors) -> Fitted:
    """The detector of a shape, calibrated by vectors that it was not learnt from."""
    space = shape.space
    raw = [space.raw_of(part) for part in _parts(held_out)]
    has_rest = space.axes.shape[1] < space.axes.shape[0]
    has_classes = space.class_means is not None
    blob = EmbeddingBlob(
        dimension=len(space.mean),
        mean=_written(space.mean),
        axes=_written(space.axes),
        whitening=_written(space.whitening),
        class_whitening=None if space.class_whitening is None else _written(space.class_whitening),
        class_means=None if space.class_means is None else _written(space.class_means),
        distance=calibration(np.concatenate([part.distance for part in raw])),
        residual=calibration(np.concatenate([part.residual for part in raw])) if has_rest else None,
        overall=calibration(np.concatenate([part.overall for part in raw]))
        if has_classes
        else None,
    )
    scores = 1 + has_rest + has_classes
    return Fitted(dump(blob), {**shape.summary, **_calibrated_on(len(held_out), scores)})


def fit_scores(training: Training) -> Fitted:
    """The detector of a model's scores; nothing is learnt, so that all rows calibrate it."""
    strange = np.frombuffer(training.numbers, np.float64)
    blob = ScoresBlob(training.scores_are, calibration(strange))
    score = "energy" if training.scores_are == "independent" else "max_probability"
    summary = {"kind": "scores", "score": score, **_calibrated_on(len(strange), 1)}
    return Fitted(dump(blob), summary)


def calibration(raw: Floats) -> Calibration:
    """A raw score over held-out inputs."""
    spread, mean = float(raw.std()), float(raw.mean())
    if spread <= TIE * abs(mean):
        # all equal, but for rounding
        spread = abs(mean)
    return Calibration(_written(np.sort(raw)), mean, spread or 1.0)


def ledoit_wolf(rows: Floats) -> tuple[Floats, float]:
    """The covariance of rows whose mean is 0, drawn towards a multiple of the identity.

    Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88: of all such mixtures the one that is expected to be nearest
    to the true covariance.

    Returns:
        The mixture, and the share of the identity in it.
    """
    count, size = rows.shape
    sample = rows.T @ rows / count
    target = np.trace(sample) / size
    distance = (np.sum(sample**2) - size * target**2) / size
    lengths = np.einsum("ij,ij->i", rows, rows)
    noise = (np.sum(lengths**2) / count - np.sum(sample**2)) / (count * size)
    share = float(min(1.0, max(0.0, noise) / distance)) if distance > 0 else 0.0
    return _mixed(sample, share), share


def _mixed(sample: Floats, share: float) -> Floats:
    size = len(sample)
    mixed: Floats = (1 - share) * sample + share * np.trace(sample) / size * np.eye(size)
    return mixed


def _with_classes(
    mean: Floats, axes: Floats, components: Floats, classes: list[NDArray[np.intp]]
) -> tuple[Space, float]:
    """With the distance to the nearest class; all classes share one covariance.

    It and that of everything are mixed with the same share of their identities. Then the latter is
    the larger one in every direction, and the relative distance grows without bound whichever way
    an input leaves what is familiar; with a share each it could fall.
    """
    means = np.stack([components[rows].mean(axis=0) for rows in classes])
    around = [components[rows] - centre for rows, centre in zip(classes, means, strict=True)]
    within, share = ledoit_wolf(np.concatenate(around))
    together = np.concatenate(classes)
    everything = _mixed(components[together].T @ components[together] / len(together), share)
    class_whitening = _whitening(within, everything)
    whitening = _whitening(everything, everything)
    return Space(mean, axes, whitening, class_whitening, means @ class_whitening), share


def _whitening(covariance: Floats, everything: Floats) -> Floats:
    """W with W Wᵀ the inverse of the covariance: |x W|² is the Mahalanobis distance of x."""
    size = len(covariance)
    ridge = RIDGE * np.trace(everything) / size
    lower = np.linalg.cholesky(covariance + ridge * np.eye(size))
    whitening: Floats = solve_triangular(lower, np.eye(size), lower=True).T
    return whitening


def _principal_components(vectors: Vectors) -> tuple[Floats, Floats, float]:
    """The mean, the axes with the largest variance first, and the share that these explain."""
    count, dimension = vectors.shape
    mean: Floats = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dimension, dimension))
    for part in _parts(vectors):
        centred = part - mean
        covariance += centred.T @ centred
    covariance /= count
    total = float(np.trace(covariance))
    if total <= np.finfo(np.float32).eps ** 2 * float(mean @ mean):
        raise Invalid("The embeddings are all equal; no other can be told from them.")
    kept = max(1, min(COMPONENTS_FITTED_MAX, dimension, count // ROWS_PER_COMPONENT))
    values, axes = eigh(covariance, subset_by_index=[dimension - kept, dimension - 1])
    real = values > VARIANCE_MIN * values[-1]
    values, axes = values[real][::-1], axes[:, real][:, ::-1]
    # an axis has two directions: the one in which its largest element is positive
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return mean, np.ascontiguousarray(axes * np.sign(largest)), float(values.sum()) / total


def _classes(labels: Sequence[str | None]) -> list[NDArray[np.intp]]:
    """The rows of each label that has enough of them, by the label's name."""
    counts = Counter(label for label in labels if label is not None)
    by_label: dict[str, list[int]] = {
        label: [] for label in sorted(counts) if counts[label] >= CLASS_ROWS_MIN
    }
    for row, label in enumerate(labels):
        if label in by_label:
            by_label[label].append(row)
    return [np.array(rows, np.intp) for rows in by_label.values()]


def _parts(vectors: Vectors) -> Iterator[Floats]:
    """The rows in double precision, some thousands at a time."""
    for start in range(0, len(vectors), CHUNK_ROWS):
        yield vectors[start : start + CHUNK_ROWS].astype(np.float64)


def _calibrated_on(count: int, scores: int) -> dict[str, Any]:
    return {"calibrated_on": count, "smallest_p": scores / (count + 1)}


def _written(numbers: Floats) -> bytes:
    return np.ascontiguousarray(numbers, np.dtype("<f8")).tobytes()
