"""Two models on the same pictures: a detector, an SSD and a classifier, trained, exported and built as an engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.container import KdfCost
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.pictures import read_rgb
from taolite.stages.bundles import bundle_of
from taolite.stages.inference.models import open_model
from taolite.tasks.registry import find

from . import classes, voc_set
from .conftest import write_spec
from .fitted import write_fitted

KEY = "tlt_encode"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def plates(tiny: Path) -> Path:
    """A detector that finds every plate: `plate.tlt`, its exports and its engine, and `plates.txt`."""
    spec = write_spec(tiny, "plates.txt")
    write_fitted(spec, tiny / "plate.tlt", key=KEY)
    export(tiny / "plate.tlt", tiny / "plate32.onnx", "fp32")
    export(tiny / "plate.tlt", tiny / "plate16.etlt", "fp16")
    return tiny


def export(model: Path, output: Path, precision: str, task: str = "detectnet") -> None:
    words = ["export", "-m", model, "-o", output, "-k", KEY, "--data_type", precision, "--force"]
    assert main([task, *map(str, words)]) == 0


def parity(*words: object) -> int:
    return main(["parity", *map(str, words), "-k", KEY])


def test_a_model_and_its_export_on_labelled_pictures(plates, capsys):
    capsys.readouterr()
    code = parity(plates / "plate.tlt", plates / "plate16.etlt", "--data", plates / "plates.txt")

    said = capsys.readouterr().out.splitlines()
    assert code == 0
    assert said[0] == f"A  {plates / 'plate.tlt'} (torch)"
    assert said[1].startswith(f"B  {plates / 'plate16.etlt'} (onnxruntime ")
    assert said[2] == "4 pictures: validation images of plates.txt"
    assert said[-1] == "mAP: A 100.00 %, B 100.00 %: no drop"
    assert said[-2].startswith("results: 6 of A, 6 of B, 6 agree, mean IoU 0.99")


def test_the_figures_are_those_of_the_outputs(plates, capsys):
    pictures = sorted((plates / "kitti/image_2").glob("*.png"))
    answers = []
    for name in ("plate32.onnx", "plate16.etlt"):
        with open_model(plates / name, key=Key(KEY)) as model:
            pixels = np.stack([model.preprocessing.apply(read_rgb(path)) for path in pictures])
            answers.append(model.predict(pixels))
    capsys.readouterr()

    words = (plates / "plate32.onnx", plates / "plate16.etlt", "--data", plates / "kitti/image_2", "--json")
    assert parity(*words) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["source"], told["scores"]) == (16, "pictures in image_2", None)
    for name, one, other in zip(("output_cov/Sigmoid", "output_bbox/BiasAdd"), *answers, strict=True):
        apart = np.abs(one - other)
        found = told["tensors"][name]
        assert found["largest"] == pytest.approx(apart.max(), rel=1e-3)
        assert found["mean"] == pytest.approx(apart.mean(), rel=1e-3)
    assert told["results"]["agree"] == told["results"]["first"] == told["results"]["second"] == 24


def test_a_model_is_equal_to_itself_and_a_limit_of_nothing_holds(plates, capsys):
    model, picture = plates / "plate32.onnx", plates / "kitti/image_2/000.png"

    assert parity(model, model, "--data", picture, "--max-difference", 0) == 0

    said = capsys.readouterr().out
    assert "1 picture: pictures in 000.png\n" in said
    assert "results: 1 of A, 1 of B, 1 agree, mean IoU 1.0000, scores differ by 0 (largest 0)\n" in said


def test_a_difference_above_the_limit_ends_with_1(plates, capsys):
    first, second, folder = plates / "plate32.onnx", plates / "plate16.etlt", plates / "kitti/image_2"
    assert parity(first, second, "--data", folder, "--json") == 0
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    name, largest = max(((name, one["largest"]) for name, one in tensors.items()), key=lambda row: row[1])

    assert parity(first, second, "--data", folder, "--max-difference", 1e-6) == 1

    assert capsys.readouterr().err == (
        f"error: {second} differs from {first} by {largest:.3g} in {name}, and --max-difference allows 1e-06\n"
    )
    assert parity(first, second, "--data", folder, "--max-difference", 2 * largest) == 0


def test_an_engine_is_compared_as_well(plates, capsys):
    pytest.importorskip("openvino")
    engine = plates / "plate.engine"
    words = ["convert", plates / "plate32.onnx", "-e", engine, "--backend", "openvino", "-k", KEY]
    assert main([str(word) for word in words]) == 0
    capsys.readouterr()

    assert parity(plates / "plate.tlt", engine, "--data", plates / "plates.txt", "--json", "--images", 3) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["pictures"] == 3
    assert told["runs_on"][1].startswith("openvino ")
    assert max(one["largest"] for one in told["tensors"].values()) < 1e-3
    assert [score["value"] for score in told["scores"]] == [1.0, 1.0]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The specs of a classifier and an SSD, with an untrained model and its export beside each."""
    made = {}
    for task, draw, spec_of in (
        ("classification", classes.draw_classes, classes.write_spec),
        ("ssd", voc_set.draw_set, voc_set.write_spec),
    ):
        root = tmp_path_factory.mktemp(task)
        draw(root)
        spec = spec_of(root, "train.txt")
        experiment = find(task).read(spec).model
        bundle = bundle_of(experiment, experiment.start(key=None).network.eval(), lineage=())
        write_bundle(root / "m.tlt", bundle, key=Key(KEY), cost=KdfCost(memory_kib=8, iterations=1))
        made[task] = spec
    return made


