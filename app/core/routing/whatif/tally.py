"""Recorded decisions, decided again and folded one by one into counts.

The same draws are used as at the first time: a draw depends on the decision's id and its day's key
only, and monitors and detectors say what they said then. So the policy that decided gives the
routes that are recorded, and another one differs only where it says something else.

A tally is as large as there are different things in it, not as there are decisions, and tallies of
parts add up to the tally of the whole.
"""

import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Struct, field

from app.core.routing.decision import Outcome
from app.core.routing.document import Route
from app.core.routing.draw import Chance, DayKey, day_of
from app.core.routing.monitors import Needed, Seen
from app.core.routing.prediction import Prediction, Signals, Unfamiliar, signals_of

# what a human said about the model's label; `undecided`: overdue, cancelled, or answered without a
# label that can be compared; `under_way`: neither answered nor overdue
Said = Literal["right", "wrong", "undecided", "under_way"]
# id, prediction as it is recorded, route, reason, inclusion probability, stratum, the states of
# monitors as JSON, and what the detector said (p, score, its id): a plain tuple, as a database
# driver gives it
Past = tuple[
    uuid.UUID,
    str,
    Route,
    str,
    float,
    str,
    str | None,
    float | None,
    float | None,
    uuid.UUID | None,
]
# the route, the queue where a human is asked and how probably: 1 for a review, the audit
# probability otherwise; no queue and 0 for shadow predictions, about which nobody is asked
Fate = tuple[Route, str | None, float]
# index into the thresholds of a sweep, and what follows if the swept rule fires and if it passes;
# no index where the threshold makes no difference
Swept = tuple[int | None, Fate, Fate]
Evaluate = Callable[[Signals, Chance], tuple[Outcome, Fate, Swept | None]]
# whether its hour is covered, the recorded stratum, the chance within it that a human was asked
# (None for those that nobody could be asked about), and what the human said
Known = tuple[bool, str, float | None, Said | None]

# a model may give any text as its label: past so many, what is new counts under no label
LABEL_CHANGES_MAX = 1000
HOUR_MS = 3_600_000


class Question(Struct, frozen=True):
    """What a tally is to be made with.

    Attributes:
        evaluate: the policy.
        key_of: the key of a day's draws.
        needed: the monitors that the policy looks at.
        covered_until_h: hours since 1970; answers about decisions of earlier hours are complete.
            None: all are.
    """

    evaluate: Evaluate
    key_of: Callable[[date], DayKey]
    needed: tuple[Needed, ...]
    covered_until_h: int | None


