"""Reports of real runs: written by the training, by the command, of older runs, and of damaged files."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.errors import PathError
from taolite.stages.reporting import gather, spec_changes, write_report
from tests.web.workspaces import make_run

from . import classes, conftest

KEY = "tlt_encode"
VECTORS = Path(__file__).parents[1] / "vectors" / "0.1.0"


@pytest.fixture(scope="module")
def detector(tiny: Path) -> Path:
    """A run of a detector."""
    spec = conftest.write_spec(tiny, "report.txt")
    assert main(["detectnet", "train", "-e", str(spec), "-r", str(tiny / "run"), "-n", "plate", "-k", KEY]) == 0
    return tiny / "run"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a classifier."""
    root = tmp_path_factory.mktemp("classes")
    classes.draw_classes(root)
    spec = classes.write_spec(root, "train.txt")
    assert main(["classification", "train", "-e", str(spec), "-r", str(root / "run"), "-k", KEY]) == 0
    return root / "run"


def sections(html: str) -> list[str]:
    return re.findall(r'<section id="(\w+)">', html)


def test_a_training_of_a_detector_writes_its_report(detector: Path):
    html = (detector / "report.html").read_text()

    assert html.endswith("</html>\n")
    assert sections(html) == [
        *("next", "curves", "classes", "confusion", "pictures", "labels", "batch", "files", "lineage", "spec"),
        *("environment", "again"),
    ]
    assert "A DetectNet_v2 detector of 1 class (<bdi>plate</bdi>), trained on 12 pictures with" in html
    assert html.count("<image href=") == 4  # the validation pictures, all of them
    assert "<b>finished</b>" in html
    assert (
        f"taolite detectnet train -e {detector}/experiment_spec.txt -r NEW_FOLDER -n plate -k KEY" in html
    )  # the command to run it again


def test_a_training_of_a_classifier_writes_its_report(classifier: Path):
    html = (classifier / "report.html").read_text()

    assert html.endswith("</html>\n")
    assert "An image classifier of 3 classes" in html
    assert "trained on 24 pictures for 2 epochs" in html
    confusion = json.loads((classifier / "scores.json").read_text())["card"]["confusion"]
    wrong = 12 - sum(confusion[k][k] for k in range(3))
    assert html.count("<image href=") == wrong + min(6, 12 - wrong)
    assert html.count(", taken for <bdi>") == wrong
    assert "How wide and high the boxes are" not in html


def test_a_report_is_written_in_less_than_two_seconds(detector: Path, tmp_path: Path):
    started = time.process_time()

    write_report(detector, tmp_path / "r.html", key=Key(KEY))

    assert time.process_time() - started < 2


def test_the_key_is_nowhere_in_a_report(detector: Path):
    assert KEY not in (detector / "report.html").read_text()


def test_the_recorded_numbers_are_those_of_the_labels_and_of_the_scores(detector: Path):
    labels = json.loads((detector / "labels.json").read_text())["splits"]
    curves = json.loads((detector / "curves.json").read_text())
    pictures = json.loads((detector / "pictures.json").read_text())["pictures"]
    scores = json.loads((detector / "scores.json").read_text())["card"]

    # 16 pictures with one or two plates in turns, of which 4 are held out; all plates have 32 x 24 pixels
    assert {name: one["pictures"] for name, one in labels.items()} == {"train": 12, "val": 4}
    assert sum(one["objects"]["plate"] for one in labels.values()) == 24
    assert labels["train"]["sides"]["plate"] == [28, 28, 28, 28, 28]
    assert scores["objects"]["plate"] == labels["val"]["objects"]["plate"]
    assert set(curves["sweeps"]["plate"]) == {"threshold", "precision", "recall"}
    assert sum(one["right"] for one in pictures) == scores["confusion"][0][0]
    for one in pictures:
        assert sum(label["seen"] for label in one["labelled"]) == one["right"]
        assert sum(find["right"] for find in one["found"]) == one["right"]
        assert (len(one["labelled"]), len(one["found"])) == (one["objects"], one["finds"])


