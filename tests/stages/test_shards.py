"""Trainings on shards behind an address: stopped in the middle of an epoch they go on to the same bits, and what is
seen of the data is what its files show."""

from __future__ import annotations

import os
import shutil
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from taolite import spec as specs
from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.errors import TrainingError
from taolite.events import Event, Progress
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.stages.evaluate import evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.training.train import TrainOptions, TrainReport, train
from taolite.tasks.detectnet.spec import DatasetExportSpec
from taolite.tasks.registry import find

from ..shard_server import Server, serving
from ..tasks.ssd import least
from . import classes, conftest

KEY = Key("tlt_encode")
SHARDS = 3
VISUALIZER = "visualizer { enabled: true num_images: 2 infrequent_logging_frequency: 1 }"
EPOCH_STEPS = {"detectnet": 3, "classification": 6, "ssd": 4}
RECORDS = "tiny-fold-{000..001}-of-002-shard-00000-of-00001"
SSD_SOURCES = """
  data_sources {{ tfrecords_path: "{records}" image_directory_path: "{images}" }}
  validation_data_sources {{ label_directory_path: "{root}/kitti/label_2" image_directory_path: "{images}" }}
  target_class_mapping {{ key: "plate" value: "plate" }}
}}
"""


pytestmark = [pytest.mark.sockets, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def root(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records and tars of plates, for detectnet and SSD, and with tars of class folders."""
    root = tmp_path_factory.mktemp("shards")
    for path in tiny.glob("records/tiny-*-of-*"):
        shutil.copy(path, root)
    conversion = specs.load(tiny / "convert.txt", DatasetExportSpec)
    dataset_convert(conversion, root / "ssd", pictures=True)
    pack(tiny / "kitti", "image_2/*.png", root, "plates")
    classes.draw_classes(root / "classes")
    pack(root / "classes", "train/*/*.png", root, "train")
    pack(root / "classes", "val/*/*.png", root, "val")
    return root


def pack(folder: Path, pattern: str, into: Path, name: str) -> None:
    """Tars of files below a folder, dealt out in turn."""
    for shard in range(SHARDS):
        with tarfile.open(into / f"{name}-{shard}.tar", "w") as tar:
            for path in sorted(folder.glob(pattern))[shard::SHARDS]:
                tar.add(path, path.relative_to(folder))


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch, serving(root) as server:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        yield server


def write_spec(task: str, tiny: Path, root: Path, at: str, name: str) -> Path:
    """A spec whose data is at the folder or address `at`."""
    path = root / name
    if task == "detectnet":
        text = conftest.SPEC.format(root=root, epochs=2, model="")
        text = text.replace(f"{root}/records/tiny-*", f"{at}/{RECORDS}").replace(
            f"{root}/kitti", f"{at}/plates-{{0..2}}.tar"
        )
        text = text.replace(
            "checkpoint_interval: 2", "visualizer { enabled: true num_images: 2 infrequent_logging_frequency: 1 }"
        )
    elif task == "classification":
        text = classes.SPEC.format(root=root, epochs=2, pretrained="", mode="caffe", more="", model="")
        text = text.replace(f"{root}/train", f"{at}/train-{{0..2}}.tar").replace(
            f"{root}/val", f"{at}/val-{{0..2}}.tar"
        )
    else:
        records = f"{at}/{RECORDS.replace('tiny', 'ssd')}"
        head, opening, _ = least.LEAST.partition("dataset_config {\n")
        data = SSD_SOURCES.format(records=records, images=f"{at}/plates-{{0..2}}.tar", root=tiny)
        text = head.replace("num_epochs: 3", "num_epochs: 2").replace("batch_size_per_gpu: 2", "batch_size_per_gpu: 4")
        text = (text + opening + data).replace("nlayers: 18", "nlayers: 10")
    path.write_text(text)
    return path


def run(task: str, spec: Path, results: Path, *, stop_at: int | None = None, workers: int = 1) -> TrainReport:
    """Train in this process, a Ctrl-C in the step after `stop_at`."""
    steps = 0

    def listen(event: Event) -> None:
        nonlocal steps
        if isinstance(event, Progress) and event.unit == "step":
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    options = TrainOptions(precision="fp32", workers=workers)
    return train(find(task).read(spec).model, results, name="m", key=KEY, options=options, listener=listen)


@pytest.mark.parametrize(
    "task",
    ["detectnet", pytest.param("classification", marks=pytest.mark.slow), pytest.param("ssd", marks=pytest.mark.slow)],
)
def test_a_run_on_shards_over_http_stopped_in_mid_epoch_goes_on_to_the_same_bits(
    tiny: Path, root: Path, server: Server, task: str, tmp_path: Path
):
    spec = write_spec(task, tiny, root, server.url, f"{task}.txt")
    whole = run(task, spec, tmp_path / "whole")
    with pytest.raises(TrainingError, match=r"after epoch 1, step 2 of"):
        run(task, spec, tmp_path / "halves", stop_at=EPOCH_STEPS[task] + 1)
    resumed = run(task, spec, tmp_path / "halves", workers=3)
    local = write_spec(task, tiny, root, str(root), f"{task}-local.txt")
    with open_model(resumed.weights, key=KEY) as model:
        judged, same = (evaluate(find(task).read(path, classes=model.classes).model, model) for path in (spec, local))

    hashes = [weights_hash(read_bundle(one.weights, key=KEY).tensors) for one in (whole, resumed)]
    assert hashes[0] == hashes[1]
    if task == "detectnet":
        board = EventAccumulator(str(tmp_path / "halves" / "events"), size_guidance={"images": 0}).Reload()
        assert {name.split("/")[0] for name in board.Tags()["images"]} >= {"detections"}
    assert judged.card == same.card
