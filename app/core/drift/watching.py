"""What is counted of one prediction: its bucket, and a cell for each stream that watches it.

It is stored with the decision, so that everything that is counted can be counted again from the
rows. What one commit adds to the counts is a list of deltas, one for each reference, model version,
segment and bucket; they add up in any order, and `folded` says where each is added.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from operator import add
from typing import Any

import msgspec
from msgspec import Struct

from app.core.drift.reference import Reference
from app.core.drift.spec import cell_count
from app.core.drift.streams import (
    NOT_COUNTED,
    Cells,
    Stream,
    cells_of,
    counts_of,
    observation_of,
)
from app.core.drift.windows import Timing, fold_into, place
from app.core.routing.monitors import WHOLE
from app.core.routing.prediction import Signals

SEGMENT_BYTES_MAX = 1024
"""Of a segment that is counted apart: with the model's version it must fit into an index."""


class WatchedReference(Struct, frozen=True, eq=False):
    """A reference that predictions are counted against; `cells` finds theirs.

    `starts` are where the cells of each stream begin when all are put one after the other, and
    behind the last their number.
    """

    id: uuid.UUID
    model_version: str | None
    segment: tuple[str, str] | None
    streams: tuple[Stream, ...]
    cells: Cells
    starts: tuple[int, ...]

    @classmethod
    def of(cls, reference: Reference) -> "WatchedReference":
        """Ready to count."""
        key, _, value = (reference.segment or "").partition(":")
        streams = reference.streams
        return cls(
            reference.id,
            reference.model_version,
            (key, value) if reference.segment else None,
            streams,
            cells_of(streams, reference.detector_id),
            tuple(accumulate((cell_count(stream.bins) for stream in streams), initial=0)),
        )

    def fits(self, model_version: str, segment: Mapping[str, str]) -> bool:
        """Whether a prediction counts against it."""
        if self.model_version is not None and self.model_version != model_version:
            return False
        return self.segment is None or segment.get(self.segment[0]) == self.segment[1]


class Watch(Struct, frozen=True):
    """All that watches the predictions of one model: its timing, and its references by id."""

    timing: Timing
    references: tuple[WatchedReference, ...]

    def fitting(
        self, model_version: str, segment: Mapping[str, str]
    ) -> tuple[WatchedReference, ...]:
        """Those that a prediction counts against."""
        return tuple(one for one in self.references if one.fits(model_version, segment))


class Counted(Struct, frozen=True, gc=False):
    """Where one prediction counts.

    Attributes:
        bucket: of time.
        late: it counts by its receipt, and not by the time at which it occurred.
        references: those that it counts against.
        cells: a byte for each stream of the references, in their order.
    """

    bucket: int
    late: bool
    references: tuple[WatchedReference, ...]
    cells: bytes

    @property
    def watched(self) -> bytes:
        """The ids of the references, 16 bytes each."""
        return b"".join([one.id.bytes for one in self.references])


# [reference, model version, declared segment, bucket, predictions, late, counts], as JSON has it;
# the counts of one prediction alone are the places of its ones, since most are nought
Delta = list[Any]


class Ones(Struct, frozen=True, gc=False):
    """Counts of a single prediction: how many there are, and where they are 1."""

    of: int
    at: list[int]


class SeriesKey(Struct, frozen=True, order=True):
    """What is counted apart: a reference, a model version, and its whole or one of its segments."""

    reference: uuid.UUID
    model_version: str
    segment: str


class BucketCounts(Struct):
    """What a bucket of a series has, or what is added to it.

    Attributes:
        predictions: how many.
        late: of them, those that count by their receipt.
        moved: of them, those that came when their own bucket was closed.
        counts: the histograms of the reference's streams, one after the other.
    """

    predictions: int
    late: int
    moved: int
    counts: list[int]

    def add(self, other: "BucketCounts") -> None:
        """Add what another has."""
        self.predictions += other.predictions
        self.late += other.late
        self.moved += other.moved
        self.counts = list(map(add, self.counts, other.counts))


