"""What a report draws beside curves: bars, maps, the confusion matrix, and photos with their labels and finds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from taolite.report.html.facts import number, numbers, tables
from taolite.report.markup import Html, el, join, text
from taolite.report.svg import COLOURS

__all__ = ["bars", "colour", "confusion_table", "heat", "image", "marks", "photo", "ranges", "table_of"]

_MATRIX = 20  # classes up to which the confusion matrix is shown whole
_BAR, _GAP = 17, 7  # height of a bar, and what is between two
_FEW_BOXES = 8  # up to which right finds have their names written
_DRAWN = 480.0  # units of the longer side of a photo, so that letters have one size in all
_NAMES, _LENGTH = 84, 120  # where bars begin, and how long the longest is
_LONG = 13  # letters of a name beside a bar


def colour(index: int) -> str:
    """The class that gives the elements of class `index` their colour."""
    return f"s{index % COLOURS}"


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str | Html | None]], *, left: bool = False) -> Html:
    """A table, in a frame that scrolls where the page is narrow. None is shown as a dash."""
    made = [el("tr", *(el("td", "-" if cell is None else cell) for cell in row)) for row in rows]
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in heads))) if heads else None
    return el("div", el("table", head, el("tbody", *made), class_="left" if left else None), class_="scroll")


def bars(rows: Sequence[tuple[str, int, float, str]], *, title: str) -> Html:
    """Horizontal bars.

    Args:
        rows: name, number of the colour, value, what is written behind the bar.
        title: what they show, for readers of screens.
    """
    most = max((value for _, _, value, _ in rows), default=0) or 1
    made = []
    for place, (name, kind, value, said) in enumerate(rows):
        y = place * (_BAR + _GAP)
        made += [
            el("text", _cut(name), el("title", name), x=_NAMES, y=y + 13, text_anchor="end"),
            el(
                "rect",
                x=_NAMES + 8,
                y=y,
                width=max(1.0, _LENGTH * value / most),
                height=_BAR,
                rx=3,
                class_=colour(kind),
            ),
            el("text", said, x=_NAMES + 14 + _LENGTH * value / most, y=y + 13),
        ]
    return _bars(made, len(rows), title)


def ranges(rows: Sequence[tuple[str, int, Sequence[float]]], *, title: str) -> Html:
    """Five quantiles of each row on one axis: a line from the 1st to the 5th, a bar from the 2nd to the 4th, a mark at
    the 3rd."""
    most = max((values[-1] for _, _, values in rows), default=0) or 1
    made = []
    for place, (name, kind, values) in enumerate(rows):
        y = place * (_BAR + _GAP)
        low, first, middle, third, high = (_NAMES + 8 + _LENGTH * value / most for value in values)
        made += [
            el("text", _cut(name), el("title", name), x=_NAMES, y=y + 13, text_anchor="end"),
            el("line", x1=low, x2=high, y1=y + 8.5, y2=y + 8.5, class_=colour(kind)),
            el("rect", x=first, y=y + 2, width=max(third - first, 1.5), height=13, rx=3, class_=colour(kind)),
            el("rect", x=middle - 1.5, y=y, width=3, height=_BAR, class_="ink"),
            el("text", f"{values[2]:.0f} px", x=high + 6, y=y + 13),
        ]
    return _bars(made, len(rows), title)


def _bars(made: Sequence[Html], count: int, title: str) -> Html:
    box = f"0 0 256 {max(count, 1) * (_BAR + _GAP)}"
    return el("svg", el("title", title), *made, viewBox=box, role="img", class_="bars")


def heat(counts: Sequence[float], *, title: str, aspect: float = 1.0) -> Html:
    """A map of G x G counts, by row from the top left; dark is many. aspect: width over height."""
    side = round(len(counts) ** 0.5)
    most = max(counts, default=0) or 1
    width, height = 10.0 * aspect, 10.0
    cells = [
        el("rect", x=(place % side) * width, y=(place // side) * height, width=width + 0.2, height=height + 0.2,
           opacity=round(max(0.06, (count / most) ** 0.5), 2))
        for place, count in enumerate(counts)
        if count > 0
    ]  # fmt: skip
    box = f"0 0 {side * width:.0f} {side * height:.0f}"
    return el("svg", el("title", title), *cells, viewBox=box, role="img", class_="heat")


def confusion_table(counts: Sequence[Sequence[int]], names: Sequence[str]) -> Html:
    """Rows are true classes, columns what the model said; dark is a large share of the row."""
    if len(names) > _MATRIX:
        pairs = sorted(
            ((counts[i][k], i, k) for i in range(len(names)) for k in range(len(names)) if i != k and counts[i][k]),
            reverse=True,
        )
        rows = [[text(names[i]), text(names[k]), str(count)] for count, i, k in pairs[:30]]
        return table_of(["true class", "was taken for", "times"], rows)
    head = el("tr", el("th"), *(el("th", el("bdi", name), scope="col") for name in names))
    rows_made = []
    for i, row in enumerate(counts):
        whole = sum(row)
        cells = [
            el(
                "td",
                str(count) if count else "",
                class_=f"{'hit' if i == k else 'miss'} p{min(5, round(5 * (count / max(whole, 1)) ** 0.5))}",
            )
            for k, count in enumerate(row)
        ]
        rows_made.append(el("tr", el("th", el("bdi", names[i]), scope="row"), *cells))
    body = el("table", el("thead", head), el("tbody", *rows_made), class_="matrix")
    return el("div", body, class_="scroll")


def image(data: bytes, *, alt: str) -> Html:
    """A PNG or JPEG as part of the page."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    return el("img", src=f"data:image/{kind};base64,{base64.b64encode(data).decode()}", alt=alt)


