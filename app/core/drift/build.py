"""From rows to a reference: which streams they make, in which bins."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import msgspec

from app.core.drift.reference import Document, Kept, LeftOut
from app.core.drift.spec import (
    Bins,
    CategoricalBins,
    ConfidenceBins,
    ShareBins,
    Value,
    categorical_bins,
    cell_count,
    component_bins,
    counted,
    feature_bins,
    numeric_bins,
    spec_id,
)
from app.core.drift.streams import (
    CELLS_MAX,
    COMPONENT,
    CONFIDENCE,
    DISAGREEMENT,
    EMBEDDING,
    FEATURE,
    LABEL,
    MISSING,
    OUT_OF_DISTRIBUTION,
    OUT_OF_DISTRIBUTION_P,
    SCORE,
    Observation,
)
from app.core.errors import Invalid, TooLarge

ROWS_MAX = 100_000
FEATURES_MAX = 100
NAMES_MAX = 200
"""Different features in all rows; more are values that were sent as names."""
TEXTS_MAX = 10_000
TEXTS_LENGTH_MAX = 2**18
"""Different texts of one feature, and their characters together; more are ids or prose."""
EXPECTED_SHARE = 0.95
DOCUMENT_BYTES_MAX = 4 * 2**20


class Rows:
    """Rows on their way into a reference: of each stream only its values are kept."""

    def __init__(self, detector: str | None = None) -> None:
        """Start without rows.

        Args:
            detector: digest of the model's detector in hexadecimal; None without one.
        """
        self._detector = detector
        self._label = _Column()
        self._confidence = _Column()
        self._disagreement = _Column()
        self._features: dict[str, _Column] = {}
        self._components: list[array[float]] = []
        self._scores: array[float] = array("d")
        self._out_of_distribution = Counter[bool]()
        # which signals were there, a bit each, and in how many rows just these
        self._bits: dict[str, int] = {}
        self._patterns = Counter[int]()

    def __len__(self) -> int:
        return self._patterns.total()

    def add_all(self, observed: Iterable[Observation]) -> None:
        """Take rows; as `add`."""
        for one in observed:
            self.add(one)

    def add(self, observed: Observation) -> None:
        """Take one row.

        Raises:
            TooLarge: it is one too many.
            Invalid: the rows name too many features.
        """
        if len(self._label) == ROWS_MAX:
            raise TooLarge(f"A reference is made of at most {ROWS_MAX} rows.", loc=("rows",))
        pattern = self._bit(EMBEDDING) if observed.embedded else 0
        for name, column, value in (
            (LABEL, self._label, observed.label),
            (CONFIDENCE, self._confidence, observed.confidence),
            (DISAGREEMENT, self._disagreement, observed.disagreement),
        ):
            column.add(value)
            if value is not None:
                pattern |= self._bit(name)
        for feature, value in observed.features.items():
            self._feature(feature).add(value)
            if value is not None:
                pattern |= self._bit(FEATURE + feature)
        self._patterns[pattern] += 1
        if self._detector is not None:
            self._add_unfamiliar(observed)

    def document(self) -> Document:
        """The reference that the rows make.

        Raises:
            Invalid: there are none; or a text that cannot be kept.
            TooLarge: what it would have to remember of texts.
        """
        rows = len(self)
        if not rows:
            raise Invalid("A reference needs at least one prediction.", loc=("rows",))
        watched, left_out = self._chosen_features()
        kept = [
            _kept(LABEL, categorical_bins(self._label.values(rows)), self._label.values(rows)),
            _kept(CONFIDENCE, ConfidenceBins(), self._confidence.values(rows)),
        ]
        if self._disagreement.present:
            bins = numeric_bins(self._disagreement.values(rows))
            kept.append(_kept(DISAGREEMENT, bins, self._disagreement.values(rows)))
        for name in watched:
            column = self._features[name]
            bins_of = feature_bins(column.values(rows))
            kept.append(_kept(FEATURE + name, bins_of, column.values(rows)))
        kept += self._unfamiliar(rows)
        kept.append(self._missing(rows, [one.stream for one in kept]))
        document = Document(tuple(kept), tuple(left_out))
        _check(document)
        return document

    def _bit(self, signal: str) -> int:
        return self._bits.setdefault(signal, 1 << len(self._bits))

    def _feature(self, name: str) -> "_Column":
        column = self._features.get(name)
        if column is None:
            if len(self._features) == NAMES_MAX:
                raise Invalid(
                    f"The rows have more than {NAMES_MAX} different features.", loc=("features",)
                )
            column = self._features[name] = _Column(TEXTS_MAX, TEXTS_LENGTH_MAX)
        return column

    def _add_unfamiliar(self, observed: Observation) -> None:
        if observed.components is not None:
            if not self._components:
                self._components = [array("d") for _ in observed.components]
            for column, value in zip(self._components, observed.components, strict=True):
                column.append(value)
        if observed.score is not None:
            self._scores.append(observed.score)
        if observed.p is not None:
            self._out_of_distribution[observed.p <= OUT_OF_DISTRIBUTION_P] += 1

    def _chosen_features(self) -> tuple[list[str], list[LeftOut]]:
        """Those most often there, of equals the first by name; and the others, with the reason."""
        left_out = [
            LeftOut(name, "too_many_texts")
            for name, column in self._features.items()
            if column.has_too_many_texts
        ]
        rest = self._features.keys() - {one.feature for one in left_out}
        ordered = sorted(rest, key=lambda name: (-self._features[name].present, name))
        left_out += [LeftOut(name, "too_many_features") for name in ordered[FEATURES_MAX:]]
        return sorted(ordered[:FEATURES_MAX]), sorted(left_out, key=lambda one: one.feature)

    def _unfamiliar(self, rows: int) -> list[Kept]:
        if self._detector is None or not self._scores:
            return []
        kept = []
        for component, column in enumerate(self._components):
            bins = component_bins(column, detector=self._detector, component=component)
            values = chain(column, repeat(None, rows - len(column)))
            kept.append(_kept(f"{COMPONENT}{component}", bins, values))
        without = repeat(None, rows - len(self._scores))
        kept.append(_kept(SCORE, numeric_bins(self._scores), chain(self._scores, without)))
        far = self._out_of_distribution
        kept.append(_kept(OUT_OF_DISTRIBUTION, ShareBins(), far.elements()))
        return kept

    def _missing(self, rows: int, streams: Sequence[str]) -> Kept:
        expected = [
            signal
            for signal in (*streams, EMBEDDING)
            if self._rows_with(self._bits.get(signal, 0)) >= EXPECTED_SHARE * rows
        ]
        complete = sum(self._bits[signal] for signal in expected)
        without = rows - self._rows_with(complete) if expected else 0
        values = chain(repeat(True, without), repeat(False, rows - without))
        return _kept(MISSING, ShareBins(), values, tuple(expected))

    def _rows_with(self, bits: int) -> int:
        """How many rows have all of these signals; none where it is not even one signal."""
        if not bits:
            return 0
        return sum(count for pattern, count in self._patterns.items() if pattern & bits == bits)


class _Column:
    """The values of one signal, whatever they are, in few bytes a row."""

    def __init__(self, texts_max: int | None = None, length_max: int = 0) -> None:
        self.rows = 0
        self.present = 0
        self.has_too_many_texts = False
        self._numbers: array[float] = array("d")
        self._others = Counter[str | bool]()
        self._texts_max = texts_max
        self._length_max = length_max
        self._length = 0

    def __len__(self) -> int:
        return self.rows

    def add(self, value: Value) -> None:
        self.rows += 1
        if value is None:
            return
        self.present += 1
        if isinstance(value, str | bool):
            self._add_other(value)
        else:
            self._numbers.append(value)

    def values(self, rows: int) -> Iterator[Value]:
        """Those of all rows, those without the signal included, in no order."""
        return chain(self._numbers, self._others.elements(), repeat(None, rows - self.present))

    def _add_other(self, value: str | bool) -> None:
        if self.has_too_many_texts:
            return
        self._others[value] += 1
        if self._texts_max is None or self._others[value] > 1 or isinstance(value, bool):
            return
        self._length += len(value)
        if len(self._others) > self._texts_max or self._length > self._length_max:
            self.has_too_many_texts = True
            self._others.clear()


def _kept(stream: str, bins: Bins, values: Any, expected: tuple[str, ...] = ()) -> Kept:
    assert cell_count(bins) <= CELLS_MAX, "a cell fits in a byte, and one byte means none"
    return Kept(stream, bins, spec_id_of(bins), counted(bins, values), expected)


def spec_id_of(bins: Bins) -> str:
    """As `spec_id`, of bins that may hold any text.

    Raises:
        Invalid: a category holds a NUL character or a lone surrogate.
    """
    if isinstance(bins, CategoricalBins):
        for category in (*bins.categories, *(bins.rare or ())):
            check_text(category)
    return spec_id(bins)


def check_text(text: str) -> None:
    """Refuse what neither PostgreSQL nor UTF-8 can keep.

    Raises:
        Invalid: it holds a NUL character or a lone surrogate.
    """
    if "\x00" in text:
        raise Invalid("Must not contain NUL characters.", loc=("rows",))
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid("Must not contain lone surrogates.", loc=("rows",))


def _check(document: Document) -> None:
    for one in document.streams:
        check_text(one.stream)
    for left in document.left_out:
        check_text(left.feature)
    if len(msgspec.json.encode(document)) > DOCUMENT_BYTES_MAX:
        raise TooLarge(
            f"The categories of all streams together are more than {DOCUMENT_BYTES_MAX} bytes; "
            "leave out features that hold prose.",
            loc=("rows",),
        )
