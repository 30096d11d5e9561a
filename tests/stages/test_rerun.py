"""A run is repeated from its manifest: on a processor its weights are the same, bit for bit, for every task."""

from __future__ import annotations

import hashlib
import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.cli.own.experiment import verdict
from taolite.stages.training.rerun import Rerun, differences_here
from taolite.stages.training.train import TrainReport
from taolite.workspace.catalog import read_run

from . import classes, voc_set
from .conftest import TAO_SSD, write_spec

KEY = "tlt_encode"

pytestmark = pytest.mark.usefixtures("one_thread")


def taolite(*words: object) -> int:
    return main([*map(str, words), "-k", KEY])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a classifier, and beside it the data set that it was trained on."""
    root = tmp_path_factory.mktemp("classes")
    classes.draw_classes(root)
    spec = classes.write_spec(root, "train.txt", epochs=1)
    assert taolite("classification", "train", "-e", spec, "-r", root / "first") == 0
    return root / "first"


def model(run: Path) -> str:
    """The hash of the weights in a run's model."""
    name = json.loads((run / "manifest.json").read_text())["name"]
    return weights_hash(read_bundle(run / "weights" / f"{name}.tlt", key=Key(KEY)).tensors)


def test_a_classifier_is_trained_again_with_identical_weights(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (trained.parent / "train.txt").write_text("the spec's file is not needed any more")
    again = tmp_path / "again"
    capsys.readouterr()

    code = taolite("experiment", "rerun", trained, "-r", again)

    said = capsys.readouterr()
    assert code == 0
    assert said.out == f"identical: the weights are the same, bit for bit ({model(trained)[:12]}); {again}\n"
    assert said.err.splitlines()[0] == "versions and processor are those of the run"
    assert model(again) == model(trained)
    assert json.loads((again / "manifest.json").read_text())["rerun_of"]["folder"] == str(trained)


@pytest.mark.slow
def test_a_pruned_and_retrained_detector_is_trained_again_with_identical_weights(tiny: Path):
    first, pruned = tiny / "one", tiny / "pruned" / "model.tlt"
    assert taolite("detectnet", "train", "-e", write_spec(tiny, "one.txt", epochs=1), "-r", first, "-n", "plate") == 0
    assert taolite("detectnet", "prune", "-m", first, "-o", pruned, "--target", 0.5, "-nf", 8) == 0
    spec = write_spec(tiny, "two.txt", epochs=2, model=f'load_graph: true pretrained_model_file: "{pruned}"')
    assert taolite("detectnet", "train", "-e", spec, "-r", tiny / "two", "-n", "plate") == 0

    code = taolite("experiment", "rerun", tiny / "two", "--json")

    assert code == 0
    assert model(tiny / "two-rerun") == model(tiny / "two")
    assert model(first) != model(tiny / "two")


@pytest.mark.slow
def test_an_ssd_is_trained_again_with_identical_weights(tmp_path: Path):
    voc_set.draw_set(tmp_path)
    spec = voc_set.write_spec(tmp_path, "train.txt", epochs=1)
    assert taolite("ssd", "train", "-e", spec, "-r", tmp_path / "run") == 0

    code = taolite("experiment", "rerun", tmp_path / "run")

    assert code == 0
    assert model(tmp_path / "run-rerun") == model(tmp_path / "run")


@pytest.mark.slow
def test_an_ssd_whose_start_model_a_flag_named_is_trained_again_with_identical_weights(tiny: Path):
    spec = tiny / "ssd.txt"
    spec.write_text(TAO_SSD.format(kitti=tiny / "kitti", epochs=1))
    assert taolite("ssd", "train", "-e", spec, "-r", tiny / "first") == 0
    first = tiny / "first" / "weights" / "ssd_resnet10.tlt"
    assert taolite("ssd", "train", "-e", spec, "-r", tiny / "second", "-m", first) == 0

    code = taolite("experiment", "rerun", tiny / "second")

    assert code == 0
    assert model(tiny / "second-rerun") == model(tiny / "second") != model(tiny / "first")


def test_data_that_changed_is_refused_before_a_folder_is_made(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    moved = tmp_path / "first"
    shutil.copytree(trained, moved)
    picture = trained.parent / "train" / "down" / "07.png"
    kept = picture.read_bytes()
    picture.unlink()

    code = taolite("experiment", "rerun", moved, "-r", tmp_path / "again")

    picture.write_bytes(kept)
    found = [line for line in capsys.readouterr().err.splitlines() if "content hash" in line]
    then = json.loads((moved / "manifest.json").read_text())["run"]["data_hash"]
    assert code == 1
    assert len(found) == 1
    assert found[0].startswith(f"  the training data had the content hash {then[:12]} and has ")
    assert not (tmp_path / "again").exists()


def test_a_folder_with_another_run_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]):
    code = taolite("experiment", "rerun", trained, "-r", trained)

    assert code == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {trained}: this folder has a run already; choose a new one (-r)"
    )


