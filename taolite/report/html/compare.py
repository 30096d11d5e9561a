"""Runs beside each other: their scores, what differs in their specs, their curves in one chart."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from taolite.report.html.advice import advice, chance
from taolite.report.html.drawings import colour, table_of
from taolite.report.html.facts import RunFacts, number
from taolite.report.html.page import document, summary
from taolite.report.markup import Html, el, join, text
from taolite.report.svg import Series, chart, points_of
from taolite.wording import counted

__all__ = ["comparison_page"]

_MOST_LINES = 400  # of a difference of two specs


def comparison_page(runs: Sequence[RunFacts]) -> str:
    """The report of two or more runs: a whole HTML file. The first run is the one the others are compared with."""
    names = _names(runs)
    parts = [
        ("result", "Result", join(el("p", *_verdict(runs, names)), _scores(runs, names))),
        ("runs", "Runs", _runs(runs, names)),
        ("curves", "Curves", _curves(runs, names)),
        ("classes", "Classes", _classes(runs, names)),
        ("spec", "Differences of the specs", _specs(runs, names)),
        ("environment", "Differences of the environment", _environments(runs, names)),
    ]
    shown = [(name, title, part) for name, title, part in parts if part]
    head = [
        el("h1", f"Comparison of {counted(len(runs), 'run')}"),
        el("nav", *(el("a", title, href=f"#{name}") for name, title, _ in shown)),
    ]
    body = [el("section", el("h2", title), part, id=name) for name, title, part in shown]
    notes = [note for one in runs for note in one.notes]
    return document(f"Comparison: {', '.join(names)}", [*head, *body], notes)


def _names(runs: Sequence[RunFacts]) -> list[str]:
    """Names of the folders, with those above them where two are equal."""
    parts = [one.record.folder.parts for one in runs]
    for count in range(1, 6):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(one.record.folder) for one in runs]


def _key(names: Sequence[str], place: int) -> Html:
    return el("span", el("bdi", names[place]), class_=f"key {colour(place)}")


def _verdict(runs: Sequence[RunFacts], names: Sequence[str]) -> list[str | Html]:
    """Which run is best, by how much, and whether that can be told from chance."""
    scored = [(one.record.score, place) for place, one in enumerate(runs) if one.record.score is not None]
    metrics = {one.words.short for one in runs}
    if len(scored) < 2 or len(metrics) > 1:
        return ["These runs have no common score, so none of them is better."]
    order = sorted(scored, key=lambda pair: (-(pair[0] or 0), pair[1]))
    (best, first), (second, _) = order[0], order[1]
    short, gap = runs[first].words.short, 100 * ((best or 0) - (second or 0))
    words: list[str | Html] = [el("b", el("bdi", names[first])), f" has the highest {short}: {best:.3f}, "]
    words.append(f"{gap:.1f} points above the next." if gap >= 0.05 else "the same as the next.")
    judged = {(one.images, str(one.record.run.get("data_hash", ""))) for one in runs}
    if len(judged) > 1:
        words.append(" The runs did not have the same data, so their scores can differ for that reason alone.")
        return words
    points = chance([one for one in runs[first].classes if one.judged])
    if gap < points:
        on = counted(runs[first].images or 0, "validation picture")
        words.append(f" That is less than chance alone makes on {on}, which is about {points:.1f} points.")
    words += [" Another seed changes a score, too; ", el("code", "train --seeds 3"), " shows how much."]
    return words


def _scores(runs: Sequence[RunFacts], names: Sequence[str]) -> Html:
    keys: list[str] = []
    for one in runs:
        for key, value in one.record.scores.items():
            if number(value) is not None and key not in keys:
                keys.append(key)
    main = next((one.words.short for one in runs), "")
    keys.sort(key=lambda key: key != main)
    first = runs[0].record.scores
    rows = []
    for place, one in enumerate(runs):
        cells: list[str | Html | None] = [_key(names, place)]
        for key in keys:
            value, base = number(one.record.scores.get(key)), number(first.get(key))
            if value is None:
                cells.append(None)
            elif place and base is not None:
                cells.append(f"{value:.3f} ({value - base:+.3f})")
            else:
                cells.append(f"{value:.3f}")
        rows.append(cells)
    return table_of(["run", *keys], rows)


def _runs(runs: Sequence[RunFacts], names: Sequence[str]) -> Html:
    made = []
    for place, one in enumerate(runs):
        titles = "; ".join(said.title for said in advice(one)[:3])
        following = el("p", el("b", "What to do next: "), titles, ".")
        made.append(el("div", el("h3", _key(names, place)), el("p", *summary(one)), following,
                       el("p", el("bdi", str(one.record.folder)), class_="soft small"), class_="card"))  # fmt: skip
    return el("div", *made, class_="grid")


def _curves(runs: Sequence[RunFacts], names: Sequence[str]) -> Html | None:
    made = []
    for key, title in ((runs[0].words.short, runs[0].words.long), ("validation_cost", "validation cost"),
                       ("loss", "training cost"), ("learning_rate", "learning rate")):  # fmt: skip
        lines = []
        for place, one in enumerate(runs):
            points = points_of(one.record.rows, key)
            said = f"{points[-1][1]:.3g}" if points else ""
            lines.append(Series(names[place], points, place, said=said))
        if any(line.points for line in lines):
            values = [y for line in lines for _, y in line.points]
            wide = min(values) > 0 and max(values) > 10 * min(values) and key != runs[0].words.short
            drawn = chart(lines, title=f"{title} over the epochs", scale="log" if wide else "linear")
            made.append(el("div", el("h3", title.capitalize()), drawn, class_="card"))
    return el("div", *made, class_="grid two") if made else None


def _classes(runs: Sequence[RunFacts], names: Sequence[str]) -> Html | None:
    classes = list(dict.fromkeys(name for one in runs for name in one.names))
    if not any(one.scores for one in runs):
        return None
    rows: list[list[str | Html | None]] = []
    for name in classes:
        found = [number(one.scores.get(name)) for one in runs]
        rows.append([el("bdi", name), *(None if value is None else f"{value:.3f}" for value in found)])
    return table_of(["class", *names], rows)


def _specs(runs: Sequence[RunFacts], names: Sequence[str]) -> Html | None:
    """What each further run's spec has that the first one's has not."""
    made = []
    for place, one in enumerate(runs[1:], start=1):
        known = [{path: value for path, value, _ in facts.changes} for facts in (runs[0], one)]
        head = el("h3", el("bdi", names[0]), " and ", el("bdi", names[place]))
        if all(known):
            default = {path: default for facts in (runs[0], one) for path, _, default in facts.changes}
            paths = [path for path in default if known[0].get(path) != known[1].get(path)]
            rows = [[el("code", path), *(each.get(path, default[path]) for each in known)] for path in paths]
            said = table_of(["field", names[0], names[place]], rows, left=True) if rows else el("p", "The same spec.")
        else:
            lines = list(difflib.unified_diff(runs[0].record.spec.splitlines(), one.record.spec.splitlines(),
                                              names[0], names[place], lineterm="", n=2))  # fmt: skip
            said = el("pre", "\n".join(lines[:_MOST_LINES])) if lines else el("p", "The same spec.")
        made.append(join(head, said))
    return join(*made) if made else None


def _environments(runs: Sequence[RunFacts], names: Sequence[str]) -> Html | None:
    """Versions, hardware, seeds and data that are not the same in all runs."""
    found: list[dict[str, str]] = []
    for one in runs:
        manifest, run = one.record.manifest, one.record.run
        rows = {name: str(manifest[name]) for name in ("seed", "batch_size", "parameters") if name in manifest}
        for group in ("versions", "hardware", "device"):
            values = manifest.get(group)
            rows |= {name: str(value) for name, value in values.items()} if isinstance(values, dict) else {}
        rows |= {name: str(run.get(name, ""))[:16] for name in ("data_hash", "parent", "teacher")}
        found.append(rows)
    keys = [key for key in dict.fromkeys(key for rows in found for key in rows)
            if len({rows.get(key) for rows in found}) > 1]  # fmt: skip
    if not keys:
        return el("p", "The same versions, hardware and seed.")
    return table_of(["", *names], [[text(key), *(rows.get(key) for rows in found)] for key in keys], left=True)
