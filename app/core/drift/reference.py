"""A reference: the distribution that a model was validated on, as bins with counts.

It is built from rows once (`build`) and never changes. Bins and counts depend on which rows there
were, not on their order, and so does the digest.
"""

import hashlib
import uuid
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Literal

import msgspec
import rfc8785
from msgspec import Struct

from app.core.drift.evaluate import REFERENCE_MIN, Insufficient
from app.core.drift.spec import Bins, CategoricalBins, ShareBins, cells_to_test
from app.core.drift.streams import Stream

WhyLeftOut = Literal["too_many_features", "too_many_texts"]


class LeftOut(Struct, frozen=True):
    """A feature that is not watched."""

    feature: str
    why: WhyLeftOut


class Kept(Struct, frozen=True, omit_defaults=True):
    """One stream as it is stored."""

    stream: str
    bins: Bins
    spec: str
    counts: list[int]
    expected: tuple[str, ...] = ()


class Document(Struct, frozen=True, omit_defaults=True):
    """What is stored of a reference: all of its streams, and what is not watched."""

    streams: tuple[Kept, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def counts(self) -> list[int]:
        """The histograms of all streams, one after the other."""
        return list(chain.from_iterable(kept.counts for kept in self.streams))


class Reference(Struct, frozen=True, dict=True, kw_only=True):
    """A version of a reference; all of it is immutable.

    Attributes:
        model_version: the only one whose predictions it is compared with; None: any.
        segment: the only one, as `key:value`; None: any.
        detector_id: of the model's detector when it was built.
        predictions: from how many it was built.
        source: where they came from.
    """

    id: uuid.UUID
    name: str
    version: int
    model: str
    model_version: str | None
    segment: str | None
    detector_id: uuid.UUID | None
    predictions: int
    document: Document
    digest: bytes
    source: Any
    created_at: datetime
    created_by: str

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        """In the order in which they are counted."""
        return streams_of(self.document)

    @cached_property
    def counts(self) -> list[int]:
        """The histograms of all streams, one after the other."""
        return self.document.counts


class Look(Struct, frozen=True):
    """What a person wants to know of one stream of a reference.

    Attributes:
        cells: length of its histogram.
        counted: how many predictions are counted in it.
        missing: how many of them had no such signal; None where such are not counted.
        why: it cannot be tested; None where it can.
    """

    stream: str
    kind: str
    cells: int
    counted: int
    missing: int | None
    testable: bool
    why: Insufficient | None


def streams_of(document: Document) -> tuple[Stream, ...]:
    """The streams, without their counts."""
    return tuple(Stream(one.stream, one.bins, one.expected) for one in document.streams)


def looks_at(document: Document) -> list[Look]:
    """What was built, and what is too thin to test."""
    return [_look(one) for one in document.streams]


def digest_of(
    document: Document,
    *,
    model: str,
    model_version: str | None,
    segment: str | None,
    detector: str | None,
) -> bytes:
    """SHA-256 over the content of a reference as RFC 8785 canonical JSON.

    Args:
        document: its streams; what is not watched does not count.
        model: whose predictions.
        model_version: of which version alone.
        segment: of which segment alone.
        detector: digest of the model's detector in hexadecimal.
    """
    content = {
        "model": model,
        "model_version": model_version,
        "segment": segment,
        "detector": detector,
        "streams": msgspec.to_builtins(document.streams),
    }
    return hashlib.sha256(rfc8785.dumps(content)).digest()


def _look(kept: Kept) -> Look:
    size = sum(cells_to_test(kept.bins, kept.counts))
    why: Insufficient | None = "reference_too_small" if size < REFERENCE_MIN else None
    return Look(
        stream=kept.stream,
        kind=msgspec.to_builtins(kept.bins)["kind"],
        cells=len(kept.counts),
        counted=size,
        missing=_missing_count(kept),
        testable=why is None,
        why=why,
    )


def _missing_count(kept: Kept) -> int | None:
    match kept.bins:
        case ShareBins():
            return None
        case CategoricalBins():
            return kept.counts[-2]
        case _:
            return kept.counts[-1]