def test_weights_that_are_not_the_same_are_told_with_the_scores(trained: Path):
    report = TrainReport(trained, evaluation=None, best=None, epochs=1, seconds=1.0, parameters=3)  # type: ignore[arg-type]
    made = Rerun(report, "0" * 64, "ab" * 32, {"accuracy": (0.5, 0.75)})

    assert verdict(made, Path("again"), "accuracy") == (
        "not identical: the weights were 000000000000 and are abababababab; accuracy 50.00 % then, accuracy 75.00 % "
        "now; again\nthe hash of the data covers names, sizes and labels of the pictures, not their pixels"
    )


def test_what_is_made_of_a_run_is_noted_in_its_manifest_and_drawn_as_its_lineage(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root, small = tmp_path / "lab", tmp_path / "lab" / "out" / "small.tlt"
    shutil.copytree(trained, root / "run")
    assert taolite("classification", "prune", "-m", root / "run", "-o", small, "--target", 0.5, "-nf", 8) == 0
    assert taolite("classification", "export", "-m", small, "-o", root / "out" / "small.etlt") == 0
    assert taolite("classification", "export", "-m", root / "run", "-o", root / "whole.onnx") == 0
    engine = root / "small.engine"
    assert taolite("convert", root / "out" / "small.etlt", "--backend", "openvino", "-e", engine) == 0
    notes = json.loads((root / "run" / "manifest.json").read_text())
    capsys.readouterr()

    code = main(["experiment", "lineage", str(root)])

    lines = capsys.readouterr().out.splitlines()
    weights = weights_hash(read_bundle(small, key=Key(KEY)).tensors)
    sealed, built = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (root / "out" / "small.etlt", engine))
    whole = hashlib.sha256((root / "whole.onnx").read_bytes()).hexdigest()
    assert code == 0
    assert lines[0].split("  ")[0] == f"data {trained.parent}/train"
    assert [line.lstrip(" │├└─").split(",")[0] for line in lines[1:]] == [
        f"run run  {model(trained)[:8]}",
        f"pruned small.tlt  {weights[:8]}",
        f"export small.etlt  {sealed[:8]}",
        f"engine small.engine  {built[:8]}",
        f"export whole.onnx  {whole[:8]}",
    ]
    assert [len(line) - len(line.lstrip(" │├└─")) for line in lines] == [0, 3, 6, 9, 12, 6]
    assert notes["pruned"]["small.tlt"]["file"] == "../out/small.tlt"
    assert notes["exports"]["small.etlt"]["parent_weights"] == weights
    assert KEY not in (root / "run" / "manifest.json").read_text()


def test_what_differs_here_is_told_before_the_training(trained: Path, tmp_path: Path):
    moved = tmp_path / "first"
    shutil.copytree(trained, moved)
    manifest = json.loads((moved / "manifest.json").read_text())
    manifest |= {"versions": {**manifest["versions"], "torch": "1.0"}, "options": {"processes": 2}}
    (moved / "manifest.json").write_text(json.dumps(manifest))

    assert differences_here(read_run(moved)) == [
        f"torch was 1.0 and is {metadata.version('torch')}",
        "it was trained in 2 processes, and is repeated in one: sums are rounded otherwise",
    ]
