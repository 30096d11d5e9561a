"""Reports as text, in TAO's words where TAO has them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from taolite.events import EpochDone, Validated
from taolite.scorecard import Metric, Point, ScoreCard
from taolite.wording import counted

if TYPE_CHECKING:
    from pathlib import Path

    from taolite.stages.evaluate import Evaluation
    from taolite.stages.exporting.gate import GateReport
    from taolite.stages.exporting.int8 import Int8Report
    from taolite.stages.inference.tally import RunReport
    from taolite.stages.parity import ParityReport
    from taolite.stages.training.seeds import SeedsReport
    from taolite.stages.training.train import TrainReport

__all__ = [
    "best_block",
    "classes_block",
    "details_lines",
    "epoch_line",
    "evaluation_block",
    "gate_block",
    "int8_block",
    "parity_block",
    "precisions_block",
    "run_table",
    "scores_json",
    "seeds_block",
    "table",
    "tags_block",
    "train_block",
    "validation_lines",
]

_COSTLY = 5  # number of int8 layers that are named
_NAMED = 10  # number of classes that are named
_WORST = 5  # number of pictures that are named


def epoch_line(event: EpochDone) -> str:
    """One line for an epoch: cost, learning rate, speed, fraction of time spent waiting for data, and time left."""
    penalty = f"penalty: {event.penalty:.5f} " if event.penalty else ""
    return (
        f"Epoch {event.epoch}/{event.epochs}: loss: {event.loss:.5f} {penalty}learning rate: {event.learning_rate:.3g} "
        f"Train Samples / sec: {event.images_per_s:.2f} data wait: {100 * event.data_wait:.1f} % "
        f"Time taken: {_clock(event.seconds)} ETA: {_clock(event.eta_s)}"
    )


def validation_lines(event: Validated) -> str:
    """TAO's block for a validation during training (reference 8.7)."""
    head = f"\nEpoch {event.epoch}/{event.epochs}\n=========================\n"
    return head + _scores(event.cost, event.metric, event.seconds_per_image)


def evaluation_block(evaluation: Evaluation) -> str:
    """TAO's block, with VOC's all-point AP at IoU 0.5 and the number of labelled objects beside it."""
    card = evaluation.card
    tao, beside = _scores(evaluation.cost, card.main, evaluation.seconds_per_image), card.beside["VOC"]
    rows = [
        (name, f"{100 * ap:.4f}", str(card.objects[name]), *_point(card.best.get(name)))
        for name, ap in sorted(beside.per_class.items())
    ]
    rows.append(("mean", f"{100 * beside.value:.4f}", str(sum(card.objects.values())), "", "", "", ""))
    voc = table(("class name", "AP at IoU 0.5, all points (in %)", "objects", *_POINT), rows)
    return f"{tao}\nPASCAL VOC's metric on the same {card.images} images, and the threshold with the best F1:\n{voc}"


def train_block(report: TrainReport, beside: str = "") -> str:
    """The result of a training and the paths of its models; `beside` is printed next to the metric."""
    main, best = report.evaluation.card.main, report.best
    name = main.words.short
    return (
        f"{name} {100 * main.value:.2f} % {beside}after {counted(report.epochs, 'epoch')}\n"
        f"model: {report.weights} ({report.parameters:,} parameters)\n"
        f"best validation: epoch {best.epoch}, {name} {100 * best.value:.2f} %: {best.weights}"
    )


def seeds_block(report: SeedsReport) -> str:
    """The scores of runs with several seeds, a row a run, with mean, standard deviation and range below; and what one
    object is worth."""
    spread = report.spread

    def row(name: str, cells: Iterable[str]) -> tuple[str, ...]:
        return (name, *cells)

    rows = [row(str(run.seed), (f"{100 * run.scores[name]:.2f}" for name in spread)) for run in report.runs]
    rows.append(row("mean", (f"{100 * one.mean:.2f}" for one in spread.values())))
    if len(report.runs) > 1:
        deviations = ("" if one.deviation is None else f"{100 * one.deviation:.2f}" for one in spread.values())
        rows.append(row("standard deviation", deviations))
        rows.append(row("range", (f"{100 * one.least:.2f} to {100 * one.most:.2f}" for one in spread.values())))
    lines = [table(("seed", *(f"{name} (in %)" for name in spread)), rows)]
    if report.objects:
        worth = f"one object more or less is {100 / report.objects:.1f} points of recall"
        lines.append(f"{counted(report.objects, 'object')} in {counted(report.images, 'picture')}: {worth}")
    return "\n".join([*lines, f"summary: {report.path}"])


def classes_block(evaluation: Evaluation) -> str:
    """TAO's block of a classifier: cost, top-k accuracy, confusion matrix (rows are true classes) and scikit-learn's
    report."""
    import numpy as np

    from taolite.metrics.classes import ClassificationScores, classification_report

    card = evaluation.card
    ((name, top),) = card.beside.items()
    confusion = np.array(card.confusion, np.int64)
    scores = ClassificationScores(tuple(card.objects), confusion, {int(name.removeprefix("top_")): top.value})
    return (
        f"Evaluation Loss: {evaluation.cost}\n"
        f"Evaluation Top K accuracy: {top.value}\n"
        f"Confusion Matrix\n{confusion}\n"
        f"Classification Report\n{classification_report(scores)}"
    )


