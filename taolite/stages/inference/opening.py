"""Open a model for `taolite run`: any file taolite made, an ONNX with labels or a spec, or a network by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taolite import spec as specs
from taolite.artifacts.keys import Key
from taolite.engines.base import RuntimeName
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import ModelError, UsageError
from taolite.events import Listener, Notice, silent
from taolite.stages.inference.engine_cache import KeptEngines
from taolite.stages.inference.infer import plan_meta, planned
from taolite.stages.inference.labelled import open_named
from taolite.stages.inference.listeners import Drawing
from taolite.stages.inference.models import Model, meta_of, open_model
from taolite.stages.inference.networks import find_network, is_name
from taolite.stages.inference.watch import Threshold, is_detector
from taolite.tasks.base import BEST_THRESHOLD
from taolite.tasks.registry import find

__all__ = ["THRESHOLD", "Ready", "open_ready"]

THRESHOLD = 0.5
"""The least score of a detector's boxes, where neither the user nor the model nor a spec says another."""


_KEPT = KeptEngines()


@dataclass(frozen=True)
class Ready:
    """An opened model, how its results are drawn, and the threshold of a detector; None keeps the decoding's own."""

    model: Model
    drawing: Drawing
    threshold: Threshold | None


def open_ready(
    place: str,
    *,
    key: Key | None,
    labels: Path | None = None,
    spec: Path | None = None,
    threshold: float | None = None,
    runtime: RuntimeName | None = None,
    resolve: Callable[[str], Path] = Path,
    listener: Listener = silent,
) -> Ready:
    """Open the model at `place`, a path or a name such as resnet-18; the caller closes it.

    Args:
        labels: names of the classes, for an ONNX that does not say them.
        spec: an inference spec, whose settings are used; or the spec of an experiment, which describes an ONNX that
            does not describe itself.
        threshold: of a detector, as the user gave it.
        resolve: maps the spec's paths, and `place`, to this machine's.

    Raises:
        What `open_model` and `find_network` raise; SpecError.
        UsageError: labels and a spec, or a spec of a kind that describes no model.
        ModelError: the spec is another model's.
    """
    path = resolve(place)
    if not path.exists() and is_name(place):
        path = find_network(place, listener=listener)
    if spec is None:
        model = open_named(path, labels, key=key, runtime=runtime, engines=_KEPT, listener=listener)
        if model.decoding is None:
            model.close()
            raise ModelError(f"{path} does not say how its outputs are read; give an inference spec with -e")
        return Ready(model, Drawing(model.classes), _threshold(model, threshold))
    if labels is not None:
        raise UsageError("--labels with -e: both name the classes; leave --labels out")
    kind = specs.identify(spec)
    if kind is specs.Kind.DETECTNET_INFERENCE:
        from taolite.tasks.detectnet.inference import load_plan

        plan = load_plan(spec)
        for warning in plan.warnings:
            listener(Notice(f"{spec}: {warning}", "warning"))
        opened = _open(path, key, runtime, "detectnet", partial(plan_meta, plan), listener)
        model, drawing = planned(opened, plan)
        return Ready(model, drawing, threshold)
    if kind not in (specs.Kind.DETECTNET, specs.Kind.CLASSIFICATION, specs.Kind.SSD):
        raise UsageError(f"{spec}: this {kind.value} spec describes no model; give that of a training or an inference")
    task = kind.name.lower()
    model = _open(path, key, runtime, task, lambda: meta_of(find(task).read(spec, resolve=resolve).model), listener)
    return Ready(model, Drawing(model.classes), _threshold(model, threshold))


def _open(
    path: Path,
    key: Key | None,
    runtime: RuntimeName | None,
    task: str,
    assumed: Callable[[], OnnxMeta],
    listener: Listener,
) -> Model:
    return open_model(path, key=key, of=task, assumed=assumed, runtime=runtime, engines=_KEPT, listener=listener)


def _threshold(model: Model, asked: float | None) -> Threshold | None:
    """The user's threshold, else the model's best, else 0.5; None for a classifier."""
    if not is_detector(model):
        return None
    best = (model.decoding or {}).get(BEST_THRESHOLD, THRESHOLD)
    return asked if asked is not None else dict(best) if isinstance(best, Mapping) else float(best)
