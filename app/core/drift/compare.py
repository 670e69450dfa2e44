"""Two histograms, or two sets of predictions, against each other, once and without a monitor."""

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from app.core.drift.evaluate import Evaluation, StreamWindow, evaluate
from app.core.drift.reference import Document, streams_of
from app.core.drift.spec import Bins, CategoricalBins, NumericBins
from app.core.drift.streams import split
from app.core.errors import Invalid

CELLS_MAX = 10_000


class Compared(Struct, frozen=True):
    """All streams of a reference against those of a window: one family of tests."""

    streams: list[Evaluation]


def compare_counts(
    reference: Sequence[int], window: Sequence[int], edges: Sequence[float] | None = None
) -> Compared:
    """Two histograms with the same cells.

    Args:
        reference: counts by cell.
        window: counts by cell.
        edges: between the cells, whose ends are open: one fewer than cells. With as many fewer by
            one more, the last cell holds what is missing. None: the cells have no order.

    Raises:
        Invalid: they do not fit together.
    """
    if len(reference) != len(window):
        raise Invalid(
            f"Must have as many cells as `reference`: {len(reference)}, not {len(window)}.",
            loc=("window",),
        )
    bins, empty = _bins(len(reference), edges)
    filling = [0] * empty
    one = StreamWindow("posted", bins, [*reference, *filling], [*window, *filling])
    return Compared(evaluate([one]))


def compare_windows(document: Document, window: Sequence[int]) -> Compared:
    """A window's counts, one stream after the other, against those of a reference."""
    streams = streams_of(document)
    return Compared(
        evaluate(
            [
                StreamWindow(kept.stream, kept.bins, kept.counts, counts)
                for kept, counts in zip(document.streams, split(streams, window), strict=True)
            ]
        )
    )


def _bins(cells: int, edges: Sequence[float] | None) -> tuple[Bins, int]:
    """Bins of so many cells, and how many these have beyond them."""
    if edges is None:
        # other, missing and unseen stay empty, and empty cells are left out
        return CategoricalBins(tuple(f"{cell}" for cell in range(cells)), None), 3
    if any(low >= high for low, high in pairwise(edges)):
        raise Invalid("Must rise from each edge to the next.", loc=("edges",))
    empty = len(edges) + 2 - cells
    if empty not in (0, 1):
        raise Invalid(
            f"Of {cells} cells there are {cells - 1} edges, or {cells - 2} when the last cell "
            f"holds what is missing; not {len(edges)}.",
            loc=("edges",),
        )
    return NumericBins(tuple(edges)), empty
