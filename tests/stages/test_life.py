"""A whole life in small: train, evaluate, prune, retrain, export, evaluate the export, annotate pictures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.errors import TrainingError
from taolite.events import EpochDone, Event, Notice, Progress
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.registry import find

from .conftest import write_spec

KEY = "tlt_encode"
FLOAT32 = TrainOptions(precision="fp32", workers=1)


pytestmark = pytest.mark.usefixtures("one_thread")


def detectnet(*words: object) -> int:
    return main(["detectnet", *map(str, words), "-k", KEY])


@pytest.fixture(scope="module")
def trained(tiny: Path) -> Path:
    """The run folder of a finished training of 4 epochs."""
    results = tiny / "trained"
    spec = write_spec(tiny, "train.txt", epochs=4)
    assert detectnet("train", "-e", spec, "-r", results, "-n", "plate", "--gpus", 1, "--precision", "fp32") == 0
    return results


def test_a_run_leaves_what_tao_leaves_and_what_we_promise(trained: Path):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}

    assert {"weights/plate.tlt", "status.json", "experiment_spec.txt", "manifest.json", "metrics.jsonl"} <= names
    assert {"plots/curves.png", "plots/first_batch.png", "model.epoch-2.tlt"} <= names
    assert {"scores.json", "finds.json", "plots/f1.png", "plots/precision_recall.png", "plots/confusion.png"} <= names
    assert any(name.startswith("events/events.out.tfevents") for name in names)
    lines = [json.loads(line) for line in (trained / "status.json").read_text().splitlines()]
    assert [lines[0]["status"], lines[-1]["status"]] == ["STARTED", "SUCCESS"]
    assert KEY not in "".join(path.read_text(errors="replace") for path in trained.rglob("*.json*"))


def test_a_few_steps_lower_the_cost_and_evaluate_counts_every_image_once(
    trained: Path, capsys: pytest.CaptureFixture[str]
):
    spec, model, place = trained.parent / "train.txt", trained / "weights" / "plate.tlt", trained.parent / "scores"

    code = detectnet("evaluate", "-e", spec, "-m", model, "--json", "-r", place)

    scores = json.loads(capsys.readouterr().out)
    assert code == 0
    said = [json.loads(line) for line in (place / "status.json").read_text().splitlines()]
    assert [line["status"] for line in said] == ["STARTED", "RUNNING", "SUCCESS"]
    assert said[1]["kpi"]["mean average precision"] == round(100 * scores["card"]["main"]["value"], 4)
    assert scores["card"]["images"] == 4
    assert scores["card"]["objects"] == {"plate": 6}
    assert json.loads((place / "scores.json").read_text()) == scores
    (of_plate, of_background) = scores["card"]["confusion"]
    assert (sum(of_plate), of_background[1]) == (6, 0)
    mistakes = {one["image"]: one["finds"] + one["objects"] - 2 * one["right"] for one in scores["worst"]}
    assert all(mistakes.values())
    assert sum(mistakes.values()) == of_plate[1] + of_background[0]
    assert all(Path(name).parent == trained.parent / "kitti" / "image_2" for name in mistakes)
    assert [one["f1"] for one in scores["worst"]] == sorted(one["f1"] for one in scores["worst"])
    assert (place / "plots/worst.png").is_file() == bool(mistakes)
    losses = [row["loss"] for row in map(json.loads, (trained / "metrics.jsonl").open()) if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]


def test_pruned_retrained_and_exported_models_agree(trained: Path, tiny: Path, capsys: pytest.CaptureFixture[str]):
    pruned, export = tiny / "pruned.tlt", tiny / "plate.etlt"
    assert detectnet("prune", "-m", trained / "weights/plate.tlt", "-o", pruned, "-eq", "union", "--target", "0.5") == 0
    spec = write_spec(tiny, "retrain.txt", model=f'pretrained_model_file: "{pruned}" load_graph: true')
    again = tiny / "retrained"
    assert detectnet("train", "-e", spec, "-r", again, "-n", "plate", "--precision", "fp32") == 0
    small, large = (
        read_bundle(path, key=Key(KEY)) for path in (again / "weights/plate.tlt", trained / "weights/plate.tlt")
    )
    assert sum(v.size for v in small.tensors.values()) < sum(v.size for v in large.tensors.values())
    assert [step["stage"] for step in small.lineage] == ["train", "prune", "train"]

    assert detectnet("export", "-m", again / "weights/plate.tlt", "-o", export) == 0
    assert detectnet("export", "-m", again / "weights/plate.tlt", "-o", export) == 1  # it exists by now
    capsys.readouterr()
    reports = []
    for model in (again / "weights/plate.tlt", export):
        assert detectnet("evaluate", "-e", spec, "-m", model, "--json") == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["card"] == reports[1]["card"]
    assert reports[0]["cost"] == pytest.approx(reports[1]["cost"], rel=2e-2)  # torch ran in the processor's own type

    pictures = tiny / "found"
    assert detectnet("inference", "-i", tiny / "kitti/image_2", "-o", pictures, "-m", export) == 0
    assert len(list((pictures / "images_annotated").glob("*.png"))) == 16


def test_an_int8_model_scores_as_the_float_one_does_and_its_cache_makes_another(
    trained: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
):
    spec, model, cache = tiny / "train.txt", trained / "weights/plate.tlt", tiny / "cal.bin"
    rounded, plain, engine = tiny / "int8.etlt", tiny / "float.etlt", tiny / "int8.engine"
    words = ("--data_type", "int8", "--cal_cache_file", cache, "--batches", 3, "--batch_size", 4)
    assert detectnet("export", "-m", model, "-o", rounded, "-e", spec, *words) == 0
    assert "costliest layers, each alone in int8: " in capsys.readouterr().out
    assert detectnet("export", "-m", model, "-o", plain) == 0
    assert detectnet("gen_trt_engine", "-m", plain, "--engine_file", engine, *words, "--backend", "openvino") == 0
    assert f"{cache}: its ranges are used, no image is looked at" in capsys.readouterr().err

    costs = []
    for each in (plain, rounded, engine):
        assert detectnet("evaluate", "-e", spec, "-m", each, "--json") == 0
        costs.append(json.loads(capsys.readouterr().out)["cost"])
    assert main(["inspect", str(rounded), "-k", KEY]) == 0

    assert costs[1:] == pytest.approx([costs[0]] * 2, rel=0.1)
    assert costs[1] != costs[0]
    said = capsys.readouterr().out
    assert "  precision   int8\n" in said
    assert "  calibrated  data_sha256 " in said
    assert "images 12, method minmax, source the training images of train.txt" in said


def test_prune_warns_where_most_layers_hit_the_floor(trained: Path, tiny: Path, capsys: pytest.CaptureFixture[str]):
    model = trained / "weights/plate.tlt"
    capsys.readouterr()

    assert detectnet("prune", "-m", model, "-o", tiny / "floor.tlt", "-pth", "0.999", "-nf", "16") == 0
    assert detectnet("prune", "-m", model, "-o", tiny / "whole.tlt", "-pth", "0.0000052") == 0

    said = capsys.readouterr()
    assert [line for line in said.err.splitlines() if line.startswith("warning")] == [
        "warning: 13 of 13 layers are cut to the minimum of 16 filters, and such a network seldom learns its way back; "
        "a greater -nf spreads the cut"
    ]
    assert "Pruning ratio (pruned model / original model): 1.0000000" in said.out


def test_a_run_stopped_between_steps_goes_on_to_the_same_weights(tiny: Path):
    spec = write_spec(tiny, "exact.txt", epochs=3)
    whole = train_once(tiny / "whole", spec)

    with pytest.raises(TrainingError, match=r"after epoch 1, step 2 of 3; saved as .*step-000000005.ckpt"):
        train_once(tiny / "halves", spec, stop_at=4)
    resumed = train_once(tiny / "halves", spec, workers=3)

    assert resumed == whole


def test_a_run_that_goes_on_with_other_threads_says_so(tiny: Path):
    spec, heard = write_spec(tiny, "threads.txt", epochs=2), list[Event]()
    before = torch.get_num_threads()
    with pytest.raises(TrainingError):
        train_once(tiny / "threads", spec, stop_at=4, heard=heard)
    torch.set_num_threads(before + 1)
    try:
        train_once(tiny / "threads", spec, heard=heard)
    finally:
        torch.set_num_threads(before)

    assert [event.text for event in heard if isinstance(event, Notice) and event.level == "warning"] == [
        f"the run was computed with --threads {before} so far, and goes on with --threads {before + 1}: "
        "its weights will differ, in their last digits at least, from those of a run that was never stopped"
    ]


def train_once(
    results: Path, spec: Path, *, stop_at: int | None = None, workers: int = 1, heard: list[Event] | None = None
) -> str:
    """Train in this process, a Ctrl-C in the step after `stop_at`; the hash of the final weights."""
    steps = 0

    def listen(event: Event) -> None:
        nonlocal steps
        if heard is not None:
            heard.append(event)
        if isinstance(event, Progress) and event.unit == "step":
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    report = train(
        find("detectnet").read(spec).model,
        results,
        name="m",
        key=Key(KEY),
        options=TrainOptions(precision="fp32", workers=workers),
        listener=listen,
    )
    return weights_hash(read_bundle(report.weights, key=Key(KEY)).tensors)


def test_a_finished_run_ends_at_once_and_writes_its_model_again(tiny: Path, trained: Path, capsys):
    before = read_bundle(trained / "weights/plate.tlt", key=Key(KEY)).tensors

    code = detectnet("train", "-e", tiny / "train.txt", "-r", trained, "-n", "plate", "--precision", "fp32")

    assert code == 0
    assert "the run is complete: only the final model is written again" in capsys.readouterr().err
    assert weights_hash(read_bundle(trained / "weights/plate.tlt", key=Key(KEY)).tensors) == weights_hash(before)


def test_a_cost_that_is_not_finite_names_the_images_of_its_batch(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    from taolite.tasks.detectnet.loss import DetectNetObjective

    real = DetectNetObjective._losses
    monkeypatch.setattr(DetectNetObjective, "_losses", lambda *args: real(*args) * float("nan"))

    with pytest.raises(TrainingError) as caught:
        train_once(tiny / "nan", write_spec(tiny, "nan.txt"))

    lines = str(caught.value).splitlines()
    assert lines[0] == "the cost of step 1 is nan: training stops here and nothing of this step was kept. Its images:"
    assert len([line for line in lines if line.endswith(".png")]) == 4
    assert lines[-1] == ("look at their labels (`taolite dataset check`), or lower the learning rate")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl_c", "sigterm"])
def test_a_signal_to_stop_saves_says_so_and_has_its_own_exit_code(tiny: Path, number: signal.Signals):
    spec, results = write_spec(tiny, "long.txt", epochs=500), tiny / f"interrupted_{number.name}"
    command = [sys.executable, "-m", "taolite", "detectnet", "train", "-e", spec, "-r", results, "-k", KEY]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while not list(results.glob("checkpoints/*.ckpt")) and time.monotonic() < until:
        time.sleep(0.1)

    process.send_signal(number)
    _, said = process.communicate(timeout=120)

    assert process.returncode == 75
    last = said.strip().splitlines()[-1]
    assert last.startswith("stopped: after epoch ")
    assert last.endswith(f"Run the same command again, in the folder {results}, to go on from there")
    assert "Traceback" not in said


def test_progress_speed_and_waiting_are_told_every_epoch(tiny: Path):
    heard: list[Event] = []
    train(
        find("detectnet").read(write_spec(tiny, "told.txt")).model,
        tiny / "told",
        name="m",
        key=Key(KEY),
        options=FLOAT32,
        listener=heard.append,
    )

    epochs = [event for event in heard if isinstance(event, EpochDone)]
    assert [event.epoch for event in epochs] == [1, 2]
    assert all(event.images_per_s > 0 and 0 <= event.data_wait <= 1 for event in epochs)
    assert np.isclose(epochs[-1].eta_s, 0)
