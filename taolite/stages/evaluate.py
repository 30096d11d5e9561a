"""Score a network or an engine on a split, with TAO's own metric and PASCAL VOC's beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from taolite.artifacts.keys import Key
from taolite.artifacts.sniff import Kind, sniff
from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.dist.world import ALONE, World
from taolite.engines.base import RuntimeName
from taolite.errors import ModelError, UsageError
from taolite.events import BatchDone, Listener, Notice, Progress, silent
from taolite.sample import Detection, Sample
from taolite.scorecard import ScoreCard
from taolite.stages.device import choose
from taolite.stages.inference.models import open_model
from taolite.stages.inference.predict import Predict, in_photo
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
        for notice in examples.notices:
            listener(notice)
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
    world: World = ALONE,
) -> Evaluation:
    """Every image of `examples` once, the last batch as small as it comes (TAO drops or repeats some, compat).

    Processes take turns with the batches; what they found is collected once and scored in one place, so that the
    answer does not depend on their number.
    """
    decoding = task.decoding(spec)
    groups = [range(start, min(start + batch_size, len(examples))) for start in range(0, len(examples), batch_size)]
    own = groups[world.rank :: world.size]
    judged: list[_Judged] = []
    before_s = time.perf_counter()
    order = [index for group in own for index in group]
    for batch in batches(examples, order, batch_size=batch_size, workers=workers):
        started = time.perf_counter()
        outputs = predict(batch.pixels.contiguous().numpy())
        network_s = time.perf_counter() - started
        with torch.no_grad():
            cost = objective.cost(
                tuple(torch.from_numpy(np.ascontiguousarray(o)) for o in outputs), batch.targets, training=False
            )
        found = [
            task.decode(tuple(output[index] for output in outputs), decoding, preprocessing=examples.preprocessing)
            for index in range(len(batch.examples))
        ]
        judged.append(_Judged(found, [example.truth for example in batch.examples], float(cost.total), network_s))
        world.alive()
        listener(Progress("evaluate", min(len(judged) * batch_size * world.size, len(examples)), len(examples)))
        before_s, batch_s = time.perf_counter(), time.perf_counter() - before_s
        readings = {"loss": judged[-1].cost, **cost.parts}
        listener(BatchDone(None, len(judged), len(own), len(batch.examples), batch_s, 0.0, readings))
    everything = [batch for turn in zip_longest(*world.collected(judged)) for batch in turn if batch is not None]
    if told is not None and world.writes:
        names, prep = task.classes(spec), examples.preprocessing
        for sample, one in zip(examples.samples, (one for batch in everything for one in batch.found), strict=True):
            told(sample, in_photo(task, one, names, preprocessing=prep, photo_hw=sample.size_hw))
    return world.told(lambda: _scored(task, everything, spec=spec))


@dataclass(frozen=True)
class _Judged:
    """One batch: what was found in its images and what is there, its cost, and the network's seconds."""

    found: Sequence[Any]
    truths: Sequence[Any]
    cost: float
    seconds: float


def _scored(task: Task, judged: Sequence[_Judged], *, spec: Any) -> Evaluation:
    """The score of all batches, in the order of the examples."""
    found = [one for batch in judged for one in batch.found]
    card = task.score([truth for batch in judged for truth in batch.truths], found, spec=spec)
    mean_cost = sum(batch.cost * len(batch.found) for batch in judged) / len(found)
    return Evaluation(card, mean_cost, float(np.median([batch.seconds / len(batch.found) for batch in judged])))
