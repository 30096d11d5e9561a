"""Rules about the course of a run: its end, its curves, its exports, and the stages that follow."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from taolite.report.html.facts import RunFacts, number, table, tables
from taolite.report.html.rule import Advice, chance
from taolite.report.svg import points_of
from taolite.wording import counted

__all__ = [
    "best_epoch", "exports", "next_stage", "nothing_found", "overfitted", "thresholds", "unfinished", "waiting",
]  # fmt: skip

RISE = 1.05  # the last validation cost over the lowest
STILL = 0.01  # gain of the score in the last third of the validations
BETTER = 0.005  # how much the best epoch is above the last
DROP = 1.0  # points that an export may lose
WAITS = 0.3  # of the time that is spent on waiting for pictures


def unfinished(facts: RunFacts) -> Iterator[Advice]:
    """The run is running, stopped or failed."""
    record = facts.record
    if record.state == "finished":
        return
    epoch, epochs = record.epoch
    so_far = f"Finished: {epoch} of {counted(epochs, 'epoch')}." if epochs else "No epoch was finished."
    if record.state == "running":
        yield Advice("note", "The training is running", (so_far,), ("Make the report again when it has ended.",))
        return
    last = str(record.status[-1].get("message", "")) if record.status else ""
    why = (so_far, f"The last message was: {last}") if last else (so_far,)
    title = "The training failed" if record.state == "failed" else "The training stopped before its end"
    do = ("Run the same training command again in the same folder: it goes on from the last checkpoint.",)
    yield Advice("act", title, why, do)


def nothing_found(facts: RunFacts) -> Iterator[Advice]:
    """The score is 0."""
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


def overfitted(facts: RunFacts) -> Iterator[Advice]:
    """The validation cost rises while the training cost falls."""
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


def best_epoch(facts: RunFacts) -> Iterator[Advice]:
    """The best epoch is not the last, or the score was still rising."""
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


def exports(facts: RunFacts) -> Iterator[Advice]:
    """An export loses more of the score than it may."""
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


def thresholds(facts: RunFacts) -> Iterator[Advice]:
    """The best threshold of each class."""
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


def waiting(facts: RunFacts) -> Iterator[Advice]:
    """The training waits for pictures."""
    waits = [value for _, value in points_of(facts.record.rows, "data_wait")]
    mean = sum(waits) / len(waits) if waits else 0.0
    if mean > WAITS:
        yield Advice(
            "note",
            f"The training waited {100 * mean:.0f} % of its time for pictures",
            ("The network is faster than the preparation of the pictures.",),
            ("Use more --workers, or store the pictures smaller.",),
        )


def next_stage(facts: RunFacts) -> Iterator[Advice]:
    """Nothing was pruned or exported yet."""
    record = facts.record
    if record.state != "finished" or not record.score:
        return
    model, spec = (shlex.quote(str(path)) for path in (record.weights, record.folder / "experiment_spec.txt"))
    group = record.task
    exported = table(record.manifest.get("exports"))
    pruned = any(step.get("stage") == "prune" for one in facts.models for step in tables(one.get("lineage")))
    commands, do = [], []
    if not pruned:
        do.append("Prune the model, and train the smaller one again: it runs faster, often at the same score.")
        commands.append(f"taolite {group} prune -m {model} -o PRUNED.tlt --target 0.3 -k KEY")
    if not exported and not facts.gates:
        do.append("Export it for the device where it shall run.")
        commands.append(f"taolite {group} export -m {model} -e {spec} -o MODEL.etlt -k KEY")
    if do:
        yield Advice("note", "When the score is good enough", ("No such step is recorded yet.",), tuple(do),
                     tuple(commands))  # fmt: skip
