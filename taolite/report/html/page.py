"""One file for one run: the head, what to do next, and the sections."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Sequence

from taolite import __version__
from taolite.report.html import records, sections
from taolite.report.html.advice import advice
from taolite.report.html.drawings import image
from taolite.report.html.facts import RunFacts, number, table
from taolite.report.html.style import STYLE
from taolite.report.markup import Html, el, join
from taolite.wording import counted

__all__ = ["document", "run_again", "run_page", "summary"]

_KINDS = {"detectnet": "A DetectNet_v2 detector", "ssd": "An SSD detector", "classification": "An image classifier"}


def run_page(facts: RunFacts) -> str:
    """The report of one run: a whole HTML file, which loads nothing and has no script."""
    photos, left = sections.photos(facts)
    parts: list[tuple[str, str, Html | None]] = [
        ("next", "What to do next", sections.advice_list(advice(facts))),
        ("curves", "Curves", sections.costs(facts)),
        ("classes", "Classes", sections.classes(facts)),
        ("confusion", "Confusion matrix", sections.confusion(facts)),
        ("pictures", "Validation pictures", photos),
        ("labels", "Labels", sections.labels(facts)),
        ("batch", "First training batch", _first_batch(facts)),
        ("pruning", "Pruning", records.pruning(facts)),
        ("quantisation", "Exports and their scores", records.quantisation(facts)),
        ("files", "Files", records.artifacts(facts)),
        ("lineage", "Lineage", records.lineage(facts)),
        ("spec", "Spec", records.spec(facts)),
        ("environment", "Environment", records.environment(facts)),
        ("again", "Run it again", el("pre", run_again(facts))),
    ]
    shown = [(name, title, part) for name, title, part in parts if part]
    missing = [title.lower() for _, title, part in parts if not part]
    notes = list(facts.notes)
    if missing:
        notes.append(f"Nothing is recorded for: {', '.join(missing)}.")
    if left:
        notes.append(f"{counted(left, 'picture')} left out, to keep this file small.")
    head = [
        el("h1", el("bdi", facts.record.folder.name)),
        el("p", *summary(facts), class_="lead"),
        _tiles(facts),
        el("nav", *(el("a", title, href=f"#{name}") for name, title, _ in shown)),
    ]
    body = [el("section", el("h2", title), part, id=name) for name, title, part in shown]
    return document(f"Report: {facts.record.folder.name}", [*head, *body], notes)


def document(title: str, parts: Sequence[Html], notes: Sequence[str] = ()) -> str:
    """A whole file around the parts: its policy allows the style sheet by its hash, pictures in data URLs, and nothing
    else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("style", Html(STYLE)),
    )
    foot = el("footer", *(el("p", note) for note in notes), el("p", f"Made by taolite {__version__}."))
    return f"<!doctype html>\n{el('html', head, el('body', *parts, foot), lang='en')}\n"


def summary(facts: RunFacts) -> list[str | Html]:
    """What was trained, on what, and how good it is: sentences."""
    record = facts.record
    kind = _KINDS.get(record.task, f"A model of the task {record.task or 'unknown'}")
    words: list[str | Html] = [kind, " of ", counted(len(facts.names), "class", "classes")]
    if facts.names:
        shown = facts.names[:8]
        words.append(" (")
        for place, name in enumerate(shown):
            words += [", " if place else "", el("bdi", name)]
        words.append(f" and {len(facts.names) - 8} more)" if len(facts.names) > 8 else ")")
    train = facts.split("train")
    epoch, _ = record.epoch
    trained = {"running": ", in training", "finished": ", trained"}.get(record.state, ", trained, but not to the end,")
    words.append(trained)
    if pictures := number(train.get("pictures")):
        objects = sum(round(number(count) or 0) for count in table(train.get("objects")).values())
        words.append(f" on {counted(round(pictures), 'picture')}")
        if train.get("boxed") is True:
            words.append(f" with {counted(objects, 'label')}")
    words.append(f" for {counted(epoch, 'epoch')}." if epoch else ".")
    if record.score is not None:
        images = facts.images
        on = f" on {counted(images, 'validation picture')}" if images else ""
        words += [" Its ", facts.words.long, " is ", el("b", f"{record.score:.3f}"), on, "."]
    return words


def _tiles(facts: RunFacts) -> Html:
    """The main figures."""
    record = facts.record
    rows: list[tuple[str, str]] = []
    if record.score is not None:
        rows.append((f"{record.score:.3f}", facts.words.short))
    for name, key in (("VOC", "VOC_mAP"), ("COCO", "COCO_mAP")):
        if (value := number(record.scores.get(key))) is not None:
            rows.append((f"{value:.3f}", f"mAP as {name} counts it"))
    if (cost := number(record.scores.get("validation_cost"))) is not None:
        rows.append((f"{cost:.3g}", "validation cost"))
    if (parameters := number(record.manifest.get("parameters"))) is not None:
        rows.append((f"{parameters / 1e6:.2f} M", "parameters"))
    seconds = sum(number(row.get("seconds")) or 0 for row in record.rows)
    if seconds:
        rows.append((_duration(seconds), "training time"))
    rows.append((record.state, "state" if not record.updated else f"state, {record.updated:%Y-%m-%d %H:%M}"))
    return el("ul", *(el("li", el("b", value), el("span", name)) for value, name in rows), class_="tiles")


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def run_again(facts: RunFacts) -> str:
    """The command that runs the same training again, in a new folder."""
    record = facts.record
    name = str(record.manifest.get("name") or "model")
    words = ["taolite", record.task, "train", "-e", str(record.folder / "experiment_spec.txt"), "-r", "NEW_FOLDER"]
    if record.task == "detectnet":
        words += ["-n", name]
    return f"{shlex.join(words)} -k KEY"


def _first_batch(facts: RunFacts) -> Html | None:
    data = facts.plots.get("first_batch.png")
    said = "What the network was trained on, after augmentation."
    if facts.is_detector:
        said += " The frames have to fit their objects."
    alt = "the first pictures of the training"
    if data is None:
        return None
    return join(el("p", said, class_="soft small"), el("figure", image(data, alt=alt), class_="plot"))
