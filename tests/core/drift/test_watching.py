"""What predictions add to streams: in any parts and any order the same."""

import random
import uuid
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from app.core.drift.reference import Document, Kept, Reference
from app.core.drift.spec import Bins, CategoricalBins, ConfidenceBins, NumericBins, ShareBins
from app.core.drift.streams import NOT_COUNTED
from app.core.drift.watching import (
    BucketCounts,
    Counted,
    SeriesKey,
    WatchedReference,
    deltas,
    folded,
    segments_of,
    single_deltas,
)
from app.store.ids import utc_now

SIZES = [5, 21, 4, 2]
BINS: list[Bins] = [
    CategoricalBins(("a", "b"), ()),
    ConfidenceBins(),
    NumericBins((0.0, 1.0)),
    ShareBins(),
]
NAMES = ["label", "confidence", "feature:x", "missing"]


def reference(number: int) -> WatchedReference:
    streams = tuple(Kept(name, bins, "", [0]) for name, bins in zip(NAMES, BINS, strict=True))
    return WatchedReference.of(
        Reference(
            id=uuid.UUID(int=number),
            name="r",
            version=1,
            model="m",
            model_version=None,
            segment=None,
            detector_id=None,
            predictions=0,
            document=Document(streams),
            digest=b"",
            source=None,
            created_at=utc_now(),
            created_by="",
        )
    )


ONE, TWO = reference(1), reference(2)


@st.composite
def counted_rows(draw: Any) -> tuple[str, str, Counted]:
    references = draw(st.sampled_from([(ONE,), (TWO,), (ONE, TWO)]))
    cells = [
        draw(st.integers(0, size - 1) | st.just(NOT_COUNTED)) for _ in references for size in SIZES
    ]
    segment = draw(st.sampled_from(["{}", '{"a":"b"}', '{"a":"b","c":"d"}']))
    version = draw(st.sampled_from("12"))
    one = Counted(draw(st.integers(4, 7)), draw(st.booleans()), references, bytes(cells))
    return version, segment, one


def added(parts: list[list[Any]]) -> dict[tuple[SeriesKey, int], BucketCounts]:
    """What is stored after folding parts, each by itself, as JSON that was read back."""
    total: dict[tuple[SeriesKey, int], BucketCounts] = {}
    for part in parts:
        read = msgspec.json.decode(msgspec.json.encode(part))
        for place, has in folded(read, {ONE.id: 6}).items():
            if place in total:
                total[place].add(has)
            else:
                total[place] = has
    return dict(sorted(total.items(), key=lambda entry: entry[0]))


@given(st.lists(counted_rows(), max_size=30), st.randoms(use_true_random=False))
def test_parts_and_order_of_commits_do_not_matter(
    rows: list[tuple[str, str, Counted]], chance: random.Random
) -> None:
    together = added([deltas(rows)])
    shuffled = chance.sample(rows, len(rows))
    cut = chance.randint(0, len(rows))

    assert added([deltas(shuffled[:cut]), deltas(shuffled[cut:])]) == together
    assert added([single_deltas(*row) for row in shuffled]) == together


def test_a_closed_bucket_is_passed_over_by_the_reference_that_closed_it() -> None:
    row = ("1", "{}", Counted(5, False, (ONE, TWO), bytes([0, 3, 1, 0] * 2)))

    found = added([deltas([row])])

    assert {(key.reference, bucket): has.moved for (key, bucket), has in found.items()} == {
        (ONE.id, 6): 1,
        (TWO.id, 5): 0,
    }


def test_counts_lie_one_stream_after_the_other() -> None:
    row = ("1", "{}", Counted(7, True, (ONE,), bytes([1, 20, NOT_COUNTED, 0])))

    ((_, has),) = added([deltas([row])]).items()

    flat = [0] * sum(SIZES)
    flat[1] = flat[5 + 20] = flat[5 + 21 + 4] = 1
    assert has == BucketCounts(1, 1, 0, flat)


def test_segment_that_does_not_fit_an_index_is_not_counted_apart() -> None:
    longest = "x" * 1022

    assert segments_of({"a": longest, "b": longest + "x", "c": "\U0001f600" * 256}) == [
        f"a:{longest}"
    ]
