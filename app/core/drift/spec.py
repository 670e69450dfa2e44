"""Where a value is counted: bins, fixed for ever by a reference and named by their content.

Two histograms may be compared or merged only when their bins have the same `spec_id`. The last
cell of a histogram (of categorical ones the last but one) holds what is missing; shares have none:
what does not apply is not counted.
"""

import hashlib
import math
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, assert_never

import msgspec
import rfc8785
from msgspec import Struct

Value = float | bool | str | None
CellOf = Callable[[Any], int]

CATEGORIES_MAX = 50
"""Cells of a categorical histogram besides `other`, `missing` and `unseen`."""
RARE_MAX = 1000
"""Categories remembered as seen although they are counted as `other`."""
UNSEEN_SHARE_MAX = 0.005
"""A share of categories that the reference did not have, above which they are an alarm."""
CONFIDENCE_CELLS = 20


class NumericBins(Struct, frozen=True, tag_field="kind", tag="numeric"):
    """Cells between `edges`, open at both ends: cell i holds edges[i - 1] <= value < edges[i].

    What is no number (a text, NaN) is missing. Without edges, as after a reference in which
    everything was missing, there are two cells: present, whatever it is, and missing.
    """

    edges: tuple[float, ...]


class ComponentBins(Struct, frozen=True, tag_field="kind", tag="component"):
    """As numeric, of one component of an embedding.

    The component is what the detector with the digest `detector` projects to; under another
    detector the same number means something else, so its digest is part of the specification.
    """

    detector: str
    component: int
    edges: tuple[float, ...]


class CategoricalBins(Struct, frozen=True, tag_field="kind", tag="categorical"):
    """A cell for each of `categories`, then `other`, `missing`, `unseen`.

    `rare` are the further categories of the reference, counted as `other`. None: the vocabulary is
    open, new categories were the rule in the reference already; so none is called unseen.
    """

    categories: tuple[str, ...]
    rare: tuple[str, ...] | None


class ConfidenceBins(Struct, frozen=True, tag_field="kind", tag="confidence"):
    """Equal cells on [0, 1], then `missing`."""

    cells: int = CONFIDENCE_CELLS


class ShareBins(Struct, frozen=True, tag_field="kind", tag="share"):
    """Two cells, no and yes: how often something happens."""


Bins = NumericBins | ComponentBins | CategoricalBins | ConfidenceBins | ShareBins


def spec_id(bins: Bins) -> str:
    """SHA-256 over the bins as RFC 8785 canonical JSON, in hexadecimal."""
    return hashlib.sha256(rfc8785.dumps(msgspec.to_builtins(bins))).hexdigest()


def feature_bins(values: Iterable[Value]) -> NumericBins | CategoricalBins:
    """Bins of a feature: numeric when most of the values that are there are numbers.

    Most and not all, since one "n/a" among numbers must not make a category of each number.
    """
    present = _present(values)
    numbers = sum(1 for value in present if not isinstance(value, bool | str))
    if 2 * numbers > len(present) or not present:
        return numeric_bins(present)
    return categorical_bins(present)


def numeric_bins(values: Iterable[Value]) -> NumericBins:
    """Deciles of the numbers among `values`; a decile that occurs twice gets a cell of its own.

    Without that cell a constant column could never drift upwards, and in a column with many zeros
    a zero would be counted together with the small numbers.
    """
    return NumericBins(_deciles(values))


def component_bins(values: Iterable[float], *, detector: str, component: int) -> ComponentBins:
    """Deciles of one component of the reference's embeddings, as `detector` projects them."""
    return ComponentBins(detector, component, _deciles(values))


def categorical_bins(values: Iterable[Value]) -> CategoricalBins:
    """The most frequent categories of `values`, of equals the first by name.

    The vocabulary is open when more of the reference than `UNSEEN_SHARE_MAX` are categories that
    occur once: that is the share of new ones to expect without any drift (Good 1953).
    """
    seen = Counter(_text(value) for value in _present(values))
    ordered = sorted(seen, key=lambda text: (-seen[text], text))
    once = sum(1 for count in seen.values() if count == 1)
    rest = ordered[CATEGORIES_MAX:]
    is_open = once > UNSEEN_SHARE_MAX * seen.total() or len(rest) > RARE_MAX
    return CategoricalBins(
        tuple(sorted(ordered[:CATEGORIES_MAX])), None if is_open else tuple(sorted(rest))
    )


