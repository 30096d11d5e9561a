"""The gate of an export: the finished ONNX runs in ONNX Runtime on the validation pictures, beside the trained model in
float32, and its score may not drop too far.

A drop is counted in points of the main metric (mAP, accuracy): 100 times the difference of the scores. Where an INT8
export drops more than allowed, its costliest layers are put back to float, one after the other, at most half of them.
That is for layers that suffer from rounding. Ranges that do not fit the pictures at all come from the wrong calibration
images, and no layer is put back then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from taolite.engines import onnx_graph
from taolite.errors import DataError, ModelError, PathError, UsageError
from taolite.events import GateSkipped, LayerToFloat, Listener, Progress, silent
from taolite.metrics.agreement import Agreement
from taolite.preprocessing import Preprocessing
from taolite.scorecard import Metric
from taolite.stages.agree import agree
from taolite.stages.exporting.int8 import Int8
from taolite.stages.inference.models import Model, open_onnx
from taolite.stages.parity import MOST, TensorDifference, compare
from taolite.stages.validation import Validation, open_validation
from taolite.tasks.base import Experiment
from taolite.workspace.status import finite

__all__ = ["Exported", "Gate", "GateReport", "GateSettings", "judged", "open_gate"]

_SLACK = 1e-9  # points; below what float64 loses in a difference of two scores
_LOOKED_AT = 4  # pictures that the layers' errors are measured on


@dataclass(frozen=True)
class GateSettings:
    """max_drop: the largest drop that passes, in points; None: the drop is only reported. images: the most validation
    pictures that are looked at; of more, that many at even distances."""

    max_drop: float | None = None
    images: int = MOST


@dataclass(frozen=True)
class GateReport:
    """The scores of the trained model and of its export on the same pictures.

    Attributes:
        trained, exported: the main metric, in float32 and of the export as it runs.
        runs_on: runtime and version that the export ran on.
        images, of: pictures that were looked at, and that the validation set has. source: the spec's name.
        differences: output name -> difference from the trained model; empty where the export ends in other outputs.
        results: how far the decoded results agree.
        max_drop: what was allowed, in points; None: nothing was asked.
        floats: layers that the gate put back to float; before: the drop without that, in points.
        misfit: by what factor values on these pictures are larger or smaller than the ranges of an int8 export that did
            not pass, where that is the reason; else None.
    """

    trained: Metric
    exported: Metric
    runs_on: str
    images: int
    of: int
    source: str
    differences: Mapping[str, TensorDifference]
    results: Agreement
    max_drop: float | None = None
    floats: tuple[str, ...] = ()
    before: float | None = None
    misfit: float | None = None

    @property
    def drop(self) -> float:
        """By how many points the export scores less; negative where it scores more."""
        return _drop(self.trained, self.exported)

    @property
    def passed(self) -> bool:
        return self.max_drop is None or self.drop <= self.max_drop + _SLACK

    def to_json(self) -> dict[str, Any]:
        """The short record that is stored in the model: the same for the same model and pictures."""
        record = {
            "metric": self.trained.words.short,
            "trained": self.trained.value,
            "exported": self.exported.value,
            "drop": self.drop,
            "images": self.images,
            "of": self.of,
            "source": self.source,
            "differences": {name: one.largest for name, one in self.differences.items()},
            "passed": self.passed,
            **({"max_drop": self.max_drop} if self.max_drop is not None else {}),
            **({"misfit": self.misfit} if self.misfit is not None else {}),
            **({"floats": list(self.floats), "drop_before": self.before} if self.floats else {}),
        }
        return {name: finite(value) for name, value in record.items()}


@dataclass(frozen=True)
class Exported:
    """The model that is exported: its file, its classes and its preprocessing."""

    source: Path
    classes: tuple[str, ...]
    preprocessing: Preprocessing


class Gate:
    """An open gate: the validation pictures and the settings. The trained model runs as often as `judge` is called."""

    def __init__(self, validation: Validation, settings: GateSettings, *, listener: Listener = silent) -> None:
        self.validation, self.settings, self._listener = validation, settings, listener

    def judge(self, onnx: bytes, trained: Model) -> GateReport:
        """Score the export in `onnx` and the model it was made of, and compare their outputs."""
        pictures = self.validation
        with open_onnx(onnx, source=trained.source) as export:
            seen = compare(
                trained,
                export,
                pictures.pixels(),
                export.decoding or {},
                total=len(pictures),
                listener=self._listener,
            )
            return GateReport(
                trained=pictures.score(seen.first).main,
                exported=pictures.score(seen.second).main,
                runs_on=export.runs_on,
                images=len(pictures),
                of=pictures.of,
                source=pictures.source,
                differences=seen.tensors,
                results=seen.results,
                max_drop=self.settings.max_drop,
            )

    def score(self, onnx: bytes, *, source: Path) -> Metric:
        """The main metric of the export in `onnx` alone."""
        founds, total = [], len(self.validation)
        with open_onnx(onnx, source=source) as export:
            for pixels in self.validation.pixels():
                answers = export.predict(pixels)
                for index in range(len(pixels)):
                    outputs = tuple(output[index] for output in answers)
                    founds.append(export.use.decode(outputs, export.decoding or {}, preprocessing=export.preprocessing))
                self._listener(Progress("score the export", len(founds), total))
        return self.validation.score(founds).main

    def inputs(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A few of the validation pictures as network inputs, (N, C, H, W)."""
        return np.concatenate(list(islice(self.validation.pixels(batch_size=1), _LOOKED_AT)))


