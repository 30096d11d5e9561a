"""What int8 costs a trained detector: mAP in float and in int8, for every calibrator, and the layers that cost most.

    python benchmarks/int8_accuracy.py MODEL.tlt -e SPEC -k KEY [--batches 10] [--batch_size 16] [--mount SRC:DST]

Calibrates with SPEC's training images and scores on its validation images, everything in ONNX Runtime on the
processor, so that the numbers differ by rounding alone. The last row rounds the heads too, which `export` leaves in
float.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from taolite.artifacts.keys import find_key
from taolite.cli.render import table
from taolite.quant.calibrate import METHODS
from taolite.stages.evaluate import evaluate
from taolite.stages.exporting.calibrate import CalibrationOptions
from taolite.stages.exporting.export import Int8Report, export_model
from taolite.stages.inference.models import open_model
from taolite.stages.trained import open_trained
from taolite.tasks.registry import find
from taolite.workspace.mounts import Mounts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-e", "--spec", required=True)
    parser.add_argument("-k", "--key")
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--mount", action="append", default=[])
    options = parser.parse_args()
    mounts, key = Mounts.load(options.mount), find_key(options.key)
    trained = open_trained(mounts.resolve(options.model), key=key, of="detectnet")
    experiment = find("detectnet").read(mounts.resolve(options.spec), resolve=mounts.resolve).model
    classes = experiment.classes
    settings = CalibrationOptions(experiment=experiment, batches=options.batches, batch_size=options.batch_size)
    runs: dict[str, CalibrationOptions | None] = {"fp32": None}
    runs |= {method: replace(settings, method=method) for method in METHODS}
    runs["minmax, heads in int8 too"] = replace(settings, float_heads=False)

    rows, reports = [], {}
    with TemporaryDirectory() as folder:
        for name, calibration in runs.items():
            exported = Path(folder) / f"{name}.etlt"
            report = export_model(
                trained,
                exported,
                key=key,
                precision="int8" if calibration else "fp32",
                calibration=calibration and replace(calibration, cache=exported.with_suffix(".bin")),
            )
            with open_model(exported, key=key, runtime="onnxruntime") as model:
                card = evaluate(experiment, model).card
            sqnr = report.int8.sqnr.values() if report.int8 else ()
            rows.append(
                (
                    name,
                    f"{100 * card.main.value:.2f}",
                    *(f"{100 * card.main.per_class[kind]:.2f}" for kind in classes),
                    f"{100 * card.beside['VOC'].value:.2f}",
                    " / ".join(f"{decibel:.1f}" for decibel in sqnr),
                )
            )
            print("  ".join(rows[-1]), flush=True)
            if report.int8:
                reports[name] = report.int8
    print(table(("", "mAP %", *classes, "VOC mAP %", "SQNR dB, cov / bbox"), rows))
    print(layer_table(reports["minmax"]))


def layer_table(report: Int8Report) -> str:
    """Each layer alone in int8, the costliest first."""
    rows = [(cost.layer, *(f"{decibel:.1f}" for decibel in cost.sqnr.values())) for cost in report.layers]
    return table(("layer alone in int8 (minmax)", *(f"{name}, dB" for name in report.sqnr)), rows)


if __name__ == "__main__":
    main()
