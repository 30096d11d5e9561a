"""pytorch-ssd's commands on a tiny VOC set: train, go on, judge, export, look at pictures."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from taolite import spec as specs
from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.jetson.forms import OPEN_KEY
from taolite.cli.main import parser_for
from taolite.errors import DataError, PathError, TrainingError, UsageError
from taolite.tasks.ssd.spec import SsdSpec
from tests.tasks.ssd.test_ssd_networks import original

from .voc import CLASSES, SIDE, draw_voc

KEY = Key(OPEN_KEY)
SMALL = (
    "--dataset-type=voc", f"--resolution={SIDE}", "--batch-size=4", "--workers=1", "--debug-steps=1",
    "--warm-up=0", "--t-max=2",
)  # fmt: skip
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - ")


PROGRAMS = {
    "train": "train_ssd.py",
    "eval": "eval_ssd.py",
    "export": "ssd/onnx_export.py",
    "inference": "detectnet",
    "run_ssd_example": "run_ssd_example.py",
}


def front(task: str, *words: str) -> int:
    """pytorch-ssd's program for a task; what the user can mend is raised."""
    options = parser_for("jetson").parse_args(["jetson", PROGRAMS[task], *words])
    return int(options.run(options))


def epochs_of(folder: Path) -> list[int]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return sorted({row["epoch"] for row in rows if "mAP" in row})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "shapes"
    draw_voc(root)
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run folder after two epochs, and the log."""
    import contextlib
    import io

    folder, said = tmp_path_factory.mktemp("runs") / "shapes", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert front("train", *SMALL, f"--data={data}", f"--model-dir={folder}", "--epochs=2") == 0
    return folder, said.getvalue()


@pytest.fixture(scope="module")
def trained(run: tuple[Path, str]) -> Path:
    return run[0]


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    assert front("export", f"--model-dir={trained}") == 0
    return trained / "ssd-mobilenet.onnx"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "shapes")
    return tmp_path / "shapes"


def test_the_log_is_train_ssd_py_s(run: tuple[Path, str], data: Path):
    lines = run[1].splitlines()

    assert all(LINE.match(line) for line in lines)
    said = [LINE.sub("", line) for line in lines]
    assert said[0].startswith("warning: models/mobilenet-v1-ssd-mp-0_675.pth is not here")
    assert "model resolution 64x64" in said
    # 10 and 20 per cent of 64 pixels, a map of 4x4 at a distance of 16
    assert (
        "SSDSpec(feature_map_size=4, shrinkage=16, box_sizes=SSDBoxSizes(min=6.4, max=12.8), aspect_ratios=[2, 3])"
        in said
    )
    kept = specs.load(run[0] / "experiment_spec.txt", SsdSpec).jetson_config
    begun = said[said.index("Prepare training datasets.") : said.index("Start training from epoch 0.") + 1]
    assert [line for line in begun if not line.startswith(("no GPU", "computing"))] == [
        "Prepare training datasets.",
        "Labels: ('BACKGROUND', 'square', 'disc')",
        f"{data}: training on trainval.txt, 8 images; validating on test.txt",
        "Dataset Summary: Number of Images: 8, Label Distribution:",
        "    square: 4",
        "    disc: 4",
        "no pretrained weights: training starts from random ones",
        "Train dataset size: 8",
        "Validation dataset size: 4",
        "Build network.",
        f"Learning rate: {kept.lr}, Base net learning rate: {kept.base_net_lr}, Extra Layers learning rate: {kept.lr}.",
        "Uses CosineAnnealingLR scheduler.",
        f"Stored labels into file {run[0]}/labels.txt.",
        "Start training from epoch 0.",
    ]
    number = r"\d+\.\d{4}"
    step = rf"Epoch: 1, Step: 1/2, Avg Loss: {number}, Avg Regression Loss {number}, Avg Classification Loss: {number}"
    assert any(re.fullmatch(step, line) for line in said)
    assert [line.split(",")[0] for line in said if "Validation Loss" in line] == ["Epoch: 0", "Epoch: 1"]
    assert said[-1] == "Task done, exiting program."


def test_a_run_folder_has_train_ssd_py_s_files_and_the_spec_they_come_from(trained: Path):
    names = sorted(path.name for path in trained.iterdir())
    kept = [name for name in names if name.startswith("mb1-ssd-Epoch-")]

    assert [re.sub(r"Loss-\d+\.\d+", "Loss-L", name) for name in kept] == [
        "mb1-ssd-Epoch-0-Loss-L.tlt",
        "mb1-ssd-Epoch-1-Loss-L.tlt",
    ]
    assert {"model_best.tlt", "labels.txt", "tensorboard", "experiment_spec.txt"} <= set(names)
    assert (trained / "labels.txt").read_text() == "BACKGROUND\nsquare\ndisc"
    assert 'net: "mb1-ssd"' in (trained / "experiment_spec.txt").read_text()
    best = read_bundle(trained / "model_best.tlt", key=KEY)
    assert best.classes == CLASSES
    assert (best.preprocessing.offsets, best.preprocessing.stds) == ((127.0,) * 3, (128.0,) * 3)


def test_a_checkpoint_s_name_has_the_cost_of_its_own_epoch(trained: Path):
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    costs = {row["epoch"] - 1: row["validation_cost"] for row in rows if "validation_cost" in row}

    for path in trained.glob("*-Epoch-*.tlt"):
        epoch, loss = re.search(r"Epoch-(\d+)-Loss-(.+)\.tlt", path.name).groups()  # type: ignore[union-attr]
        assert float(loss) == pytest.approx(costs[int(epoch)])


def test_more_epochs_go_on_from_the_last_and_a_finished_run_says_so(
    copied: Path, data: Path, capsys: pytest.CaptureFixture[str]
):
    front("train", *SMALL, f"--data={data}", f"--model-dir={copied}", "--epochs=2")
    assert "All 2 epochs were done already" in capsys.readouterr().out

    checkpoint = next(copied.glob("*-Epoch-0-*.tlt"))
    front("train", f"--model-dir={copied}", f"--resume={checkpoint.with_suffix('.pth')}", "--epochs=3")

    said = capsys.readouterr().out
    assert "Start training from epoch 2." in said
    assert "Epoch: 1, Step" not in said
    assert epochs_of(copied) == [1, 2, 3]


def test_a_run_that_was_stopped_and_goes_on_ends_as_one_that_never_was(data: Path, trained: Path, tmp_path: Path):
    front("train", *SMALL, f"--data={data}", f"--model-dir={tmp_path}/m", "--epochs=1")
    front("train", f"--model-dir={tmp_path}/m", "--resume=last", "--epochs=2")

    parted = read_bundle(tmp_path / "m/weights/mb1-ssd.tlt", key=KEY).tensors
    whole = read_bundle(trained / "weights/mb1-ssd.tlt", key=KEY).tensors
    assert parted.keys() == whole.keys()
    for name, tensor in parted.items():
        np.testing.assert_array_equal(tensor, whole[name], err_msg=name)


def test_another_rate_in_the_same_folder_is_another_run(trained: Path, data: Path):
    with pytest.raises(TrainingError, match=r"the spec had .*, and has .*lr: 0.1|the spec had `.*` and has `.*"):
        front("train", *SMALL, f"--data={data}", f"--model-dir={trained}", "--epochs=2", "--lr=0.1")


def test_weights_of_another_run_start_a_new_one(trained: Path, data: Path, tmp_path: Path):
    flags = ("--epochs=1", "--lr=1e-12", "--base-net-lr=0", "--weight-decay=0")
    front("train", *SMALL, f"--data={data}", f"--model-dir={tmp_path}/m", f"--resume={trained}", *flags)

    before = read_bundle(trained / "model_best.tlt", key=KEY).tensors
    after = read_bundle(tmp_path / "m/model_best.tlt", key=KEY).tensors
    kernels = [name for name in before if name.endswith("weight")]
    assert kernels
    for name in kernels:
        np.testing.assert_allclose(after[name], before[name], atol=1e-8, err_msg=name)


def test_eval_judges_test_txt_and_writes_what_was_found(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    front("eval", f"--model={trained}", f"--eval_dir={tmp_path}/found")
    alone, told = capsys.readouterr()
    best = next(trained.glob("model_best.tlt"))
    flags = (f"--trained_model={best}", "--dataset_type=voc", f"--dataset={data}", f"--label_file={data}/labels.txt")
    front("eval", *flags, "--net=mb1-ssd", f"--eval_dir={tmp_path}/again")

    assert alone.replace("found\n", "again\n") == capsys.readouterr().out
    warnings = [line for line in told.splitlines() if "warning" in line]
    assert [line for line in warnings if not line.startswith("warning: mAP is 0")] == []  # a tiny training may score 0
    lines = alone.splitlines()
    assert [line.split(":")[0] for line in lines[4:6]] == [
        "mAP of the whole area (VOC 2010)",
        "mAP at IoU 0.50 to 0.95 (COCO)",
    ]
    assert lines[-1] == f"4 images, 4 objects; what was found: {tmp_path}/found"
    assert Image.open(tmp_path / "found/PR_curve.png").format == "PNG"
    assert lines[0] == "Average Precision Per-class:"
    assert [line.strip().split(":")[0] for line in lines[1:3]] == list(CLASSES)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    highest = max(row["mAP"] for row in rows if "mAP" in row)
    assert float(lines[3].removeprefix("Mean Average Precision (mAP):")) == pytest.approx(highest, abs=0.02)
    for name in CLASSES:
        found = [row.split("\t") for row in (tmp_path / f"found/det_test_{name}.txt").read_text().splitlines()]
        assert {row[0] for row in found} <= {"08", "09", "10", "11"}
        assert all(0.01 < float(row[1]) <= 1 for row in found)
        corners = np.array([[float(value) for value in row[2:]] for row in found]).reshape(-1, 4)
        assert ((corners >= 1) & (corners <= SIDE + 1)).all()


def test_the_onnx_has_pytorch_ssd_s_names_and_answers_as_torch_does(exported: Path):
    meta = {entry.key: json.loads(entry.value) for entry in onnx.load(exported).metadata_props}["taolite"]
    assert tuple(meta["classes"]) == CLASSES
    assert meta["decoding"]["confidence_threshold"] == 0.5
    session = onnxruntime.InferenceSession(exported)
    priors = 6 * (4 * 4 + 2 * 2 + 4)
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("input_0", [1, 3, SIDE, SIDE])]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [
        ("scores", [1, priors, 3]),
        ("boxes", [1, priors, 4]),
    ]
    scores, _ = session.run(None, {"input_0": np.zeros((1, 3, SIDE, SIDE), np.float32)})
    np.testing.assert_allclose(scores.sum(axis=2), 1, atol=1e-5)


def test_an_export_has_the_batch_name_and_place_that_are_asked_for(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = ("--net=mb1-ssd", f"--model-dir={tmp_path}", "--batch-size=2", f"--width={SIDE}", f"--height={SIDE}")
    front("export", f"--input={trained}/model_best.tlt", *flags)

    assert f"model exported to:  {tmp_path}/mb1-ssd.onnx" in capsys.readouterr().out
    (pixels,) = onnxruntime.InferenceSession(tmp_path / "mb1-ssd.onnx").get_inputs()
    assert pixels.shape == [2, 3, SIDE, SIDE]


def test_an_export_may_end_in_nms(trained: Path, tmp_path: Path):
    front("export", f"--model-dir={trained}", f"--output={tmp_path}/ended.onnx", "--onnx-nms")

    (rows,) = onnxruntime.InferenceSession(tmp_path / "ended.onnx").get_outputs()
    assert (rows.name, rows.shape) == ("detections", [1, 2 * 6 * (4 * 4 + 2 * 2 + 4), 6])  # two classes, each prior


def test_another_size_or_network_than_the_model_s_is_refused(trained: Path):
    with pytest.raises(UsageError, match="its resolution is 64, not 300; leave the flag out"):
        front("export", f"--model-dir={trained}", "--resolution=300")
    with pytest.raises(UsageError, match="its net is mb1-ssd, not mb2-ssd-lite; leave the flag out"):
        front("export", f"--model-dir={trained}", "--net=mb2-ssd-lite")


def test_detectnet_s_command_finds_and_draws(
    trained: Path, exported: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    flags = (f"--labels={trained}/labels.txt", "--input-blob=input_0", "--output-cvg=scores", "--output-bbox=boxes")
    pictures = [str(data / "JPEGImages/0*.jpg"), str(tmp_path / "out/shape_%i.jpg")]
    capsys.readouterr()

    front("inference", f"--model={exported}", *flags, "--threshold=0.02", *pictures)

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "00.jpg"
    assert re.fullmatch(r"\d+ objects detected", lines[1])
    found = [line for line in lines if line.startswith("detected obj")]
    assert found
    assert all(re.fullmatch(r"detected obj \d+  class #[12] \((square|disc)\)  confidence=\d\.\d{6}", s) for s in found)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted(f"shape_{index}.jpg" for index in range(10))
    drawn = np.asarray(Image.open(tmp_path / "out/shape_0.jpg").convert("RGB"))
    assert (drawn != np.asarray(Image.open(data / "JPEGImages/00.jpg"))).any()


def test_an_onnx_of_pytorch_ssd_s_runs_with_its_labels_file_and_not_without(
    trained: Path, exported: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    silent = onnx.load(exported)
    del silent.metadata_props[:]
    onnx.save(silent, tmp_path / "silent.onnx")
    picture = (str(data / "JPEGImages/00.jpg"), "--threshold=0.02")
    capsys.readouterr()

    front("inference", f"--model={tmp_path}/silent.onnx", f"--labels={trained}/labels.txt", *picture)
    told = capsys.readouterr().out
    front("inference", f"--model={exported}", *picture)
    assert told == capsys.readouterr().out

    with pytest.raises(DataError, match="finds 2 classes and does not say which, and no labels are given"):
        front("inference", f"--model={tmp_path}/silent.onnx", *picture)
    (tmp_path / "one.txt").write_text("BACKGROUND\nsquare\n")
    with pytest.raises(DataError, match=r"and 1 label is given; give its labels\.txt"):
        front("inference", f"--model={tmp_path}/silent.onnx", f"--labels={tmp_path}/one.txt", *picture)


def test_labels_in_another_order_than_the_model_s_are_refused(trained: Path, data: Path, tmp_path: Path):
    (tmp_path / "labels.txt").write_text("BACKGROUND\ndisc\nsquare\n")
    labels = f"{tmp_path}/labels.txt"

    for words in (
        ("export", f"--model-dir={trained}", f"--labels={labels}"),
        ("inference", f"--model={trained}/model_best.tlt", f"--labels={labels}", f"{data}/JPEGImages"),
        ("run_ssd_example", "mb1-ssd", f"{trained}/model_best.tlt", labels, f"{data}/JPEGImages/00.jpg"),
    ):
        with pytest.raises(DataError, match=r"names disc, square; .* finds square, disc"):
            front(*words)


def test_run_ssd_example_writes_one_picture_and_counts(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)

    front(
        "run_ssd_example",
        "mb1-ssd",
        f"{trained}/model_best.tlt",
        f"{trained}/labels.txt",
        f"{data}/JPEGImages/00.jpg",
    )

    assert re.search(r"Found \d+ objects. The output image is run_ssd_example_output.jpg", capsys.readouterr().out)
    assert Image.open(tmp_path / "run_ssd_example_output.jpg").size == (SIDE, SIDE)


@pytest.fixture
def theirs(tmp_path: Path) -> tuple[Path, torch.nn.Module]:
    """The folder of a run of train_ssd.py's, and the network of its best model."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    network: torch.nn.Module = original("mb1-ssd", len(CLASSES))
    torch.save(network.state_dict(), folder / "mb1-ssd-Epoch-29-Loss-2.5.pth")
    (folder / "mb1-ssd-Epoch-9-Loss-3.5.pth").write_bytes(b"worse, and never read")
    (folder / "labels.txt").write_text("BACKGROUND\nsquare\ndisc")
    return folder, network


