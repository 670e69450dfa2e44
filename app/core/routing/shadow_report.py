"""What a shadow policy would have changed, and what human answers say about it."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from msgspec import Struct

from app.core.routing.document import Route


class Cell(Struct, frozen=True):
    """Decisions that are alike in all that a report tells apart.

    Attributes:
        judged: how many of them a human gave a label for.
        wrong: how many of those labels are not the model's.
        weight: of the judged ones, the sum of how many each stands for: 1 / inclusion probability,
            or 1 for a review, of which all are judged.
        wrong_weight: of the wrong ones, the same: an estimate of how many of all are wrong.
    """

    route: Route
    reason: str
    shadow_route: Route
    shadow_reason: str
    label: str | None
    decisions: int
    judged: int
    wrong: int
    weight: float
    wrong_weight: float


class Judged(Struct, frozen=True):
    """Decisions, and how often the model was wrong about them as far as humans judged.

    Attributes:
        wrong_share: of the judged, each weighted by how many it stands for; None without any.
    """

    decisions: int
    judged: int
    wrong: int
    wrong_share: float | None


class Direction(Struct, frozen=True):
    """From the route that was taken to the one that the shadow policy would have taken."""

    route: Route
    shadow_route: Route
    judged: Judged


class ByRule(Struct, frozen=True):
    """From the reason that decided to the one that would have."""

    reason: str
    shadow_reason: str
    route: Route
    shadow_route: Route
    judged: Judged


class ByLabel(Struct, frozen=True):
    """One label that the model gave."""

    label: str | None
    decisions: int
    differing: Judged


class ShadowReport(Struct, frozen=True):
    """A shadow policy beside the active one; two decisions differ when their routes do."""

    decisions: int
    differing: int
    by_direction: list[Direction]
    by_rule: list[ByRule]
    by_label: list[ByLabel]


def report_of(cells: list[Cell]) -> ShadowReport:
    """Add cells up to a report; the most frequent differences come first."""
    differing = [cell for cell in cells if cell.route != cell.shadow_route]
    directions = _grouped(differing, lambda cell: (cell.route, cell.shadow_route))
    rules = _grouped(
        differing,
        lambda cell: (cell.reason, cell.shadow_reason, cell.route, cell.shadow_route),
    )
    labels = _grouped(cells, lambda cell: cell.label)
    return ShadowReport(
        decisions=sum(cell.decisions for cell in cells),
        differing=sum(cell.decisions for cell in differing),
        by_direction=[Direction(*key, _judged(of)) for key, of in directions],
        by_rule=[ByRule(*key, _judged(of)) for key, of in rules],
        by_label=[
            ByLabel(
                label,
                sum(cell.decisions for cell in of),
                _judged(cell for cell in of if cell.route != cell.shadow_route),
            )
            for label, of in labels
        ],
    )


K = TypeVar("K", bound=Hashable)


def _grouped(cells: list[Cell], key: Callable[[Cell], K]) -> list[tuple[K, list[Cell]]]:
    """By key, the most decisions first."""
    groups: dict[K, list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[key(cell)].append(cell)
    return sorted(
        groups.items(), key=lambda group: (-sum(cell.decisions for cell in group[1]), str(group[0]))
    )


def _judged(cells: Iterable[Cell]) -> Judged:
    cells = list(cells)
    weight = sum(cell.weight for cell in cells)
    return Judged(
        decisions=sum(cell.decisions for cell in cells),
        judged=sum(cell.judged for cell in cells),
        wrong=sum(cell.wrong for cell in cells),
        wrong_share=sum(cell.wrong_weight for cell in cells) / weight if weight > 0 else None,
    )