def counted(
    watch: Watch,
    signals: Signals,
    components: Sequence[float] | None,
    received_at: datetime,
    occurred_at: datetime | None,
) -> Counted | None:
    """Where a prediction counts; None when nothing watches it.

    Args:
        watch: what watches its model.
        signals: of the prediction, with what the model's detector says.
        components: of its embedding, as that detector projects it.
        received_at: by the clock of the replica.
        occurred_at: as it was posted.
    """
    prediction = signals.prediction
    references = watch.fitting(prediction.model_version, prediction.segment or {})
    if not references:
        return None
    observed = observation_of(signals, components)
    bucket, late = place(occurred_at, received_at, watch.timing)
    cells = b"".join([one.cells(observed) for one in references])
    return Counted(bucket, late, references, cells)


def deltas(rows: Iterable[tuple[str, str, Counted]]) -> list[Delta]:
    """What predictions of one project add, summed up.

    Args:
        rows: model version, declared segment as JSON text, and where it counts.
    """
    groups: defaultdict[tuple[Any, ...], list[Counted]] = defaultdict(list)
    for model_version, segment, one in rows:
        groups[one.references, model_version, segment, one.bucket].append(one)
    return [
        delta
        for (references, model_version, segment, bucket), alike in groups.items()
        for delta in _summed(references, model_version, segment, bucket, alike)
    ]


def single_deltas(model_version: str, segment: str, one: Counted) -> list[Delta]:
    """What one prediction adds, in the shorter form."""
    found: list[Delta] = []
    at = 0
    for reference in one.references:
        cells = one.cells[at : at + len(reference.streams)]
        at += len(reference.streams)
        places = [
            start + cell
            for start, cell in zip(reference.starts, cells, strict=False)
            if cell != NOT_COUNTED
        ]
        ones = Ones(reference.starts[-1], places)
        found.append(
            [str(reference.id), model_version, segment, one.bucket, 1, int(one.late), ones]
        )
    return found


def folded(
    deltas: Iterable[Delta], first_open: Mapping[uuid.UUID, int]
) -> dict[tuple[SeriesKey, int], BucketCounts]:
    """What deltas add, by series and bucket, in the order of these.

    Args:
        deltas: as they were read back.
        first_open: by reference, the first bucket of its model that is not closed.
    """
    by_text: dict[tuple[Any, ...], BucketCounts] = {}
    for name, model_version, segment, own, predictions, late, given in deltas:
        reference = uuid.UUID(name)
        bucket, moved = fold_into(own, first_open.get(reference, own))
        key = (reference, model_version, segment, bucket)
        has = by_text.get(key)
        if has is None:
            has = by_text[key] = BucketCounts(0, 0, 0, [0] * _size(given))
        has.predictions += predictions
        has.late += late
        has.moved += predictions if moved else 0
        _add(has.counts, given)
    return _by_series(by_text)


def segments_of(declared: Mapping[str, str]) -> list[str]:
    """The segments of a prediction that are counted apart, `source:tweets`.

    Args:
        declared: those of its values that the policy declares.
    """
    named = [f"{key}:{value}" for key, value in declared.items()]
    return [name for name in named if len(name.encode()) <= SEGMENT_BYTES_MAX]


def _summed(
    references: tuple[WatchedReference, ...],
    model_version: str,
    segment: str,
    bucket: int,
    alike: list[Counted],
) -> Iterable[Delta]:
    late = sum(one.late for one in alike)
    at = 0
    for reference in references:
        end = at + len(reference.streams)
        counts = counts_of(reference.streams, [one.cells[at:end] for one in alike])
        at = end
        yield [str(reference.id), model_version, segment, bucket, len(alike), late, counts]


def _size(given: Any) -> int:
    return len(given) if isinstance(given, list) else int(given["of"])


def _add(counts: list[int], given: Any) -> None:
    if isinstance(given, list):
        counts[:] = map(add, counts, given)
        return
    for place_ in given["at"]:
        counts[place_] += 1


def _by_series(
    by_text: Mapping[tuple[Any, ...], BucketCounts],
) -> dict[tuple[SeriesKey, int], BucketCounts]:
    found: dict[tuple[SeriesKey, int], BucketCounts] = {}
    for (reference, model_version, text, bucket), has in by_text.items():
        values: dict[str, str] = msgspec.json.decode(text)
        for segment in (WHOLE, *segments_of(values)):
            place_ = SeriesKey(reference, model_version, segment), bucket
            if place_ in found:
                found[place_].add(has)
            else:
                found[place_] = msgspec.structs.replace(has, counts=list(has.counts))
    return dict(sorted(found.items(), key=lambda entry: entry[0]))
