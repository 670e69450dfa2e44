"""The answer to what-if: routes, load, human-hours and errors, from a tally."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal, get_args

from msgspec import Struct, field

from app.core.routing.document import Route
from app.core.routing.whatif.errors import (
    ErrorCount,
    ErrorShare,
    complete_only,
    error_count,
    error_share,
)
from app.core.routing.whatif.sweep import Sweep
from app.core.routing.whatif.tally import Fate, Known, Tally

ROUTES: tuple[Route, ...] = get_args(Route)
# of the ways in which decisions change, the most frequent ones
CHANGES_MAX = 100
SECONDS_PER_HOUR = 3600


class RouteShare(Struct, frozen=True):
    """A number of decisions, and its share of all; null of none."""

    decisions: int
    share: float | None


class RoutesCompared(Struct, frozen=True):
    """Each route, as recorded and as simulated."""

    now: dict[Route, RouteShare]
    then: dict[Route, RouteShare]


class ChangedByDirection(Struct, frozen=True, rename={"route": "from", "new_route": "to"}):
    """Decisions that change from one route to another."""

    route: Route
    new_route: Route
    decisions: int


class ChangedByRule(Struct, frozen=True, rename={"route": "from", "new_route": "to"}):
    """Decisions that change, by the reason recorded and the reason simulated."""

    reason: str
    new_reason: str
    route: Route
    new_route: Route
    decisions: int


class ChangedByLabel(Struct, frozen=True, rename={"route": "from", "new_route": "to"}):
    """Decisions that change, by the label that the model gave.

    Null: without a label, or with one of too many.
    """

    label: str | None
    route: Route
    new_route: Route
    decisions: int


class ChangedDecisions(Struct, frozen=True):
    """Decisions whose route would be another; of the ways in which they change the 100 first."""

    decisions: int
    share: float | None
    by_direction: list[ChangedByDirection]
    by_rule: list[ChangedByRule]
    by_label: list[ChangedByLabel]


class VerdictSeconds(Struct, frozen=True):
    """What a verdict of a queue takes.

    Attributes:
        median_s: half of its verdicts took less.
        verdicts: how many were measured.
        measured: those of the range; or, where it has none, the latest ones.
    """

    median_s: float
    verdicts: int
    measured: Literal["range", "latest"]


class QueueForecast(Struct, frozen=True):
    """What would come into a queue.

    Attributes:
        reviews: decisions that wait there for a human.
        audits: how many accepted and rejected decisions chance chooses, on average.
        per_hour_mean: arrivals of both over the whole range; null without a range.
        per_hour_max: in the hour with the most.
        seconds: null: no verdict of this queue was ever measured.
        human_hours: arrivals times the median; null without it.
    """

    queue: str
    reviews: int
    audits: float
    per_hour_mean: float | None
    per_hour_max: float | None
    seconds: VerdictSeconds | None
    human_hours: float | None


class CurvePoint(Struct, frozen=True):
    """What one threshold of the swept rule would give.

    Attributes:
        review_share: of all decisions.
        escaped_error: share of wrong labels among what would be accepted.
        human_hours: reviews and audits of all queues; null where one of them is not known.
    """

    threshold: float
    review_share: float | None
    escaped_error: ErrorShare
    human_hours: float | None


class Simulation(Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """What a policy would have done with recorded decisions, or would do with posted rows.

    Attributes:
        policy: its name.
        version: null for a document that is no version.
        model: whose decisions.
        since: beginning of the range, included; null for posted rows.
        until: its end, excluded.
        decisions: how many.
        human_hours: of all queues; null where one of them is not known.
        audits_expected: accepted and rejected decisions that chance chooses, on average.
        escaped_error: share of wrong labels among what would be accepted.
        errors_escaping: the same as a number, of the decisions that `escaped_error` speaks of.
        errors_caught: wrong labels among what would be reviewed.
        covered_until: the three figures before speak of decisions before it, whose answers are
            complete: those of every hour before the first in which one is under way. Null: of all,
            and answers under way count as undecided.
        without_monitors: decisions with which the state of a monitor that the policy looks at is
            not recorded; it was taken for collecting.
        curve: by threshold of the swept rule; null without a sweep.
    """

    policy: str
    version: int | None
    model: str
    since: datetime | None
    until: datetime | None
    decisions: int
    routes: RoutesCompared
    changed: ChangedDecisions
    queues: list[QueueForecast]
    human_hours: float | None
    audits_expected: float
    escaped_error: ErrorShare
    errors_escaping: ErrorCount
    errors_caught: ErrorCount
    covered_until: datetime | None
    without_monitors: int
    curve: list[CurvePoint] | None = field(default=None)


class Frame(Struct, frozen=True):
    """What a simulation is about, beside the tally.

    Attributes:
        since: beginning of the range; None for posted rows.
        until: its end.
        covered_until: answers about decisions before it are complete.
        seconds: what a verdict takes, by queue.
    """

    policy: str
    version: int | None
    model: str
    since: datetime | None
    until: datetime | None
    covered_until: datetime | None
    seconds: Mapping[str, VerdictSeconds]
    sweep: Sweep | None


def simulation_of(tally: Tally, frame: Frame) -> Simulation:
    """Put the answer together."""
    total = tally.routes.total()
    complete = complete_only(known for known, _ in tally.known)
    queues = _queues(tally, frame)
    accepted, reviewed = _known_of(tally, "accept"), _known_of(tally, "review")
    escaped = error_share(accepted, complete=complete)
    return Simulation(
        policy=frame.policy,
        version=frame.version,
        model=frame.model,
        since=frame.since,
        until=frame.until,
        decisions=total,
        routes=_routes(tally, total),
        changed=_changed(tally, total),
        queues=queues,
        human_hours=_sum(queue.human_hours for queue in queues),
        audits_expected=sum(queue.audits for queue in queues),
        escaped_error=escaped,
        errors_escaping=error_count(escaped, accepted),
        errors_caught=error_count(error_share(reviewed, complete=complete), reviewed),
        covered_until=frame.covered_until if complete else None,
        without_monitors=tally.without_monitors,
        curve=_curve(tally, frame, complete=complete) if frame.sweep is not None else None,
    )


def _routes(tally: Tally, total: int) -> RoutesCompared:
    now: Counter[Route] = Counter()
    then: Counter[Route] = Counter()
    for (route, new_route), count in tally.routes.items():
        now[route] += count
        then[new_route] += count
    return RoutesCompared(
        {route: RouteShare(now[route], _share(now[route], total)) for route in ROUTES},
        {route: RouteShare(then[route], _share(then[route], total)) for route in ROUTES},
    )


def _changed(tally: Tally, total: int) -> ChangedDecisions:
    directions = Counter({key: n for key, n in tally.routes.items() if key[0] != key[1]})
    changed = directions.total()
    return ChangedDecisions(
        decisions=changed,
        share=_share(changed, total),
        by_direction=[ChangedByDirection(*key, n) for key, n in directions.most_common()],
        by_rule=[ChangedByRule(*key, n) for key, n in tally.rules.most_common(CHANGES_MAX)],
        by_label=[ChangedByLabel(*key, n) for key, n in tally.labels.most_common(CHANGES_MAX)],
    )


def _known_of(tally: Tally, route: Route) -> dict[Known, int]:
    return {known: n for (known, new_route), n in tally.known.items() if new_route == route}


def _queues(tally: Tally, frame: Frame) -> list[QueueForecast]:
    reviews: Counter[str] = Counter()
    audits: dict[str, float] = defaultdict(float)
    busiest: dict[str, float] = defaultdict(float)
    for arrivals in tally.arrivals.values():
        within: dict[str, float] = defaultdict(float)
        for (queue, chance, reviewed), count in arrivals.items():
            within[queue] += count * chance
            if reviewed:
                reviews[queue] += count
            else:
                audits[queue] += count * chance
        for queue, expected in within.items():
            busiest[queue] = max(busiest[queue], expected)
    hours = None
    if frame.since is not None and frame.until is not None:
        hours = (frame.until - frame.since) / timedelta(hours=1)
    return [
        _forecast(queue, reviews[queue], audits[queue], most, hours, frame.seconds.get(queue))
        for queue, most in sorted(busiest.items())
    ]


def _forecast(  # noqa: PLR0917 - all of one queue
    queue: str,
    reviews: int,
    audits: float,
    most: float,
    hours: float | None,
    seconds: VerdictSeconds | None,
) -> QueueForecast:
    arrivals = reviews + audits
    return QueueForecast(
        queue=queue,
        reviews=reviews,
        audits=audits,
        per_hour_mean=arrivals / hours if hours else None,
        per_hour_max=most if hours else None,
        seconds=seconds,
        human_hours=_human_hours(arrivals, seconds),
    )


def _human_hours(arrivals: float, seconds: VerdictSeconds | None) -> float | None:
    if arrivals == 0:
        return 0.0
    return arrivals * seconds.median_s / SECONDS_PER_HOUR if seconds is not None else None


def _sum(parts: Iterable[float | None]) -> float | None:
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total


def _share(part: int, total: int) -> float | None:
    return part / total if total else None


def _curve(tally: Tally, frame: Frame, *, complete: bool) -> list[CurvePoint]:
    """One point per threshold, from what changes between it and the one before."""
    sweep = frame.sweep
    assert sweep is not None, "there is a curve where there is a sweep"
    fates: Counter[tuple[Known, Fate]] = Counter()
    points = []
    for threshold, moves in zip(sweep.thresholds, _moves(tally, sweep), strict=True):
        for key, count in moves.items():
            fates[key] += count
        points.append(_point(threshold, fates, frame, complete=complete))
    return points


def _moves(tally: Tally, sweep: Sweep) -> list[Counter[tuple[Known, Fate]]]:
    """What comes and what goes at each threshold; before the first there is nothing."""
    moves: list[Counter[tuple[Known, Fate]]] = [Counter() for _ in sweep.thresholds]
    for (known, (bin_, fired, passed)), count in tally.swept.items():
        first = fired if bin_ is None or sweep.fires(bin_, 0) else passed
        moves[0][known, first] += count
        if bin_ is not None and 0 < bin_ < len(moves):
            last = passed if first is fired else fired
            moves[bin_][known, first] -= count
            moves[bin_][known, last] += count
    return moves


def _point(
    threshold: float,
    fates: Mapping[tuple[Known, Fate], int],
    frame: Frame,
    *,
    complete: bool,
) -> CurvePoint:
    total = reviewed = 0
    accepted: Counter[Known] = Counter()
    arrivals: dict[str, float] = defaultdict(float)
    for (known, (route, queue, chance)), count in fates.items():
        total += count
        if route == "review":
            reviewed += count
        elif route == "accept" and count:
            accepted[known] += count
        if queue is not None:
            arrivals[queue] += count * chance
    return CurvePoint(
        threshold=threshold,
        review_share=_share(reviewed, total),
        escaped_error=error_share(accepted, complete=complete),
        human_hours=_sum(_human_hours(n, frame.seconds.get(q)) for q, n in arrivals.items()),
    )