def open_gate(
    settings: GateSettings, experiment: Experiment | None, model: Exported, *, listener: Listener = silent
) -> Gate | None:
    """The gate for an export of `model`; None where there is nothing to score it on, which the listener hears.

    Raises UsageError where that is so and `settings.max_drop` asks for a gate.
    """
    try:
        if experiment is None:
            raise DataError("no spec (-e) names validation images")
        agree(experiment, model)
        validation = open_validation(experiment, most=settings.images, listener=listener)
    except (DataError, PathError, ModelError) as error:
        why = str(error).splitlines()[0]
        if settings.max_drop is not None:
            way_out = "give the training spec with -e, or" if experiment is None else "or"
            raise UsageError(
                f"--max-drop {settings.max_drop:g}: the export cannot be scored: {why}; {way_out} leave --max-drop out"
            ) from error
        listener(GateSkipped(why))
        return None
    return Gate(validation, settings, listener=listener)


def judged(
    gate: Gate,
    onnx: bytes,
    trained: Model,
    *,
    int8: Int8 | None,
    finish: Callable[[bytes], bytes],
    listener: Listener = silent,
) -> tuple[bytes, GateReport]:
    """The export to write, and its report.

    Args:
        onnx: the finished export; it comes back as it is, but for its metadata, where it passes.
        int8: makes an INT8 export again with more layers in float; None where that cannot be.
        finish: adds what the finished export has behind the network.
    """
    report = gate.judge(onnx, trained)
    misfit = int8.misfit(gate.inputs()) if int8 is not None and not report.passed else None
    if misfit is not None:
        report = replace(report, misfit=misfit)
    elif int8 is not None and not report.passed:
        floats = _floats(gate, int8, report, finish=finish, source=trained.source, listener=listener)
        if floats:
            onnx = finish(int8.quantised(floats))
            report = replace(gate.judge(onnx, trained), floats=floats, before=report.drop)
    meta = onnx_graph.read_meta(onnx)
    assert meta is not None, "our exports say what they are"
    return onnx_graph.write_meta(onnx, replace(meta, gate=report.to_json())), report


def _floats(
    gate: Gate,
    int8: Int8,
    failed: GateReport,
    *,
    finish: Callable[[bytes], bytes],
    source: Path,
    listener: Listener = silent,
) -> tuple[str, ...]:
    """The layers to put back to float so that the drop is allowed, the costliest first; where half of the layers are
    not enough, those that were tried. `finish` adds what the finished export has behind the network."""
    limit = gate.settings.max_drop
    assert limit is not None, "without a limit nothing fails"
    costs = int8.costs(gate.inputs(), listener=listener)
    floats: tuple[str, ...] = ()
    for cost in costs[: len(costs) // 2]:
        floats = (*floats, cost.layer)
        drop = _drop(failed.trained, gate.score(finish(int8.quantised(floats)), source=source))
        listener(LayerToFloat(cost.layer, drop, limit))
        if drop <= limit + _SLACK:
            break
    return floats


def _drop(trained: Metric, exported: Metric) -> float:
    return 100 * (trained.value - exported.value)
