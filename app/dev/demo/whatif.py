"""What another threshold would have done with the demo's decisions, and one of them explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from app.dev.demo.report import Estimate, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.dev.demo.service import Json, Service
    from app.dev.demo.tally import Streamed

SWEPT = "low-confidence"
THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
# the decision that is explained would change at this one
EXPLAINED_AT = 0.6


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold: shares from 0 to 1, hours of reviewers; None is "not known"."""

    threshold: float
    review_share: float | None
    escaped_error: Estimate
    human_hours: float | None


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The curve, and what the service says about one decision that `EXPLAINED_AT` would change."""

    points: Sequence[Point]
    text: str | None
    explanation: Json | None


async def ask(
    service: Service, document: Mapping[str, Any], streamed: Sequence[Streamed]
) -> WhatIf:
    """Let the service simulate every threshold over what it has recorded.

    Raises:
        ServiceRefusedError: the service refused a call, or the simulation failed.
    """
    result = await service.simulate(
        {"document": document, "sweep": {"rule": SWEPT, "thresholds": list(THRESHOLDS)}}
    )
    points = [_point(one) for one in result["curve"]]
    changed = _changed(streamed)
    if changed is None:
        return WhatIf(points, None, None)
    text, decision_id = changed
    return WhatIf(points, text, await service.explain(decision_id))


def _point(one: Json) -> Point:
    escaped = one["escaped_error"]
    return Point(
        one["threshold"],
        one["review_share"],
        Estimate(escaped["value"], escaped["low"], escaped["high"]),
        one["human_hours"],
    )


def _changed(streamed: Sequence[Streamed]) -> tuple[str, str] | None:
    """A text that was accepted wrongly, and would not be with `EXPLAINED_AT`; its decision."""
    for part in reversed(streamed):
        for case, decision in zip(part.cases, part.decisions, strict=True):
            unsure = decision["confidence"] is not None and decision["confidence"] < EXPLAINED_AT
            if decision["route"] == "accept" and unsure and not case.right:
                return case.text.text, decision["id"]
    return None


def document_of(found: WhatIf) -> list[Json]:
    """The curve for a program."""
    return [
        {
            "threshold": point.threshold,
            "review_share": point.review_share,
            "escaped_error": {
                "value": point.escaped_error.value,
                "low": point.escaped_error.low,
                "high": point.escaped_error.high,
            },
        }
        for point in found.points
    ]


def table(found: WhatIf) -> Table:
    """One row per threshold, with a bar for each of the two shares that pull against each other."""
    grid = Table(title=f"What if: {SWEPT} at another threshold", box=box.SIMPLE)
    for title in ("below", "reviewed", "", "wrong among the accepted", "", "hours"):
        grid.add_column(title, justify="left" if title == "" else "right", no_wrap=True)
    for point in found.points:
        escaped = point.escaped_error
        grid.add_row(
            f"{point.threshold:g}",
            percent(point.review_share),
            _bar(point.review_share),
            f"{percent(escaped.value)} ({percent(escaped.low)} to {percent(escaped.high)})",
            _bar(escaped.value),
            "-" if point.human_hours is None else f"{point.human_hours:.1f}",
        )
    return grid


def explained(found: WhatIf) -> str:
    """The decision that would change, in the service's own sentences."""
    if found.explanation is None:
        return f"No wrongly accepted text would change with {SWEPT} below {EXPLAINED_AT:g}."
    lines = [
        f"With {SWEPT} below {EXPLAINED_AT:g} a human would have seen this text first:",
        f"  “{found.text}”",
        f"As it was: {found.explanation['summary']}",
    ]
    lines += [f"  {rule['sentence']}" for rule in found.explanation["rules"]]
    lines.append(f"  {found.explanation['audit']['sentence']}")
    return "\n".join(lines)


def _bar(share: float | None) -> str:
    return "" if share is None else "█" * round(10 * share)
