"""The table that closes the demonstration: what pruning and exporting cost, and what they bring.

    python commands/demo/table.py workspace/demo [--key KEY]

For every model of the run: mAP as `evaluate` said it (`evaluated/NAME.txt`), by TAO's metric and by PASCAL VOC's,
parameters, multiply-accumulates of one picture, size of the file, and the time one picture takes here, one at a time,
network alone. The table, with TAO's mAP, goes to standard output, and all of it as JSON to `summary.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from taolite.artifacts.bundle import count_parameters, read_bundle
from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key, find_key
from taolite.engines.base import RuntimeName
from taolite.engines.onnx_cost import Cost, macs_and_parameters
from taolite.engines.onnx_graph import signature
from taolite.errors import TaoliteError
from taolite.report.table import ModelFigures, comparison_table
from taolite.stages.inference.models import open_model

__all__ = ["Row", "Scores", "read_scores", "rows_of"]

WARM_UP, MEASURED, PATIENCE_S = 3, 25, 3.0


@dataclass(frozen=True)
class Scores:
    """Mean average precision over the classes, in percent: TAO's metric, and VOC's (IoU 0.5, all points)."""

    tao: float
    voc: float


@dataclass(frozen=True)
class Row:
    """One model. None where a number cannot be had here, such as the latency of an engine without its GPU."""

    model: str
    runs_on: str
    mean_ap: Scores | None
    parameters: int | None
    macs: int | None
    file_bytes: int
    latency_ms: float | None


def rows_of(folder: Path, *, key: Key) -> list[Row]:
    """A row for each model that the demonstration left in `folder`.

    Raises TaoliteError where one of them cannot be opened.
    """
    trained, retrained = folder / "etlts" / "trained.etlt", folder / "etlts" / "retrained.etlt"
    before, after = _cost(trained, key), _cost(retrained, key)
    rows = [
        _trained_row("trained", folder / "trained" / "weights" / "detector.tlt", before, folder, key),
        _trained_row("pruned", folder / "pruned" / "detector.tlt", after, folder, key),
        _trained_row("retrained", folder / "retrained" / "weights" / "detector.tlt", after, folder, key),
        _exported_row("trained, exported", trained, before, None, None, key),
        _exported_row("retrained, exported", retrained, after, read_scores(folder, "exported"), None, key),
    ]
    if _has_openvino():
        rows.append(_exported_row("retrained, exported", retrained, after, None, "openvino", key))
    engine = folder / "engines" / "retrained.engine"
    if engine.is_file():
        rows.append(Row("engine", "TensorRT", None, None, after.macs, engine.stat().st_size, None))
    return rows


def read_scores(folder: Path, name: str) -> Scores | None:
    """What `evaluate` printed about a model, in percent; None where it was not evaluated."""
    path = folder / "evaluated" / f"{name}.txt"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    tao = re.search(r"^Mean average_precision \(in %\): ([\d.]+)", text, re.MULTILINE)
    voc = re.search(r"^\|\s*mean\s*\|\s*([\d.]+)\s*\|", text, re.MULTILINE)
    return Scores(float(tao[1]), float(voc[1])) if tao and voc else None


def _trained_row(name: str, path: Path, cost: Cost, folder: Path, key: Key) -> Row:
    parameters = count_parameters(read_bundle(path, key=key).tensors)
    latency = _latency_ms(path, None, key)
    return Row(name, "PyTorch", read_scores(folder, name), parameters, cost.macs, path.stat().st_size, latency)


def _exported_row(
    name: str, path: Path, cost: Cost, score: Scores | None, runtime: RuntimeName | None, key: Key
) -> Row:
    runs_on = "OpenVINO" if runtime == "openvino" else "ONNX Runtime"
    latency = _latency_ms(path, runtime, key)
    return Row(name, runs_on, score, cost.parameters, cost.macs, path.stat().st_size, latency)


def _cost(path: Path, key: Key) -> Cost:
    """What one picture costs the network; the input's size stands in the export."""
    onnx = read_model(path, key=key).onnx
    (shape,) = signature(onnx).inputs.values()
    return macs_and_parameters(onnx, (1, *(int(size) for size in shape[1:])))


def _latency_ms(path: Path, runtime: RuntimeName | None, key: Key) -> float:
    """Median milliseconds for one picture of noise, on the device that training would use."""
    model = open_model(path, key=key, runtime=runtime)
    try:
        height, width = model.preprocessing.input_hw
        picture = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
        seconds: list[float] = []
        patience = time.perf_counter() + PATIENCE_S  # a busy machine gets fewer tries
        while len(seconds) < WARM_UP + MEASURED and (len(seconds) < 2 * WARM_UP or time.perf_counter() < patience):
            started = time.perf_counter()
            model.predict(picture)
            seconds.append(time.perf_counter() - started)
    finally:
        model.close()
    return 1000 * statistics.median(seconds[WARM_UP:])


def _has_openvino() -> bool:
    import importlib.util

    return importlib.util.find_spec("openvino") is not None


def _figures(row: Row) -> ModelFigures:
    return ModelFigures(
        name=f"{row.model} ({row.runs_on})",
        mean_ap=None if row.mean_ap is None else row.mean_ap.tao / 100,
        parameters=row.parameters,
        macs=row.macs,
        size=row.file_bytes,
        latency_ms=row.latency_ms,
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the models of a demonstration.")
    parser.add_argument("folder", type=Path, help="what commands/demo.sh wrote")
    parser.add_argument("-k", "--key", help="opens the models; @FILE reads it from a file")
    options = parser.parse_args(arguments)
    try:
        rows = rows_of(options.folder, key=find_key(options.key))
    except TaoliteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(comparison_table([_figures(row) for row in rows]))
    summary = json.dumps([asdict(row) for row in rows], indent=2)
    (options.folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