def cell_finder(bins: Bins) -> CellOf:
    """A function from a value to its cell; made once, called for every prediction."""
    match bins:
        case NumericBins(edges=edges) | ComponentBins(edges=edges):
            return _numeric_finder(edges)
        case CategoricalBins(categories=categories, rare=rare):
            return _categorical_finder(categories, rare)
        case ConfidenceBins(cells=cells):
            return _confidence_finder(cells)
        case ShareBins():
            return bool
        case _:
            assert_never(bins)


def cell_count(bins: Bins) -> int:
    """The length of a histogram."""
    match bins:
        case NumericBins(edges=edges) | ComponentBins(edges=edges):
            return len(edges) + 2
        case CategoricalBins(categories=categories):
            return len(categories) + 3
        case ConfidenceBins(cells=cells):
            return cells + 1
        case ShareBins():
            return 2
        case _:
            assert_never(bins)


def counted(bins: Bins, values: Iterable[Any]) -> list[int]:
    """The histogram of `values`."""
    counts = [0] * cell_count(bins)
    cell_of = cell_finder(bins)
    for value in values:
        counts[cell_of(value)] += 1
    return counts


def merged(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """The histogram of both; they have the same `spec_id`.

    Raises:
        ValueError: their lengths differ, so they cannot.
    """
    return [mine + yours for mine, yours in zip(one, other, strict=True)]


def cells_to_test(bins: Bins, counts: Sequence[int]) -> list[int]:
    """The cells that a test compares: categories that are unseen belong to `other`."""
    if not isinstance(bins, CategoricalBins):
        return list(counts)
    *cells, unseen = counts
    cells[len(bins.categories)] += unseen
    return cells


def unseen_count(bins: Bins, counts: Sequence[int]) -> int | None:
    """How many had a category that the reference did not have; None where that cannot be told."""
    if isinstance(bins, CategoricalBins) and bins.rare is not None:
        return counts[-1]
    return None


def places_of(bins: Bins) -> list[float] | None:
    """Where on the number line the cells lie, in their order, the missing one left out.

    A cell between two edges lies in their middle, an open end at its edge. What moves beyond the
    outermost edges is therefore seen, and how far it moves is not. None: cells have no order.
    """
    match bins:
        case NumericBins(edges=edges) | ComponentBins(edges=edges):
            if not edges:
                return [0.0]
            inner = [low / 2 + high / 2 for low, high in pairwise(edges)]
            return [edges[0], *inner, edges[-1]]
        case ConfidenceBins(cells=cells):
            return [(cell + 0.5) / cells for cell in range(cells)]
        case ShareBins():
            return [0.0, 1.0]
        case CategoricalBins():
            return None
        case _:
            assert_never(bins)


def _deciles(values: Iterable[Value]) -> tuple[float, ...]:
    # canonical JSON has no infinity and no negative zero; both are kept in their order
    ordered = sorted(
        max(-sys.float_info.max, min(sys.float_info.max, value)) + 0.0
        for value in _present(values)
        if not isinstance(value, str)
    )
    if not ordered:
        return ()
    deciles = Counter(ordered[tenth * len(ordered) // 10] for tenth in range(1, 10))
    beyond = {math.nextafter(value, math.inf) for value, times in deciles.items() if times > 1}
    return tuple(sorted(edge for edge in deciles.keys() | beyond if math.isfinite(edge)))


def _present(values: Iterable[Value]) -> list[float | bool | str]:
    # only NaN differs from itself
    return [value for value in values if value is not None and value == value]  # noqa: PLR0124


def _text(value: float | bool | str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value))


def _numeric_finder(edges: tuple[float, ...]) -> CellOf:
    missing = len(edges) + 1

    def cell_of(value: Any) -> int:
        if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
            return missing
        try:
            return bisect_right(edges, value)
        except TypeError:
            return missing

    return cell_of


def _categorical_finder(categories: tuple[str, ...], rare: tuple[str, ...] | None) -> CellOf:
    other = len(categories)
    missing, unseen = other + 1, other + 2
    cells = dict.fromkeys(rare or (), other)
    cells.update((category, cell) for cell, category in enumerate(categories))
    elsewhere = other if rare is None else unseen

    def cell_of(value: Any) -> int:
        if value.__class__ is str:
            return cells.get(value, elsewhere)
        if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
            return missing
        return cells.get(_text(value), elsewhere)

    return cell_of


def _confidence_finder(cells: int) -> CellOf:
    last = cells - 1

    def cell_of(value: Any) -> int:
        if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
            return cells
        # float noise beyond the ends is clipped, as it is for rules
        if value >= 1:
            return last
        return int(value * cells) if value > 0 else 0

    return cell_of