@pytest.mark.parametrize(("task", "metric"), [("classification", "accuracy"), ("ssd", "mAP")])
def test_every_task_has_a_gate_and_a_comparison(others, task, metric, capsys):
    spec = others[task]
    model, exported = spec.parent / "m.tlt", spec.parent / "m16.onnx"
    words = ["export", "-m", model, "-o", exported, "-e", spec, "--data_type", "fp16", "--max-drop", 50, "-k", KEY]

    assert main([task, *map(str, words)]) == 0

    said = capsys.readouterr().out
    assert f"{metric} on " in said
    record = json.loads(Path(f"{exported}.gate.json").read_text())
    assert record["metric"] == metric
    assert set(record["differences"]) == set(find(task).onnx_outputs)
    assert parity(model, exported, "--data", spec, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [score["value"] for score in told["scores"]] == [record["trained"], record["exported"]]
    assert {name: one["largest"] for name, one in told["tensors"].items()} == pytest.approx(
        {name: one["largest"] for name, one in record["differences"].items()}
    )


def test_an_ssd_that_ends_in_nms_is_compared_by_its_results(others, capsys):
    spec = others["ssd"]
    model, raw, nms = (spec.parent / name for name in ("m.tlt", "raw.onnx", "nms.onnx"))
    for output, more in ((raw, ()), (nms, ("--onnx_nms",))):
        words = ["export", "-m", model, "-o", output, "-k", KEY, "-e", spec, "--gate-images", 4, *more]
        assert main(["ssd", *map(str, words)]) == 0
    assert json.loads(Path(f"{nms}.gate.json").read_text())["differences"] == {}
    capsys.readouterr()

    assert parity(raw, nms, "--data", spec) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[3] == "A and B have no output in common: only their results are compared"
    assert parity(raw, nms, "--data", spec, "--max-difference", 1) == 1
    assert capsys.readouterr().err == f"error: --max-difference: {raw} and {nms} have no output in common\n"


def test_models_of_two_tasks_are_refused(plates, others, capsys):
    first, second = plates / "plate.tlt", others["ssd"].parent / "m.tlt"

    assert parity(first, second, "--data", plates / "kitti/image_2") == 1

    assert capsys.readouterr().err == (
        f"error: {first} and {second} cannot be compared: they differ in tasks and classes and preprocessing "
        "(`taolite show` prints both)\n"
    )


def test_data_that_is_not_there_or_no_training_spec_is_refused(plates, tmp_path, capsys):
    model = plates / "plate32.onnx"

    assert parity(model, model, "--data", tmp_path / "gone") == 1
    assert parity(model, model, "--data", tmp_path) == 1
    assert parity(model, model, "--data", plates / "convert.txt") == 1

    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == (
        f"error: {tmp_path / 'gone'}: no such folder or spec; give --data a folder of pictures, a picture or a spec"
    )
    assert errors[1] == (
        f"error: {tmp_path}: no picture in this folder; it needs files that end in .jpg, .jpeg, .png, .bmp, .webp, "
        ".ppm, .tif, .tiff"
    )
    assert errors[2].startswith(f"error: {plates / 'convert.txt'}: this ")
    assert errors[2].endswith(" spec names no validation images; give a training spec")


def test_two_exports_and_a_folder_need_no_torch(plates):
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom taolite.cli.main import main\n"
        "sys.exit(main(['parity', *sys.argv[1:]]))"
    )
    words = [plates / "plate32.onnx", plates / "plate16.etlt", "--data", plates / "kitti/image_2", "-k", KEY]

    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "16 pictures: pictures in image_2\n" in done.stdout
