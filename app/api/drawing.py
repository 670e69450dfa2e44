"""Draws monitors. Slow to import: see `plots.py`, which does it in a thread."""

import io
import threading
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from typing import Any, assert_never

import matplotlib as mpl
from matplotlib import dates, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.core.drift.concept import ALARM
from app.core.drift.evaluate import THRESHOLDS
from app.core.drift.spec import (
    Bins,
    CategoricalBins,
    ComponentBins,
    ConfidenceBins,
    NumericBins,
    ShareBins,
)
from app.core.drift.watched import CONCEPT
from app.core.drift.windows import EPOCH
from app.flows.monitor_plot import Histograms, Picture
from app.store.monitor_history import Evaluated

BANDS = {
    "collecting": "#e3e3e3",
    "stable": "#dcefdc",
    "warning": "#fdeec5",
    "drifting": "#f8d3cf",
}
REFERENCE_COLOUR, WINDOW_COLOUR, BOUND_COLOUR = "#7f8a99", "#1f5fa8", "#b3261e"
SIZE_INCHES = (10, 7.5)
LABEL_LENGTH_MAX = 24
UPRIGHT_MAX = 8
"""So many labels of cells stand beside each other; more are turned."""
TICKS = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

# names of labels and features are texts of clients: nothing in them is a formula. With the salt the
# same picture has the same bytes
mpl.rcParams.update(
    {
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "overrule",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10,
    }
)
# the library is not made for several threads
_one_at_a_time = threading.Lock()


def draw(picture: Picture) -> bytes:
    """The picture as SVG; the same bytes for the same picture."""
    with _one_at_a_time, warnings.catch_warnings():
        # a viewer has more letters than the font that texts are measured with
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        figure.suptitle(_title(picture), fontsize=12)
        if not picture.windows:
            _say(figure.subplots(), "Nothing has been evaluated yet: no window has ended.")
        elif picture.is_audited:
            _draw_days(figure.subplots(), picture)
        else:
            upper, lower = figure.subplots(2, height_ratios=[1, 1])
            _draw_histograms(upper, picture)
            _draw_effect(lower, picture)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return drawn.getvalue()


def labels_of(bins: Bins) -> list[str]:
    """What the cells of a histogram are called, in their order."""
    match bins:
        case NumericBins(edges=edges) | ComponentBins(edges=edges):
            if not edges:
                return ["any", "missing"]
            inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
            return [f"< {edges[0]:.4g}", *inner, f"≥ {edges[-1]:.4g}", "missing"]
        case CategoricalBins(categories=categories):
            return [*map(_shown, categories), "other", "missing", "unseen"]
        case ConfidenceBins(cells=cells):
            return [*(f"{cell / cells:.2f}" for cell in range(cells)), "missing"]
        case ShareBins():
            return ["no", "yes"]
        case _:
            assert_never(bins)


def _title(picture: Picture) -> str:
    monitor = picture.monitor
    parts = [f"{monitor.name}: {_shown(monitor.signal)} of {_shown(monitor.model)}"]
    if picture.windows:
        last = picture.windows[-1]
        parts.append(f"version {_shown(last.model_version)}")
        parts.append(_shown(last.segment) if last.segment else "all segments")
        parts.append(f"{last.state} after the window that ended {_moment(picture.end_of(last))}")
    return ", ".join(parts[:3]) + (f"\n{parts[3]}" if len(parts) > 3 else "")  # noqa: PLR2004


def _say(axes: Axes, sentence: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, sentence, ha="center", va="center", fontsize=12, transform=axes.transAxes)


def _draw_histograms(axes: Axes, picture: Picture) -> None:
    histograms = picture.histograms
    if histograms is None:
        _say(axes, "The reference of the last window has no such stream.")
        return
    labels, places = labels_of(histograms.bins), range(len(histograms.reference))
    last = picture.windows[-1]
    span = f"{_moment(picture.start_of(last))} to {_moment(picture.end_of(last))}"
    for shift, counts, name, colour in _sides(histograms, last, span):
        total = sum(counts) or 1
        axes.bar(
            [place + shift for place in places],
            [100 * count / total for count in counts],
            width=0.4,
            label=f"{name} ({sum(counts):,})",
            color=colour,
        )
    if histograms.window is None:
        axes.set_title("The counts of the last window are not kept any more.", fontsize=10)
    turned = len(labels) > UPRIGHT_MAX
    axes.set_xticks(list(places), labels, rotation=60 if turned else 0, fontsize=8)
    for label in axes.get_xticklabels():
        label.set_horizontalalignment("right" if turned else "center")
        label.set_rotation_mode("anchor" if turned else "default")
    axes.set_ylabel("share of predictions (%)")
    axes.set_xlabel(f"{_shown(picture.stream or '')}{_unit(histograms.bins)}")
    axes.legend(frameon=False, fontsize=9)


def _sides(
    histograms: Histograms, last: Evaluated, span: str
) -> list[tuple[float, Sequence[int], str, str]]:
    reference = f"reference {last.reference}@{last.reference_version}"
    sides = [(-0.2, histograms.reference, reference, REFERENCE_COLOUR)]
    if histograms.window is not None:
        sides.append((0.2, histograms.window, f"window {span}", WINDOW_COLOUR))
    return sides