def tags_block(evaluation: Evaluation) -> str:
    """The block of a multi-label classifier: correct answers and average precision of each tag."""
    card = evaluation.card
    precision = card.beside["tags"]
    rows = [
        (name, f"{100 * right:.4f}", f"{100 * precision.per_class[name]:.4f}" if name in precision.per_class else "n/a")
        for name, right in card.main.per_class.items()
    ]
    rows.append(("mean", f"{100 * card.main.value:.4f}", f"{100 * precision.value:.4f}"))
    exact = card.beside["exact"].value
    return (
        f"Evaluation Loss: {evaluation.cost}\n"
        f"Pictures with every tag right: {100 * exact:.4f} %\n"
        f"{table(('tag', 'right answers (in %)', 'average precision (in %)'), rows)}"
    )


def precisions_block(evaluation: Evaluation) -> str:
    """TAO's block of an SSD (reference/tao_classification_ssd.md 4.8): the AP of each class and their mean."""
    main, rule = evaluation.card.main, "*" * 31
    rows = [(name, main.words.of_class, ap) for name, ap in main.per_class.items()]
    rows.append(("", main.words.short, main.value))
    tao = "\n".join([rule, *(f"{name:<14}{words:<6}{round(value, 3)}" for name, words, value in rows), rule])
    return f"{tao}\n{best_block(evaluation.card)}" if evaluation.card.best else tao


def best_block(card: ScoreCard) -> str:
    """The threshold with the best F1 of each class, and what it gives, at IoU 0.5."""
    rows = [(name, *_point(card.best.get(name))) for name in card.objects]
    return f"the threshold with the best F1 (IoU 0.5):\n{table(('class name', *_POINT), rows)}"


_POINT = ("threshold", "precision", "recall", "F1")


def _point(point: Point | None) -> tuple[str, str, str, str]:
    """The cells of a class; of one that is not found they are empty."""
    if point is None:
        return "", "", "", ""
    return f"{point.threshold:.3f}", f"{point.precision:.3f}", f"{point.recall:.3f}", f"{point.f1:.3f}"


def int8_block(report: Int8Report, *, scored: bool = False) -> str:
    """The int8 error of each output, the layers with the largest error, and the file of the ranges. scored: the export
    was scored too."""
    outputs = ", ".join(f"{name} {decibel:.1f} dB" for name, decibel in report.sqnr.items())
    lines = [f"int8 against fp32, signal to noise on {report.measured_on}: {outputs}"]
    if report.layers:
        layers = ", ".join(f"{cost.layer} {cost.worst:.1f}" for cost in report.layers[:_COSTLY])
        keeps = "(--int8-float-layers NAME keeps one in float)"
        lines.append(f"costliest layers, each alone in int8: {layers} dB {keeps}")
    lines.append(f"ranges: {report.cache} (for TensorRT up to 10 and DeepStream, beside an fp32 .onnx)")
    if not scored:
        lines.append("to measure the cost in mAP: evaluate -e SPEC -m EXPORT")
    return "\n".join(lines)


def gate_block(report: GateReport, *, precision: str) -> str:
    """The scores of the trained model and of its export, and how far their outputs differ."""
    metric = report.trained.words.short
    part = "" if report.images == report.of else f"{report.images} of "
    pictures = f"{part}{counted(report.of, 'validation image')} of {report.source}"
    trained, exported = 100 * report.trained.value, 100 * report.exported.value
    lines = [
        f"{metric} on {pictures}: trained model (float32) {trained:.2f} %, "
        f"export ({precision}, {report.runs_on}) {exported:.2f} %: {_lost(report.drop)}"
    ]
    if report.differences:
        apart = ", ".join(f"{name} {one.largest:.3g}" for name, one in report.differences.items())
        lines.append(f"largest difference from the trained model on them: {apart}")
    if report.floats and report.before is not None:
        named = " ".join(report.floats)
        lines.append(f"in float to stay within --max-drop (the drop was {report.before:.2f} points): {named}")
    return "\n".join(lines)


