"""jetson-inference's commands on a tiny data set: train, go on, judge, export, look at pictures."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from taolite import spec as specs
from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.jetson.classification_log import TrainLog
from taolite.cli.jetson.forms import OPEN_KEY
from taolite.cli.main import parser_for
from taolite.errors import DataError, EngineError, PathError, StoppedError, TrainingError, UsageError
from taolite.events import BatchDone
from taolite.tasks.classification.schedule import schedule_of
from taolite.tasks.classification.spec import ClassificationSpec

from .classes import CLASSES, draw_classes

KEY = Key(OPEN_KEY)
SMALL = ("--no-pretrained", "-a", "squeezenet1_1", "--resolution=32", "--batch=4", "-p", "2", "-j", "1")


PROGRAMS = {
    "train": "train.py",
    "export": "classification/onnx_export.py",
    "inference": "imagenet",
}


def front(task: str, *words: str) -> int:
    """jetson-inference's program for a task; what the user can mend is raised."""
    options = parser_for("jetson").parse_args(["jetson", PROGRAMS[task], *words])
    return int(options.run(options))


def tao(*words: str) -> int:
    """`taolite classification WORDS`; what the user can mend is raised."""
    options = parser_for("classification").parse_args(["classification", *words])
    return int(options.run(options))


def scores_of(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "accuracy" in row]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    draw_classes(root)
    (root / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    return root


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "stripes"
    assert front("train", f"--model-dir={folder}", *SMALL, "--epochs=2", str(data)) == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "stripes")
    return tmp_path / "stripes"


def test_a_run_folder_has_train_py_s_files_and_the_spec_they_come_from(trained: Path):
    names = {path.name for path in trained.iterdir()}

    assert {"checkpoint.tlt", "model_best.tlt", "labels.txt", "tensorboard", "experiment_spec.txt"} <= names
    assert (trained / "labels.txt").read_text().split() == list(CLASSES)
    assert 'torchvision_arch: "squeezenet1_1"' in (trained / "experiment_spec.txt").read_text()
    best = read_bundle(trained / "model_best.tlt", key=KEY)
    assert best.classes == CLASSES
    assert best.preprocessing.stds == (0.229, 0.224, 0.225)


def test_a_finished_run_says_so_and_more_epochs_go_on_from_its_last(
    copied: Path, data: Path, capsys: pytest.CaptureFixture[str]
):
    before = scores_of(copied)

    assert front("train", f"--model-dir={copied}", *SMALL, "--epochs=2", str(data)) == 0
    assert "all 2 epochs were done already" in capsys.readouterr().out
    assert front("train", f"--model-dir={copied}", "--resume", f"{copied}/checkpoint.pth.tar", "--epochs=3") == 0

    said = capsys.readouterr().out
    assert "Epoch: [2][0/6]" in said
    assert "Epoch: [1][0/6]" not in said
    assert "training starts from" not in said
    assert sorted({row["epoch"] for row in scores_of(copied)}) == [1, 2, 3]
    assert scores_of(copied)[: len(before)] == before


