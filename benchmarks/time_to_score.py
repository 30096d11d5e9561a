"""Processor time of one core until a network reaches a score: taolite's recipe against other trainings.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/time_to_score.py DATA OUT [--set raccoon|bccd|cat_dog]
        [--ways WAY ...] [--epochs N] [--peer PYTHON]

DATA holds the set's folder and pretrained/resnet18.safetensors. Trained on the set's training part, scored on its test
part: a detector by VOC's mAP, the classifier of cat_dog by its accuracy. Ways:

    taolite            the spec of `taolite spec new` with --epochs epochs
    plain              the set's spec in specs/, tuned by hand, at the same input size: TAO's cost and Adam, from the
                       same weights of ImageNet, in float32; twice the epochs
    plain_bf16         the same in bfloat16, where the processor has it
    train_py           cat_dog: what jetson-inference's train.py trains (SGD at 0.1, its crops, batches of 8), from the
                       same weights, in float32; twice the epochs
    train_py_bf16      the same in bfloat16
    yolov8n, yolov8s   detectors from random weights, by the Ultralytics of the Python PEER, for as many epochs as fit
                       into --times of taolite's time; skipped without PEER

Minutes are processor time from the start of the program to the end of the first epoch whose model has the score,
validations left out, saving included; `no` where the whole run does not reach it. A way that is finished is not
repeated: remove its folder in OUT to run it again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe import SETS, new_specs
from recipe import run as say
from timing import machine, table

from taolite import evaluate, train
from taolite.events import EpochDone, Event, Saved, Validated
from taolite.spec import dumps
from taolite.tasks.classification.jetson import Settings, spec_of

KEY = "benchmark"
PEER = Path(__file__).resolve().with_name("time_to_score_yolo.py")
SPECS = Path(__file__).resolve().parents[1] / "specs"
WAYS = {"taolite": "auto", "plain": "fp32", "plain_bf16": "auto", "train_py": "fp32", "train_py_bf16": "auto"}
"""Way -> precision."""


@dataclass(frozen=True)
class Case:
    """Epochs of taolite's own spec, the scores (0 to 1) whose minutes are told, and the ways that are compared."""

    epochs: int
    targets: tuple[float, ...]
    ways: tuple[str, ...] = ("taolite", "plain", "plain_bf16")


CASES = {
    "raccoon": Case(6, (0.85, 0.9, 0.94)),
    "bccd": Case(10, (0.8, 0.85, 0.9)),
    "cat_dog": Case(8, (0.95, 0.97, 0.98), ("taolite", "train_py", "train_py_bf16")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=CASES, default="raccoon", dest="name")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="some of the set's ways (default: all)")
    parser.add_argument("--targets", type=float, nargs="+", help="scores, 0 to 1 (default: by the set)")
    parser.add_argument("--epochs", type=int, help="epochs of taolite's spec (default: by the set)")
    parser.add_argument("--times", type=float, default=3, help="peers train for so many times its time (default: 3)")
    parser.add_argument("--peer", type=Path, help="Python with Ultralytics")
    parser.add_argument("--way", choices=WAYS, help="train this way alone, in this process")
    options = parser.parse_args()
    out, data, case = options.out.resolve(), options.data.resolve(), CASES[options.name]
    epochs, targets = options.epochs or case.epochs, options.targets or case.targets
    if options.way:
        train_and_score(text_of(options.name, options.way, data, out, epochs), out / options.way, WAYS[options.way])
        return
    text_of(options.name, "taolite", data, out, epochs)  # the records that all ways read
    ours = [sys.executable, __file__, str(data), str(out), "--set", options.name, "--epochs", str(epochs), "--way"]
    ways = {name: finished(out / name, [*ours, name]) for name in options.ways or case.ways}
    compared = options.peer and options.name != "cat_dog"
    if compared:
        budget_s = options.times * ways["taolite"][-1][0]
        described, size = as_yolo(data, options.name, out), max(input_wh(out))
        for name in ("yolov8n", "yolov8s"):
            words = [options.peer, PEER, described, out / name, name, size, f"{budget_s:.0f}"]
            ways[name] = finished(out / name, [str(word) for word in words])
    print(f"{machine('torch', 'numpy')}\n")
    measure = "accuracy" if options.name == "cat_dog" else "mAP"
    to = [f"minutes to {target:.2f}" for target in targets]
    header = ("way", *to, f"best {measure}", f"last {measure}", "whole run, minutes", "epochs")
    print(table(header, [row(name, points, targets) for name, points in ways.items()]))
    if not compared:
        print("\nyolov8n and yolov8s are skipped: no --peer was given, or no detector is trained")


def row(name: str, points: list[tuple[float, float]], targets: Sequence[float]) -> tuple[str, ...]:
    """A line of the table, from (seconds, mAP) after each epoch."""
    reached = [next((f"{seconds / 60:.2f}" for seconds, score in points if score >= least), "no") for least in targets]
    best = max(score for _, score in points)
    return name, *reached, f"{best:.3f}", f"{points[-1][1]:.3f}", f"{points[-1][0] / 60:.2f}", str(len(points))


