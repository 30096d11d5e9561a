"""An SSD's whole life in small: train, go on, evaluate, prune, retrain, export, engines, pictures, odd data."""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.words import lines
from taolite.engines.opening import open_engine
from taolite.errors import ModelError, TrainingError
from taolite.events import BatchDone, Event, Progress
from taolite.pictures import read_rgb
from taolite.stages.bundles import bundle_of
from taolite.stages.evaluate import Evaluation, evaluate
from taolite.stages.exporting.export import export_model
from taolite.stages.inference.look import find_in
from taolite.stages.inference.models import open_model
from taolite.stages.prune import PruneSettings, prune
from taolite.stages.trained import open_trained
from taolite.stages.training.train import TrainOptions, TrainReport, train
from taolite.tasks.ssd.task import TASK

from .voc_set import draw_set, write_spec

KEY = Key("tlt_encode")
CUT = PruneSettings(target=0.5, min_filters=8)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set."""
    root = tmp_path_factory.mktemp("voc")
    draw_set(root)
    return root


def run(
    spec: Path,
    results: Path,
    *,
    stop_at: int | None = None,
    workers: int = 1,
    heard: list[str] | None = None,
    costs: list[float] | None = None,
) -> TrainReport:
    """Train in this process, a Ctrl-C in the step after `stop_at`; what is said goes to `heard`, each step's cost
    to `costs`."""
    steps = 0

    def listen(event: Event) -> None:
        nonlocal steps
        if heard is not None:
            heard.extend(line.text for line in lines(event))
        if isinstance(event, BatchDone) and event.epoch is not None and costs is not None:
            costs.append(event.values["loss"])
        if isinstance(event, Progress) and event.unit == "step":
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    options = TrainOptions(precision="fp32", workers=workers)
    return train(TASK.read(spec).model, results, name="ssd", key=KEY, options=options, listener=listen)


def judge(spec: Path, model: Path) -> Evaluation:
    """Score the model at `model` on the spec's pictures."""
    with open_model(model, key=KEY) as opened:
        return evaluate(TASK.read(spec, classes=opened.classes).model, opened)


@pytest.fixture(scope="module")
def trained(root: Path) -> TrainReport:
    """A training of 2 epochs."""
    return run(write_spec(root, "train.txt"), root / "trained")


def test_a_run_leaves_labels_a_best_model_and_one_of_each_validation(trained: TrainReport, root: Path):
    folder = root / "trained"

    assert (folder / "labels.txt").read_text().split() == ["BACKGROUND", "ball", "box"]
    assert (folder / "model_best.tlt").is_file()
    assert len(list(folder.glob("mb2-ssd-lite-Epoch-*-Loss-*.tlt"))) == 2
    assert trained.evaluation.card.objects == {"ball": 5, "box": 4}
    assert math.isfinite(trained.evaluation.cost)


def test_what_is_drawn_is_learned(root: Path):
    costs: list[float] = []
    run(write_spec(root, "longer.txt", epochs=6, more="validation_epochs: 6"), root / "longer", costs=costs)

    assert np.mean(costs[-4:]) < 0.7 * np.mean(costs[:4])


def test_a_run_stopped_between_steps_goes_on_to_the_same_weights(root: Path):
    spec = write_spec(root, "exact.txt")
    whole = run(spec, root / "whole")

    with pytest.raises(TrainingError, match=r"after epoch 1, step 2 of 4"):
        run(spec, root / "halves", stop_at=5)
    resumed = run(spec, root / "halves", workers=3)

    hashes = [weights_hash(read_bundle(one.weights, key=KEY).tensors) for one in (whole, resumed)]
    assert hashes[0] == hashes[1]