def _unit(bins: Bins) -> str:
    match bins:
        case ConfidenceBins(cells=cells):
            return f" (from, in steps of {1 / cells:.2f})"
        case NumericBins() | ComponentBins():
            return " (tenths of the reference)"
        case CategoricalBins() | ShareBins():
            return ""
        case _:
            assert_never(bins)


def _draw_effect(axes: Axes, picture: Picture) -> None:
    ends = [_at(picture.end_of(window)) for window in picture.windows]
    found = [picture.of_stream(window) for window in picture.windows]
    effects = [one.effect if one is not None and one.n else float("nan") for one in found]
    bounds = [
        one.g_lcb if one is not None and one.g_lcb is not None else float("nan") for one in found
    ]
    axes.set_yscale("function", functions=(_root, _square))
    highest = max([0.45, *(1.1 * effect for effect in effects if effect == effect)])  # noqa: PLR0124
    axes.set_ylim(0, highest)
    axes.set_yticks([tick for tick in TICKS if tick <= highest])
    _draw_bands(axes, picture)
    for severity, threshold in THRESHOLDS.items():
        _draw_line(axes, threshold, f"{severity} {threshold:.2f}")
    axes.plot(ends, effects, ".-", color=WINDOW_COLOUR, label="effect g")
    axes.plot(ends, bounds, ".-", color=BOUND_COLOUR, label="g_lcb: the shift is larger, 99 % sure")
    axes.set_ylabel("effect g (about PSI, no unit)")
    _finish_time(axes, picture)


def _draw_days(axes: Axes, picture: Picture) -> None:
    ends = [_at(picture.end_of(window)) for window in picture.windows]
    days = [window.results[0] for window in picture.windows]
    _draw_bands(axes, picture)
    if picture.monitor.signal == CONCEPT:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        evidence = [max(0.01, day["evidence"]) for day in days]
        axes.plot(ends, evidence, ".-", color=WINDOW_COLOUR, label="evidence")
        axes.set_ylim(0.01, max(10 * ALARM, 2 * max(evidence)))
        _draw_line(axes, ALARM, f"drift {ALARM:.0f}")
        _draw_line(axes, ALARM / 10, f"warning {ALARM / 10:.0f}")
        axes.set_ylabel(f"evidence of an error above {100 * days[-1]['bound']:.2f} % (no unit)")
    else:
        _draw_gap(axes, ends, days)
        axes.set_ylabel("error of accepted predictions (%)")
    _finish_time(axes, picture)


def _draw_gap(axes: Axes, ends: Sequence[float], days: Sequence[dict[str, Any]]) -> None:
    known = [(end, day) for end, day in zip(ends, days, strict=True) if day["low"] is not None]
    values = [100 * day["audited_error"] for _, day in known]
    below = [max(0.0, v - 100 * day["low"]) for v, (_, day) in zip(values, known, strict=True)]
    above = [max(0.0, 100 * day["high"] - v) for v, (_, day) in zip(values, known, strict=True)]
    axes.errorbar(
        [end for end, _ in known],
        values,
        yerr=[below, above],
        fmt="o",
        color=WINDOW_COLOUR,
        label="audited, 99 % interval",
    )
    said = [(end, day["without_labels"]) for end, day in zip(ends, days, strict=True)]
    axes.plot(
        [end for end, error in said if error is not None],
        [100 * error for _, error in said if error is not None],
        ".-",
        color=REFERENCE_COLOUR,
        label="without labels: mean of 1 - confidence; assumes p(y|x) unchanged",
    )
    axes.set_ylim(bottom=0)


def _draw_bands(axes: Axes, picture: Picture) -> None:
    """A band for each run of windows with the same state."""
    runs = groupby(picture.windows, key=lambda window: window.state)
    named: set[str] = set()
    for state, group in runs:
        windows = list(group)
        axes.axvspan(
            _at(picture.start_of(windows[0])),
            _at(picture.end_of(windows[-1])),
            color=BANDS[state],
            linewidth=0,
            zorder=0,
            label=None if state in named else state,
        )
        named.add(state)


def _draw_line(axes: Axes, at: float, name: str) -> None:
    axes.axhline(at, color="#555555", linestyle="--", linewidth=0.8)
    axes.annotate(
        name,
        (1.0, at),
        xycoords=("axes fraction", "data"),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )


def _finish_time(axes: Axes, picture: Picture) -> None:
    first = _at(picture.start_of(picture.windows[0]))
    last = _at(picture.end_of(picture.windows[-1]))
    margin = 0.02 * (last - first)
    axes.set_xlim(first - margin, last + margin)
    locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_xlabel("end of the window (UTC)")
    axes.legend(facecolor="white", framealpha=0.85, fontsize=9, loc="upper left", ncols=3)


def _at(moment: datetime) -> float:
    """On an axis of time: days since 1970."""
    return (moment - EPOCH) / timedelta(days=1)


def _root(values: Any) -> Any:
    return abs(values) ** 0.5


def _square(values: Any) -> Any:
    return values**2


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def _shown(text: str) -> str:
    """A client's text as a picture can carry it."""
    printable = "".join(one if one.isprintable() else "�" for one in text)
    if len(printable) <= LABEL_LENGTH_MAX:
        return printable
    return printable[: LABEL_LENGTH_MAX - 1] + "…"
