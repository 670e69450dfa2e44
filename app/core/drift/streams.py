"""The streams of a reference, and the cells of one prediction in them: a byte for each.

A reference has, in this order: `label`, `confidence`, `disagreement` where members were sent,
`feature:<name>` by name, `embedding:0` and further components with `embedding:score` and
`out_of_distribution` where the model had a detector, and `missing`.

Cells are what is stored with a prediction, so that counts can be made again from the rows.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import attrgetter, itemgetter
from typing import Any

from msgspec import Struct

from app.core.drift.spec import Bins, cell_count, cell_finder
from app.core.routing.prediction import Feature, Signals
from app.core.routing.rules.disagreement import entropy_of_votes

LABEL = "label"
CONFIDENCE = "confidence"
DISAGREEMENT = "disagreement"
FEATURE = "feature:"
EMBEDDING = "embedding"
COMPONENT = "embedding:"
SCORE = "embedding:score"
OUT_OF_DISTRIBUTION = "out_of_distribution"
MISSING = "missing"

COMPONENTS_MAX = 8
OUT_OF_DISTRIBUTION_P = 0.01
CELLS_MAX = 255
NOT_COUNTED = 255
"""The byte of a stream that does not apply to a prediction, which is then counted nowhere in it."""
# of fewer predictions, counting column by column costs more than cell by cell
COLUMNS_MIN = 20

_READ = frozenset({LABEL, CONFIDENCE, DISAGREEMENT})
_BY_DETECTOR = (EMBEDDING, OUT_OF_DISTRIBUTION)


class Stream(Struct, frozen=True, omit_defaults=True):
    """One stream of a reference.

    Attributes:
        name: as in the module's docstring.
        bins: fixed for ever.
        expected: of `missing` alone: the streams (and `embedding`) whose signal nearly every
            prediction of the reference had; missing is a prediction without one of them.
    """

    name: str
    bins: Bins
    expected: tuple[str, ...] = ()


class Observation(Struct, frozen=True, gc=False, kw_only=True):
    """What streams read of one prediction; None is missing.

    `components` (at most 8), `score` and `p` are what the detector with the id `detector` says.
    """

    label: str | None = None
    confidence: float | None = None
    disagreement: float | None = None
    features: Mapping[str, Feature]
    embedded: bool = False
    detector: uuid.UUID | None = None
    components: Sequence[float] | None = None
    score: float | None = None
    p: float | None = None


Cells = Callable[[Observation], bytes]
_NO_FEATURES: Mapping[str, Feature] = {}


def observation_of(signals: Signals, components: Sequence[float] | None = None) -> Observation:
    """What streams read of a prediction.

    The entropy of the members' votes is divided by the labels that the prediction names, not by
    those of a policy: another policy must not look like another distribution.

    Args:
        signals: of the prediction, with what the model's detector says.
        components: of its embedding, as the same detector projects it.
    """
    prediction, unfamiliar = signals.prediction, signals.unfamiliar
    return Observation(
        label=signals.label,
        confidence=signals.confidence,
        disagreement=entropy_of_votes(signals) if prediction.members is not None else None,
        features=prediction.features or _NO_FEATURES,
        embedded=prediction.embedding is not None,
        detector=unfamiliar.detector if unfamiliar is not None else None,
        components=components,
        score=unfamiliar.score if unfamiliar is not None else None,
        p=unfamiliar.p if unfamiliar is not None else None,
    )


def cells_of(streams: Sequence[Stream], detector: uuid.UUID | None = None) -> Cells:
    """A function from what is observed to its cells, in the order of the streams.

    Made once for a reference, called for every prediction: 0.2 us a stream.

    Args:
        streams: of the reference, in their order.
        detector: the reference's. What another one says means something else: the streams that
            depend on it are then not counted.
    """
    plain = [stream for stream in streams if _is_plain(stream.name)]
    read = _reader([stream.name for stream in plain])
    finders = [cell_finder(stream.bins) for stream in plain]
    unfamiliar = _unfamiliar_cells([one for one in streams if one.name.startswith(_BY_DETECTOR)])
    not_counted = [NOT_COUNTED] * (len(streams) - len(plain) - 1)
    is_missing = _missing_finder([one.name for one in plain], streams[-1].expected)

    def cells(observed: Observation) -> bytes:
        values = read(observed)
        found = [find(value) for find, value in zip(finders, values, strict=True)]
        if not_counted:
            found += unfamiliar(observed) if observed.detector == detector else not_counted
        found.append(is_missing(observed, values))
        return bytes(found)

    return cells


def counts_of(streams: Sequence[Stream], cells: Sequence[bytes]) -> list[int]:
    """The histograms of all streams, one after the other, of predictions with these cells."""
    starts = _starts(streams)
    flat = [0] * starts[-1]
    if len(cells) < COLUMNS_MIN:
        for row in cells:
            for start, cell in zip(starts, row, strict=False):
                if cell != NOT_COUNTED:
                    flat[start + cell] += 1
        return flat
    width, joined = len(streams), b"".join(cells)
    for place, start in enumerate(starts[:-1]):
        for cell, count in Counter(joined[place::width]).items():
            if cell != NOT_COUNTED:
                flat[start + cell] = count
    return flat


def split(streams: Sequence[Stream], flat: Sequence[int]) -> list[list[int]]:
    """The histogram of each stream.

    Raises:
        ValueError: the counts are of other streams.
    """
    starts = _starts(streams)
    if len(flat) != starts[-1]:
        raise ValueError(f"{len(flat)} counts are not those of {starts[-1]} cells")
    return [list(flat[start:end]) for start, end in pairwise(starts)]


def _starts(streams: Sequence[Stream]) -> list[int]:
    return list(accumulate((cell_count(stream.bins) for stream in streams), initial=0))


def _is_plain(name: str) -> bool:
    return name in _READ or name.startswith(FEATURE)


def _reader(names: Sequence[str]) -> Callable[[Observation], list[Any]]:
    """Of the streams of these names, which need no detector: `label` and `confidence` first."""
    head = attrgetter(*(name for name in names if name in _READ))
    features = [name.removeprefix(FEATURE) for name in names if name.startswith(FEATURE)]

    def read(observed: Observation) -> list[Any]:
        return [*head(observed), *map(observed.features.get, features)]

    return read


def _unfamiliar_cells(streams: Sequence[Stream]) -> Callable[[Observation], list[int]]:
    finders = [cell_finder(one.bins) for one in streams if one.name != OUT_OF_DISTRIBUTION]
    width = len(finders) - 1
    without: list[None] = [None] * width

    def cells(observed: Observation) -> list[int]:
        values = [*(without if observed.components is None else observed.components[:width])]
        values.append(observed.score)
        found = [find(value) for find, value in zip(finders, values, strict=True)]
        found.append(NOT_COUNTED if observed.p is None else observed.p <= OUT_OF_DISTRIBUTION_P)
        return found

    return cells


def _missing_finder(
    names: Sequence[str], expected: Sequence[str]
) -> Callable[[Observation, Sequence[Any]], bool]:
    needs_embedding = EMBEDDING in expected
    places = [names.index(name) for name in expected if name != EMBEDDING]
    # the first twice: of a single place the result would not be a tuple
    chosen = itemgetter(places[0], *places) if places else None

    def is_missing(observed: Observation, values: Sequence[Any]) -> bool:
        if needs_embedding and not observed.embedded:
            return True
        return chosen is not None and None in chosen(values)

    return is_missing
