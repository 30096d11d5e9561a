"""What to do next, by rules over recorded numbers. Every advice says what was seen, and what to do about it.

The rules are few, and each has its limit as a number below; docs/cookbook/report.md lists them for readers. They
point at causes, and prove none: an advice that does not fit the pictures of the page is wrong.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from taolite.report.html.facts import ClassFacts, RunFacts, number, table, tables
from taolite.report.svg import points_of
from taolite.wording import counted

__all__ = ["Advice", "advice", "chance"]

FEW_LABELS = 100  # objects of a class in training; fewer are few
RARE = 0.2  # of the most frequent class's labels; a class below is rare
SMALL_SIDE = 24  # pixels of the input; boxes of a median below are small
SHARE = 0.10  # of a class's objects or finds that are missed, invented or confused
GOOD = 0.95  # a class with this score needs no advice
NEAR = 0.02  # classes this near to the weakest are looked at, too
RISE = 1.05  # the last validation cost over the lowest
STILL = 0.01  # gain of the score in the last third of the validations
BETTER = 0.005  # how much the best epoch is above the last
FEW_JUDGED = 50  # objects of a class in validation
FEW_PICTURES = 100  # in validation
UNLABELLED = 3  # finds for each label, in a picture whose labels may be missing
DROP = 1.0  # points that an export may lose
WAITS = 0.3  # of the time that is spent on waiting for pictures

Level = Literal["act", "check", "note"]


@dataclass(frozen=True)
class Advice:
    """One advice. level: `act` comes first. why: what was seen, one sentence each. do: what to do, one sentence each.
    commands: lines for a shell."""

    level: Level
    title: str
    why: tuple[str, ...]
    do: tuple[str, ...]
    commands: tuple[str, ...] = ()


def advice(facts: RunFacts) -> list[Advice]:
    """The advice for a run, the most important first. Never empty."""
    found = [one for rule in _RULES for one in rule(facts)]
    order = {"act": 0, "check": 1, "note": 2}
    return sorted(found, key=lambda one: order[one.level])


def _unfinished(facts: RunFacts) -> Iterator[Advice]:
    record = facts.record
    if record.state == "finished":
        return
    epoch, epochs = record.epoch
    so_far = f"{epoch} of {counted(epochs, 'epoch')} were finished." if epochs else "No epoch was finished."
    if record.state == "running":
        yield Advice("note", "The training is running", (so_far,), ("Make the report again when it has ended.",))
        return
    last = str(record.status[-1].get("message", "")) if record.status else ""
    why = (so_far, f"The last message was: {last}") if last else (so_far,)
    title = "The training failed" if record.state == "failed" else "The training stopped before its end"
    do = ("Run the same training command again in the same folder: it goes on from the last checkpoint.",)
    yield Advice("act", title, why, do)


def _nothing_found(facts: RunFacts) -> Iterator[Advice]:
    if facts.record.score == 0:
        yield Advice(
            "act",
            f"The score is 0: {'nothing is found' if facts.is_detector else 'no picture is classified right'}",
            (f"The {facts.words.short} of the newest validation is 0.",),
            (
                "Look at the first batch and at the pictures below: do the labels fit the objects?",
                "Compare the class names of the labels with those of the spec.",
            ),
        )


def _missing_labels(facts: RunFacts) -> Iterator[Advice]:
    if not facts.is_detector:
        return
    rows = []
    for one in tables((facts.record.scorecard or {}).get("worst")):
        finds, objects, right = (number(one.get(name)) or 0 for name in ("finds", "objects", "right"))
        if finds >= UNLABELLED * max(objects, 1) and finds - right >= UNLABELLED:
            rows.append((str(one.get("image", "")).rpartition("/")[2], int(objects), int(finds)))
    if not rows:
        return
    shown = ", ".join(f"{name} ({counted(objects, 'label')}, {finds} finds)" for name, objects, finds in rows[:5])
    each = "this picture" if len(rows) == 1 else "these pictures"
    yield Advice(
        "act",
        f"Labels may be missing in {counted(len(rows), 'validation picture')}",
        (
            f"The model finds at least {UNLABELLED} times as many objects as are labelled in: {shown}.",
            "A label that is missing makes a right find count as wrong, and teaches the network to miss such objects.",
        ),
        (
            f"Look at {each} below. Where the finds are right, add the labels: in the validation pictures, and in the "
            "training pictures, which were probably labelled in the same way.",
            "Then convert the data again, and train again.",
        ),
    )


def _weak_classes(facts: RunFacts) -> Iterator[Advice]:
    known = [one for one in facts.classes if one.score is not None]
    if not known or facts.record.score == 0:
        return
    lowest = min(one.score or 0.0 for one in known)
    if lowest >= GOOD:
        return
    weak = sorted((one for one in known if (one.score or 0.0) <= lowest + NEAR), key=lambda one: one.score or 0.0)
    for place, one in enumerate(weak[:3]):
        reasons = list(_reasons(one, known, "object" if facts.is_detector else "picture"))
        title = f"{one.name} is the weakest class: {facts.words.of_class_long} {one.score:.3f}"
        if len(known) == 1:
            title = f"What {one.name} loses: {facts.words.of_class_long} {one.score:.3f}"
        elif place:
            title = f"{one.name} is nearly as weak: {facts.words.of_class_long} {one.score:.3f}"
        if not reasons:
            seen = ("None of this page's rules explains it: labels, sizes and mistakes are like those of the others.",)
            reasons = [(seen[0], "Look at its pictures below, at the place of the boxes above all.")]
        yield Advice("act", title, tuple(why for why, _ in reasons), tuple(dict.fromkeys(do for _, do in reasons)))


def _reasons(one: ClassFacts, known: Sequence[ClassFacts], noun: str) -> Iterator[tuple[str, str]]:
    """(what was seen, what to do) of a weak class among all that are known. noun: what is counted."""
    most = max((other.labels or 0 for other in known), default=0)
    if one.labels is not None and (one.labels < FEW_LABELS or _is_rare(one, known, most)):
        beside = f"; the most frequent class has {most}" if most > one.labels else ""
        yield (
            f"It has {counted(one.labels, 'label')} in training{beside}.",
            f"Label more pictures with {one.name}: {max(FEW_LABELS, 2 * one.labels)} labels or more.",
        )
    if one.side is not None and one.side < SMALL_SIDE:
        yield (
            f"Half of its objects are smaller than {one.side} x {one.side} pixels in the network's input.",
            "Train with a larger input, or cut the photos into parts.",
        )
    judged, finds = one.judged or 0, one.finds or 0
    for name, count in one.confused[:2]:
        if count >= SHARE * judged:
            yield (
                f"{count} of its {counted(judged, f'validation {noun}')} {'was' if count == 1 else 'were'} taken for "
                f"{name}.",
                f"Check that {one.name} and {name} are labelled by one rule, and add pictures where they differ "
                "clearly.",
            )
    if one.missed and one.missed >= SHARE * judged:
        yield (
            f"{one.missed} of its {counted(judged, 'validation object')} are missed at the best threshold.",
            f"Look at the missed {one.name} below (dashed frames): what do they have in common that the training "
            "pictures lack? Add such pictures.",
        )
    if one.invented and one.invented >= SHARE * finds:
        yield (
            f"{one.invented} of its {counted(finds, 'find')} are on places without a label.",
            f"Look at the wrong finds of {one.name} below (thick frames): real objects need labels; other things need "
            "training pictures that show them without a label.",
        )


def _is_rare(one: ClassFacts, known: Sequence[ClassFacts], most: int) -> bool:
    """Whether a class has few labels beside the others, and none that is found well has about as few."""
    labels = one.labels or 0
    well = any((other.score or 0.0) >= GOOD and (other.labels or 0) <= 1.25 * labels for other in known)
    return labels < RARE * most and not well


def _labels(facts: RunFacts) -> Iterator[Advice]:
    train, val = facts.split("train"), facts.split("val")
    without = [one.name for one in facts.classes if one.labels == 0]
    if without and train:
        yield Advice(
            "act",
            f"No training label of {', '.join(without)}",
            ("A class without a label cannot be learned.",),
            ("Add pictures of it, correct the class mapping of the spec, or take the class out of the spec.",),
        )
    unseen = [one.name for one in facts.classes if one.labels and one.judged == 0]
    if unseen:
        yield Advice(
            "check",
            f"No validation label of {', '.join(unseen)}",
            ("Nobody knows how well this class is found: the score leaves it out, or counts it as 0.",),
            ("Move some pictures of it to the validation set.",),
        )
    unused = {name: int(number(count) or 0) for name, count in table(train.get("unused")).items()}
    if unused:
        shown = ", ".join(f"{name} ({count})" for name, count in list(unused.items())[:6])
        yield Advice(
            "check",
            f"{counted(sum(unused.values()), 'training label')} belong to no class",
            (f"The spec maps these names to no class: {shown}.",),
            ("If they are objects of your classes, add them to the class mapping of the spec. Else nothing is lost.",),
        )
    small = {name: int(number(count) or 0) for name, count in table(train.get("left_out")).items() if number(count)}
    if small:
        shown = ", ".join(f"{name} ({count})" for name, count in list(small.items())[:6])
        yield Advice(
            "check",
            f"{counted(sum(small.values()), 'training label')} are not trained",
            (f"Their boxes are too small in the network's input, or outside of it: {shown}.",),
            ("Train with a larger input, or allow smaller boxes in the spec.",),
        )
    pictures, empty = number(train.get("pictures")) or 0, number(train.get("empty")) or 0
    if val and pictures and empty > 0.3 * pictures:
        yield Advice(
            "check",
            f"{empty:.0f} of {pictures:.0f} training pictures have no label",
            ("Pictures without an object teach what is no object. Many of them may be pictures nobody labelled.",),
            ("Look at some of them: an object without a label teaches the network to miss it.",),
        )


def _overfitted(facts: RunFacts) -> Iterator[Advice]:
    rows = facts.record.rows
    costs, losses = points_of(rows, "validation_cost"), dict(points_of(rows, "loss"))
    if len(costs) < 3:
        return
    epoch, lowest = min(costs, key=lambda point: point[1])
    last_epoch, last = costs[-1]
    falls = losses.get(last_epoch, 0.0) < losses.get(epoch, 0.0)
    if last > RISE * lowest and falls:
        yield Advice(
            "check",
            f"The network learns the training pictures by heart after epoch {epoch:.0f}",
            (
                f"The validation cost rose from {lowest:.3g} in epoch {epoch:.0f} to {last:.3g} in epoch "
                f"{last_epoch:.0f}, while the training cost still fell.",
            ),
            ("More training pictures, stronger augmentation or regularisation, a smaller (pruned) network, or fewer "
             "epochs.",),
        )  # fmt: skip


def _epochs(facts: RunFacts) -> Iterator[Advice]:
    record, words = facts.record, facts.words
    points = points_of(record.rows, words.short)
    if len(points) < 3:
        return
    epoch, best = max(points, key=lambda point: (point[1], -point[0]))
    last_epoch, last = points[-1]
    before = max(points[: -max(len(points) // 3, 1)], key=lambda point: (point[1], -point[0]))
    if last - best < -BETTER:
        kept = [name for name in facts.files if "best" in name]
        do = f"Use {kept[0]}." if kept else "Use the best model of this run, which is kept beside the last one."
        why: tuple[str, ...] = (
            f"The {words.short} was {best:.3f} in epoch {epoch:.0f}, and is {last:.3f} in epoch {last_epoch:.0f}.",
        )
        points_of_chance = chance([one for one in facts.classes if one.judged])
        by_chance = 100 * (best - last) < points_of_chance
        if by_chance:
            why += (f"That is less than chance makes here ({points_of_chance:.1f} points): both may be equally good.",)
        title = f"The best model is that of epoch {epoch:.0f}, not the last one"
        yield Advice("note" if by_chance else "act", title, why, (do,))
    elif last - before[1] > STILL:
        epochs = round(1.5 * last_epoch)
        yield Advice(
            "check",
            "The score was still rising when the training ended",
            (f"The {words.short} rose from {before[1]:.3f} in epoch {before[0]:.0f} to {last:.3f} in epoch "
             f"{last_epoch:.0f}.",),
            (f"Train for more epochs, {epochs} for example.",),
        )  # fmt: skip


def _validation_size(facts: RunFacts) -> Iterator[Advice]:
    judged = [one for one in facts.classes if one.judged]
    images = facts.images or 0
    few = [one for one in judged if (one.judged or 0) < FEW_JUDGED]
    if not judged or (images >= FEW_PICTURES and not few):
        return
    error = chance(judged)
    counts = ", ".join(f"{one.name} {one.judged}" for one in sorted(judged, key=lambda one: one.judged or 0)[:6])
    yield Advice(
        "check",
        f"The validation set is small: differences below about {max(error, 0.1):.1f} points are chance",
        (
            f"It has {counted(images, 'picture')}; labelled objects by class: {counts}.",
            "The number is twice the standard error of the recall, averaged over the classes. It is rough.",
        ),
        (f"Do not choose between models by less than that. Label {FEW_PICTURES} validation pictures or more, with "
         f"{FEW_JUDGED} objects of each class or more.",),
    )  # fmt: skip


def chance(judged: Sequence[ClassFacts]) -> float:
    """Twice the standard error of the mean of the classes' recalls, in points; that of a score of 0.5 where a recall
    is not known; 0 without classes."""
    variances = []
    for one in judged:
        share = one.recall if one.recall is not None else one.score if one.score is not None else 0.5
        count = one.judged or 1
        smooth = (share * count + 1) / (count + 2)  # never 0 or 1 on few objects
        variances.append(smooth * (1 - smooth) / count)
    return float(200 * sum(variances) ** 0.5 / max(len(judged), 1))


def _exports(facts: RunFacts) -> Iterator[Advice]:
    for name, gate in facts.gates:
        drop, trained, exported = (number(gate.get(key)) for key in ("drop", "trained", "exported"))
        if drop is not None and drop > DROP:
            yield Advice(
                "act",
                f"The export {name} loses {drop:.2f} points",
                (f"On the same validation pictures the trained model has {_percent(trained)} and the export "
                 f"{_percent(exported)}.",),
                ("Calibrate with more pictures of the real scenes, keep the costliest layers in float (--max-drop), or "
                 "train with quantisation.",),
            )  # fmt: skip


def _percent(share: float | None) -> str:
    return "an unknown score" if share is None else f"{100 * share:.2f} %"


def _waiting(facts: RunFacts) -> Iterator[Advice]:
    waits = [value for _, value in points_of(facts.record.rows, "data_wait")]
    mean = sum(waits) / len(waits) if waits else 0.0
    if mean > WAITS:
        yield Advice(
            "note",
            f"The training waited {100 * mean:.0f} % of its time for pictures",
            ("The network is faster than the preparation of the pictures.",),
            ("Use more --workers, or store the pictures smaller.",),
        )


def _threshold(facts: RunFacts) -> Iterator[Advice]:
    known = [one for one in facts.classes if one.threshold is not None and one.f1 is not None]
    if not known or not facts.is_detector:
        return
    rows = ", ".join(
        f"{one.name} {one.threshold:.2f} (precision {100 * (one.precision or 0):.0f} %, recall "
        f"{100 * (one.recall or 0):.0f} %)"
        for one in known[:8]
    )
    yield Advice(
        "note",
        "The threshold to use for each class",
        (f"The best F1 in validation is at: {rows}.",),
        ("Fewer false alarms need a higher threshold, fewer misses a lower one; the chart of F1 shows the price.",),
    )


def _next_stage(facts: RunFacts) -> Iterator[Advice]:
    record = facts.record
    if record.state != "finished" or not record.score:
        return
    model, spec = (shlex.quote(str(path)) for path in (record.weights, record.folder / "experiment_spec.txt"))
    group = record.task
    exports = table(record.manifest.get("exports"))
    pruned = any(step.get("stage") == "prune" for one in facts.models for step in tables(one.get("lineage")))
    commands, do = [], []
    if not pruned:
        do.append("Prune the model, and train the smaller one again: it runs faster, often at the same score.")
        commands.append(f"taolite {group} prune -m {model} -o PRUNED.tlt --target 0.3 -k KEY")
    if not exports and not facts.gates:
        do.append("Export it for the device where it shall run.")
        commands.append(f"taolite {group} export -m {model} -e {spec} -o MODEL.etlt -k KEY")
    if do:
        yield Advice("note", "When the score is good enough", ("No such step is recorded yet.",), tuple(do),
                     tuple(commands))  # fmt: skip


_RULES: tuple[Callable[[RunFacts], Iterator[Advice]], ...] = (
    _unfinished,
    _nothing_found,
    _missing_labels,
    _epochs,
    _weak_classes,
    _labels,
    _overfitted,
    _validation_size,
    _exports,
    _threshold,
    _waiting,
    _next_stage,
)
