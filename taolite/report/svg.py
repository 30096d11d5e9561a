"""Line charts as inline SVG, without a script: from rows of numbers to a `<figure>` with its legend.

Colours are classes (`s0` ... `s7`, `ink`), which `STYLE` gives their values in a light and in a dark page. A point has
its numbers as a tooltip. A figure follows the width of its place and stays readable on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from taolite.report.markup import Html, el, join
from taolite.scorecard import AP, Words

__all__ = ["COLOURS", "STYLE", "Series", "chart", "curves", "points_of"]

COLOURS = 8  # after these, they begin again with dashed lines
_WIDTH, _HEIGHT = 400, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 36
_MOST_POINTS = 300  # of a line; more are taken at even distances
_MOST_DOTS = 40  # beyond this, dots hide the line
_MOST_LINES = 12  # classes in a chart; the legend names how many more there are

STYLE = """
:root{--s0:#d55e00;--s1:#0072b2;--s2:#9a7d00;--s3:#008a64;--s4:#b14f88;--s5:#4b5fd1;--s6:#8a4b2a;--s7:#5b6b73;
--ink:#1f2933;--soft:#5c6670;--hair:#e2e6ea}
@media (prefers-color-scheme:dark){:root{--s0:#ff8a3c;--s1:#56b4e9;--s2:#e6c84a;--s3:#2fc79a;--s4:#e58bbd;--s5:#94a3ff;
--s6:#d69a74;--s7:#a9b7be;--ink:#e8ecf0;--soft:#a3adb6;--hair:#323b44}}
@media print{:root{--s0:#d55e00;--s1:#0072b2;--s2:#9a7d00;--s3:#008a64;--s4:#b14f88;--s5:#4b5fd1;--s6:#8a4b2a;
--s7:#5b6b73;--ink:#000;--soft:#444;--hair:#ddd}}
.s0{--c:var(--s0)}.s1{--c:var(--s1)}.s2{--c:var(--s2)}.s3{--c:var(--s3)}.s4{--c:var(--s4)}.s5{--c:var(--s5)}
.s6{--c:var(--s6)}.s7{--c:var(--s7)}.ink{--c:var(--ink)}.grey{--c:var(--soft)}
figure.chart{margin:0}figure.chart svg{display:block;width:100%;height:auto}
figure.chart text{font:11px system-ui,sans-serif;fill:var(--soft)}
figure.chart .grid{stroke:var(--hair);stroke-width:1}
figure.chart .line{fill:none;stroke:var(--c);stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
figure.chart .strong{stroke-width:2.8}figure.chart .dashed{stroke-dasharray:5 4}
figure.chart .dot{fill:var(--c)}figure.chart .ring{fill:none;stroke:var(--c);stroke-width:1.6}
figure.chart .said{fill:var(--c);font-weight:600;paint-order:stroke;stroke:var(--page,Canvas);stroke-width:4px}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1rem;margin:.35rem 0 0;padding:0;list-style:none;font-size:.82rem;
color:var(--soft)}
.legend li::before{content:"";display:inline-block;width:1.1em;margin-right:.4em;vertical-align:.25em;
border-top:3px solid var(--c)}
.legend li.dashed::before{border-top-style:dashed}.legend li.more::before{display:none}
""".strip()
"""The style sheet of the charts. It has no text from outside."""


@dataclass(frozen=True)
class Series:
    """One line. points: (x, y), x ascending. colour: number of the line's colour, None for the colour of text. said:
    what the legend says behind the name, as the newest value."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int | None = None
    strong: bool = False
    dashed: bool = False
    said: str = ""

    @property
    def style(self) -> str:
        """The classes of its elements."""
        names = ["ink" if self.colour is None else f"s{self.colour % COLOURS}"]
        if self.dashed or (self.colour is not None and self.colour >= COLOURS):
            names.append("dashed")
        return " ".join(names)


def chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "epoch",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    scale: Literal["linear", "log"] = "linear",
    rings: Sequence[tuple[int, float, float, str]] = (),
    whole_x: bool = True,
    more: str = "",
) -> Html:
    """A `<figure>`: the lines over their axes, and a legend below.

    Args:
        series: lines; those without a point are left out.
        title: what the chart shows, for readers of screens.
        x_range, y_range: the least and the greatest of x and y; None: those of the points.
        scale: of y; log needs values above 0.
        rings: (number of the series, x, y, text) of points that are marked.
        whole_x: x counts, so its ticks are whole numbers.
        more: last entry of the legend, as "and 3 more classes".
    """
    drawn = [one for one in series if one.points]
    if not drawn:
        return el("figure", el("p", "nothing was recorded", class_="empty"), class_="chart")
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    log = scale == "log" and min(ys) > 0
    plot = _Plot(x_range or (min(xs), max(xs)), y_range or _padded(min(ys), max(ys), log=log), log)
    ring_marks = [_ring(plot, series[number], x, y, said) for number, x, y, said in rings]
    svg = el(
        "svg",
        el("title", title),
        _axes(plot, x_label, whole_x),
        *(_line(plot, one) for one in drawn),
        *ring_marks,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
    )
    names = [el("li", el("bdi", one.name), f" {one.said}" if one.said else None, class_=one.style) for one in drawn]
    if more:
        names.append(el("li", more, class_="more"))
    return el("figure", svg, el("ul", *names, class_="legend"), class_="chart")


def points_of(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """(epoch, value) of the rows of metrics.jsonl that have a number called `name`, in order of the epochs."""
    found = {row["epoch"]: row[name] for row in rows if _is_number(row.get(name))}
    return [(float(epoch), float(found[epoch])) for epoch in sorted(found)]


def curves(rows: Sequence[Mapping[str, Any]], *, words: Words = AP, classes: Sequence[str] = ()) -> dict[str, Html]:
    """The curves of a run by heading: the costs, the task's metric, the learning rate.

    Args:
        rows: lines of metrics.jsonl, as `taolite.report.plots.curves_png` takes them.
        words: what the metric is called.
        classes: in their order, which gives them their colours; those of the rows where none are given.
    """
    costs = [
        Series("training cost", points_of(rows, "loss"), 1),
        Series("penalty (regularisation)", points_of(rows, "penalty"), 4),
        Series("validation cost", points_of(rows, "validation_cost"), 0, strong=True),
    ]
    costs = [_with_last(one) for one in costs]
    values = [y for one in costs for _, y in one.points]
    wide = bool(values) and min(values) > 0 and max(values) > 10 * min(values)
    epochs = [float(row["epoch"]) for row in rows]
    span = (min(epochs), max(epochs)) if epochs else None
    rate = _with_last(Series("learning rate", points_of(rows, "learning_rate"), 7))
    return {
        "Cost": chart(costs, title="cost over the epochs", x_range=span, scale="log" if wide else "linear"),
        words.long.capitalize(): _metric(rows, words, classes, span),
        "Learning rate": chart([rate], title="learning rate over the epochs", x_range=span),
    }


def _metric(
    rows: Sequence[Mapping[str, Any]], words: Words, classes: Sequence[str], span: tuple[float, float] | None
) -> Html:
    """The metric of each class and their mean; the best epoch is ringed."""
    per_class = [(row["epoch"], row.get(words.of_class)) for row in rows]
    known = [(epoch, values) for epoch, values in per_class if isinstance(values, Mapping)]
    names = list(classes) or list(dict.fromkeys(str(name) for _, values in known for name in values))
    name = "mean of the classes" if words.short == AP.short else words.short
    mean = Series(name, points_of(rows, words.short), strong=True)
    lines = [_with_last(mean)]
    if len(names) > 1:
        for number, name in enumerate(names[:_MOST_LINES]):
            points = [(float(epoch), float(values[name])) for epoch, values in known if _is_number(values.get(name))]
            lines.append(_with_last(Series(name, points, number)))
    rings = []
    if mean.points:
        x, y = max(mean.points, key=lambda point: point[1])
        rings.append((0, x, y, f"best {y:.3f}, epoch {x:.0f}"))
    more = f"and {len(names) - _MOST_LINES} more classes" if len(names) > _MOST_LINES else ""
    least = min((y for one in lines for _, y in one.points), default=0.0)
    return chart(
        lines,
        title=f"{words.long} over the epochs",
        x_range=span,
        y_range=(0.5 if least > 0.55 else 0.0, 1.03),
        rings=rings,
        more=more,
    )


def _with_last(one: Series) -> Series:
    said = f"{one.points[-1][1]:.3g}" if one.points else ""
    return Series(one.name, one.points, one.colour, one.strong, one.dashed, said)


@dataclass(frozen=True)
class _Plot:
    """The ground of a chart: ranges of x and y, whether y is logarithmic."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((value - low) / (high - low) if high > low else 0.5)

    def y(self, value: float) -> float:
        low, high = self.y_range
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        share = (value - low) / (high - low) if high > low else 0.5
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(max(share, 0.0), 1.0)


def _axes(plot: _Plot, x_label: str, whole_x: bool) -> Html:
    """Grid lines, their numbers, and the name of x."""
    rows = []
    for value in _ticks(*plot.y_range, log=plot.log):
        y = plot.y(value)
        rows.append(el("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        rows.append(el("text", _number(value), x=_LEFT - 6, y=y + 4, text_anchor="end"))
    for value in _ticks(*plot.x_range, log=False):
        if whole_x and value != int(value):
            continue
        rows.append(el("text", _number(value), x=plot.x(value), y=_HEIGHT - _BOTTOM + 16, text_anchor="middle"))
    rows.append(el("text", x_label, x=_WIDTH - _RIGHT, y=_HEIGHT - 4, text_anchor="end"))
    return join(*rows)


def _line(plot: _Plot, one: Series) -> Html:
    points = _thinned(one.points)
    places = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in points)
    strong = " strong" if one.strong else ""
    made = el("polyline", points=places, class_=f"line {one.style}{strong}")
    if len(points) > _MOST_DOTS:
        return made
    dots = [
        el("circle", el("title", f"{one.name}: {y:.4g} at {x:.4g}"), cx=plot.x(x), cy=plot.y(y), r=2.5,
           class_=f"dot {one.style}")
        for x, y in points
    ]  # fmt: skip
    return join(made, *dots)


def _ring(plot: _Plot, one: Series, x: float, y: float, said: str) -> Html:
    """A ring around a point, and its text beside it where there is room."""
    cx, cy = plot.x(x), plot.y(y)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    left = cx > middle
    below = cy < _TOP + 16
    note = el(
        "text",
        said,
        x=cx - 9 if left else cx + 9,
        y=cy + 16 if below else cy - 8,
        text_anchor="end" if left else "start",
        class_=f"said {one.style}",
    )
    return join(el("circle", cx=cx, cy=cy, r=6, class_=f"ring {one.style}"), note if said else None)


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_MOST_POINTS` of the points, at even distances, the first and the last among them."""
    count = len(points)
    if count <= _MOST_POINTS:
        return list(points)
    return [points[round(place * (count - 1) / (_MOST_POINTS - 1))] for place in range(_MOST_POINTS)]


def _padded(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """The range with a little room above and below; from 0 where the values are not far from it."""
    if log:
        return low / 1.15, high * 1.15
    if low == high:
        return (0.0, 2 * high) if high > 0 else (low - 1.0, low + 1.0)
    room = 0.06 * (high - low)
    return (0.0 if 0 <= low < 0.5 * high else low - room), high + room


def _ticks(low: float, high: float, *, log: bool) -> list[float]:
    """About five round numbers from low to high."""
    if high <= low:
        return [low]
    if log and high / low > 3:
        tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if len(tens) <= 3 else (1,)
        return [found for ten in tens for step in steps if low <= (found := step * 10.0**ten) <= high]
    rough = (high - low) / 5
    ten = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * ten for factor in (1, 2, 2.5, 5, 10) if factor * ten >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(count * step, 12) for count in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    """A tick's number, short: 0.25, 1200, 2e-5."""
    if value == int(value) and abs(value) < 1e5:
        return f"{value:.0f}"
    if abs(value) >= 0.01:
        return f"{value:.3g}"
    ten = math.floor(math.log10(abs(value)))
    return f"{value / 10.0**ten:.3g}e{ten}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