def parity_block(report: ParityReport, first: str, second: str) -> str:
    """How far two models differ: outputs, results and, where the pictures have labels, scores."""
    lines = [
        f"A  {first} ({report.runs_on[0]})",
        f"B  {second} ({report.runs_on[1]})",
        f"{counted(report.pictures, 'picture')}: {report.source}",
    ]
    rows = [(name, f"{one.largest:.3g}", f"{one.mean:.3g}", f"{one.size:.3g}") for name, one in report.tensors.items()]
    if rows:
        lines.append(table(("output", "largest difference", "mean difference", "largest value of A"), rows))
    else:
        lines.append("A and B have no output in common: only their results are compared")
    found = report.results
    overlap = "" if found.iou is None else f", mean IoU {found.iou:.4f}"
    apart = ""
    if found.score is not None and found.largest_score is not None:
        apart = f", scores differ by {found.score:.2g} (largest {found.largest_score:.2g})"
    lines.append(f"results: {found.first} of A, {found.second} of B, {found.agree} agree{overlap}{apart}")
    if report.scores is not None:
        one, other = report.scores
        points = 100 * (one.value - other.value)
        name = one.words.short
        lines.append(f"{name}: A {100 * one.value:.2f} %, B {100 * other.value:.2f} %: {_lost(points)}")
    return "\n".join(lines)


def _lost(drop: float) -> str:
    return f"{drop:.2f} points less" if drop > 0 else f"{-drop:.2f} points more" if drop < 0 else "no drop"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A boxed table with centred cells, as TAO's releases print it."""
    widths = [max(len(row[column]) for row in [head, *rows]) + 2 for column in range(len(head))]
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = ["|" + "|".join(cell.center(width) for cell, width in zip(row, widths, strict=True)) + "|" for row in rows]
    title = "|" + "|".join(cell.center(width) for cell, width in zip(head, widths, strict=True)) + "|"
    return "\n".join([rule, title, rule, *lines, rule])


def run_table(report: RunReport, *, unit: str, lost: int, unreadable: int) -> str:
    """What a live run adds up to, a row a subject. lost: frames that the outputs lost; unreadable: pictures."""
    rate = f" ({report.fps:.1f} {unit}s a second)" if report.fps else ""
    rows = [(f"{unit}s", f"{report.frames}{rate}")]
    if report.times:
        parts = ", ".join(f"{part} {1000 * seconds:.1f}" for part, seconds in report.times.items())
        rows.append(("times", f"{parts} (ms a {unit}, median; the parts overlap)"))
    rows.append(("found", _counts(report.objects)))
    if report.tracks:
        rows.append(("tracks", _counts(report.tracks)))
    for line in report.lines:
        ways = "; ".join(f"{way.replace('_', ' ')}: {_counts(counts)}" for way, counts in line.counts.items())
        rows.append((line.name, ways))
    losses = {"dropped, as the source was faster": report.dropped, "lost by the output": lost, "unreadable": unreadable}
    if any(losses.values()):
        rows.append(("missing", ", ".join(f"{count} {what}" for what, count in losses.items() if count)))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _counts(counts: Mapping[str, int]) -> str:
    """The ten most frequent names, and the number of the others."""
    ranked = sorted(counts.items(), key=lambda row: -row[1])
    shown = ", ".join(f"{name} {count}" for name, count in ranked[:_NAMED])
    return (shown or "nothing") + (f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else "")


def scores_json(evaluation: Evaluation) -> str:
    """The results of `evaluate` as one JSON object."""
    from taolite.stages.scores import scores_of

    return json.dumps(scores_of(evaluation), indent=2)


def details_lines(evaluation: Evaluation, plots: Path | None = None) -> str:
    """What to act on, below the block of a detector: COCO's AP, the confusion in words, the worst pictures, and where
    they are drawn; "" where nothing was found."""
    card = evaluation.card
    if not card.best:
        return ""
    lines = []
    if coco := card.beside.get("COCO"):
        sizes = "".join(f", {name} objects {100 * value:.2f}" for name, value in card.by_size.items())
        lines.append(f"COCO's AP (IoU 0.50 to 0.95, in %): {100 * coco.value:.2f}{sizes}")
    if card.confusion:
        *rows, background = card.confusion
        right, missed = sum(row[k] for k, row in enumerate(rows)), sum(row[-1] for row in rows)
        total, wrong = sum(map(sum, rows)), sum(background)
        others = f"{total - right - missed} taken for another class, " if len(rows) > 1 else ""
        lines.append(
            f"at the best thresholds: {right} of {counted(total, 'object')} found, {others}{missed} missed, "
            f"{counted(wrong, 'wrong find')}"
        )
    if evaluation.worst:
        names = ", ".join(f"{one.image.name} ({one.tally.f1:.2f})" for one in evaluation.worst[:_WORST])
        lines.append(f"pictures with the lowest F1: {names}")
    if plots is not None:
        lines.append(f"plots: {plots}")
    return "\n".join(lines)


def _scores(cost: float, metric: Metric, seconds: float) -> str:
    rows = [(name, str(100 * value)) for name, value in sorted(metric.per_class.items())]
    told = "none, as the model ends in NMS" if math.isnan(cost) else f"{cost:f}"
    return (
        f"\nValidation cost: {told}\n"
        f"{metric.words.heading} (in %): {100 * metric.value:.4f}\n\n"
        f"{table(('class name', f'{metric.words.of_class_long} (in %)'), rows)}\n\n"
        f"Median Inference Time: {seconds:f}"
    )


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
