"""`taolite ssd`: TAO's flags and words, a whole life on a tiny KITTI set."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar
from taolite.cli.main import main
from taolite.cli.render import precisions_block
from taolite.scorecard import AP, Metric, ScoreCard
from taolite.stages.evaluate import Evaluation

KEY = "tlt_encode"
SPEC = """
random_seed: 7
ssd_config {
  aspect_ratios_global: "[1.0, 2.0, 0.5]"
  scales: "[0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]"
  two_boxes_for_ar1: true
  variances: "[0.1, 0.1, 0.2, 0.2]"
  arch: "resnet" nlayers: 10
}
training_config {
  batch_size_per_gpu: 4 num_epochs: 2 n_workers: 1
  learning_rate { soft_start_annealing_schedule {
    min_learning_rate: 1e-4 max_learning_rate: 1e-3 soft_start: 0.3 annealing: 0.7 } }
  regularizer { type: L2 weight: 1e-5 }
}
eval_config { validation_period_during_training: 2 batch_size: 4 matching_iou_threshold: 0.5 }
nms_config { confidence_threshold: 0.01 clustering_iou_threshold: 0.6 top_k: 20 }
augmentation_config { output_width: 96 output_height: 64 output_channel: 3 random_flip: 0.5 }
dataset_config {
  data_sources { tfrecords_path: "ROOT/records/train*" }
  target_class_mapping { key: "Plate" value: "plate" }
  validation_data_sources { image_directory_path: "ROOT/kitti/images" label_directory_path: "ROOT/kitti/labels" }
}
"""
CONVERT = """kitti_config {
  root_directory_path: "ROOT/kitti" image_dir_name: "images" label_dir_name: "labels" image_extension: ".png"
  partition_mode: "random" num_partitions: 2 val_split: 0 num_shards: 2
}
"""


pytestmark = pytest.mark.usefixtures("one_thread")


def ssd(*words: object) -> int:
    return main(["ssd", *map(str, words)])


def numbers_in(model: Path) -> int:
    """How many a model holds."""
    return sum(tensor.size for tensor in read_bundle(model, key=Key(KEY)).tensors.values())


def draw_plates(root: Path) -> None:
    """8 pictures of bright plates on noise, with KITTI labels."""
    for folder in ("images", "labels"):
        (root / "kitti" / folder).mkdir(parents=True)
    rng = np.random.default_rng(5)
    for index in range(8):
        image = rng.integers(0, 90, (64, 96, 3)).astype(np.uint8)
        x1, y1 = int(rng.integers(4, 60)), int(rng.integers(4, 36))
        image[y1 : y1 + 24, x1 : x1 + 32] = 230
        Image.fromarray(image).save(root / "kitti/images" / f"{index:03d}.png")
        label = f"Plate 0.00 0 0.00 {x1}.0 {y1}.0 {x1 + 32}.0 {y1 + 24}.0 0 0 0 0 0 0 0\n"
        (root / "kitti/labels" / f"{index:03d}.txt").write_text(label)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set with its records, and `run`, the folder of a finished training of 2 epochs."""
    root = tmp_path_factory.mktemp("plates")
    draw_plates(root)
    for name, text in (("spec.txt", SPEC), ("convert.txt", CONVERT)):
        (root / name).write_text(text.replace("ROOT", str(root)))
    assert ssd("dataset_convert", "-d", root / "convert.txt", "-o", root / "records/train", "-r", root / "made") == 0
    assert ssd("train", "-e", root / "spec.txt", "-r", root / "run", "-k", KEY, "--arch", "ssd", *FLOAT) == 0
    return root


FLOAT = ("--precision", "fp32")
MODEL = "run/weights/ssd_resnet10_epoch_002.tlt"