def marks() -> Html:
    """What the frames in photos mean."""
    rows = [("right", "found, and right"), ("wrong", "found, and wrong"), ("missed", "labelled, and missed")]
    return el(
        "ul",
        *(
            el("li", el("svg", el("rect", x=2, y=2, width=20, height=12, class_=f"box {kind}"), viewBox="0 0 24 16"),
               said)
            for kind, said in rows
        ),
        class_="marks",
    )  # fmt: skip


def photo(one: Mapping[str, Any]) -> Html | None:
    """A picture of pictures.json with its frames and a line below; None where it is none."""
    data, hw = str(one.get("jpeg", "")), numbers(one.get("hw"))
    try:
        sound = base64.b64decode(data, validate=True).startswith(b"\xff\xd8")
    except (binascii.Error, ValueError):
        sound = False
    if not sound or len(hw) != 2:
        return None
    scale = _DRAWN / max(*hw, 1.0)
    height, width = (side * scale for side in hw)
    labelled, found = tables(one.get("labelled")), tables(one.get("found"))
    boxed = [*labelled, *found]
    named = len(boxed) <= 2 * _FEW_BOXES
    drawn = [_frame(find, "right", scale, named) for find in found if find.get("right") is True]
    drawn += [_frame(label, "missed", scale) for label in labelled if label.get("seen") is not True]
    drawn += [_frame(find, "wrong", scale) for find in found if find.get("right") is not True]
    name = str(one.get("image", "")).rpartition("/")[2]
    svg = el(
        "svg",
        el("title", name),
        el("image", href=f"data:image/jpeg;base64,{data}", width=width, height=height),
        *drawn,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
    )
    return el("figure", svg, el("figcaption", el("bdi", name), ": ", _said(one, labelled, found)))


def _frame(one: Mapping[str, Any], kind: str, scale: float, named: bool = True) -> Html | None:
    box = [side * scale for side in numbers(one.get("box"))]
    if len(box) != 4:
        return None
    x, y, width, height = box[0], box[1], max(box[2] - box[0], 1.0), max(box[3] - box[1], 1.0)
    score = number(one.get("score"))
    name, behind = str(one.get("name", "")), f" {score:.2f}" if kind != "missed" and score is not None else ""
    place = {"x": x, "y": y, "width": width, "height": height}
    note = el("text", _cut(name) + behind, x=x + 2, y=y + 12 if y < 14 else y - 4, class_=kind) if named else None
    return join(
        el("rect", class_="halo", **place),
        el("rect", el("title", f"{name}{behind} ({kind})"), class_=f"box {kind}", **place),
        note,
    )


def _said(one: Mapping[str, Any], labelled: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> Html:
    """What was right in a picture, in a line."""
    right, finds, objects = (round(number(one.get(name)) or 0) for name in ("right", "finds", "objects"))
    if any(part.get("box") for part in (*labelled, *found)):
        wrong = finds - right
        return text(f"{right} of {objects} found, {wrong} wrong {'find' if wrong == 1 else 'finds'}")
    wanted = ", ".join(str(part.get("name")) for part in labelled) or "no class"
    given = ", ".join(f"{part.get('name')} ({number(part.get('score')) or 0:.2f})" for part in found) or "no class"
    if right == objects == finds:
        return join(el("bdi", given), ", right")
    return join(el("bdi", wanted), ", taken for ", el("bdi", given))


def _cut(name: str) -> str:
    return name if len(name) <= _LONG else f"{name[: _LONG - 1]}…"
