"""Processor time of one core until a detector of raccoons reaches a score: taolite's recipe against other trainings.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/time_to_score.py DATA OUT [--epochs 6] [--peer PYTHON]

DATA holds raccoon/ and pretrained/resnet18.safetensors. Trained on raccoon's training part (160 photographs), scored on
its test part (40). Ways:

    taolite            the spec of `taolite spec new` with --epochs epochs
    plain              the spec for raccoons in specs/, tuned by hand, at the same input size: TAO's cost and Adam, from
                       the same weights of ImageNet, in float32; twice the epochs
    plain_bf16         the same in bfloat16, where the processor has it
    yolov8n, yolov8s   from random weights, by the Ultralytics of the Python PEER, for as many epochs as fit into
                       --times of taolite's time; skipped without PEER

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
from pathlib import Path

from recipe import new_specs
from recipe import run as say
from timing import machine, table

from taolite import evaluate, train
from taolite.events import EpochDone, Event, Saved, Validated

KEY = "benchmark"
PEER = Path(__file__).resolve().with_name("time_to_score_yolo.py")
HAND = Path(__file__).resolve().parents[1] / "specs" / "raccoon" / "train.txt"
OURS = {"taolite": "auto", "plain": "fp32", "plain_bf16": "auto"}  # way -> precision
INPUT = 224  # pixels; what `spec new` chooses for raccoons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--targets", type=float, nargs="+", default=[0.85, 0.9, 0.94], help="VOC mAPs, 0 to 1")
    parser.add_argument("--epochs", type=int, default=6, help="epochs of taolite's spec (default: 6)")
    parser.add_argument("--times", type=float, default=3, help="peers train for so many times its time (default: 3)")
    parser.add_argument("--peer", type=Path, help="Python with Ultralytics")
    parser.add_argument("--way", choices=OURS, help="train this way alone, in this process")
    options = parser.parse_args()
    out, data = options.out.resolve(), options.data.resolve()
    spec = new_specs(data, "raccoon", out, held_out=False)
    if options.way:
        text = recipe(spec, options.epochs) if options.way == "taolite" else by_hand(spec, 2 * options.epochs)
        train_and_score(text, out / options.way, precision=OURS[options.way])
        return
    ours = [sys.executable, __file__, str(data), str(out), "--epochs", str(options.epochs), "--way"]
    ways = {name: finished(out / name, [*ours, name]) for name in OURS}
    budget_s = options.times * ways["taolite"][-1][0]
    if options.peer:
        yolo = as_yolo(data, out)
        for name in ("yolov8n", "yolov8s"):
            words = [options.peer, PEER, yolo, out / name, name, INPUT, f"{budget_s:.0f}"]
            ways[name] = finished(out / name, [str(word) for word in words])
    print(f"{machine('torch', 'numpy')}\n")
    to = [f"minutes to {target:.2f}" for target in options.targets]
    header = ("way", *to, "best mAP", "last mAP", "whole run, minutes", "epochs")
    print(table(header, [row(name, points, options.targets) for name, points in ways.items()]))
    if not options.peer:
        print("\nyolov8n and yolov8s are skipped: no --peer was given")


def row(name: str, points: list[tuple[float, float]], targets: list[float]) -> tuple[str, ...]:
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


def recipe(spec: Path, epochs: int) -> str:
    """The recipe's spec with fewer epochs, and a model saved after each but the last, whose model is the run's."""
    return changed(spec.read_text(), num_epochs=epochs, checkpoint_interval=1, **validated(epochs))


def by_hand(spec: Path, epochs: int) -> str:
    """The spec tuned by hand, on the same records, weights and input size."""
    text = changed(
        HAND.read_text(),
        num_epochs=epochs,
        checkpoint_interval=1,
        output_image_width=INPUT,
        output_image_height=INPUT,
        **validated(epochs),
    )
    for name in ("tfrecords_path", "image_directory_path", "pretrained_model_file"):
        text = as_in(spec.read_text(), text, name)
    return text


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


def train_and_score(text: str, folder: Path, *, precision: str) -> None:
    """Train, then score the model of every epoch: points.json in the folder."""
    spec = folder.with_suffix(".txt")
    spec.write_text(text)
    saved: list[tuple[float, Path]] = []
    validating_s = trained_s = 0.0

    def listen(event: Event) -> None:
        nonlocal validating_s, trained_s
        if isinstance(event, EpochDone):
            trained_s = time.process_time()
        elif isinstance(event, Validated):
            validating_s += time.process_time() - trained_s
        elif isinstance(event, Saved) and event.which == "last":
            saved.append((time.process_time() - validating_s, event.path))
            print(f"epoch {event.epoch}: {saved[-1][0]:.0f} s", file=sys.stderr, flush=True)

    # One thread prepares the images ahead: with one core a second gains nothing.
    report = train(spec, folder, key=KEY, name="detector", precision=precision, workers=1, listener=listen)
    saved.append((time.process_time() - validating_s, report.weights))
    points = []
    for seconds, path in saved:
        card = evaluate(spec, path, key=KEY).card
        points.append((seconds, card.beside["VOC"].value))
        print(f"{seconds:.0f} s  {points[-1][1]:.3f}", file=sys.stderr, flush=True)
    (folder / "points.json").write_text(json.dumps(points))


def as_yolo(data: Path, out: Path) -> Path:
    """The same parts as YOLO's labels; the file that describes them."""
    described = out / "yolo" / "raccoon.yaml"
    if not described.exists():
        for part in ("train", "test"):
            where = out / "yolo" / part
            say("taolite", "dataset", "convert", data / "raccoon", where, "--to", "yolo", "--split", part)
        described.write_text(
            f"path: {out / 'yolo'}\ntrain: train/images\nval: test/images\nnames:\n  0: raccoon\n", encoding="utf-8"
        )
    return described


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
