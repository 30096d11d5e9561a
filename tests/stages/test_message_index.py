"""What TAO's users search for (reference 13.2): each situation gives one message, with TAO's words where they fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.container import KdfCost
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.cli.tao import detectnet
from taolite.stages.bundles import bundle_of
from taolite.tasks.registry import find

from .conftest import CONVERT, write_spec

INFERENCE = """
inferencer_config {{ target_classes: ["plate", "bus"] image_width: 96 image_height: 64 image_channels: 3 batch_size: 1
  tlt_config {{ model: "{model}" }} }}
bbox_handler_config {{ classwise_bbox_handler_config {{ key: "default" value {{ clustering_config {{ }} }} }} }}
"""


class Case(NamedTuple):
    """TAO's words, ours, and the words of the command, in which {spec} is the training spec with `old` replaced."""

    tao: str
    ours: str
    command: str
    old: str = ""
    new: str = ""


TRAIN = "train -e {spec} -r {place}/run -k right"
EVALUATE = "evaluate -e {spec} -m {model} -k right"
CASES = [
    Case(
        "Specfile not found at:", "Specfile not found at: {place}/no.txt", "train -e {place}/no.txt -r {place}/r -k k"
    ),
    Case(
        "Specfile not found at:",
        "/workspace/no-such/specs/a.txt is a container path and no mount covers it; add --mount HERE:/workspace/no-such"
        " or write it",
        "train -e /workspace/no-such/specs/a.txt -r {place}/r -k k",
    ),
    Case("has no field named", "is not a field here; did you mean `num_epochs`?", TRAIN, "num_epochs", "num_epoch"),
    Case(
        "output_image_width should % 16", "multiple of 16", TRAIN, "output_image_width: 96", "output_image_width: 100"
    ),
    Case(
        "should be set in experiment spec file",
        "training_config is missing",
        "train -e {place}/part.txt -r {place}/r -k k",
    ),
    Case("No files match pattern", "No files match pattern", TRAIN, "records/tiny-*", "records/none-*"),
    Case("Set the output_image_channel param", "output_image_channel", TRAIN, "output_image_channel: 3", ""),
    Case("no validation data found", "no validation record in", EVALUATE, "validation_fold: 0", "validation_fold: 7"),
    Case("Cannot find a min overlap threshold for", '"plate"', TRAIN, 'overlap { key: "plate"', 'overlap { key: "car"'),
    Case(
        "Evaluation box config is missing for", '"plate"', TRAIN, 'box_config { key: "plate"', 'box_config { key: "car"'
    ),
    Case(
        "Pretrained model file not found",
        "Pretrained model file not found",
        TRAIN,
        "model_config {",
        'model_config {{ pretrained_model_file: "{place}/none.hdf5"',
    ),
    Case("Invalid decryption", "key", "evaluate -e {spec} -m {model} -k wrong"),
    Case("Invalid model file extension.", "is needed; ", "evaluate -e {spec} -m {spec} -k right"),
    Case("Default output file", "Default output file {model} already exists", "export -m {model} -o {model} -k right"),
    Case("Please use only 1 GPU for the task", "Please use only 1 GPU for the task prune", "prune -m a -o b --gpus 2"),
    Case("At least 1 GPU required", "At least 1 GPU required to run any task", "prune -m a -o b --gpus 0"),
    Case(
        "Invalid infer image root",
        "no such file or folder",
        "inference -m {model} -k right -i {place}/none -o {place}/out",
    ),
    Case(
        "Mismatch in the number of predicted",
        "Mismatch in the number of predicted (1: plate) and requested (2: plate, bus) target_classes",
        "inference -e {place}/inference.txt -k right -i {photos} -o {place}/out",
    ),
    Case("Unknown partition mode", "partition_mode", "dataset_convert -d {place}/mode.txt -o {place}/x/y"),
    Case("Invalid number of partitions", "num_partitions is 3", "dataset_convert -d {place}/three.txt -o {place}/x/y"),
    Case("only 15 fields", "15", "dataset_convert -d {place}/fields.txt -o {place}/x/y"),
]


@pytest.fixture(scope="module")
def model(tiny: Path) -> Path:
    """A sealed model with fresh weights."""
    experiment = find("detectnet").read(write_spec(tiny, "index.txt")).model
    torch.manual_seed(0)
    path = tiny / "index.tlt"
    bundle = bundle_of(experiment, experiment.start(key=None).network, lineage=())
    write_bundle(path, bundle, key=Key("right"), cost=KdfCost(memory_kib=64, iterations=1, lanes=1))
    return path


@pytest.mark.parametrize("case", CASES, ids=[case.tao for case in CASES])
def test_each_situation_of_the_index_is_one_message(case: Case, tiny: Path, model: Path, tmp_path: Path, capsys):
    names = {"place": tmp_path, "spec": tmp_path / "spec.txt", "model": model, "photos": tiny / "kitti" / "image_2"}
    text = write_spec(tiny, "index.txt").read_text()
    assert case.old in text
    names["spec"].write_text(text.replace(case.old, case.new.replace("{{", "{").replace("{place}", str(tmp_path)), 1))
    (tmp_path / "part.txt").write_text(text[: text.index("training_config {")])
    (tmp_path / "inference.txt").write_text(INFERENCE.format(model=model))
    convert = CONVERT.format(root=tiny)
    (tmp_path / "mode.txt").write_text(convert.replace('partition_mode: "random"', ""))
    (tmp_path / "three.txt").write_text(convert.replace("num_partitions: 2", "num_partitions: 3"))
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "image_2").symlink_to(tiny / "kitti" / "image_2")
    (tmp_path / "short" / "label_2").mkdir()
    for label in (tiny / "kitti" / "label_2").iterdir():
        (tmp_path / "short" / "label_2" / label.name).write_text(label.read_text().replace(" 0\n", "\n"))
    (tmp_path / "fields.txt").write_text(CONVERT.format(root=tiny).replace(f"{tiny}/kitti", f"{tmp_path}/short"))
    capsys.readouterr()

    code = main(["detectnet", *(word.format(**names) for word in case.command.split())])

    said = capsys.readouterr().err
    assert code == 1
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    assert case.ours.format(**names) in said[said.index("error: ") :]


def test_a_gpu_without_memory_is_taos_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def full(options: object) -> int:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    fails: Callable[[object], int] = full
    monkeypatch.setattr(detectnet, "run_prune", fails)

    assert main(["detectnet", "prune", "-m", "a", "-o", "b"]) == 1
    assert capsys.readouterr().err == (
        "error: Ran out of GPU memory, please lower the batch size, use a smaller input resolution, or use a smaller "
        "backbone\n"
    )
