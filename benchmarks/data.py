"""What a training picture and a label record cost, and how long a training waits for its data.

    python benchmarks/data.py [--rounds 7] [--pictures 24] [--no-training]

Pictures are made (smooth colours with noise, JPEG quality 90, 13 objects each). `example()` gives one network input:
decode, fit, augment as `specs/detectnet_train.txt` does, draw the targets. Processor time of one thread, ways in turn.
The share of waiting is that of `detectnet train`: ResNet-18, batches of 4, by its own metrics.jsonl.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from PIL import Image
from timing import in_turn, machine, table

from taolite import spec as specs
from taolite.data.examples import Examples
from taolite.formats import tfrecord
from taolite.formats.record_index import record_samples
from taolite.formats.tfrecord import Record, read_records, write_records
from taolite.pictures import read_rgb
from taolite.sample import Label
from taolite.tasks.detectnet.examples import spec_examples
from taolite.tasks.detectnet.spec import DetectNetSpec

SPEC = Path(__file__).parents[1] / "specs/detectnet_train.txt"
CASES = {  # picture and input, (height, width)
    "640x480 to 512x384": ((480, 640), (384, 512)),
    "1242x375 to 1248x384": ((375, 1242), (384, 1248)),
    "3000x2000 to 512x384": ((2000, 3000), (384, 512)),
}


def spec_text(root: Path, input_hw: tuple[int, int], loading: str) -> str:
    text = SPEC.read_text(encoding="utf-8")
    for old, new in (
        ("/workspace/tao-experiments/specs/tfrecords/*", f"{root}/records*"),
        ("/workspace/tao-experiments/data/training", str(root)),
        ("output_image_width: 1248", f"output_image_width: {input_hw[1]}"),
        ("output_image_height: 384", f"output_image_height: {input_hw[0]}"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return f"{text}\ntaolite {{ loading {{ {loading} }} }}\n"


def records(number: int, hw: tuple[int, int], objects: int, fold: str = "") -> Iterator[Record]:
    rng = np.random.default_rng(1)
    for place in range(number):
        corners = rng.uniform(0, (hw[1] * 0.8, hw[0] * 0.8), (objects, 2))
        boxes = np.hstack([corners, corners + rng.uniform(20, 120, (objects, 2))]).astype(np.float32).tolist()
        labels = (Label("cat", (x1, y1, x2, y2), 0.0, at % 3, -1.5) for at, (x1, y1, x2, y2) in enumerate(boxes))
        yield Record(f"images{fold}/{place:06d}", hw, tuple(labels))


def photograph(hw: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    coarse = Image.fromarray(rng.integers(0, 256, (hw[0] // 16, hw[1] // 16, 3), np.uint8))
    smooth = np.asarray(coarse.resize((hw[1], hw[0]), Image.Resampling.BICUBIC), np.float32)
    return Image.fromarray((smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


def make(root: Path, number: int, hw: tuple[int, int]) -> None:
    """Pictures and their records: fold 0 is a quarter of fold 1."""
    rng = np.random.default_rng(1)
    (root / "images").mkdir()
    for place in range(number):
        photograph(hw, rng).save(root / f"images/{place:06d}.jpg", quality=90)
    for fold, share in enumerate((number // 4, number)):
        write_records(root / f"records-fold-{fold:03d}-of-002", records(share, hw, 13))


def opened(root: Path, input_hw: tuple[int, int], loading: str) -> Examples:
    spec = specs.loads(spec_text(root, input_hw, loading), DetectNetSpec)
    grid = (input_hw[0] // 16, input_hw[1] // 16)
    return spec_examples(spec, "train", resolve=Path, augment=True, grid_hw=grid)


def one_epoch(examples: Examples) -> Callable[[], object]:
    epochs = count()

    def run() -> None:
        epoch = next(epochs)
        for index in range(len(examples)):
            examples.example(index, epoch=epoch)

    return run


def parts(examples: Examples) -> list[tuple[str, Callable[[], object]]]:
    """The parts of an example, each for one picture, from its bytes."""
    sample = examples.samples[0]
    with examples.open(0) as stream:
        data = stream.read()
    photo, prep = read_rgb(sample.image), examples.preprocessing
    fitted, truth = prep.fit_photo(photo), examples.truth(0)
    rng, augment = np.random.default_rng(1), examples.augment_fitted
    assert augment is not None
    return [
        ("decoded (Pillow)", lambda: read_rgb(sample.image, stream=io.BytesIO(data))),
        ("decoded by OpenCV", lambda: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)),
        ("fitted to the input", lambda: prep.fit_photo(photo)),
        ("one view of it", lambda: augment(fitted, truth, rng)),
        ("targets drawn, 13 objects", lambda: examples.encode(truth, 1.0)),
        ("labels unpacked", lambda: examples.labelled(0)),
    ]


def measure_examples(rounds: int, number: int) -> None:
    rows, detail = [], []
    for name, (hw, input_hw) in CASES.items():
        with TemporaryDirectory() as folder:
            make(Path(folder), number, hw)
            every = opened(Path(folder), input_hw, "cache_mb: 0")
            ways = {
                "first epoch": one_epoch(every),
                "scaled": one_epoch(opened(Path(folder), input_hw, "cache_mb: 0 scaled_jpeg: true")),
                "kept": one_epoch(opened(Path(folder), input_hw, "cache_mb: 4096")),
                "on disk": one_epoch(opened(Path(folder), input_hw, f"cache_mb: 4096 cache_folder: '{folder}/kept'")),
            }
            taken = in_turn(ways, rounds, clock=time.process_time)
            rows.append([name, *(f"{1e3 * median(taken[way]) / number:.2f}" for way in ways)])
            if name == next(iter(CASES)):
                inner = dict(parts(every))
                spent = in_turn({key: repeated(way) for key, way in inner.items()}, rounds, clock=time.process_time)
                detail = [[key, f"{1e3 * median(spent[key]) / 50:.2f}"] for key in inner]
    print(
        table(["ms an `example()`", "first epoch", "first, `scaled_jpeg`", "later epochs", "later, kept on disk"], rows)
    )
    print(f"\n{table([f'part, {next(iter(CASES))}', 'ms'], detail)}\n")


def repeated(way: Callable[[], object], times: int = 50) -> Callable[[], object]:
    def run() -> None:
        for _ in range(times):
            way()

    return run


def counted(read: Callable[[Any], Iterable[object]], place: object) -> int:
    """How many things are read from a place."""
    return sum(1 for _ in read(place))


def measure_records(rounds: int, number: int = 3000) -> None:
    rows = []
    for objects in (3, 7):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "records"
            write_records(path, records(number, (375, 1242), objects))
            ways: dict[str, Callable[[], object]] = {
                "frames and checksums": partial(counted, tfrecord.read_frames, str(path)),
                "samples, packed": partial(record_samples, path),
                "whole records, as objects": partial(counted, read_records, path),
            }
            taken = in_turn(ways, rounds, clock=time.process_time)
            rows.append([objects, *(f"{1e6 * median(taken[name]) / number:.1f}" for name in ways)])
    print(table(["objects a record", *(f"{name}, us a record" for name in ways)], rows))


def measure_waiting(number: int) -> None:
    rows = []
    for name, loading in (("nothing kept", "cache_mb: 0"), ("kept in memory (default)", "cache_mb: 512")):
        hw, input_hw = next(iter(CASES.values()))
        with TemporaryDirectory() as folder:
            root = Path(folder)
            make(root, number, hw)
            text = spec_text(root, input_hw, loading).replace("num_epochs: 120", "num_epochs: 3")
            text = text.replace("first_validation_epoch: 20", "first_validation_epoch: 3")
            (root / "train.txt").write_text(text, encoding="utf-8")
            command = ["detectnet", "train", "-e", str(root / "train.txt"), "-r", str(root / "out"), "-k", "key"]
            environment = {**os.environ, "PYTHONPATH": str(SPEC.parents[1])}
            ran = subprocess.run(
                [sys.executable, "-m", "taolite", *command, "-n", "m"], env=environment, capture_output=True, text=True
            )
            if ran.returncode:
                sys.exit(ran.stderr[-2000:])
            lines = (root / "out/metrics.jsonl").read_text(encoding="utf-8").splitlines()
            epochs = [found for line in lines if "data_wait" in (found := json.loads(line))]
            rows.append([name, *(f"{100 * one['data_wait']:.2f} %" for one in epochs)])
    print(f"\n{table(['share of an epoch that waits for data', *(f'epoch {at}' for at in (1, 2, 3))], rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--no-training", action="store_true", help="do not measure the share of waiting")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{machine('numpy', 'opencv-python-headless', 'pillow', 'protobuf', 'torch')}\n")
    measure_examples(options.rounds, options.pictures)
    measure_records(options.rounds)
    if not options.no_training:
        measure_waiting(options.pictures)


if __name__ == "__main__":
    main()