def test_the_command_writes_a_report_beside_the_run_or_where_it_is_told(
    detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    shutil.copytree(detector, run)
    (run / "report.html").unlink()

    assert main(["report", str(run)]) == 0
    assert main(["report", str(run), "-o", str(tmp_path / "of.html"), "-k", KEY]) == 0

    assert capsys.readouterr().out.splitlines() == [str(run / "report.html"), str(tmp_path / "of.html")]
    assert "is sealed" not in (tmp_path / "of.html").read_text()


def test_two_runs_are_compared_by_score_and_spec(detector: Path, tmp_path: Path):
    other, manifest = tmp_path / "longer", json.loads((detector / "manifest.json").read_text())
    shutil.copytree(detector, other)
    manifest["run"]["spec"] = manifest["run"]["spec"].replace("num_epochs: 2", "num_epochs: 3")
    manifest["metrics"]["mAP"] += 0.25
    (other / "manifest.json").write_text(json.dumps(manifest))

    assert main(["report", str(detector), str(other), "-o", str(tmp_path / "c.html")]) == 0

    html = (tmp_path / "c.html").read_text()
    assert sections(html) == ["result", "runs", "curves", "classes", "spec", "environment"]
    changed = re.search(r'<section id="spec">.*?</section>', html, re.DOTALL)
    assert changed is not None
    assert re.findall(r"<td>(.*?)</td>", changed[0]) == ["<code>training_config.num_epochs</code>", "2", "3"]
    assert "<b><bdi>longer</bdi></b> has the highest mAP" in html
    assert "(+0.250)" in html
    assert "The same versions, hardware and seed." in html


def test_a_run_of_an_earlier_version_has_what_it_recorded(tmp_path: Path):
    shutil.copytree(VECTORS / "detectnet" / "run", tmp_path / "run")

    html = write_report(tmp_path / "run").read_text()

    assert {"next", "curves", "classes", "spec", "environment"} <= set(sections(html))
    assert "No label statistics: " in html


def test_old_plots_stand_where_there_are_no_numbers(detector: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(detector, run)
    for name in ("curves.json", "pictures.json", "labels.json"):
        (run / name).unlink()

    html = write_report(run).read_text()

    assert 'alt="f1.png"' in html
    assert 'alt="worst.png"' in html
    assert "Labels of each class" in html  # counted from the data, which is still there


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["report", str(tmp_path)]) == 1

    assert capsys.readouterr().err == (
        f"error: {tmp_path}: this folder holds no run (it has no manifest.json); name the results of a training\n"
    )


def test_a_file_that_is_neither_a_gate_nor_a_sweep_is_refused(detector: Path, tmp_path: Path):
    (tmp_path / "x.json").write_text("{}")

    with pytest.raises(PathError) as caught:
        write_report(detector, tmp_path / "r.html", beside=[tmp_path / "x.json"])

    assert str(caught.value) == (
        f"{tmp_path}/x.json: neither an export's gate (NAME.gate.json) nor a pruning sweep (prune --sweep --json FILE)"
    )
    assert not (tmp_path / "r.html").exists()


def test_gates_and_sweeps_have_tables(detector: Path, tmp_path: Path):
    gate = {"artifact": "m.etlt", "metric": "mAP", "trained": 0.9, "exported": 0.86, "drop": 4.0, "images": 72,
            "passed": False, "precision": "int8", "floats": ["conv1"]}  # fmt: skip
    row = {"threshold": 0.1, "share": 0.5, "parameters": 1000, "macs": 2000, "onnx_bytes": 5, "latency_ms": 1.25,
           "score": 0.5, "settled": 0.75, "finetuned": None}  # fmt: skip
    sweep = {"metric": "mAP", "images": 40, "finetune_epochs": 0, "unpruned": 0.9, "rows": [row], "sensitivity": []}
    for name, value in (("gate", gate), ("sweep", sweep)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))

    beside = [tmp_path / "gate.json", tmp_path / "sweep.json"]
    html = write_report(detector, tmp_path / "r.html", beside=beside).read_text()

    assert "The export m.etlt loses 4.00 points" in html
    assert "<td>int8</td><td>90.00 %</td><td>86.00 %</td><td>4.00</td><td>no</td><td>72</td><td>conv1</td>" in html
    cells = "0.1</td><td>50 %</td><td>1,000</td><td>2,000</td><td>0.500</td><td>0.750</td><td>-</td><td>1.2 ms"
    assert cells in html


