"""A classifier's whole life in small: train, go on, evaluate, prune, retrain, export, int8."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.words import lines
from taolite.errors import DataError, ModelError, TrainingError, UsageError
from taolite.events import Event, Progress
from taolite.stages.bundles import bundle_of
from taolite.stages.evaluate import Evaluation, evaluate
from taolite.stages.exporting.calibrate import CalibrationOptions
from taolite.stages.exporting.export import export_model
from taolite.stages.inference.models import open_model
from taolite.stages.prune import PruneSettings, prune
from taolite.stages.trained import open_trained
from taolite.stages.training.train import TrainOptions, TrainReport, train
from taolite.tasks.base import NOTHING, Given
from taolite.tasks.classification.task import TASK

from .classes import CLASSES, draw_classes, write_spec

KEY = Key("tlt_encode")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set."""
    root = tmp_path_factory.mktemp("classes")
    draw_classes(root)
    return root


def run(
    spec: Path,
    results: Path,
    *,
    given: Given = NOTHING,
    stop_at: int | None = None,
    workers: int = 1,
    heard: list[str] | None = None,
) -> TrainReport:
    """Train in this process, a Ctrl-C in the step after `stop_at`; what is said goes to `heard`."""
    steps = 0

    def listen(event: Event) -> None:
        nonlocal steps
        if heard is not None:
            heard.extend(line.text for line in lines(event))
        if isinstance(event, Progress) and event.unit == "step":
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    options = TrainOptions(precision="fp32", workers=workers)
    experiment = TASK.read(spec, given=given).model
    return train(experiment, results, name="resnet", key=KEY, options=options, listener=listen)


def judge(spec: Path, model: Path, *, given: Given = NOTHING) -> Evaluation:
    """Score the model at `model` on the spec's pictures."""
    with open_model(model, key=KEY) as opened:
        return evaluate(TASK.read(spec, classes=opened.classes, given=given).model, opened)


@pytest.fixture(scope="module")
def trained(root: Path) -> TrainReport:
    """A training of 4 epochs."""
    return run(write_spec(root, "train.txt", epochs=4), root / "trained")


def test_a_run_leaves_tao_s_log_classmap_and_a_model_for_every_epoch(trained: TrainReport, root: Path):
    folder = root / "trained"

    assert sorted(path.name for path in (folder / "weights").iterdir()) == [
        "resnet.best.tlt", "resnet.tlt", *(f"resnet_{epoch:03d}.tlt" for epoch in range(1, 5))
    ]  # fmt: skip
    assert json.loads((folder / "classmap.json").read_text()) == {"across": 0, "checked": 1, "down": 2}
    head, *rows = (folder / "training.csv").read_text().splitlines()
    assert head == "epoch,acc,loss,lr,val_acc,val_loss"
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3", "4"]
    last = [float(cell) for cell in rows[-1].split(",")]
    assert last[4:] == [trained.evaluation.card.main.value, trained.evaluation.cost]
    assert last[2] < float(rows[0].split(",")[2])


def test_what_is_trained_is_learned_and_counted_by_class(trained: TrainReport):
    card = trained.evaluation.card

    assert card.main.value > 0.5
    assert card.main.value == sum(card.confusion[k][k] for k in range(3)) / 12
    assert card.main.per_class == {name: card.confusion[k][k] / 4 for k, name in enumerate(CLASSES)}
    assert card.beside["top_2"].value >= card.main.value
    assert (card.images, card.objects) == (12, dict.fromkeys(CLASSES, 4))


def test_a_run_stopped_between_steps_goes_on_to_the_same_weights(root: Path):
    spec = write_spec(root, "exact.txt", epochs=2, more="mixup_alpha: 0.4 label_smoothing: 0.1")
    whole = run(spec, root / "whole")

    with pytest.raises(TrainingError, match=r"after epoch 1, step 3 of 6"):
        run(spec, root / "halves", stop_at=8)
    resumed = run(spec, root / "halves", workers=3)

    hashes = [weights_hash(read_bundle(one.weights, key=KEY).tensors) for one in (whole, resumed)]
    assert hashes[0] == hashes[1]
    assert [row.split(",")[0] for row in (root / "halves/training.csv").read_text().splitlines()[1:]] == ["1", "2"]