def test_a_model_of_pytorch_ssd_s_own_is_exported_as_it_is(theirs: tuple[Path, torch.nn.Module]):
    folder, network = theirs

    front("export", f"--model-dir={folder}", f"--resolution={SIDE}")

    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    scores, _ = onnxruntime.InferenceSession(folder / "ssd-mobilenet.onnx").run(None, {"input_0": pixels})
    with torch.no_grad():
        logits, _ = network(torch.from_numpy(pixels))
    np.testing.assert_allclose(scores, torch.softmax(logits, dim=2).numpy(), atol=1e-4)


def test_a_model_of_pytorch_ssd_s_own_is_scored_and_needs_its_labels(
    theirs: tuple[Path, torch.nn.Module], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = [f"--trained_model={theirs[0]}", f"--dataset={data}", f"--resolution={SIDE}"]
    words += ["--net=mb1-ssd", f"--eval_dir={tmp_path}/found"]

    front("eval", *words, f"--label_file={theirs[0]}/labels.txt")

    assert "Mean Average Precision (mAP):" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"does not say its classes; give the labels\.txt of its training"):
        front("eval", *words)


def test_open_images_tables_are_trained_on_with_frozen_features(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root, features = tmp_path / "tables", tmp_path / "features.pth"
    for split, stems in (("train", range(8)), ("test", range(8, 12))):
        (root / split).mkdir(parents=True)
        rows = ["ImageID,ClassName,XMin,XMax,YMin,YMax"]
        for index in stems:
            shutil.copy(data / f"JPEGImages/{index:02d}.jpg", root / split)
            rows.append(f"{index:02d},{CLASSES[0 if index < 3 else 1]},0.25,0.75,0.25,0.75")
        (root / f"sub-{split}-annotations-bbox.csv").write_text("\n".join(rows) + "\n")
    before = original("mb1-ssd", 1)  # of another number of classes: its heads do not fit
    torch.save(before.state_dict(), features)
    flags = (f"--data={root}", "--balance-data", "--freeze-net", f"--pretrained-ssd={features}", "--epochs=1")

    front("train", f"--model-dir={tmp_path}/m", *SMALL[1:], *flags)

    said = capsys.readouterr().out
    assert "Train dataset size: 6" in said  # three of each class
    assert f"Init from pretrained SSD {features}" in said
    after = read_bundle(tmp_path / "m/model_best.tlt", key=KEY)
    assert after.classes == ("disc", "square")
    stem = before.base_net[0][0].weight.detach().numpy()
    assert any(value.shape == stem.shape and (value == stem).all() for value in after.tensors.values())


def test_tao_s_forms_work_on_the_run_with_its_own_spec(trained: Path, capsys: pytest.CaptureFixture[str]):
    spec, best = str(trained / "experiment_spec.txt"), str(trained / "model_best.tlt")

    options = parser_for("ssd").parse_args(["ssd", "evaluate", "-e", spec, "-m", best, "-k", OPEN_KEY])
    options.run(options)

    assert "square" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["--resume=last", "--data={data}"], PathError, "--resume last: no run and no weights there"),
        (["--dataset-type=voc", "--data=/nowhere"], PathError, "/nowhere: no such folder"),
        (["--data={data}"], DataError, "shapes: this looks like .* type voc; add --dataset-type=voc"),
        (["--dataset-type=voc", "--data={data}", "--base-net=/nowhere.pth"], PathError, "/nowhere.pth"),
    ],
)
def test_what_cannot_be_is_said(words: list[str], kind: type[Exception], message: str, data: Path, tmp_path: Path):
    with pytest.raises(kind, match=message):
        front("train", f"--model-dir={tmp_path}/m", *(word.format(data=data) for word in words))
