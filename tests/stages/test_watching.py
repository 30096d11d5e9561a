"""What a run shows while it goes on: TensorBoard, the best weights, the lines users look for, other services."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts.bundle import Bundle, read_bundle, write_bundle
from taolite.cli.main import main
from taolite.errors import ModelError
from taolite.nn.arrays import state_arrays
from taolite.stages.bundles import bundle_of
from taolite.tasks.detectnet.task import DEFAULT_SPEC, TASK

from .conftest import write_spec
from .test_training_settings import KEY, changed, run, same

VISUALIZER = """checkpoint_interval: 2
  visualizer { enabled: true num_images: 2 scalar_logging_frequency: 2 infrequent_logging_frequency: 2
    target_class_config { key: "plate" value { coverage_threshold: 0.02 } }
    wandb_config { project: "plates" key: "hunter2hunter2" mode: DISABLED } }"""


@pytest.fixture(scope="module")
def watched(tiny: Path) -> tuple[Path, Bundle, list[str]]:
    """A run of 4 epochs with a visualizer: its folder, its model, what it said."""
    spec = write_spec(tiny, "watched.txt", epochs=4)
    spec.write_text(spec.read_text().replace("checkpoint_interval: 2", VISUALIZER))
    words = ["-n", "m", "-k", "tlt_encode", "--precision", "fp32", "--workers", "1"]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(["detectnet", "train", "-e", str(spec), "-r", str(tiny / "watched"), *words]) == 0
    model = read_bundle(tiny / "watched" / "weights" / "m.tlt", key=KEY)
    return tiny / "watched", model, said.getvalue().splitlines()


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0, "scalars": 0}).Reload()


def test_tensorboard_has_points_in_every_epoch_and_pictures_and_histograms_every_second(
    watched: tuple[Path, Bundle, list[str]],
):
    board = events(watched[0] / "events")

    # 3 steps an epoch and 2 points wanted: every step (3 // 2)
    assert [event.step for event in board.Scalars("loss")] == list(range(1, 13))
    assert {"learning_rate", "cost/cov", "cost/bbox", "images_per_s"} <= set(board.Tags()["scalars"])
    assert [event.step for event in board.Scalars("mean average precision (mAP) (in %)")] == [6, 12]
    assert {"validation_cost", "plate_AP (in %)"} <= set(board.Tags()["scalars"])
    pictures = board.Tags()["images"]
    assert len(pictures) == 2
    assert [(event.step, event.width, event.height) for event in board.Images(pictures[0])] == [
        (6, 96, 64),
        (12, 96, 64),
    ]
    assert [event.step for event in board.Histograms("weights/backbone.conv1.weight")] == [6, 12]


def test_the_best_validation_is_kept_beside_the_last(watched: tuple[Path, Bundle, list[str]]):
    folder, last, _ = watched
    rows = [row for row in map(json.loads, (folder / "metrics.jsonl").open()) if "mAP" in row]
    wanted = min(rows, key=lambda row: (-row["mAP"], row["validation_cost"]))["epoch"]

    best = read_bundle(folder / "weights" / "m.best.tlt", key=KEY)

    assert best.lineage[-1]["step"] == 3 * wanted
    if wanted == 2:
        assert same(best, read_bundle(folder / "model.epoch-2.tlt", key=KEY))
    else:
        assert same(best, last)


def test_the_lines_that_users_look_for_are_said(watched: tuple[Path, Bundle, list[str]], tiny: Path):
    said = watched[2]

    for line in (
        f"Loading experiment spec at {tiny}/watched.txt.",
        "Found 12 samples in training set",
        "Found 4 samples in validation set",
        "Checkpoint interval: 2",
        "Scalars logged at every 1 steps",
        "Images logged at every 6 steps",
        "Saving checkpoints for step-6.",
    ):
        assert line in said
    lines = [json.loads(line)["message"] for line in (watched[0] / "status.json").open()]
    assert (lines[0], lines[-1]) == ("Starting DetectNet_v2 Training job", "DetectNet_v2 training job complete.")


def test_a_services_key_in_a_spec_is_not_copied(watched: tuple[Path, Bundle, list[str]]):
    folder, model, said = watched

    assert any("set WANDB_API_KEY instead" in line for line in said)
    assert "hunter2" not in model.spec
    assert not [path for path in folder.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


def test_an_epoch_that_the_batch_does_not_divide_is_told(tiny: Path, capsys: pytest.CaptureFixture[str]):
    spec = write_spec(tiny, "odd.txt", epochs=1)
    spec.write_text(spec.read_text().replace("batch_size_per_gpu: 4", "batch_size_per_gpu: 8"))

    assert main(["detectnet", "train", "-e", str(spec), "-r", str(tiny / "odd"), "-k", "tlt_encode"]) == 0

    said = capsys.readouterr()
    assert (
        "Cannot iterate over exactly 12 samples with a batch size of 8; each epoch will therefore take one extra step."
    ) in said.err
    assert said.err.splitlines()[-1].startswith("Time taken to run detectnet_v2 train:main: 0:0")
    assert "best validation: epoch 1, mAP" in said.out


def test_early_stopping_writes_its_costs_by_epoch_under_val(tiny: Path):
    early = """early_stopping_annealing_schedule {
        min_learning_rate: 1e-6 max_learning_rate: 1e-5 annealing_epochs: 1 patience_steps: 2 }"""
    spec = changed(write_spec(tiny, "val_events.txt"), soft_start_annealing_schedule=early)

    run(spec, tiny / "val_events")

    assert [event.step for event in events(tiny / "val_events" / "val" / "events").Scalars("validation_cost")] == [2]


def test_heads_for_other_classes_are_refused_or_replaced_as_the_spec_says(
    watched: tuple[Path, Bundle, list[str]], tiny: Path
):
    bundle = watched[1]
    network = TASK.network(bundle)
    network.renew_heads(2)
    path = tiny / "two.tlt"
    two = replace(bundle, architecture=network.architecture(), tensors=state_arrays(network), classes=("cup", "plate"))
    write_bundle(path, two, key=KEY)
    model = f'pretrained_model_file: "{path}" load_graph: true'
    said = f"{path} finds 2 classes (cup, plate) and the spec asks for 1 (plate)"

    refused = TASK.read(write_spec(tiny, "refused.txt", model=model)).model
    with pytest.raises(ModelError) as caught:
        refused.start(key=KEY)
    experiment = TASK.read(
        write_spec(tiny, "replaced.txt", model=f"{model} allow_loaded_model_modification: true")
    ).model
    start = experiment.start(key=KEY)

    assert str(caught.value) == (
        f"{said}; with load_graph the two must agree, or allow_loaded_model_modification: true puts fresh heads on it"
    )
    assert start.notices[1] == f"{said}: its heads are replaced by fresh ones, which begin at random"
    made = bundle_of(experiment, start.network, lineage=())
    assert made.tensors["output_bbox.weight"].shape == (4, 512, 1, 1)
    assert np.array_equal(made.tensors["backbone.conv1.weight"], bundle.tensors["backbone.conv1.weight"])
    assert TASK.network(made).num_classes == 1  # and the artifact rebuilds


def test_without_a_spec_taos_built_in_one_is_taken(
    shared_data: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    ours = TASK.read(DEFAULT_SPEC).model.spec
    theirs = TASK.read(
        shared_data
        / "tao_specs/detectnet_v2/NVIDIA__tao_tensorflow1_backend__detectnet_v2_experiment_specs_default_spec.txt"
    ).model.spec

    rows = dict(theirs.postprocessing_config.target_class_config)
    del rows["cyclist"]  # a leftover there: it is no target class
    assert ours.model_copy(update={"postprocessing_config": None}) == theirs.model_copy(
        update={"postprocessing_config": None}
    )
    assert dict(ours.postprocessing_config.target_class_config) == rows
    assert main(["detectnet", "train", "-r", str(tmp_path), "-k", "tlt_encode"]) == 1
    said = capsys.readouterr().err
    assert f"Loading experiment spec at {DEFAULT_SPEC}." in said
    assert "kitti_trainval" in said
