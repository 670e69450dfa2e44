"""Recorded decisions as a simulation reads them, made by the policy that is said to have decided."""

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.core.routing.decision import decide
from app.core.routing.draw import Chance
from app.core.routing.monitors import Seen
from app.core.routing.policy import Policy
from app.core.routing.prediction import Unfamiliar, signals_of
from app.core.routing.whatif.simulation import (
    Frame,
    Simulation,
    VerdictSeconds,
    simulation_of,
)
from app.core.routing.whatif.sweep import Sweep, plain_evaluation, swept_evaluation
from app.core.routing.whatif.tally import Past, Question, Said, Tally, fold
from tests.core.routing.cases import KEY_OF_DAY, prediction

# what humans said, by decision
Answers = dict[uuid.UUID, Said]

TEN = datetime(2026, 11, 23, 10, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEN_H = int(TEN.timestamp()) // 3600
SECONDS = VerdictSeconds(median_s=36.0, verdicts=5, measured="range")


def id_at(number: int, hour: int = TEN_H) -> uuid.UUID:
    """The id of a decision of an hour, by its number in it."""
    return uuid.UUID(int=((hour * 3_600_000 + number) << 80) + (7 << 76) + (2 << 62) + number)


def past(
    by: Policy | None,
    number: int,
    hour: int = TEN_H,
    *,
    monitors: tuple[Seen, ...] = (),
    unfamiliar: Unfamiliar | None = None,
    **fields: Any,
) -> Past:
    """A prediction as a policy decided it, at that time."""
    of = prediction(**fields)
    id_ = id_at(number, hour)
    signals = signals_of(of, unfamiliar, monitors)
    outcome = decide(by, signals, Chance(KEY_OF_DAY, id_.bytes))
    p, score, detector = (
        msgspec.structs.astuple(unfamiliar) if unfamiliar is not None else (None, None, None)
    )
    return (
        id_,
        msgspec.json.encode(of).decode(),
        outcome.route,
        outcome.reason,
        outcome.inclusion_probability,
        outcome.stratum,
        msgspec.json.encode(monitors).decode() if monitors else None,
        p,
        score,
        detector,
    )


def tally_of(
    by: Policy,
    decisions: list[Past],
    said: Answers | None = None,
    sweep: Sweep | None = None,
    covered_until_h: int | None = None,
) -> Tally:
    evaluate = plain_evaluation(by) if sweep is None else swept_evaluation(by, sweep)
    question = Question(evaluate, lambda _: KEY_OF_DAY, by.monitors, covered_until_h)
    return fold(question, decisions, said or {})


def frame(sweep: Sweep | None = None, **fields: Any) -> Frame:
    """Two hours, with measured verdicts in the queues of the cases."""
    usual: dict[str, Any] = {
        "policy": "sentiment",
        "version": 4,
        "model": "sentiment",
        "since": TEN,
        "until": NOON,
        "covered_until": NOON,
        "seconds": {"triage": SECONDS, "audits": SECONDS},
        "sweep": sweep,
    }
    return Frame(**{**usual, **fields})


def simulated(
    by: Policy,
    decisions: list[Past],
    said: Answers | None = None,
    sweep: Sweep | None = None,
) -> Simulation:
    return simulation_of(tally_of(by, decisions, said, sweep), frame(sweep))
