"""The part of time_to_score.py that runs in the Python of Ultralytics: train from random weights, score every epoch.

python time_to_score_yolo.py DATA.yaml OUT MODEL SIZE SECONDS

Settings are Ultralytics' own but for the size, batches of 8 and what makes it run in one process. The epochs are as
many as fit into SECONDS of processor time, by a first epoch that is thrown away.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

BATCH = 8


def main() -> None:
    data, out, model, size, budget_s = Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]
    os.environ["YOLO_CONFIG_DIR"] = str(out / "settings")
    (out / "settings").mkdir(parents=True)
    ultralytics: Any = import_module("ultralytics")
    ultralytics.settings.update({"sync": False})
    import_module("torch").set_num_threads(1)
    start_s = time.process_time()
    (first_s, _), (second_s, _) = trained(ultralytics, model, data, out / "trial", size=int(size), epochs=2)
    epochs = max(int((float(budget_s) - start_s) / (second_s - first_s)), 1)
    print(f"{model}: {second_s - first_s:.1f} s an epoch, so {epochs} epochs", file=sys.stderr, flush=True)
    before_s = time.process_time() - start_s
    points = trained(ultralytics, model, data, out / "run", size=int(size), epochs=epochs, before_s=before_s)
    (out / "points.json").write_text(json.dumps(points))


def trained(
    ultralytics: Any, model: str, data: Path, folder: Path, *, size: int, epochs: int, before_s: float = 0.0
) -> list[tuple[float, float]]:
    """(seconds of processor time, mAP at IoU 0.5) after each epoch, without validations and the seconds before."""
    points: list[tuple[float, float]] = []
    validating_s = 0.0

    def wrap(trainer: Any) -> None:
        inner = trainer.validate

        def validate() -> Any:
            nonlocal validating_s
            began_s = time.process_time()
            found = inner()
            validating_s += time.process_time() - began_s
            return found

        trainer.validate = validate

    def note(trainer: Any) -> None:
        if len(points) < epochs:  # the best model is scored once more at the end
            score = float(trainer.metrics["metrics/mAP50(B)"])
            points.append((time.process_time() - validating_s - before_s, score))
            print(f"epoch {trainer.epoch + 1}: {points[-1][0]:.0f} s  {score:.3f}", file=sys.stderr, flush=True)

    network = ultralytics.YOLO(f"{model}.yaml")
    network.add_callback("on_train_start", wrap)
    network.add_callback("on_fit_epoch_end", note)
    network.train(
        data=str(data), epochs=epochs, imgsz=size, batch=BATCH, workers=0, device="cpu", patience=0, plots=False,
        project=str(folder.parent), name=folder.name, exist_ok=True, verbose=False,
    )  # fmt: skip
    return points


if __name__ == "__main__":
    main()