def test_a_resumed_run_keeps_a_better_best(copied: Path):
    rows = [json.loads(line) for line in (copied / "metrics.jsonl").read_text().splitlines()]
    rows = [row | ({"accuracy": 1.0} if row["epoch"] == 1 and "accuracy" in row else {}) for row in rows]
    (copied / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = (copied / "model_best.tlt").read_bytes()

    front("train", f"--model-dir={copied}", "--resume=last", "--epochs=3")

    assert scores_of(copied)[-1]["accuracy"] < 1
    assert (copied / "model_best.tlt").read_bytes() == best


def test_a_run_stopped_in_an_epoch_goes_on_to_the_same_model(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    flags = (*SMALL, "--epochs=2", str(data))
    front("train", f"--model-dir={whole}", *flags)
    batch, seen = TrainLog._batch, []

    def interrupted(log: TrainLog, event: BatchDone) -> None:
        batch(log, event)
        seen.append(event)
        if len(seen) == 3:  # of the first epoch's six
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainLog, "_batch", interrupted)
        with pytest.raises(StoppedError, match=r"after epoch 0, step [1-5] of 6; saved as "):
            front("train", f"--model-dir={halves}", *flags)
    front("train", f"--model-dir={halves}", *flags)

    for name in ("checkpoint.tlt", "model_best.tlt"):
        models = [read_bundle(folder / name, key=KEY).tensors for folder in (whole, halves)]
        assert weights_hash(models[0]) == weights_hash(models[1])


def test_compat_jetson_trains_at_a_tenth_that_falls_every_30_epochs(data: Path, tmp_path: Path):
    front("train", f"--model-dir={tmp_path}/m", *SMALL, "--compat-jetson", "--epochs=1", str(data))

    rows = [json.loads(line) for line in (tmp_path / "m/metrics.jsonl").read_text().splitlines()]
    assert [row["learning_rate"] for row in rows if "learning_rate" in row] == [0.1]
    made = specs.load(tmp_path / "m/experiment_spec.txt", ClassificationSpec)
    schedule = schedule_of(made.train_config.lr_config, epochs=61)
    rates = [schedule.rate(epoch) for epoch in (0, 29.9, 30, 59.9, 60)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_without_a_network_the_default_weights_say_where_to_get_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fetch(url: str, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fetch)

    with pytest.raises(PathError) as caught:
        front("train", f"--model-dir={tmp_path}/m", str(data))

    assert "resnet18-f37072fd.pth could not be downloaded (no route to host)." in str(caught.value)
    assert str(caught.value).endswith("else behind --pretrained)")
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "resolution"),
    [
        *((arch, 32) for arch in ("resnet18", "squeezenet1_0", "densenet121", "mobilenet_v2", "mobilenet_v3_small")),
        *((arch, 32) for arch in ("efficientnet_b0", "vgg11", "regnet_y_400mf", "convnext_tiny", "vit_b_32")),
        ("shufflenet_v2_x0_5", 32),
        ("googlenet", 32),
        ("alexnet", 64),
        ("swin_t", 224),
        ("inception_v3", 299),
    ],
)
def test_every_kind_of_head_trains_and_is_exported(arch: str, resolution: int, data: Path, tmp_path: Path):
    small = ("--no-pretrained", "-a", arch, f"--resolution={resolution}", "-b", "12", "--lr=1e-6", "--epochs=1")

    front("train", f"--model-dir={tmp_path}/m", *small, str(data))
    if arch == "swin_t":  # pads its windows, which opset 17 has no word for
        with pytest.raises(EngineError, match=r"cannot be written at opset 17: .*; ask for a later one"):
            front("export", f"--model-dir={tmp_path}/m")
    front("export", f"--model-dir={tmp_path}/m", *(["--target_opset=18"] if arch == "swin_t" else []))

    session = onnxruntime.InferenceSession(tmp_path / f"m/{arch}.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("input_0", [1, 3, resolution, resolution])]
    assert [one.shape for one in session.get_outputs()] == [[1, 3]]


def test_another_rate_in_the_same_folder_is_another_run(trained: Path, data: Path):
    with pytest.raises(TrainingError, match=r"the spec had `adam \{` and has `sgd \{`"):
        front("train", f"--model-dir={trained}", *SMALL, "--epochs=2", "--lr=0.1", str(data))


def test_evaluate_scores_the_best_on_val_with_the_run_s_own_settings(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
):
    front("train", f"--model-dir={trained}", "-e", str(data))

    said = capsys.readouterr().out
    best = max(row["accuracy"] for row in scores_of(trained))
    assert f"  * Val Accuracy   {100 * best:.4f}" in said


def test_a_checkpoint_of_train_py_starts_a_run_head_and_all(data: Path, tmp_path: Path):
    from torchvision.models import squeezenet1_1

    network = squeezenet1_1(num_classes=3)
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save(
        {"epoch": 4, "arch": "squeezenet1_1", "classes": list(CLASSES), "state_dict": state}, tmp_path / "c.pth.tar"
    )

    weights = ("--resume", str(tmp_path / "c.pth.tar"))
    front("train", f"--model-dir={tmp_path}/m", *SMALL[1:], *weights, "--epochs=1", "--lr=1e-12", "--wd=0", str(data))

    trained = read_bundle(tmp_path / "m/model_best.tlt", key=KEY).tensors["body.network.classifier.1.weight"]
    np.testing.assert_allclose(trained, network.classifier[1].weight.detach().numpy(), atol=1e-8)


def test_the_onnx_has_train_py_s_names_a_fixed_input_and_scores_that_torch_gives(trained: Path, data: Path):
    assert front("export", f"--model-dir={trained}") == 0

    path = trained / "squeezenet1_1.onnx"
    meta = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}["taolite"]
    assert tuple(meta["classes"]) == CLASSES
    session = onnxruntime.InferenceSession(path)
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("input_0", [1, 3, 32, 32])]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("output_0", [1, 3])]

    # jetson-inference normalises outside of the graph; torchvision's network takes what it gives
    from torchvision.models import squeezenet1_1

    bundle = read_bundle(trained / "model_best.tlt", key=KEY)
    network = squeezenet1_1(num_classes=3).eval()
    prefix = "body.network."
    network.load_state_dict({k.removeprefix(prefix): torch.from_numpy(v.copy()) for k, v in bundle.tensors.items()})
    photo = np.asarray(Image.open(data / "val/down/00.png").resize((32, 32)), np.float32) / 255
    pixels = ((photo - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)[None].astype(np.float32)
    with torch.no_grad():
        wanted = torch.softmax(network(torch.from_numpy(pixels)), 1).numpy()
    (found,) = session.run(None, {"input_0": pixels})
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_no_activation_gives_logits_that_inference_still_reads(
    trained: Path, data: Path, capsys: pytest.CaptureFixture[str]
):
    picture = str(data / "val/down/00.png")
    front("export", f"--model-dir={trained}", "--output=logits.onnx", "--no-softmax")
    front("export", f"--model-dir={trained}", "--output=scores.onnx", "--no-activation=False")
    capsys.readouterr()

    lines = []
    for name in ("logits.onnx", "scores.onnx"):
        front("inference", f"--model={trained / name}", picture)
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
    assert "imagenet:  " in lines[0]


def test_inference_prints_class_and_confidence_and_writes_the_picture(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    front("export", f"--model-dir={trained}")
    command = [f"--model={trained}/squeezenet1_1.onnx", f"--labels={trained}/labels.txt", "--input-blob=input_0"]
    capsys.readouterr()

    front("inference", *command, "--output-blob=output_0", str(data / "val/down"), str(tmp_path / "out"))
    front("inference", *command, "--topK=0", str(data / "val/down/00.png"), str(tmp_path / "one.jpg"))

    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("imagenet:  ")]) >= 4 + 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00.png", "01.png", "02.png", "03.png"]
    shown = np.asarray(Image.open(tmp_path / "out/00.png").convert("RGB"))
    assert (shown != np.asarray(Image.open(data / "val/down/00.png"))).any()
    assert (tmp_path / "one.jpg").is_file()