def test_training_leaves_taos_files(root: Path):
    with open(root / "run/ssd_training_log_resnet10.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))

    assert list(rows[0]) == ["epoch", "AP_plate", "loss", "lr", "mAP", "validation_loss"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["mAP"] == "nan" for row in rows] == [True, False]
    assert [row["AP_plate"] == row["mAP"] for row in rows] == [True, True]
    assert sorted(path.name for path in (root / "run/weights").glob("*_epoch_*")) == [
        "ssd_resnet10_epoch_001.tlt",
        "ssd_resnet10_epoch_002.tlt",
    ]
    said = [json.loads(line) for line in (root / "made/status.json").read_text().splitlines()]
    assert [line["status"] for line in said] == ["STARTED", "SUCCESS"]


def test_evaluate_prints_taos_block_and_writes_results(root: Path, capsys: pytest.CaptureFixture[str]):
    words = ("evaluate", "-m", root / MODEL, "-e", root / "spec.txt", "-k", KEY)

    assert ssd(*words, "-r", root / "scores") == 0
    lines = capsys.readouterr().out.splitlines()
    results = json.loads((root / "scores/results.json").read_text())
    assert lines[:4] == [
        "*" * 31,
        f"plate         AP    {round(results['AP_plate'], 3)}",
        f"              mAP   {round(results['mAP'], 3)}",
        "*" * 31,
    ]
    assert lines[4] == "the threshold with the best F1 (IoU 0.5):"
    assert lines[-1] == f"plots: {root}/scores/plots"
    scores = json.loads((root / "scores/scores.json").read_text())
    assert scores["card"]["main"]["value"] == results["mAP"]
    assert [len(row) for row in scores["card"]["confusion"]] == [2, 2]
    assert sum(scores["card"]["confusion"][0]) == scores["card"]["objects"]["plate"]
    assert {path.name for path in (root / "scores/plots").iterdir()} >= {"confusion.png", "worst.png"}


def test_the_block_has_a_line_for_each_class_in_taos_columns():
    card = ScoreCard(Metric(AP, 0.62349, {"ape": 0.5, "cat": 0.74698}), {}, {"ape": 1, "cat": 2}, 3)

    assert precisions_block(Evaluation(card, 1.0, 0.1)).splitlines() == [
        "*******************************",
        "ape           AP    0.5",
        "cat           AP    0.747",
        "              mAP   0.623",
        "*******************************",
    ]


def found_in(folder: Path) -> list[list[str]]:
    """The words of every line of the label files in a folder."""
    texts = [path.read_text() for path in sorted(folder.iterdir())]
    return [line.split() for text in texts for line in text.splitlines()]


def test_inference_writes_pictures_and_labels_above_the_threshold(root: Path):
    words = ("inference", "-m", root / MODEL, "-i", root / "kitti/images", "-e", root / "spec.txt", "-k", KEY)

    assert ssd(*words, "-r", root / "found", "-t", 0.02, "-b", 3) == 0
    every = found_in(root / "found/labels")
    scores = sorted(float(line[-1]) for line in every)
    middle = scores[len(scores) // 2] - 0.0005  # files have three decimals
    assert scores[0] < middle
    assert ssd(*words, "-r", root / "sure", "-t", middle) == 0

    assert len(list((root / "found/images_annotated").iterdir())) == 8
    for name, *numbers in every:
        assert (name, len(numbers)) == ("plate", 15)
        x1, y1, x2, y2 = map(float, numbers[3:7])
        assert 0 <= x1 <= x2 <= 96
        assert 0 <= y1 <= y2 <= 64
    sure = [line for line in every if float(line[-1]) > middle]
    numbers = [[float(word) for word in line[1:]] for line in found_in(root / "sure/labels")]
    assert numbers == [pytest.approx([float(word) for word in line[1:]], abs=0.002) for line in sure]  # batches differ


def test_a_model_is_pruned_retrained_exported_and_built(root: Path, capsys: pytest.CaptureFixture[str]):
    pruned, engine, onnx = root / "pruned.tlt", root / "ssd.engine", root / "ssd.onnx"
    common = ("-k", KEY)

    assert ssd("prune", "-m", root / MODEL, "-o", pruned, "--target", 0.6, *common) == 0
    assert numbers_in(pruned) < 0.65 * numbers_in(root / MODEL)
    assert ssd("train", "-e", root / "spec.txt", "-r", root / "again", "-m", pruned, *FLOAT, *common) == 0
    again = root / "again/weights/ssd_resnet10_epoch_002.tlt"
    assert numbers_in(again) == numbers_in(pruned)
    assert ssd("export", "-m", again, "-o", onnx, "-e", root / "spec.txt", *common) == 0
    built = ("gen_trt_engine", "-m", onnx, "-e", root / "spec.txt", "--engine_file", engine, "--backend", "openvino")
    assert ssd(*built, "-r", root / "engine_log", *common) == 0

    costs = []
    for model in (again, onnx, engine):
        capsys.readouterr()
        assert ssd("evaluate", "-m", model, "-e", root / "spec.txt", "--json", *common) == 0
        costs.append(json.loads(capsys.readouterr().out)["cost"])
    assert costs[1] == pytest.approx(costs[0], rel=1e-2)  # torch may compute in bfloat16
    assert costs[2] == pytest.approx(costs[1], rel=1e-4)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_export_with_nms_finds_and_scores_what_one_without_does(
    root: Path, capsys: pytest.CaptureFixture[str], runtime: str
):
    pytest.importorskip(runtime)
    common = ("-e", root / "spec.txt", "-k", KEY)
    values, lines = [], []
    for name, flag in (("raw", ()), ("ended", ("--onnx_nms",))):
        model, found = root / f"{name}.onnx", root / f"{name}_{runtime}"
        run = ("-m", model, "--runtime", runtime, *common)
        assert ssd("export", "-m", root / MODEL, "-o", model, "--force", *common, *flag) == 0
        assert ssd("inference", *run, "-i", root / "kitti/images", "-r", found, "-t", 0.02) == 0
        lines.append(found_in(found / "labels"))
        capsys.readouterr()
        assert ssd("evaluate", *run, "--json") == 0
        values.append(json.loads(capsys.readouterr().out)["card"]["main"]["value"])

    assert len(lines[0]) == len(lines[1]) > 20
    numbers = [np.array([line[4:8] + line[-1:] for line in some], float) for some in lines]
    np.testing.assert_allclose(numbers[1], numbers[0], atol=0.02)
    assert values[1] == pytest.approx(values[0], abs=1e-6)


def test_deepstream_has_no_parser_for_an_ssd(root: Path, capsys: pytest.CaptureFixture[str]):
    words = ("export", "-m", root / MODEL, "-o", root / "never.onnx", "-k", KEY, "--gen_ds_config")

    assert ssd(*words) == 1
    assert capsys.readouterr().err == (
        "error: --gen_ds_config: DeepStream's nvinfer has no parser for an SSD's outputs (scores and boxes of priors); "
        "leave the flag out, and give nvinfer a parse-bbox-func-name of your own library\n"
    )
    assert not (root / "never.onnx").exists()


def test_deepstream_reads_raw_outputs_only(root: Path, capsys: pytest.CaptureFixture[str]):
    words = ("export", "-m", root / MODEL, "-o", root / "never.onnx", "-k", KEY)

    assert ssd(*words, "--onnx_nms", "--gen_ds_config") == 1
    assert capsys.readouterr().err.startswith(
        "error: --onnx_nms with --gen_ds_config: DeepStream's parser reads raw outputs; leave out one of them\n"
    )


def test_a_run_goes_on_by_the_same_command_and_initial_epoch_says_so(root: Path, capsys: pytest.CaptureFixture[str]):
    words = ("train", "-e", root / "spec.txt", "-r", root / "run", "-k", KEY, *FLOAT)

    assert ssd(*words) == 0
    assert "the run is complete" in capsys.readouterr().err
    assert ssd(*words, "-m", root / MODEL, "--initial_epoch", 2) == 1
    assert capsys.readouterr().err.startswith(
        "error: --initial_epoch 2: to continue a run, repeat the command that started it, with its own -m and without "
        "this flag\n"
    )


def test_early_stopping_ends_a_run_with_a_validation_of_its_last_epoch(root: Path, capsys: pytest.CaptureFixture[str]):
    stopping = 'num_epochs: 5 early_stopping { monitor: "loss" min_delta: 1e6 patience: 1 }'
    text = SPEC.replace("num_epochs: 2", stopping).replace("training: 2", "training: 5").replace("ROOT", str(root))
    (root / "early.txt").write_text(text)

    assert ssd("train", "-e", root / "early.txt", "-r", root / "early", "-k", KEY, *FLOAT) == 0

    assert "epoch 2: the training cost has not been below" in capsys.readouterr().err
    with open(root / "early/ssd_training_log_resnet10.csv", newline="") as stream:
        assert [row["mAP"] == "nan" for row in csv.DictReader(stream)] == [True, False]


def test_dssd_and_a_spec_that_lacks_messages_are_refused_with_the_way_out(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("train", "-r", root / "never", "-k", KEY)
    (root / "short.txt").write_text(SPEC[: SPEC.index("nms_config")])
    (root / "dssd.txt").write_text(SPEC.replace("ssd_config", "dssd_config"))

    assert ssd(*words, "-e", root / "spec.txt", "--arch", "dssd") == 1
    way_out = (
        "DSSD's deconvolutions are not built in this version; rename the block `ssd_config` and train with --arch ssd "
        "(or without --arch) for an SSD on the same backbone\n"
    )
    assert capsys.readouterr().err.startswith(f"error: --arch dssd: {way_out}")
    assert ssd(*words, "-e", root / "dssd.txt") == 1
    assert f"dssd_config is refused: {way_out}" in capsys.readouterr().err
    assert ssd(*words, "-e", root / "short.txt") == 1
    assert capsys.readouterr().err.splitlines()[:5] == [
        f"Loading experiment spec at {root}/short.txt.",
        f"error: {root}/short.txt: 3 problems",
        "  augmentation_config is missing, which `train` needs; add the block `augmentation_config { }`",
        "  dataset_config is missing, which `train` needs; add the block `dataset_config { }`",
        "  nms_config is missing, which `train` needs; add the block `nms_config { }`",
    ]
    assert not (root / "never").exists()


def test_flags_without_use_here_say_why(root: Path, capsys: pytest.CaptureFixture[str]):
    words = ("dataset_convert", "-d", root / "convert.txt", "-o", root / "more/train")

    assert ssd(*words, "-f", 0, "-c", "names.txt") == 0
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == [
        "warning: -f has no effect: validation reads folders, as in TAO",
        "warning: -c has no effect: records hold names; target_class_mapping chooses in training",
    ]


def test_the_pr_curve_is_drawn_by_the_model_where_the_spec_asks_for_it(root: Path, capsys: pytest.CaptureFixture[str]):
    text = (
        (root / "spec.txt")
        .read_text()
        .replace("matching_iou_threshold", "visualize_pr_curve: true\n  matching_iou_threshold")
    )
    (root / "drawn.txt").write_text(text)
    words = ("evaluate", "-m", root / MODEL, "-k", KEY, "--json")
    drawn = (root / MODEL).parent / "PR_curve.png"

    assert ssd(*words, "-e", root / "spec.txt") == 0
    assert not drawn.exists()
    plain = json.loads(capsys.readouterr().out)
    assert ssd(*words, "-e", root / "drawn.txt") == 0

    said = capsys.readouterr()
    assert "warning" not in said.err
    assert json.loads(said.out)["card"] == plain["card"]
    with Image.open(drawn) as image:
        assert min(image.size) > 500


def test_a_start_with_other_anchors_than_the_spec_s_is_refused_with_the_way_out(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    (root / "ratios.txt").write_text((root / "spec.txt").read_text().replace("[1.0, 2.0, 0.5]", "[1.0, 2.0]"))

    assert ssd("train", "-e", root / "ratios.txt", "-r", root / "never", "-m", root / MODEL, "-k", KEY) == 1

    assert capsys.readouterr().err.splitlines()[-1:] == [
        f"error: {root / MODEL} has 4, 4, 4, 4, 4, 4 anchors in the cells of its maps and the spec asks for "
        "3, 3, 3, 3, 3, 3; write aspect_ratios, or aspect_ratios_global, and two_boxes_for_ar1 as in the spec that it "
        "was trained with, or start from a backbone"
    ]


def test_weights_that_are_not_there_are_named(root: Path, capsys: pytest.CaptureFixture[str]):
    assert ssd("train", "-e", root / "spec.txt", "-r", root / "never", "-m", root / "no.tlt", "-k", KEY) == 1

    text = f"error: {root}/no.tlt: there are no weights to start from; correct the path, or start without"
    assert capsys.readouterr().err.splitlines()[-1] == text


def rounded_convolutions(onnx_path: Path) -> dict[str, bool]:
    """Each convolution's kernel, and whether both its input and its kernel come out of 8 bits."""
    graph = onnx.load(onnx_path).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    named = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    return {
        named.get(node.input[1], node.input[1]): all(made_by.get(name) == "DequantizeLinear" for name in node.input[:2])
        for node in graph.node
        if node.op_type == "Conv"
    }


def cost_of(root: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> float:
    capsys.readouterr()
    assert ssd("evaluate", "-m", model, "-e", root / "spec.txt", "-k", KEY, "--json") == 0
    return float(json.loads(capsys.readouterr().out)["cost"])


def test_int8_rounds_everything_but_the_heads(root: Path, capsys: pytest.CaptureFixture[str]):
    rounded, engine, common = root / "int8.onnx", root / "int8.engine", ("-k", KEY)
    words = ("--data_type", "int8", "--batches", 2, "--batch_size", 4, "--cal_cache_file", root / "cal.bin")

    assert ssd("export", "-m", root / MODEL, "-e", root / "spec.txt", "-o", rounded, *words, *common) == 0
    assert (
        ssd("gen_trt_engine", "-m", rounded, "--engine_file", engine, "--data_type", "int8", "--backend", "openvino")
        == 0
    )

    found = rounded_convolutions(rounded)
    heads = {name for name in found if "conf_heads" in name or "loc_heads" in name}
    assert len(heads) == 12
    assert {name for name, whether in found.items() if not whether} == heads
    behind_heads = [node.op_type for node in onnx.load(rounded).graph.node][-12:]
    assert not {"QuantizeLinear", "DequantizeLinear"} & set(behind_heads)
    floating = cost_of(root, root / MODEL, capsys)
    assert cost_of(root, rounded, capsys) == pytest.approx(floating, rel=0.1)
    assert cost_of(root, engine, capsys) == pytest.approx(floating, rel=0.1)


def test_quantisation_aware_training_learns_ranges_that_the_export_holds(
    root: Path, capsys: pytest.CaptureFixture[str]
):
    (root / "qat.txt").write_text(
        (root / "spec.txt").read_text().replace("num_epochs: 2", "num_epochs: 1 enable_qat: true")
    )
    model, rounded = root / "qat/weights/ssd_resnet10_epoch_001.tlt", root / "qat.onnx"
    begun = ("-e", root / "qat.txt", "-r", root / "qat", "-m", root / MODEL, "-k", KEY)

    assert ssd("train", *begun, *FLOAT) == 0
    assert "enable_qat: training begins with 8-bit kernels" in capsys.readouterr().err
    words = ("--data_type", "int8", "--cal_cache_file", root / "qat.bin")
    assert ssd("export", "-m", model, "-o", rounded, *words, "-k", KEY) == 0

    found = rounded_convolutions(rounded)
    assert {whether for name, whether in found.items() if "heads" in name} == {False}
    assert {whether for name, whether in found.items() if "heads" not in name} == {True}
    assert cost_of(root, rounded, capsys) == pytest.approx(cost_of(root, model, capsys), rel=0.05)


@pytest.mark.slow
def test_an_engine_for_a_card_elsewhere_is_built_here(root: Path):
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")
    onnx_path, engine = root / "card.onnx", root / "card.engine"
    assert ssd("export", "-m", root / MODEL, "-o", onnx_path, "-k", KEY) == 0

    words = ("--backend", "tensorrt_rtx", "--compute-capability", "86,89")
    assert ssd("gen_trt_engine", "-m", onnx_path, "--engine_file", engine, *words) == 0

    sidecar = read_sidecar(engine)
    assert engine.read_bytes()[:4] == b"vtrt"
    assert (sidecar.backend, sidecar.gpus, sidecar.precision) == ("tensorrt_rtx", ("8.6", "8.9"), "fp32")
    assert (sidecar.task, sidecar.classes) == ("ssd", ("plate",))
