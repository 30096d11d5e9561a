"""Trainings of the three tasks on drawn pictures, for benchmarks of the step: no data set is needed.

A `Bench` has taolite's own `Trainer` and one batch in memory, so that a step is measured without the loader.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from PIL import Image

from taolite.cli.main import main as taolite
from taolite.data.loading import Batch
from taolite.events import silent
from taolite.stages.demo import CLASSES, draw_pictures, new_demo
from taolite.stages.device import Device
from taolite.stages.training.loop import Trainer
from taolite.tasks.base import Experiment
from taolite.tasks.registry import find

__all__ = ["Bench", "classification", "detectnet", "ssd"]


@dataclass(frozen=True)
class Bench:
    """A training and its first batch. `experiment`: what it was made of; `batch_size`: images a step."""

    experiment: Experiment
    trainer: Trainer
    batch: Batch
    batch_size: int

    def step(self) -> None:
        """One step of taolite, without the loader."""
        self.trainer._train_step(self.batch)


def detectnet(
    folder: Path, device: Device, *, size_hw: tuple[int, int] = (384, 512), batch_size: int = 4, pictures: int = 8
) -> Bench:
    """DetectNet_v2 with ResNet-18, in TAO's recipe: Adam and the L1 regulariser. `pictures`: at least two batches are
    drawn."""
    height, width = size_hw
    _quietly(lambda: new_demo(folder, count=max(pictures, 2 * batch_size), epochs=1))
    _run(
        "dataset",
        "convert",
        folder / "pictures",
        folder / "kitti",
        "--to",
        "kitti",
        "--image-size",
        f"{width}x{height}",
    )
    spec = folder / "specs" / "train.txt"
    text = spec.read_text()
    for name, value in (
        ("num_layers", 18),
        ("output_image_width", width),
        ("output_image_height", height),
        ("batch_size_per_gpu", batch_size),
    ):
        text, found = re.subn(rf"{name}: \d+", f"{name}: {value}", text)
        assert found == 1, f"{spec}: {name} is there {found} times"
    spec.write_text(text)
    _run("detectnet", "dataset_convert", "-d", folder / "specs" / "tfrecords.txt", "-o", folder / "tfrecords" / "all")
    return _bench(find("detectnet").read(spec).model, device, batch_size)


def classification(folder: Path, device: Device, *, side: int = 224, batch_size: int = 8) -> Bench:
    """ResNet-18 as jetson-inference's train.py has it, from random weights, with its SGD and augmentation."""
    from taolite.tasks.classification.jetson import Settings, spec_of

    draw_pictures(folder / "pictures", count=2 * batch_size)
    for index, picture in enumerate(sorted((folder / "pictures").glob("*.jpg"))):
        for part in ("train", "val"):
            place = folder / "data" / part / CLASSES[index % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.open(picture).save(place / picture.name)
    settings = Settings(
        dataset=folder / "data", arch="resnet18", resolution=side, batch_size=batch_size, pretrained="", compat=True
    )
    return _bench(find("classification").read(spec_of(settings)).model, device, batch_size)


def ssd(folder: Path, device: Device, *, side: int = 300, batch_size: int = 4) -> Bench:
    """pytorch-ssd's SSD with MobileNet v1, from random weights, with its SGD and augmentation."""
    from taolite.tasks.ssd.jetson import spec_of

    draw_pictures(folder / "pictures", count=2 * batch_size)
    _run("dataset", "convert", folder / "pictures", folder / "voc", "--to", "voc", "--val-split", "20")
    given = {"datasets": (str(folder / "voc"),), "dataset_type": "voc", "resolution": side, "batch_size": batch_size}
    return _bench(find("ssd").read(spec_of(given, compat=True)).model, device, batch_size)


def _bench(experiment: Experiment, device: Device, batch_size: int) -> Bench:
    start = experiment.start(key=None)
    trainer = Trainer(
        start,
        examples=experiment.examples("train", augment=True, shapes=start.shapes),
        recipe=experiment.recipe,
        objective=experiment.objective(),
        schedule=experiment.schedule(),
        device=device,
        workers=1,
        listener=silent,
        batch_size=batch_size,
    )
    trainer.network.train()
    return Bench(experiment, trainer, trainer.first_batch(), batch_size)


def _run(*words: object) -> None:
    code = _quietly(lambda: taolite([str(word) for word in words]))
    assert code == 0, f"{words}: exit code {code}"


def _quietly(work: Callable[[], object]) -> int:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return cast(int, work())
