"""What pruning, a teacher and int8 leave of a detector: score and latency beside the unpruned one.

    python benchmarks/pruned.py OUT/raccoon [--targets 0.12 0.05] [--filters 48] [--seed 42] [--no-teacher]

OUT/raccoon is a folder of `recipe.py`, with its training `recipe-SEED`. For each target, a share of the parameters, the
trained model is pruned and trained again by the `retrain.txt` of `taolite spec new`, and exported in float32 and int8
(calibrated on training pictures). Scores are VOC's mAP on the pictures that `recipe.py` scores on: of the trained model
in float32, and of the int8 export itself. Latencies are of the exported graph alone, one picture, all threads; every
round measures each model once, and the ratios are medians over the rounds. Finished steps are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
from recipe import run

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key, find_key
from taolite.cli.render import table
from taolite.engines.base import Engine, Precision
from taolite.engines.onnx_cost import macs_and_parameters
from taolite.engines.opening import open_engine

COMPUTED: tuple[tuple[str, str, Precision], ...] = (
    ("fp32", "onnxruntime", "fp32"),
    ("fp32", "openvino", "fp32"),
    ("fp32", "openvino", "bf16"),
    ("int8", "onnxruntime", "fp32"),
    ("int8", "openvino", "fp32"),
)
"""Export, runtime, and what the runtime computes a float export in."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--targets", nargs="+", type=float, default=[0.12, 0.05])
    parser.add_argument("--filters", type=int, default=48, help="channels that every layer keeps (-nf)")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--no-teacher", action="store_true", help="learn from the labels alone")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    folder = options.folder.resolve()
    whole = folder / f"recipe-{options.seed}"
    models = {"whole": whole / "weights" / "detector.tlt"}
    for target in options.targets:
        name = f"pruned-{target:g}-nf{options.filters}-{options.seed}{'-alone' if options.no_teacher else ''}"
        models[name] = retrained(folder, whole, name, target, options.filters, teacher=not options.no_teacher)
    spec = whole.with_suffix(".txt")
    exports = {(name, kind): export(model, spec, kind) for name, model in models.items() for kind in ("fp32", "int8")}
    times = latencies(exports, rounds=options.rounds)
    base = times[("whole", *COMPUTED[0])]
    rows = []
    for name, model in models.items():
        parameters, macs = size(exports[name, "fp32"])
        for kind, runtime, precision in COMPUTED:
            score = scored(model if kind == "fp32" else exports[name, kind], spec)
            own = times[name, kind, runtime, precision]
            speed = median(one / other for one, other in zip(base, own, strict=True))
            exact = kind if kind == "int8" or precision == "fp32" else precision
            cost = (f"{parameters / 1e6:.2f} M", f"{macs / 1e9:.2f} G")
            rows.append((name, *cost, exact, runtime, f"{score:.2f}", f"{1e3 * median(own):.1f}", f"{speed:.1f}"))
    print(table(("model", "parameters", "MACs", "computed in", "runtime", "VOC mAP %", "ms", "times faster"), rows))


def retrained(folder: Path, whole: Path, name: str, target: float, filters: int, *, teacher: bool) -> Path:
    """The model that is left after pruning and training again."""
    pruned, results, specs = folder / name / "pruned.tlt", folder / name / "run", folder / "specs"
    model = results / "weights" / "detector.tlt"
    if not pruned.exists():
        cut = ("-eq", "union", "-nf", str(filters), "--target", str(target))
        by = ("--importance", "taylor", "-e", specs / "train.txt")  # as `spec new` prints it
        run("detectnet_v2", "prune", "-m", whole / "weights" / "detector.tlt", "-o", pruned, *cut, *by)
    if not model.exists():
        text = (specs / "retrain.txt").read_text()
        text = text.replace(f"{specs}/pruned/detector.tlt", str(pruned))
        text = text.replace(f"{specs}/trained/weights/detector.tlt", str(whole / "weights" / "detector.tlt"))
        if not teacher:
            begin = text.index("\n  teacher {")
            text = text[:begin] + text[text.index("}", begin) + 1 :]
        own = folder / name / "retrain.txt"
        own.write_text(text)
        run("detectnet_v2", "train", "-e", own, "-r", results, "-n", "detector")
    return model


def export(model: Path, spec: Path, kind: str) -> Path:
    """The sealed export beside the model's run."""
    path = model.parents[1] / f"{kind}.etlt"
    if not path.exists():
        calibration = ("-e", spec, "--cal_cache_file", path.with_suffix(".bin")) if kind == "int8" else ()
        run("detectnet_v2", "export", "-m", model, "-o", path, "--data_type", kind, *calibration)
    return path


def scored(model: Path, spec: Path) -> float:
    """VOC's mAP in percent."""
    found = model.with_suffix(".score.json")
    if not found.exists():
        found.write_text(run("detectnet_v2", "evaluate", "-e", spec, "-m", model, "--json"))
    return 100 * float(json.loads(found.read_text())["card"]["beside"]["VOC"]["value"])


def size(export: Path) -> tuple[int, int]:
    """Parameters of the exported graph, and its multiply-accumulates of one picture."""
    onnx = read_model(export, key=_key()).onnx
    with open_engine(onnx) as engine:
        (shape,) = engine.inputs.values()
    cost = macs_and_parameters(onnx, (1, *shape[1:]))
    return cost.parameters, cost.macs


def latencies(exports: dict[tuple[str, str], Path], *, rounds: int) -> dict[tuple[str, str, str, str], list[float]]:
    """Seconds a picture of each model in each runtime, one value a round."""
    key = _key()
    with ExitStack() as stack:
        engines: dict[tuple[str, str, str, str], Engine] = {}
        for name in dict.fromkeys(name for name, _ in exports):
            for kind, runtime, precision in COMPUTED:
                onnx = read_model(exports[name, kind], key=key).onnx
                engine = stack.enter_context(open_engine(onnx, runtime=runtime, precision=precision))
                engines[name, kind, runtime, precision] = engine
        times: dict[tuple[str, str, str, str], list[float]] = {place: [] for place in engines}
        for number in range(rounds + 2):
            for place, engine in engines.items():
                ((name, shape),) = engine.inputs.items()
                picture = np.random.default_rng(number).random((1, *shape[1:]), dtype=np.float32)
                began = time.perf_counter()
                engine.infer({name: picture})
                if number >= 2:  # the first two warm up
                    times[place].append(time.perf_counter() - began)
    return times


def _key() -> Key:
    return find_key(os.environ.get("TAOLITE_KEY", "benchmark"))


if __name__ == "__main__":
    main()