def finished(folder: Path, words: list[str]) -> list[tuple[float, float]]:
    """What a way writes: (seconds, mAP) after each epoch; trains it first where it is not there yet."""
    found = folder / "points.json"
    if not found.exists():
        if folder.exists():
            sys.exit(f"{folder}: a training that did not end; remove the folder to begin it again")
        print(f"{folder.name} ...", file=sys.stderr, flush=True)
        subprocess.run(words, check=True, stdout=sys.stderr)
    return [(seconds, score) for seconds, score in json.loads(found.read_text())]


def text_of(name: str, way: str, data: Path, out: Path, epochs: int) -> str:
    """The training spec of a way for the set `name`; the records are made where they are not there yet."""
    if name == "cat_dog":
        return classifier(way, data, out, epochs)
    spec = new_specs(data, name, out, held_out=False)
    return recipe(spec, epochs) if way == "taolite" else by_hand(name, spec, input_wh(out), 2 * epochs)


def recipe(spec: Path, epochs: int) -> str:
    """The recipe's spec with fewer epochs, and a model saved after each but the last, whose model is the run's."""
    return changed(spec.read_text(), num_epochs=epochs, checkpoint_interval=1, **validated(epochs))


def by_hand(name: str, spec: Path, size_wh: tuple[int, int], epochs: int) -> str:
    """The spec tuned by hand, on the same records, weights and input size."""
    text = changed(
        (SPECS / name / "train.txt").read_text(),
        num_epochs=epochs,
        checkpoint_interval=1,
        output_image_width=size_wh[0],
        output_image_height=size_wh[1],
        **validated(epochs),
    )
    for field in ("tfrecords_path", "image_directory_path", "pretrained_model_file"):
        text = as_in(spec.read_text(), text, field)
    return text


def input_wh(out: Path) -> tuple[int, int]:
    """Width and height of the input that `spec new` chose."""
    text = (out / "specs" / "train.txt").read_text()
    width, height = (int(re.findall(rf"output_image_{side}: (\d+)", text)[0]) for side in ("width", "height"))
    return width, height


def classifier(way: str, data: Path, out: Path, epochs: int) -> str:
    """The spec of a classifier of cat_dog: taolite's, or what train.py trains, for twice the epochs."""
    weights = data / "pretrained" / "resnet18.safetensors"
    spec = out / "specs" / "train.txt"
    if not spec.exists():
        say("taolite", "spec", "new", "classification", data / "cat_dog", "-o", spec.parent, "--pretrained", weights)
    if way == "taolite":
        return changed(spec.read_text(), n_epochs=epochs)
    settings = Settings(
        dataset=spec.parent / "data", arch="resnet18", epochs=2 * epochs, pretrained=str(weights), compat=True
    )
    return dumps(spec_of(settings))


def as_in(other: str, text: str, name: str) -> str:
    """`text` with the strings that the field `name` has in `other`, in their order."""
    values = iter(re.findall(rf'{name}: "[^"]*"', other))
    return re.sub(rf'{name}: "[^"]*"', lambda _: next(values), text)


def validated(epochs: int) -> dict[str, int]:
    """One validation, after the last epoch: models are scored afterwards."""
    return {"validation_period_during_training": epochs, "first_validation_epoch": epochs}


def changed(text: str, **values: int) -> str:
    """A spec's text with other numbers in it."""
    for name, value in values.items():
        text, times = re.subn(rf"\b{name}: [\d.]+", f"{name}: {value}", text)
        if times != 1:
            sys.exit(f"{name} is in the spec {times} times; 1 is needed")
    return text


def train_and_score(text: str, folder: Path, precision: str) -> None:
    """Train, and score the model of every epoch: points.json in the folder."""
    spec = folder.with_suffix(".txt")
    spec.write_text(text)
    points: dict[int, tuple[float, float]] = {}
    judging_s = trained_s = 0.0

    def judge(epoch: int, model: Path) -> None:
        nonlocal judging_s
        now_s = time.process_time()
        card = evaluate(spec, model, key=KEY).card
        points[epoch] = (now_s - judging_s, (card.beside.get("VOC") or card.main).value)
        judging_s += time.process_time() - now_s
        print(f"epoch {epoch}: {points[epoch][0]:.0f} s  {points[epoch][1]:.3f}", file=sys.stderr, flush=True)

    def listen(event: Event) -> None:
        nonlocal judging_s, trained_s
        if isinstance(event, EpochDone):
            trained_s = time.process_time()
        elif isinstance(event, Validated):
            judging_s += time.process_time() - trained_s
        elif isinstance(event, Saved) and event.which == "last":
            judge(event.epoch, event.path)

    # One thread prepares the images ahead: with one core a second gains nothing.
    report = train(spec, folder, key=KEY, name="model", precision=precision, workers=1, listener=listen)
    if report.epochs not in points:
        judge(report.epochs, report.weights)
    (folder / "points.json").write_text(json.dumps([points[epoch] for epoch in sorted(points)]))


def as_yolo(data: Path, name: str, out: Path) -> Path:
    """The same parts as YOLO's labels; the file that describes them."""
    described = out / "yolo" / "data.yaml"
    if not described.exists():
        source, parts = SETS[name]
        for part in ("train", "test"):
            where = out / "yolo" / part
            say("taolite", "dataset", "convert", data / source, where, "--to", "yolo", "--split", parts[part])
        names = (out / "yolo" / "train" / "data.yaml").read_text(encoding="utf-8").partition("names:")
        described.write_text(f"path: {out / 'yolo'}\ntrain: train/images\nval: test/images\nnames:{names[2]}", "utf-8")
    return described


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