def test_pruned_retrained_and_exported_models_agree(trained: TrainReport, root: Path):
    pruned = root / "pruned.tlt"
    cut = prune(open_trained(trained.weights, key=KEY), pruned, key=KEY, settings=CUT)
    assert cut.plan.ratio <= 0.5
    again = run(write_spec(root, "retrain.txt", more=f'pretrained_ssd: "{pruned}"'), root / "retrained")
    small = read_bundle(again.weights, key=KEY)
    dense, channels = read_bundle(trained.weights, key=KEY).architecture["channels"], small.architecture["channels"]
    depthwise = [name for name in channels if "depthwise" in name or "_dw" in name]
    assert any(channels[name][0] < dense[name][0] for name in depthwise), channels
    assert [step["stage"] for step in small.lineage] == ["train", "prune", "train"]

    export = export_model(open_trained(again.weights, key=KEY), root / "ssd.onnx", key=KEY)
    scores = [judge(root / "retrain.txt", model) for model in (again.weights, root / "ssd.onnx")]
    assert list(export.differences) == ["scores", "boxes"]
    assert max(export.differences.values()) < 1e-4
    assert scores[0].cost == pytest.approx(scores[1].cost, rel=2e-2)  # torch ran in the processor's own type
    assert scores[0].card.main.value == pytest.approx(scores[1].card.main.value, abs=0.05)

    pixels = TASK.read(root / "retrain.txt").model.preprocessing.apply(read_rgb(root / "JPEGImages/016.png"))
    with torch.no_grad():
        wanted = [one.numpy() for one in TASK.network(small)(torch.from_numpy(pixels[None]))]
    onnx = (root / "ssd.onnx").read_bytes()
    for runtime in ("onnxruntime", "openvino"):
        with open_engine(onnx, runtime=runtime) as engine:
            answer = engine.infer({"input_1": pixels[None]})
        for name, expected in zip(("scores", "boxes"), wanted, strict=True):
            np.testing.assert_allclose(answer[name], expected, atol=2e-4)


def test_the_statistics_that_a_pruned_model_keeps_are_measured_anew(trained: TrainReport, root: Path):
    pruned, heard = root / "pruned_frozen.tlt", list[str]()
    prune(open_trained(trained.weights, key=KEY), pruned, key=KEY, settings=CUT)
    spec = write_spec(root, "frozen.txt", epochs=1, more=f'freeze_bn: true pretrained_ssd: "{pruned}"')

    report = run(spec, root / "measured", heard=heard)

    before, after = (read_bundle(path, key=KEY).tensors for path in (pruned, report.weights))
    kept = [name for name in before if name.startswith("backbone.") and name.endswith("running_mean")]
    assert sum("measured anew on 16 images" in text for text in heard) == 1
    assert kept
    assert not any(np.array_equal(before[name], after[name]) for name in kept)


def test_pictures_get_boxes_in_their_own_pixels(trained: TrainReport, root: Path):
    with open_model(trained.weights, key=KEY) as model:
        found = find_in(model, [read_rgb(root / f"JPEGImages/{number:03d}.png") for number in (16, 17)])

    assert all(found)
    for detection in (one for row in found for one in row):
        x1, y1, x2, y2 = detection.box
        assert detection.name in ("ball", "box")
        assert 0 <= x1 <= x2 <= 96
        assert 0 <= y1 <= y2 <= 80


def test_other_classes_get_fresh_heads_on_the_old_features(trained: TrainReport, root: Path, tmp_path: Path):
    draw_set(tmp_path)
    (tmp_path / "labels.txt").write_text("box\n")
    experiment = TASK.read(write_spec(tmp_path, "one.txt", more=f'pretrained_ssd: "{trained.weights}"')).model
    whole = TASK.read(write_spec(tmp_path, "whole.txt", more=f'resume: "{trained.weights}"')).model

    start = experiment.start(key=KEY)
    made = bundle_of(experiment, start.network, lineage=())
    with pytest.raises(ModelError) as caught:
        whole.start(key=KEY)

    old = read_bundle(trained.weights, key=KEY).tensors
    heads = [name for name in made.tensors if name.split(".")[0] in ("conf_heads", "loc_heads")]
    assert all(
        np.array_equal(made.tensors[name], old[name]) for name in set(made.tensors) - set(heads) if "num_" not in name
    )
    assert start.shapes[0] == (312, 2)
    assert f"{trained.weights}: its classes were ball, box; now box: its heads begin at random" in start.notices
    assert str(caught.value) == (
        f"{trained.weights}: its classes were ball, box; now box; to begin with its features alone, give it as "
        "pretrained weights"
    )


