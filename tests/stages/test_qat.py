"""Quantisation-aware training through the stages: train, resume, prune, retrain with and without it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.engines.onnx_graph import element_types, operators
from taolite.errors import TrainingError
from taolite.nn.fake_quant import is_quantized, ranges
from taolite.stages.prune import PruneSettings, prune
from taolite.tasks import base

from .conftest import write_spec
from .test_life import detectnet, train_once

KEY = Key("tlt_encode")
TASK = base.find("detectnet")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def qat_spec(root: Path, name: str, *, epochs: int = 2, model: str = "") -> Path:
    path = write_spec(root, name, epochs=epochs, model=model)
    path.write_text(path.read_text().replace("checkpoint_interval: 2", "checkpoint_interval: 2 enable_qat: true"))
    return path


@pytest.fixture(scope="module")
def trained(tiny: Path) -> Path:
    """The `.tlt` of a quantised training of 4 epochs."""
    results = tiny / "qat"
    spec = qat_spec(tiny, "qat.txt", epochs=4)
    assert detectnet("train", "-e", spec, "-r", results, "-n", "plate", "--precision", "fp32") == 0
    return results / "weights" / "plate.tlt"


def loaded(tiny: Path, model: Path, name: str, *, enable_qat: bool) -> base.Start:
    field = f'pretrained_model_file: "{model}" load_graph: true'
    path = (qat_spec if enable_qat else write_spec)(tiny, name, model=field)
    return TASK.start(TASK.read_spec(path).model, resolve=Path, key=KEY)


def test_a_quantised_training_learns_ranges_and_evaluates_as_trained(trained: Path, tiny: Path, capsys):
    network = TASK.network(read_bundle(trained, key=KEY))

    found = ranges(network)
    assert len(found) == 13 + 4
    assert found["backbone.conv1"] == pytest.approx(230 / 255, abs=0.05)  # the plates' grey; 6.0 without learning
    assert 6.0 not in found.values()
    assert detectnet("evaluate", "-e", tiny / "qat.txt", "-m", trained) == 0
    assert "nan" not in capsys.readouterr().out


def test_a_quantised_run_stopped_between_steps_goes_on_to_the_same_weights_and_ranges(tiny: Path):
    spec = qat_spec(tiny, "qat_exact.txt", epochs=2)
    whole = train_once(tiny / "qat_whole", spec)

    with pytest.raises(TrainingError, match="stopped after epoch 1, step 2 of 3"):
        train_once(tiny / "qat_halves", spec, stop_at=4)

    assert train_once(tiny / "qat_halves", spec) == whole


def test_the_loaded_graph_goes_on_quantised_or_sheds_it_as_the_spec_says(trained: Path, tiny: Path):
    again = loaded(tiny, trained, "qat_again.txt", enable_qat=True)
    shed = loaded(tiny, trained, "qat_shed.txt", enable_qat=False)

    assert again.notices[-1] == (
        "enable_qat: training goes on with 8-bit kernels and inputs in 13 convolutions; heads stay float"
    )
    assert ranges(again.network) == ranges(TASK.network(read_bundle(trained, key=KEY)))
    assert all(int(n) == 0 for name, n in again.network.named_buffers() if name.endswith(".batches"))
    assert shed.notices[-1] == "enable_qat is false and the loaded model is quantised: its quantisation is taken off"
    assert not is_quantized(shed.network)
    assert torch.equal(shed.network.backbone.conv1.weight, again.network.backbone.conv1.weight)


def test_a_pruned_quantised_model_retrains_quantised(trained: Path, tiny: Path):
    pruned = tiny / "qat_pruned.tlt"
    report = prune(trained, pruned, key=KEY, settings=PruneSettings(target=0.5))

    spec = qat_spec(tiny, "qat_retrain.txt", model=f'pretrained_model_file: "{pruned}" load_graph: true')
    train_once(tiny / "qat_retrained", spec)

    bundle = read_bundle(tiny / "qat_retrained/weights/m.tlt", key=KEY)
    assert report.plan.ratio <= 0.5
    assert bundle.architecture["quantized"] is True
    assert weights_hash(bundle.tensors) != weights_hash(read_bundle(pruned, key=KEY).tensors)


def test_a_quantised_model_gives_its_weights_to_a_float_one_layer_by_layer(trained: Path, tiny: Path):
    path = write_spec(tiny, "by_name.txt", model=f'pretrained_model_file: "{trained}"')

    start = TASK.start(TASK.read_spec(path).model, resolve=Path, key=KEY)

    assert start.notices[0] == f"{trained}: 26 layers loaded into the tao graph"
    assert set(start.notices[1:]) == {
        f"{trained}: layer {head} skipped: heads begin at random without load_graph"
        for head in ("output_bbox", "output_cov")
    }


def test_random_numbers_of_a_run_do_not_depend_on_quantisation(tiny: Path):
    def start(path: Path) -> torch.nn.Module:
        return TASK.start(TASK.read_spec(path).model, resolve=Path, key=None).network

    quantised, floats = start(qat_spec(tiny, "seed_q.txt")), start(write_spec(tiny, "seed_f.txt"))

    assert is_quantized(quantised)
    for (name, ours), (same, theirs) in zip(quantised.named_parameters(), floats.named_parameters(), strict=True):
        assert (name, torch.equal(ours, theirs)) == (same, True)


def test_a_quantised_model_exports_in_fp32_without_its_quantisation(trained: Path, tiny: Path):
    assert detectnet("export", "-m", trained, "-o", tiny / "qat_fp32.onnx") == 0

    written = (tiny / "qat_fp32.onnx").read_bytes()
    assert operators(written) <= {"Conv", "Relu", "Add", "Sigmoid"}
    assert element_types(written) == {"float32"}


def test_a_published_retraining_spec_with_enable_qat_is_read_without_a_word_about_it(shared_data: Path):
    name = "shokoufeh-monjezi__objectdetection-quickdep__detectnet_v2_retrain_resnet18_kitti_qat.txt"

    reading = TASK.read_spec(shared_data / "tao_specs" / "detectnet_v2" / name)

    assert reading.model.training_config.enable_qat
    assert [warning.text for warning in reading.warnings if "qat" in warning.text] == []