def test_a_finished_run_may_get_more_epochs_and_an_optimiser_s_decay_divides_the_rate(root: Path):
    def spec(epochs: int) -> Path:
        path = write_spec(root, "longer.txt", epochs=epochs)
        path.write_text(path.read_text().replace("decay: 0.0", "decay: 0.5"))
        return path

    run(spec(1), root / "longer")
    report = run(spec(2), root / "longer")

    assert report.epochs == 2
    rate = float((root / "longer/training.csv").read_text().splitlines()[2].split(",")[3])
    cosine = 2e-5 + (2e-3 - 2e-5) * (1 + np.cos(np.pi * 11 / 12)) / 2  # of the last of 12 steps
    assert rate == pytest.approx(cosine / (1 + 0.5 * 11))
    assert (root / "longer/weights/resnet_002.tlt").is_file()


def test_pruned_retrained_exported_and_int8_models_agree(trained: TrainReport, root: Path):
    pruned, spec = root / "pruned.tlt", write_spec(root, "judge.txt")
    cut = prune(open_trained(trained.weights, key=KEY), pruned, key=KEY, settings=PruneSettings(target=0.4))
    assert cut.plan.ratio <= 0.4
    again = run(write_spec(root, "retrain.txt", pretrained=str(pruned)), root / "retrained")
    small = read_bundle(again.weights, key=KEY)
    assert small.architecture["channels"]["backbone.conv1"] == [3, len(cut.plan.kept["conv1"])]
    assert [step["stage"] for step in small.lineage] == ["train", "prune", "train"]

    experiment, model = TASK.read(spec).model, open_trained(again.weights, key=KEY)
    options = CalibrationOptions(cache=root / "cal.bin", experiment=experiment, batches=2, batch_size=6)
    plain = export_model(model, root / "float.onnx", key=KEY, experiment=experiment)
    rounded = export_model(model, root / "int8.etlt", key=KEY, precision="int8", calibration=options)
    assert list(plain.differences) == ["predictions/Softmax"]
    models = (again.weights, plain.output, rounded.output)
    scores = [judge(spec, path) for path in models]

    assert scores[0].card == scores[1].card
    assert scores[0].cost == pytest.approx(scores[1].cost, rel=2e-2)  # torch ran in the processor's own type
    assert scores[2].cost == pytest.approx(scores[1].cost, rel=0.2)
    assert scores[2].cost != scores[1].cost


def test_other_classes_get_a_fresh_head_on_the_old_network(trained: TrainReport, root: Path):
    (root / "map.json").write_text('{"down": 0, "across": 1}')
    given, heard = Given(classmap=root / "map.json"), list[str]()
    experiment = TASK.read(write_spec(root, "two.txt", pretrained=str(trained.weights)), given=given).model

    start = experiment.start(key=KEY)
    made = bundle_of(experiment, start.network, lineage=())
    report = run(root / "two.txt", root / "two", given=given, heard=heard)

    old = read_bundle(trained.weights, key=KEY)
    assert (made.classes, made.tensors["head.predictions.weight"].shape) == (("down", "across"), (2, 512))
    assert np.array_equal(made.tensors["backbone.conv1.weight"], old.tensors["backbone.conv1.weight"])
    assert report.evaluation.card.objects == {"down": 4, "across": 4}
    assert f"{root}/train: folders of other classes are left out: `checked`" in heard


def test_a_model_of_another_make_is_refused_as_a_start(trained: TrainReport, root: Path):
    path = write_spec(root, "other.txt", pretrained=str(trained.weights))
    path.write_text(path.read_text().replace("n_layers: 10", "n_layers: 18"))

    with pytest.raises(ModelError) as caught:
        TASK.read(path).model.start(key=KEY)

    assert str(caught.value).startswith(f"{trained.weights} is a resnet of ")
    assert "must agree with the spec it was trained with" in str(caught.value)


def test_a_model_is_judged_by_its_own_classes(trained: TrainReport, root: Path, tmp_path: Path):
    draw_classes(tmp_path)
    spec = write_spec(tmp_path, "spec.txt")
    (tmp_path / "map.json").write_text('{"down": 0, "across": 1, "checked": 2}')
    for folder in (tmp_path / "train").iterdir():
        folder.rename(folder.with_name(f"no_{folder.name}"))  # training's folders do not matter

    card = judge(spec, trained.weights).card
    with pytest.raises(UsageError, match="leave the classmap out, the model knows its classes"):
        judge(spec, trained.weights, given=Given(classmap=tmp_path / "map.json"))
    (tmp_path / "val/down").rename(tmp_path / "val/up")
    with pytest.raises(DataError, match="has folders of no known class: `up`"):
        judge(spec, trained.weights)

    assert card.objects == dict.fromkeys(CLASSES, 4)