def test_the_changes_of_a_spec_have_their_defaults(tmp_path: Path):
    text = "random_seed: 7\ntraining_config { num_epochs: 3 optimizer { adam { beta1: 0.5 } } }\n"

    changes, note = spec_changes(text, "detectnet")

    assert (changes, note.startswith("The spec cannot be compared with its defaults: ")) == ([], True)
    changes, note = spec_changes(conftest.SPEC.format(root="/d", model="", epochs=3), "detectnet")
    assert note == ""
    assert ("random_seed", "7", "0") in changes
    assert ("training_config.num_epochs", "3", "none") in changes  # TAO has no default for it
    assert ("training_config.checkpoint_interval", "2", "10") in changes
    assert (
        'postprocessing_config.target_class_config["plate"].clustering_config.coverage_threshold',
        "0.3",
        "0.0",
    ) in (changes)
    assert not [path for path, _, _ in changes if path.endswith("freeze_bn")]  # at its default


DAMAGED = {
    "labels.json": ('{"splits": {"train": [], "val": 3}}', "labels"),
    "curves.json": ('{"sweeps": {"plate": {"threshold": [1], "precision": "x", "recall": [null]}}, "curves": []}', ""),
    "pictures.json": ('{"pictures": [3, {"jpeg": 5}, {"jpeg": "AAAA", "hw": [1, 2]}, {"hw": "x"}]}', "pictures"),
    "scores.json": ('{"card": {"main": 3, "confusion": [[-1, 9], 4], "images": true}, "worst": {}}', "confusion"),
}
"""By file: values of kinds that are never written, and the section that the page then has not."""


@pytest.mark.parametrize("name", DAMAGED)
def test_values_of_another_kind_cost_a_section_and_not_the_page(detector: Path, tmp_path: Path, name: str):
    run, (text, lost) = tmp_path / "run", DAMAGED[name]
    shutil.copytree(detector, run, ignore=shutil.ignore_patterns("checkpoints", "events", "plots"))
    (run / name).write_text(text)

    html = write_report(run).read_text()

    assert html.endswith("</html>\n")
    assert lost not in sections(html)
    assert "classes" in sections(html)


def test_a_file_that_is_no_json_is_one_message(detector: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(detector, run)
    (run / "curves.json").write_text("{")

    with pytest.raises(PathError) as caught:
        write_report(run)

    assert str(caught.value) == (
        f"{run}/curves.json: not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); "
        "run evaluate with -r on this folder to write it anew"
    )


def test_gathering_a_run_changes_nothing_in_it(detector: Path):
    before = {path: path.stat().st_mtime_ns for path in detector.rglob("*")}

    gather(detector, key=Key(KEY))

    assert {path: path.stat().st_mtime_ns for path in detector.rglob("*")} == before


def test_the_lineage_of_a_run_is_shown_without_its_key_with_exports_and_engines(tmp_path: Path):
    exports = {"m.etlt": {"file": "weights/m.etlt", "sha256": "e" * 64, "onnx_sha256": "9" * 64, "precision": "int8"}}
    run = make_run(tmp_path / "run", parent="a" * 64, teacher="b" * 64, weights_sha256="c" * 64, exports=exports)
    (run / "weights").mkdir()
    engine = {"onnx_sha256": "9" * 64, "engine_sha256": "f" * 64, "backend": "tensorrt", "backend_version": "10.3"}
    (run / "weights" / "m.engine.json").write_text(json.dumps(engine))
    (run / "weights" / "m.engine").write_bytes(b"x")

    html = write_report(run).read_text()

    table = html[html.index('<section id="lineage">') :].partition("</section>")[0]
    rows = [re.sub("<[^>]+>", " ", row).split() for row in re.findall("<tr>(.*?)</tr>", table)[1:]]
    assert rows == [
        ["data", "data", "d" * 16],
        ["started", "from", "weights", "a" * 16],
        ["teacher", "weights", "b" * 16],
        ["this", "run", str(run), "c" * 16],
        ["export", "m.etlt", "int8,", "file", "is", "gone", "e" * 16],
        ["engine", "m.engine", "tensorrt,", "10.3", "f" * 16],
    ]