def test_a_model_of_another_make_is_refused_as_a_start(trained: TrainReport, root: Path):
    path = write_spec(root, "other.txt", more=f'pretrained_ssd: "{trained.weights}"')
    path.write_text(path.read_text().replace('net: "mb2-ssd-lite" mb2_width_mult: 0.25', 'net: "mb1-ssd"'))

    with pytest.raises(ModelError) as caught:
        TASK.read(path).model.start(key=KEY)

    assert str(caught.value).startswith(f"{trained.weights} is a mb2-ssd-lite on mobilenet_v2 of ")


def test_parts_that_are_frozen_keep_every_number_and_the_others_learn_at_their_own_rates(root: Path):
    spec = write_spec(root, "frozen.txt", epochs=1, more="freeze_base_net: true extra_layers_lr: 0.002")
    begun = TASK.read(spec).model.start(key=KEY)
    start = {name: value.clone() for name, value in begun.network.state_dict().items()}

    after = TASK.network(read_bundle(run(spec, root / "frozen").weights, key=KEY)).state_dict()

    assert [group["rate"] for group in begun.groups] == [0.2, 1.0]
    changed = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, start[name])}
    assert changed == {"extras", "conf_heads", "loc_heads"}


def object_xml(name: str, *corners: float, difficult: int = 0) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{corner}>{value}</{corner}>" for corner, value in zip(names, corners, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


ODD = {
    "empty": "",
    "flat": object_xml("box", 9, 9, 9, 40),
    "swapped": object_xml("box", 40, 9, 9, 40),
    "outside": object_xml("box", 140, 9, 190, 40),
    "unknown": object_xml("cat", 4, 9, 30, 40),
    "difficult": object_xml("box", 4, 9, 30, 40, difficult=1),
    "tiny": object_xml("box", 4, 9, 4.01, 9.01),
}


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """The tiny set with as many pictures, in both splits, that nothing can be learned from."""
    draw_set(tmp_path, train=8, test=4)
    for split in ("trainval", "test"):
        with open(tmp_path / f"ImageSets/Main/{split}.txt", "a", encoding="utf-8") as names:
            for name, objects in ODD.items():
                stem = f"{split}_{name}"
                names.write(f"{stem}\n")
                Image.fromarray(np.full((80, 96, 3), 40, np.uint8)).save(tmp_path / f"JPEGImages/{stem}.png")
                text = f"<annotation><filename>{stem}.png</filename>\n{objects}</annotation>"
                (tmp_path / f"Annotations/{stem}.xml").write_text(text)
    return tmp_path


def test_odd_pictures_are_trained_around_and_no_cost_is_ever_nan(odd: Path):
    heard: list[str] = []
    costs: list[float] = []
    report = run(write_spec(odd, "odd.txt", more="batch_size: 1"), odd / "run", heard=heard, costs=costs)

    assert len(costs) >= 2 * 10
    assert all(map(math.isfinite, costs))
    assert math.isfinite(report.evaluation.cost)
    said = "\n".join(heard)
    for name in ("flat", "swapped", "outside"):
        assert f"trainval_{name}.xml:2: " in said, said
    assert "trainval_difficult.xml: every object is difficult; it is left out" in said


def test_a_box_that_is_no_number_is_refused_with_file_and_line(odd: Path):
    path = odd / "Annotations/trainval_flat.xml"
    path.write_text(path.read_text().replace("<xmin>9<", "<xmin>nan<"))

    with pytest.raises(
        Exception, match=r"trainval_flat.xml:2: <xmin> of `box` is `nan`; it needs to be a finite number"
    ):
        run(write_spec(odd, "nan.txt"), odd / "run")


def test_classes_called_background_and_blank_lines_of_labels_are_no_classes(odd: Path):
    (odd / "labels.txt").write_text("BACKGROUND\nball\n\nbox\n")

    assert TASK.read(write_spec(odd, "labels.txt.spec")).model.classes == ("ball", "box")
