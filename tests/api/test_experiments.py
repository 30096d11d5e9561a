"""A life from spec to export by the functions of `taolite`, and their messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import taolite
from taolite.errors import UsageError
from taolite.events import DataFound, EpochDone, Exporting
from tests.stages.classes import CLASSES, draw_classes, write_spec

KEY = "k"


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classes")
    draw_classes(root)
    return write_spec(root, "spec.txt", epochs=2)


@pytest.fixture(scope="module")
def trained(spec: Path) -> tuple[Path, list[object]]:
    """The run folder, and what the listener was told."""
    heard: list[object] = []
    results = spec.parent / "run"
    report = taolite.train(spec, results, key=KEY, name="stripes", workers=1, listener=heard.append)
    assert report.weights == results / "weights" / "stripes.tlt"
    assert report.epochs == 2
    return results, heard


def test_a_spec_is_read_as_an_experiment(spec: Path):
    experiment = taolite.read(spec)

    assert experiment.task.name == "classification"
    assert experiment.classes == CLASSES
    assert experiment.recipe.epochs == 2
    assert experiment.preprocessing.input_hw == (32, 32)


def test_training_tells_its_listener(trained: tuple[Path, list[object]]):
    _, heard = trained

    assert any(isinstance(event, DataFound) and event.training == 24 for event in heard)
    assert sum(isinstance(event, EpochDone) for event in heard) == 2


def test_a_trained_model_is_scored_and_predicts(trained: tuple[Path, list[object]], spec: Path):
    folder, _ = trained

    evaluation = taolite.evaluate(spec, folder, key=KEY, split="val", workers=1)
    again = taolite.evaluate(taolite.read(spec, command="evaluate"), folder, key=KEY, split="val", workers=1)
    with taolite.load(folder, key=KEY) as model:
        pictures = sorted((spec.parent / "val").rglob("*.png"))
        results = model.predict(pictures, batch_size=4)

    right = [result.top.name == path.parent.name for result, path in zip(results, pictures, strict=True)]
    assert evaluation.card.main.value == pytest.approx(np.mean(right))
    assert again.card == evaluation.card


def test_pruned_and_exported_it_gives_the_same_answers(trained: tuple[Path, list[object]], tmp_path: Path):
    folder, _ = trained
    heard: list[object] = []

    pruned = taolite.prune(folder, tmp_path / "small.tlt", key=KEY, target=0.6, granularity=4, min_filters=4)
    report = taolite.export(pruned.output, tmp_path / "small.onnx", key=KEY, batch_size=1, listener=heard.append)

    assert pruned.parameters_after <= 0.6 * pruned.parameters_before
    assert (report.output, report.sealed) == (tmp_path / "small.onnx", False)
    assert Exporting(report.output) in heard
    image = np.asarray(Image.open(sorted((folder.parent / "val").rglob("*.png"))[0]))
    with taolite.load(pruned.output, key=KEY) as in_torch, taolite.load(report.output) as exported:
        first, second = in_torch.predict(image, top=0), exported.predict(image, top=0)
    assert first.names == second.names
    assert first.scores == pytest.approx(second.scores, abs=1e-3)


def test_int8_is_calibrated_with_a_folder_of_pictures(trained: tuple[Path, list[object]], spec: Path, tmp_path: Path):
    folder, _ = trained

    report = taolite.export(
        folder, tmp_path / "int8.onnx", key=KEY, precision="int8", images=spec.parent / "train", image_count=24
    )

    assert report.int8 is not None
    assert report.int8.measured_on == "calibration images"
    assert report.int8.cache == tmp_path / "int8.cal.bin"


def test_an_unknown_option_is_told(spec: Path, tmp_path: Path):
    with pytest.raises(UsageError) as training:
        taolite.train(spec, tmp_path / "run", key=KEY, epochs=3)
    with pytest.raises(UsageError) as pruning:
        taolite.prune("m.tlt", tmp_path / "p.tlt", key=KEY, ratio=0.5)

    assert str(training.value).startswith("train has no option epochs; its options are gpus, gpu_index, use_amp, ")
    assert str(pruning.value) == (
        "prune has no option ratio; its options are threshold, normalizer, equalization, granularity, min_filters, "
        "excluded, target, target_params, target_macs, target_latency_ms, importance"
    )


def test_a_spec_for_another_purpose_is_told(tmp_path: Path):
    spec = tmp_path / "convert.txt"
    spec.write_text('kitti_config { root_directory_path: "/d" }\n')

    with pytest.raises(UsageError) as caught:
        taolite.read(spec)

    assert str(caught.value) == (
        f"{spec}: a spec for data set conversion; a spec of DetectNet_v2, classification or SSD training is needed"
    )


def test_training_needs_a_key(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TAOLITE_KEY", raising=False)

    with pytest.raises(UsageError, match="a key is needed, and none was given"):
        taolite.train(spec, tmp_path / "run")


@pytest.mark.parametrize(
    "call",
    ["read(SPEC)", "train(SPEC, 'r', key='k')", "prune('m', 'p', key='k')", "export('m')", "evaluate(SPEC, 'm')"],
)
def test_without_torch_the_extra_is_named(call: str, spec: Path):
    code = (
        "import sys, taolite.extras\n"
        "sys.modules['torch'] = None\n"
        "taolite.extras._source = lambda: None\n"
        f"SPEC = {str(spec)!r}\n"
        f"try: taolite.{call}\n"
        "except taolite.TaoliteError as error: print(error)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)

    name = call.partition("(")[0]
    assert done.stdout == f"taolite.{name} needs torch, which is not installed; run pip install 'taolite[train]'\n"
