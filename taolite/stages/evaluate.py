"""Score a network or an engine on a split, with TAO's own metric and PASCAL VOC's beside it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.data.loading import batches
from taolite.engines.base import RuntimeName
from taolite.errors import ModelError
from taolite.events import Listener, Notice, Progress, silent
from taolite.stages.device import choose
from taolite.stages.models import open_model
from taolite.stages.predict import Predict
from taolite.tasks.base import FoundBoxes, Objective, Resolve, ScoreCard, Task

__all__ = ["Evaluation", "evaluate", "score_split"]


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
    split: Literal["train", "val"] = "val",
    runtime: RuntimeName | None = None,
    listener: Listener = silent,
) -> Evaluation:
    """Score the model or engine at `model_path` on a split of the spec's data, without augmentation.

    Raises SpecError, PathError, DataError, ArtifactError, EngineError, ModelError.
    """
    spec = task.read_spec(spec_path).model
    device = choose()
    model = open_model(model_path, key=key, device=device, runtime=runtime)
    try:
        wanted = task.classes(spec)
        if len(model.classes) != len(wanted):
            raise ModelError(
                f"{model_path} finds {len(model.classes)} classes ({', '.join(model.classes)}) and {spec_path} has "
                f"{len(wanted)} ({', '.join(wanted)})"
            )
        listener(Notice(f"{model_path}: {model.runs_on}"))
        prep = task.preprocessing(spec)
        blank = np.zeros((1, prep.channels, *prep.input_hw), np.float32)
        grid_hw = model.predict(blank)[0].shape[2:]
        examples = task.examples(spec, split=split, resolve=resolve, augment=False, grid_hw=grid_hw)
        return score_split(
            task,
            model.predict,
            examples,
            spec=spec,
            objective=task.objective(spec),
            batch_size=model.batch or task.recipe(spec).batch_size,
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
    listener: Listener = silent,
) -> Evaluation:
    """Every image of `examples` once, the last batch as small as it comes (TAO drops or repeats some, compat)."""
    decoding = task.decoding(spec)
    found: list[FoundBoxes] = []
    truths = []
    costs: list[tuple[float, int]] = []
    seconds: list[float] = []
    order = range(len(examples))
    for batch in batches(examples, order, batch_size=batch_size, workers=workers):
        started = time.perf_counter()
        outputs = predict(batch.pixels.contiguous().numpy())
        seconds.append((time.perf_counter() - started) / len(batch.examples))
        with torch.no_grad():
            cost = objective.cost(tuple(torch.from_numpy(np.ascontiguousarray(o)) for o in outputs), batch.targets)
        costs.append((float(cost.total), len(batch.examples)))
        for index, example in enumerate(batch.examples):
            one = tuple(output[index] for output in outputs)
            found.append(task.decode(one, decoding, preprocessing=examples.preprocessing))
            truths.append(example.truth)
        listener(Progress("evaluate", len(found), len(examples)))
    card = task.score(truths, found, spec=spec)
    mean_cost = sum(cost * count for cost, count in costs) / len(examples)
    return Evaluation(card, mean_cost, float(np.median(seconds)))
