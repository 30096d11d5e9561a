"""The sections of a run's report: each from the facts to markup, or None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from taolite.report.html.advice import Advice
from taolite.report.html.cells import plain, share
from taolite.report.html.drawings import (
    bars,
    colour,
    confusion_table,
    heat,
    image,
    marks,
    photo,
    ranges,
    table_of,
)  # fmt: skip
from taolite.report.html.facts import RunFacts, number, numbers, table, tables
from taolite.report.markup import Html, el, join
from taolite.report.svg import Series, chart, curves
from taolite.wording import counted

__all__ = [
    "advice_list", "classes", "confusion", "costs", "labels", "photos",
]  # fmt: skip

_MOST_LINES = 12  # classes in one chart
_MOST_BARS = 40  # classes of the label counts
_PICTURE_BYTES = 3_500_000  # of all photos of a report, in base64


def advice_list(found: Sequence[Advice]) -> Html:
    """The advice, each with what was seen and what to do."""
    made = []
    for one in found:
        why = el("dd", *(el("p", line) for line in one.why))
        do = el("dd", *(el("p", line) for line in one.do))
        lines = el("pre", "\n".join(one.commands)) if one.commands else None
        made.append(
            el("li", el("h3", one.title), el("dl", el("dt", "Seen"), why, el("dt", "Do"), do), lines, class_=one.level)
        )
    return el("ol", *made, class_="advice")


def costs(facts: RunFacts) -> Html | None:
    """Costs, metric and learning rate over the epochs."""
    if not facts.record.rows:
        return None
    drawn = curves(facts.record.rows, words=facts.words, classes=facts.names)
    return _cards(drawn.items())


def classes(facts: RunFacts) -> Html | None:
    """A row for each class, then the curves of precision, recall and F1."""
    if not facts.scores and not any(one.judged for one in facts.classes):
        return None
    heads = ["class", facts.words.of_class if facts.is_detector else "accuracy"]
    heads += ["precision", "recall", "F1"]
    heads += ["threshold", "missed", "wrong finds"] if facts.is_detector else ["taken for"]
    heads += ["labels in training" if facts.is_detector else "pictures in training", "in validation"]
    rows = []
    for one in facts.classes:
        name = el("span", el("bdi", one.name), class_=f"key {colour(one.number)}")
        row: list[str | Html | None] = [name, share(one.score)]
        row += [share(one.precision), share(one.recall), share(one.f1)]
        if facts.is_detector:
            wrong = None if one.finds is None or one.right is None else str(one.finds - one.right)
            row += [share(one.threshold), plain(one.missed), wrong]
        else:
            row.append(", ".join(f"{name} ({count})" for name, count in one.confused[:3]) or "no other")
        rows.append([*row, plain(one.labels), plain(one.judged)])
    note = "Precision, recall and F1 are those at the threshold with the best F1; boxes match at an IoU of 0.5."
    parts: list[Html | None] = [table_of(heads, rows)]
    if facts.is_detector:
        parts += [el("p", note, class_="soft small"), _beside(facts), _pr_curves(facts)]
    return join(*parts)


def _beside(facts: RunFacts) -> Html | None:
    """The scores by other rules, and by size."""
    said = []
    for name, other in table(facts.card.get("beside")).items():
        value = number(table(other).get("value"))
        if value is not None:
            said.append(f"{name} {table(table(other).get('words')).get('short', 'score')} {value:.3f}")
    sizes = [f"{name} {value:.3f}" for name, one in table(facts.card.get("by_size")).items()
             if (value := number(one)) is not None]  # fmt: skip
    if sizes:
        said.append(f"COCO AP by size of the objects: {', '.join(sizes)}")
    return el("p", "Other scores: ", "; ".join(said), ".", class_="small") if said else None


def _pr_curves(facts: RunFacts) -> Html | None:
    """F1 over the threshold, precision over recall, precision and recall over the threshold."""
    sweeps, lines = table(facts.curves.get("sweeps")), table(facts.curves.get("curves"))
    names = facts.names[:_MOST_LINES]
    more = f"and {len(facts.names) - len(names)} more classes" if len(facts.names) > len(names) else ""
    f1, over, both, rings = list[Series](), list[Series](), list[Series](), list[tuple[int, float, float, str]]()
    for index, name in enumerate(names):
        sweep, curve = table(sweeps.get(name)), table(lines.get(name))
        at, precision, recall = (numbers(sweep.get(key)) for key in ("threshold", "precision", "recall"))
        if at and len(at) == len(precision) == len(recall):
            values = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall, strict=True)]
            best = facts.classes[index]
            if best.f1 is not None and best.threshold is not None:
                rings.append((len(f1), best.threshold, best.f1, ""))
            said = f"{best.f1:.3f} at {best.threshold:.2f}" if best.f1 is not None and best.threshold else ""
            f1.append(Series(name, list(zip(at, values, strict=True)), index, said=said))
            both.append(Series(f"precision of {name}", list(zip(at, precision, strict=True)), index))
            both.append(Series(f"recall of {name}", list(zip(at, recall, strict=True)), index, dashed=True))
        xs, ys = numbers(curve.get("recall")), numbers(curve.get("precision"))
        if xs and len(xs) == len(ys):
            over.append(Series(name, list(zip(xs, ys, strict=True)), index))
    if not f1 and not over:
        return _plots(facts, ("f1.png", "precision_recall.png"))
    axis = partial(chart, y_range=(0.0, 1.03), whole_x=False, more=more)
    at_threshold = partial(axis, x_label="threshold on the score")
    both_title = "Precision and recall over the threshold"
    return _cards(
        [
            ("F1 over the threshold", at_threshold(f1, title="F1 over the threshold", rings=rings)),
            (
                "Precision over recall",
                axis(over, title="precision over recall", x_label="recall", x_range=(0.0, 1.0)),
            ),
            (both_title, at_threshold(both, title=both_title)),
        ]
    )


def confusion(facts: RunFacts) -> Html | None:
    """The confusion matrix, and how to read it."""
    if not facts.confusion:
        return _plots(facts, ("confusion.png",))
    names = facts.headings
    said = "Rows are true classes, columns what the model said. Blue cells are right answers, orange ones mistakes."
    if facts.is_detector:
        said += " The last column counts missed objects, the last row finds on places without a label."
    return join(el("p", said, class_="soft small"), confusion_table(facts.confusion, names))


def labels(facts: RunFacts) -> Html | None:
    """What is labelled: counts, sizes, places, for each split."""
    made = []
    for split, title in (("train", "Training"), ("val", "Validation")):
        found = facts.split(split)
        if not found:
            continue
        objects = {name: int(number(count) or 0) for name, count in table(found.get("objects")).items()}
        order = sorted(enumerate(facts.names), key=lambda pair: -objects.get(pair[1], 0))[:_MOST_BARS]
        counts = [(name, index, objects.get(name, 0), str(objects.get(name, 0))) for index, name in order]
        cards = [("Labels of each class", bars(counts, title="labels of each class"))]
        sides = table(found.get("sides"))
        rows = [(name, index, values) for index, name in order if len(values := numbers(sides.get(name))) == 5]
        if rows:
            cards.append(("Size of the boxes in the network's input", join(
                ranges(rows, title="size of boxes"),
                el("p", "Square root of the area. Line: 90 % of the boxes; bar: the middle half; mark: the median.",
                   class_="soft small"),
            )))  # fmt: skip
        for key, head, note in (
            ("centres", "Where the boxes are", "Centres of the boxes in the photo; dark is many."),
            ("sizes", "How wide and high the boxes are", "Width to the right, height downwards, both as a share of "
             "the photo."),
        ):  # fmt: skip
            if grid := numbers(found.get(key)):
                cards.append((head, join(heat(grid, title=head, aspect=_aspect(found)),
                                         el("p", note, class_="soft small"))))  # fmt: skip
        made.append(join(el("h3", title), el("p", _split_line(found)), _cards(cards, "grid four")))
    return join(*made) if made else None


def _split_line(found: Mapping[str, Any]) -> str:
    pictures, empty = round(number(found.get("pictures")) or 0), round(number(found.get("empty")) or 0)
    total = sum(round(number(count) or 0) for count in table(found.get("objects")).values())
    said = counted(pictures, "picture")
    if found.get("boxed") is True:
        said += f" with {counted(total, 'label')}"
    most = number(table(found.get("in_one")).get("most")) or 0
    if most > 1:
        said += f", up to {most:.0f} in one picture"
    said += f"; {empty} without a label." if empty else "."
    if sizes := _sizes(found):
        rest = round(number(found.get("photo_sizes")) or 0) - len(sizes)
        said += f" Photo sizes: {', '.join(sizes)}{f', and {rest} more' if rest > 0 else ''}."
    return said


def _sizes(found: Mapping[str, Any]) -> list[str]:
    photos = found.get("photos")
    rows = [numbers(one) for one in photos] if isinstance(photos, list) else []
    return [f"{row[0]:.0f} x {row[1]:.0f} ({row[2]:.0f})" for row in rows if len(row) == 3][:3]


def _aspect(found: Mapping[str, Any]) -> float:
    photos = found.get("photos")
    row = numbers(photos[0]) if isinstance(photos, list) and photos else []
    return min(max(row[0] / row[1], 0.5), 2.5) if len(row) == 3 and row[1] > 0 else 1.0


def photos(facts: RunFacts) -> tuple[Html | None, int]:
    """The validation pictures, the worst first; and how many were left out because they are too large."""
    shown: dict[str, list[Html]] = {"worst": [], "other": []}
    budget, left = _PICTURE_BYTES, 0
    for one in tables(facts.pictures.get("pictures")):
        size = len(str(one.get("jpeg", "")))
        drawn = photo(one) if size <= budget else None
        if drawn is None:
            left += 1
            continue
        budget -= size
        shown["worst" if one.get("why") == "worst" else "other"].append(drawn)
    if not any(shown.values()):
        return _plots(facts, ("worst.png",)), left
    parts: list[Html | None] = [marks() if facts.is_detector else None]
    if shown["worst"]:
        head = "Most mistakes first" if facts.is_detector else "Wrong answers, the surest first"
        parts += [el("h3", head), el("div", *shown["worst"], class_="photos")]
    if shown["other"]:
        parts += [el("h3", "Some of the others"), el("div", *shown["other"], class_="photos")]
    return join(*parts), left


def _plots(facts: RunFacts, names: Sequence[str]) -> Html | None:
    """PNG files of the run, where it has no numbers to draw."""
    found = [el("figure", image(facts.plots[name], alt=name), class_="plot card") for name in names
             if name in facts.plots]  # fmt: skip
    return el("div", *found, class_="grid") if found else None


def _cards(parts: Iterable[tuple[str, Html]], style: str = "grid") -> Html:
    return el("div", *(el("div", el("h3", head), drawn, class_="card") for head, drawn in parts), class_=style)
