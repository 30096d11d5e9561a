"""`taolite classification`: TAO's flags and words, end to end on a tiny data set."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.stages import evaluate
from taolite.workspace.finds import read_finds
from tests.stages.classes import CLASSES, draw_classes, write_spec

KEY = "tlt_encode"


pytestmark = pytest.mark.usefixtures("one_thread")


def classification(*words: object) -> int:
    return main(["classification", *map(str, words), "-k", KEY])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set, and `run`, the folder of a finished training of 2 epochs."""
    root = tmp_path_factory.mktemp("classes")
    draw_classes(root)
    spec = write_spec(root, "spec.txt", model=root / "run/weights/resnet_002.tlt")
    assert classification("train", "-e", spec, "-r", root / "run", "--precision", "fp32", "--init_epoch", 1) == 0
    return root


@pytest.fixture
def model(root: Path) -> Path:
    return root / "run/weights/resnet_002.tlt"


def test_evaluate_says_what_tao_says(root: Path, capsys: pytest.CaptureFixture[str]):
    assert classification("evaluate", "-e", root / "spec.txt", "-r", root / "scores") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Evaluation Loss: ")
    assert lines[1].startswith("Evaluation Top K accuracy: ")
    top = float(lines[1].rpartition(" ")[2])
    assert lines[2] == "Confusion Matrix"
    rows = [[int(cell) for cell in line.strip(" []").split()] for line in lines[3:6]]
    assert [sum(row) for row in rows] == [4, 4, 4]
    assert lines[6:8] == ["Classification Report", "             precision    recall  f1-score   support"]
    assert [line.split()[0] for line in lines[9:12]] == list(CLASSES)
    assert json.loads((root / "scores/results.json").read_text()) == {"top_k_accuracy": top}
    said = [json.loads(line) for line in (root / "scores/status.json").read_text().splitlines()]
    assert [line["status"] for line in said] == ["STARTED", "RUNNING", "SUCCESS"]
    assert said[1]["kpi"]["top_k_accuracy"] == top
    assert (root / "scores/confusion.png").is_file()
    pictures = read_finds(root / "scores/finds.json").pictures
    right = sum(one.finds[0].kind == one.truth[0].kind for one in pictures)
    assert (len(pictures), right) == (12, sum(row[kind] for kind, row in enumerate(rows)))