class Tally(Struct):
    """How many recorded decisions there are of each sort.

    Attributes:
        routes: by recorded and simulated route.
        rules: by recorded and simulated reason and their routes, where the routes differ.
        labels: by label, recorded and simulated route, where the routes differ.
        arrivals: by hour since 1970, then by queue, the chance that a human is asked there, and
            whether that is a review.
        known: by what is known of them, and simulated route.
        swept: by what is known of them, and the fates that a swept threshold decides between.
        without_monitors: with which a monitor that the policy looks at is not recorded.
    """

    routes: Counter[tuple[Route, Route]] = field(default_factory=Counter)
    rules: Counter[tuple[str, str, Route, Route]] = field(default_factory=Counter)
    labels: Counter[tuple[str | None, Route, Route]] = field(default_factory=Counter)
    arrivals: defaultdict[int, Counter[tuple[str, float, bool]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    known: Counter[tuple[Known, Route]] = field(default_factory=Counter)
    swept: Counter[tuple[Known, Swept]] = field(default_factory=Counter)
    without_monitors: int = 0

    def add(self, other: "Tally") -> None:
        """Add the tally of other decisions."""
        self.routes.update(other.routes)
        self.rules.update(other.rules)
        for (label, route, new_route), count in other.labels.items():
            self.change(label, route, new_route, count)
        for hour, arrivals in other.arrivals.items():
            self.arrivals[hour].update(arrivals)
        self.known.update(other.known)
        self.swept.update(other.swept)
        self.without_monitors += other.without_monitors

    def change(self, label: str | None, route: Route, new_route: Route, count: int = 1) -> None:
        """Count decisions whose routes differ by their label."""
        key = label, route, new_route
        if key not in self.labels and len(self.labels) >= LABEL_CHANGES_MAX:
            key = None, route, new_route
        self.labels[key] += count


def fold(question: Question, decisions: Iterable[Past], said: Mapping[uuid.UUID, Said]) -> Tally:
    """The tally of some recorded decisions.

    Args:
        question: what would be decided.
        decisions: in the order of their ids, or at least with few changes of the hour.
        said: what humans said, by decision; a decision that nobody was asked about is left out.

    Raises:
        Invalid: a recorded prediction is refused today.
    """
    seen: dict[_Sort, int] = {}
    swept_seen: dict[tuple[Known, Swept], int] = {}
    tally = Tally()
    evaluate, until, needed = question.evaluate, question.covered_until_h, question.needed
    begins = ends = b""
    for id_, text, route, reason, probability, stratum, monitors, p, score, detector in decisions:
        raw = id_.bytes
        # a UUIDv7 begins with its time, so bytes tell the hour without a division each
        if not begins <= raw < ends:
            hour = (id_.int >> 80) // HOUR_MS
            begins, ends = _first_bytes(hour), _first_bytes(hour + 1)
            covered = until is None or hour < until
            key = question.key_of(day_of(id_))
        if monitors is None and detector is None:
            signals = signals_of(_decode(text))
        else:
            unfamiliar = Unfamiliar(p, score, detector) if detector is not None else None
            signals = signals_of(_decode(text), unfamiliar, _seen(monitors))
        if needed and _lacks(monitors, needed):
            tally.without_monitors += 1
        outcome, fate, swept = evaluate(signals, Chance(key, raw))
        # within its stratum each review was seen by a human, also one that a sample chose
        inclusion = 1.0 if route == "review" and probability else probability or None
        known = covered, stratum, inclusion, said.get(id_)
        sort = hour, known, route, reason, outcome.reason, fate
        seen[sort] = seen.get(sort, 0) + 1
        if outcome.route != route:
            tally.change(signals.label, route, outcome.route)
        if swept is not None:
            swept_seen[known, swept] = swept_seen.get((known, swept), 0) + 1
    tally.swept.update(swept_seen)
    _sort_into(tally, seen)
    return tally


# all that decisions of one page are told apart by: one look-up for each decision, not six
_Sort = tuple[int, Known, Route, str, str, Fate]


def _sort_into(tally: Tally, seen: Mapping[_Sort, int]) -> None:
    for (hour, known, route, reason, new_reason, fate), count in seen.items():
        new_route, queue, chance = fate
        tally.routes[route, new_route] += count
        tally.known[known, new_route] += count
        if new_route != route:
            tally.rules[reason, new_reason, route, new_route] += count
        if queue is not None:
            tally.arrivals[hour][queue, chance, new_route == "review"] += count


def _first_bytes(hour: int) -> bytes:
    return (hour * HOUR_MS).to_bytes(6, "big")


# states change once an hour or less, and many decisions have the same
@lru_cache(maxsize=4096)
def _seen(monitors: str | None) -> tuple[Seen, ...]:
    return _decode_monitors(monitors) if monitors is not None else ()


@lru_cache(maxsize=4096)
def _lacks(monitors: str | None, needed: tuple[Needed, ...]) -> bool:
    recorded = {Needed(seen.name, seen.segment) for seen in _seen(monitors)}
    return not recorded.issuperset(needed)


_decode_monitors = msgspec.json.Decoder(tuple[Seen, ...]).decode
_decode = msgspec.json.Decoder(Prediction).decode
