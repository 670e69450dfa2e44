"""The names of evaluations."""

import uuid
from datetime import UTC, datetime, timedelta

from app.core.drift.history import evaluation_id
from app.core.drift.windows import Window
from app.store.ids import time_of

MONITOR = uuid.UUID(int=7)
END = datetime(2026, 11, 23, 10, 0, 0, 125_000, tzinfo=UTC)


def test_an_evaluations_id_is_the_same_whoever_makes_it_and_tells_the_windows_end() -> None:
    one = evaluation_id(MONITOR, "1", "source:tweets", Window(3, 4), END)

    assert one == evaluation_id(MONITOR, "1", "source:tweets", Window(3, 4), END)
    assert (one.version, one.variant) == (7, uuid.RFC_4122)
    assert time_of(one) == END


def test_whatever_differs_makes_another_id() -> None:
    ids = {
        evaluation_id(MONITOR, "1", "", Window(3, 4), END),
        evaluation_id(uuid.UUID(int=8), "1", "", Window(3, 4), END),
        evaluation_id(MONITOR, "1", "", Window(4, 4), END),
        evaluation_id(MONITOR, "2", "", Window(3, 4), END),
        # the same letters, elsewhere
        evaluation_id(MONITOR, "1a", "b", Window(3, 4), END),
        evaluation_id(MONITOR, "1", "ab", Window(3, 4), END),
    }

    assert len(ids) == 6


def test_ids_are_in_the_order_of_time() -> None:
    windows = [Window(n, n) for n in range(50)]
    ids = [evaluation_id(MONITOR, "1", "", w, END + timedelta(hours=w.last)) for w in windows]

    assert ids == sorted(ids)
