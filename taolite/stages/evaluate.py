"""Score a network or an engine on a split, with TAO's own metric and PASCAL VOC's beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.engines.base import RuntimeName
from taolite.errors import ModelError, UsageError
from taolite.events import BatchDone, Listener, Notice, Progress, silent
from taolite.sample import Detection, Sample
from taolite.scorecard import ScoreCard
from taolite.stages.device import choose
from taolite.stages.models import open_model
from taolite.stages.predict import Predict, in_photo
from taolite.tasks.base import Objective, Resolve, Split, Task

__all__ = ["Evaluation", "Told", "evaluate", "score_split"]

Told = Callable[[Sample, Sequence[Detection]], None]
"""Hears of every picture what was found in it, best first, in its pixels."""


@dataclass(frozen=True)
class Evaluation:
    """`cost` is the mean cost without regularisation; `seconds_per_image` the median over batches, network alone."""

    card: ScoreCard
    cost: float
    seconds_per_image: float


def evaluate(
    task: Task,
    spec_path: Path,
    model_path: Path,
    *,
    key: Key | None,
    resolve: Resolve,
    split: Split = "test",
    runtime: RuntimeName | None = None,
    framework: Literal["tlt", "tensorrt"] = "tlt",
    batch_size: int | None = None,
    workers: int = 2,
    told: Told | None = None,
    listener: Listener = silent,
) -> Evaluation:
    """Score the model or engine at `model_path` on a split of the spec's data, without augmentation.

    Args:
        framework: "tensorrt" wants an engine; an export stands in for it, with a warning, a trained model does not.
        batch_size: images at once; None is the most an engine takes, or the spec's.
        workers: threads that prepare images.

    Raises SpecError, PathError, DataError, ArtifactError, EngineError, ModelError, UsageError.
    """
    device = choose()
    if framework == "tensorrt" and model_path.is_file() and sniff(model_path) is Kind.BUNDLE:
        raise UsageError(
            f"{model_path}: -f tensorrt needs an engine, and this is a trained model; leave -f out, or export it and "
            "build an engine of it with `taolite convert`"
        )
    model = open_model(model_path, key=key, device=device, runtime=runtime)
    try:
        spec = task.read_spec(spec_path, resolve=resolve, classes=model.classes).model
        wanted = task.classes(spec)
        if len(model.classes) != len(wanted):
            raise ModelError(
                f"{model_path} finds {len(model.classes)} classes ({', '.join(model.classes)}) and {spec_path} has "
                f"{len(wanted)} ({', '.join(wanted)})"
            )
        listener(Notice(f"{model_path}: {model.runs_on}"))
        if framework == "tensorrt" and not model.runs_on.startswith("tensorrt"):
            listener(Notice(f"-f tensorrt: {model.runs_on} stands in for TensorRT here", "warning"))
        prep = task.preprocessing(spec)
        blank = np.zeros((1, prep.channels, *prep.input_hw), np.float32)
        shapes = tuple(output.shape[1:] for output in model.predict(blank))
        examples = task.examples(spec, split=split, resolve=resolve, augment=False, output_shapes=shapes)
        for text in examples.notices:
            listener(Notice(text, "warning"))
        return score_split(
            task,
            model.predict,
            examples,
            spec=spec,
            objective=task.objective(spec),
            batch_size=batch_size or model.batch or task.recipe(spec).batch_size,
            workers=workers,
            told=told,
            listener=listener,
        )
    finally:
        model.close()


def score_split(
    task: Task,
    predict: Predict,
    examples: Examples,
    *,
    spec: Any,
    objective: Objective,
    batch_size: int,
    workers: int = 2,
    told: Told | None = None,
    listener: Listener = silent,
) -> Evaluation:
    """Every image of `examples` once, the last batch as small as it comes (TAO drops or repeats some, compat)."""
    decoding = task.decoding(spec)
    found: list[Any] = []
    truths = []
    costs: list[tuple[float, int]] = []
    seconds: list[float] = []
    order, count, before_s = range(len(examples)), -(-len(examples) // batch_size), time.perf_counter()
    for batch in batches(examples, order, batch_size=batch_size, workers=workers):
        started = time.perf_counter()
        outputs = predict(batch.pixels.contiguous().numpy())
        seconds.append((time.perf_counter() - started) / len(batch.examples))
        with torch.no_grad():
            cost = objective.cost(
                tuple(torch.from_numpy(np.ascontiguousarray(o)) for o in outputs), batch.targets, training=False
            )
        costs.append((float(cost.total), len(batch.examples)))
        for index, example in enumerate(batch.examples):
            one = tuple(output[index] for output in outputs)
            found.append(task.decode(one, decoding, preprocessing=examples.preprocessing))
            truths.append(example.truth)
        listener(Progress("evaluate", len(found), len(examples)))
        before_s, batch_s = time.perf_counter(), time.perf_counter() - before_s
        readings = {"loss": costs[-1][0], **cost.parts}
        listener(BatchDone(None, len(costs), count, len(batch.examples), batch_s, 0.0, readings))
    if told is not None:
        names, prep = task.classes(spec), examples.preprocessing
        for sample, one in zip(examples.samples, found, strict=True):
            told(sample, in_photo(task, one, names, preprocessing=prep, photo_hw=sample.size_hw))
    card = task.score(truths, found, spec=spec)
    mean_cost = sum(cost * count for cost, count in costs) / len(examples)
    return Evaluation(card, mean_cost, float(np.median(seconds)))