def test_evaluate_takes_other_pictures_and_the_spec_s_number_of_workers(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    seen = []
    load = evaluate.batches
    monkeypatch.setattr(evaluate, "batches", lambda *a, **k: seen.append(k["workers"]) or load(*a, **k))
    monkeypatch.setattr("taolite.cores.allowed", lambda: 64)
    spec = root / "workers.txt"
    spec.write_text((root / "spec.txt").read_text().replace("n_workers: 1", "n_workers: 5"))

    assert classification("evaluate", "-e", spec, "-i", root / "train") == 0

    rows = capsys.readouterr().out.splitlines()[3:6]
    assert [sum(map(int, row.strip(" []").split())) for row in rows] == [8, 8, 8]
    assert seen == [5]


def test_inference_on_a_folder_writes_a_row_and_a_picture_for_each(root: Path, model: Path):
    words = ("-m", model, "-d", root / "val", "-e", root / "spec.txt", "-cm", root / "run/classmap.json")

    assert classification("inference", *words, "-r", root / "found") == 0
    assert classification("inference", *words, "-b", 5) == 0

    with open(root / "found/result.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert [row[0] for row in rows] == [str(path) for path in sorted((root / "val").rglob("*.png"))]
    assert {row[1] for row in rows} <= set(CLASSES)
    assert all(1 / 3 <= float(row[2]) <= 1 for row in rows)
    assert len(list((root / "found/images_annotated").iterdir())) == 12
    with open(root / "val/result.csv", newline="") as stream:
        assert [row[:2] for row in csv.reader(stream)] == [row[:2] for row in rows]
    assert not (root / "val/images_annotated").exists()


def test_inference_on_a_picture_prints_its_scores(root: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    assert classification("inference", "-m", model, "-i", root / "val/down/00.png") == 0

    scores, label, name = capsys.readouterr().out.splitlines()
    values = [float(word) for word in scores.removeprefix("Current predictions: [[").removesuffix("]]").split()]
    assert sum(values) == pytest.approx(1, abs=1e-5)
    assert label == f"Class label = {values.index(max(values))}"
    assert name == f"Class name = {CLASSES[values.index(max(values))]}"


def test_a_classmap_of_other_classes_is_refused(root: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    other = root / "other.json"
    other.write_text('{"down": 0, "across": 1, "checked": 2}')
    said = (
        f"error: {other}: its classes are down, across, checked, and the model's are across, checked, down, in the "
        "order of their numbers; leave the classmap out, the model knows its classes\n"
    )

    for words in (
        ("inference", "-m", model, "-d", root / "val", "-cm", other),
        ("evaluate", "-e", root / "spec.txt", "-cm", other),
        ("export", "-m", model, "-o", root / "never.onnx", "--classmap_json", other),
    ):
        assert classification(*words) == 1
        assert capsys.readouterr().err.endswith(said)


def test_no_model_and_no_pictures_are_said_plainly(root: Path, model: Path, capsys: pytest.CaptureFixture[str]):
    spec = write_spec(root, "modelless.txt")

    assert classification("evaluate", "-e", spec) == 1
    assert capsys.readouterr().err == f"error: {spec}: no model: give eval_config.model_path there, or -m MODEL\n"
    assert classification("inference", "-m", model) == 1
    assert capsys.readouterr().err == "error: no pictures: give -i PICTURE or -d FOLDER\n"


def test_pruned_and_exported_with_deepstream_s_files_and_an_engine(root: Path, model: Path):
    pruned, onnx, engine = root / "pruned.tlt", root / "pruned.onnx", root / "pruned.engine"

    assert classification("prune", "-m", model, "-o", pruned, "-pth", 0.9, "-eq", "union") == 0
    assert classification("export", "-m", pruned, "-o", onnx, "--gen_ds_config", "-e", root / "spec.txt") == 0
    assert classification("gen_trt_engine", "-m", onnx, "--engine_file", engine, "--backend", "openvino") == 0
    assert classification("evaluate", "-e", root / "spec.txt", "-m", engine) == 0

    assert (root / "labels.txt").read_text() == "across;checked;down\n"
    config = (root / "nvinfer_config.txt").read_text().splitlines()
    wanted = {
        "net-scale-factor=1.0", "offsets=103.939;116.779;123.68", "infer-dims=3;32;32", "network-type=1",
        "model-color-format=1", "output-blob-names=predictions/Softmax", "process-mode=2", "classifier-threshold=0.2",
    }  # fmt: skip
    assert wanted <= set(config)


def test_a_tensorfile_calibrates(root: Path, model: Path):
    tensorfile, rounded = root / "calibration.tensor", root / "int8.etlt"

    assert classification("calibration_tensorfile", "-e", root / "spec.txt", "-o", tensorfile, "-m", 3) == 0
    words = ("--data_type", "int8", "--cal_data_file", tensorfile, "--cal_cache_file", root / "cal.bin")
    assert classification("export", "-m", model, "-o", rounded, *words, "--batches", 3, "--batch_size", 4) == 0

    assert rounded.is_file()
    assert (root / "cal.bin").is_file()


def test_pictures_that_cannot_be_read_stop_a_run_unless_they_may_be_skipped(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    draw_classes(tmp_path)
    (tmp_path / "train/down/99.png").write_bytes(b"no picture")
    spec = write_spec(tmp_path, "spec.txt", epochs=1)

    assert classification("train", "-e", spec, "-r", tmp_path / "run") == 1
    assert f"{tmp_path}/train/down/99.png: not a readable image" in capsys.readouterr().err
    assert classification("train", "-e", spec, "-r", tmp_path / "run", "--skip-corrupt") == 0
    assert read_bundle(tmp_path / "run/weights/resnet.tlt", key=Key(KEY)).classes == CLASSES


def test_a_training_with_set_is_that_of_the_spec_with_the_value(root: Path, capsys: pytest.CaptureFixture[str]):
    spec, run = root / "spec.txt", root / "set"
    words = ["train", "-e", spec, "-r", run, "--precision", "fp32"]
    derived = root / "derived.txt"
    assert main(["spec", "derive", str(spec), "--set", "train_config.n_epochs=1", "-o", str(derived)]) == 0

    assert classification(*words, "--set", "train_config.n_epochs=1") == 0

    assert (run / "weights/resnet_001.tlt").is_file()
    assert "  n_epochs: 1\n" in (run / "experiment_spec.txt").read_text()
    capsys.readouterr()
    assert classification(*words, "--set", "train_config.batch_size_per_gpu=3") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {run}: this folder holds another run: the spec had `batch_size_per_gpu: 4` and has "
        "`batch_size_per_gpu: 3`. Choose another folder (-r, --model-dir), or remove this one to start over"
    )
    assert classification("train", "-e", derived, "-r", run, "--precision", "fp32", "--resume") == 0