def test_an_onnx_of_onnx_export_py_runs_with_its_labels_file_and_not_without(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    front("export", f"--model-dir={trained}")
    silent = onnx.load(trained / "squeezenet1_1.onnx")
    del silent.metadata_props[:]
    onnx.save(silent, tmp_path / "silent.onnx")
    picture = str(data / "val/down/00.png")
    capsys.readouterr()

    front("inference", f"--model={tmp_path}/silent.onnx", f"--labels={trained}/labels.txt", picture)
    front("inference", f"--model={trained}/squeezenet1_1.onnx", picture)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("imagenet")]
    assert lines[0] == lines[1]

    with pytest.raises(DataError, match="does not say its classes, and no labels are given"):
        front("inference", f"--model={tmp_path}/silent.onnx", picture)


def test_labels_in_another_order_are_an_error_in_training_and_in_inference(data: Path, trained: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data/labels.txt").write_text("down\nchecked\nacross\n")

    with pytest.raises(DataError, match="line 1 is `down`, and class 0 is `across`"):
        front("train", f"--model-dir={tmp_path}/m", *SMALL, str(tmp_path / "data"))
    with pytest.raises(DataError, match=r"labels.txt names down, checked, across; .* finds across, checked, down"):
        front(
            "inference",
            f"--model={trained}/model_best.tlt",
            f"--labels={tmp_path}/data/labels.txt",
            str(data / "val/down"),
        )


def test_a_class_that_val_alone_has_is_an_error_instead_of_a_shift(data: Path, tmp_path: Path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data/val/across").rename(tmp_path / "data/val/aardvark")

    with pytest.raises(DataError, match="has folders of no known class: `aardvark`"):
        front("train", f"--model-dir={tmp_path}/m", *SMALL, str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["--epochs=2"], UsageError, "no DATASET"),
        (["--resume=last", "{data}"], PathError, "--resume last: no run and no weights there"),
        (["--start-epoch=9", "--epochs=9", "{data}"], UsageError, "--start-epoch 9 with --epochs 9: no epoch is left"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], kind: type[Exception], message: str, data: Path, tmp_path: Path):
    with pytest.raises(kind, match=message):
        front("train", f"--model-dir={tmp_path}/m", *(word.format(data=data) for word in words))


TAGS = (["cat"], ["dog"], ["cat", "dog"], [])


def draw_tagged(tags: list[str], path: Path) -> None:
    """Cats are red, dogs are blue, both are both."""
    Image.new("RGB", (40, 36), (200 * ("cat" in tags), 30, 200 * ("dog" in tags))).save(path)


def draw_voc(root: Path) -> Path:
    """12 training and 4 validation pictures in VOC's layout; returns one of a cat and a dog."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    row = "<object><name>{}</name><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"  # noqa: E501
    ids = [f"{index:03d}" for index in range(16)]
    for index, name in enumerate(ids):
        draw_tagged(TAGS[index % 4], root / f"JPEGImages/{name}.jpg")
        size = "<size><width>40</width><height>36</height><depth>3</depth></size>"
        objects = "".join(map(row.format, TAGS[index % 4]))
        text = f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        (root / f"Annotations/{name}.xml").write_text(text)
    (root / "ImageSets/Main/trainval.txt").write_text("\n".join(ids[:12]) + "\n")
    (root / "ImageSets/Main/val.txt").write_text("\n".join(ids[12:]) + "\n")
    return root / "JPEGImages/002.jpg"


def draw_nuswide(root: Path) -> Path:
    """12 training and 4 test pictures in NUS-WIDE's layout, none of a sky; returns one of a cat and a dog."""
    for folder in ("images", "ImageList", "classification_labels"):
        (root / folder).mkdir(parents=True)
    for split, table, count in (("Train", "trainval", 12), ("Test", "test", 4)):
        rows, lines = [",cat,dog,sky"], []
        for index in range(count):
            tags, number = TAGS[index % 4], f"{split == 'Train':d}{index:04d}"
            draw_tagged(tags, root / f"images/{index}_{number}_0.jpg")
            lines.append(f"pets\\{index:04d}_{number}.jpg")
            rows.append(f"{index},{1 if 'cat' in tags else -1},{int('dog' in tags)},0")
        (root / f"ImageList/{split}Imagelist.txt").write_text("\n".join(lines) + "\n")
        (root / f"classification_labels/classification_{table}.csv").write_text("\n".join(rows) + "\n")
    return root / "images/2_10002_0.jpg"


@pytest.mark.parametrize(("kind", "draw", "count"), [("voc", draw_voc, 20), ("nuswide", draw_nuswide, 3)])
def test_tags_are_trained_scored_exported_with_a_sigmoid_and_found(
    kind: str, draw: Callable[[Path], Path], count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    picture, folder = draw(tmp_path / kind), tmp_path / "tags"
    flags = ("--multi-label", f"--dataset-type={kind}", "--multi-label-threshold=0.4")

    front("train", f"--model-dir={folder}", *SMALL, *flags, "--epochs=1", str(tmp_path / kind))
    said = capsys.readouterr().out
    classes = (folder / "labels.txt").read_text().split()
    assert len(classes) == count
    assert f"=> dataset classes:  {count} {classes}" in said
    assert "warning: no training image has a label of " in said  # and no word of a file that nobody wrote
    assert read_bundle(folder / "model_best.tlt", key=KEY).decoding == {"threshold": 0.4}

    front("train", f"--model-dir={folder}", "--evaluate")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  * Val")]
    assert [row.split("  ")[1] for row in rows] == ["* Val Loss", "* Val Accuracy", "* Val mAP", "* Val All Right"]
    spec, best = str(folder / "experiment_spec.txt"), str(folder / "model_best.tlt")
    tao("evaluate", "-e", spec, "-m", best, "-k", OPEN_KEY, "-r", str(tmp_path / "scores"))
    block = capsys.readouterr().out
    scores = json.loads((tmp_path / "scores/results.json").read_text())
    assert f"{100 * scores['accuracy']:.4f}" in block
    assert f"{100 * scores['mAP']:.4f}" in block
    assert scores["mAP"] == pytest.approx(float(rows[2].split()[-1]) / 100, abs=1e-5)
    assert (tmp_path / "scores/tags.png").is_file()

    front("export", f"--model-dir={folder}")
    (onnx_path,) = folder.glob("*.onnx")
    capsys.readouterr()
    answers = {}
    for words in ((), ("--topK=0", "--threshold=0")):
        front("inference", f"--model={onnx_path}", *words, str(picture))
        answers[words] = [line for line in capsys.readouterr().out.splitlines() if line[:8] == "imagenet"]
    every = {line.rpartition("(")[2][:-1]: line for line in answers["--topK=0", "--threshold=0"]}
    tags = [name for name, line in every.items() if float(line.split()[1][:-1]) >= 40]
    assert set(every) == set(classes)
    assert onnx.load(onnx_path).graph.node[-1].op_type == "Sigmoid"
    assert answers[()] == ([every[tag] for tag in tags] or ["imagenet:  no class reaches 0.4"])

    tao("inference", "-m", best, "-k", OPEN_KEY, "-i", str(picture))
    label, name = capsys.readouterr().out.splitlines()[1:]
    assert name == f"Class name = {', '.join(tags) or 'none'}"
    assert label == f"Class label = {', '.join(str(classes.index(tag)) for tag in tags) or 'none'}"
    tao("inference", "-m", best, "-k", OPEN_KEY, "-d", str(picture.parent), "-r", str(tmp_path / "found"))
    with open(tmp_path / "found/result.csv", newline="") as stream:
        found = [row for row in csv.reader(stream) if row[0] == str(picture)]
    assert [row[1] for row in found] == (tags or [""])


def test_tagged_data_without_multi_label_is_told_by_the_flags(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        front("train", f"--model-dir={tmp_path}/m", "--dataset-type=voc", str(tmp_path))

    text = "--dataset-type=voc: its pictures have any number of classes; give --multi-label with it"
    assert str(caught.value) == text


@pytest.mark.slow
def test_two_epochs_on_cats_and_dogs_pass_what_the_tutorials_reach_in_65(shared_data: Path, tmp_path: Path):
    weights = shared_data / "pretrained/resnet18.safetensors"
    flags = (f"--pretrained={weights}", "--resolution=112", "--epochs=2")

    front("train", f"--model-dir={tmp_path}/m", *flags, str(shared_data / "cat_dog_200"))

    assert max(row["accuracy"] for row in scores_of(tmp_path / "m")) > 0.825
