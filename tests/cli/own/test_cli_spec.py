"""`taolite spec`: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taolite import spec
from taolite.cli.main import main
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.detectnet.spec import DatasetExportSpec
from taolite.tasks.ssd.spec import SsdSpec

GOOD = 'kitti_config {\n  partition_mode: "random"\n  num_partitions: 2\n  val_split: 14\n}\n'
CLASSIFICATION = """model_config { arch: "resnet" use_batch_norm: true input_image_size: "3,224,224" }
train_config {
  train_dataset_path: "train" val_dataset_path: "val" preprocess_mode: "torch"
  batch_size_per_gpu: 8 n_epochs: 5 n_workers: 2
  optimizer { sgd { lr: 0.01 } } lr_config { cosine { learning_rate: 0.01 } }
  reg_config { type: "None" scope: "Conv2D" weight_decay: 1e-4 }
}
"""
SSD = """ssd_config {
  aspect_ratios_global: "[1.0, 2.0, 0.5]" min_scale: 0.1 max_scale: 0.9
  variances: "[0.1, 0.1, 0.2, 0.2]" arch: "mobilenet_v2"
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # no mounts of the one who runs this
    return tmp_path


def test_check_reports_every_file_and_fails_when_one_does(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.txt").write_text(GOOD)
    (folder / "twice.txt").write_text(GOOD + "kitti_config { val_split: 20 }\n")
    (folder / "bad.txt").write_text(GOOD.replace("14", "140").replace("num_partitions", "partitions"))
    (folder / "other.txt").write_text("yolov3_config { }\n")

    code = main(["spec", "check", "good.txt", "twice.txt", "bad.txt", "other.txt", "none.txt"])

    assert code == 1
    assert capsys.readouterr().out.splitlines() == [
        "good.txt: good, a data set conversion spec",
        "twice.txt: good, a data set conversion spec, 1 warning",
        "  warning: line 6:27: kitti_config.val_split is given 2 times; the last is used",
        "bad.txt: 3 problems",
        "  line 1:1: kitti_config.num_partitions is 0; it needs to be 2 for the mode `random`",
        "  line 3:3: kitti_config.partitions is not a field here; did you mean `num_partitions`?",
        "  line 4:14: kitti_config.val_split is 140; it needs to be from 0 to 100",
        "other.txt: this is a spec for YOLOv3, which this version does not read; "
        "it reads those of DetectNet_v2 (train and evaluate, inference, dataset_convert), classification and SSD",
        "Specfile not found at: none.txt; check the name, or look into .",
    ]


def test_a_classification_spec_is_checked_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.txt").write_text(CLASSIFICATION)

    assert main(["spec", "check", "good.txt"]) == 0
    assert main(["spec", "show", "good.txt"]) == 0
    said, _, shown = capsys.readouterr().out.partition("\n")
    assert said == "good.txt: good, a classification spec"
    assert "  n_layers: 18\n" in shown
    assert spec.loads(shown, ClassificationSpec) == spec.loads(CLASSIFICATION, ClassificationSpec)


def test_an_ssd_spec_is_checked_and_shown_and_dssds_says_why_it_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "good.txt").write_text(SSD)
    (folder / "dssd.txt").write_text(SSD.replace("ssd_config", "dssd_config"))

    assert main(["spec", "check", "good.txt"]) == 0
    assert main(["spec", "show", "good.txt"]) == 0
    said, _, shown = capsys.readouterr().out.partition("\n")
    assert said == "good.txt: good, an SSD spec"
    assert "  neg_pos_ratio: 3.0\n" in shown
    assert spec.loads(shown, SsdSpec) == spec.loads(SSD, SsdSpec)
    assert main(["spec", "check", "dssd.txt"]) == 1
    assert "line 1:1: dssd_config is refused: DSSD" in capsys.readouterr().out


def test_check_of_good_files_ends_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.txt").write_text(GOOD)

    assert main(["spec", "check", "good.txt"]) == 0
    assert capsys.readouterr().out == "good.txt: good, a data set conversion spec\n"


def test_container_paths_are_found_through_mounts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "here").mkdir()
    (folder / "here" / "good.txt").write_text(GOOD)

    assert main(["spec", "check", "--mount", f"{folder}/here:/no-such/specs", "/no-such/specs/good.txt"]) == 0
    assert capsys.readouterr().out == f"{folder}/here/good.txt: good, a data set conversion spec\n"


def test_show_prints_the_spec_with_its_defaults(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "good.txt").write_text(GOOD)

    assert main(["spec", "show", "good.txt"]) == 0
    text = capsys.readouterr().out
    assert '  image_extension: ".png"\n' in text
    assert spec.loads(text, DatasetExportSpec) == spec.loads(GOOD, DatasetExportSpec)

    assert main(["spec", "show", "good.txt", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["kitti_config"]["val_split"] == 14.0
    assert DatasetExportSpec.model_validate(shown) == spec.loads(GOOD, DatasetExportSpec)


def test_show_of_a_bad_file_is_one_message(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.txt").write_text("kitti_config { }")

    assert main(["spec", "show", "bad.txt"]) == 1
    assert capsys.readouterr().err == (
        "error: bad.txt: 1 problem\n"
        "  line 1:1: kitti_config.partition_mode is missing; it needs to be `random` or `sequence`\n"
    )


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ([], "training_config"),
        (["inference"], "inferencer_config"),
        (["dataset_convert"], "kitti_config"),
        (["classification"], "train_config"),
    ],
)
def test_schema_is_a_json_schema(arguments: list[str], field: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spec", "schema", *arguments]) == 0

    assert field in json.loads(capsys.readouterr().out)["properties"]
