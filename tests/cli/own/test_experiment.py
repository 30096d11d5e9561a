"""`taolite experiment`: what is listed, compared, drawn and deleted, from the files of runs alone."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from taolite import spec as specs
from taolite.cli.main import main
from taolite.files import open_atomic
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.workspace import RunFolder, RunIdentity
from taolite.workspace.status import StatusFile

SPEC = """model_config {{ arch: "resnet" n_layers: 10 use_batch_norm: true input_image_size: "3,32,32" }}
train_config {{
  train_dataset_path: "data/train" val_dataset_path: "data/val" {start} preprocess_mode: "torch"
  batch_size_per_gpu: {batch} n_epochs: 2 n_workers: 1 random_seed: 3
  optimizer {{ sgd {{ lr: 0.01 }} }} lr_config {{ cosine {{ learning_rate: {rate} }} }}
  reg_config {{ type: "None" scope: "Conv2D" weight_decay: 1e-4 }}
}}
"""
DATA, START, WEIGHTS, SMALL, AGAIN, ONNX = (letter * 64 for letter in "123456")

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """make(name, score=None, status="SUCCESS", ...): the folder of a run, as a training leaves it."""
    minutes = iter(range(60))

    def run(
        name: str,
        *,
        score: float | None = 0.5,
        status: str = "SUCCESS",
        batch: int = 4,
        rate: float = 0.01,
        parent: str = START,
        start: str = 'pretrained_model_path: "w/resnet.safetensors"',
        **facts: Any,
    ) -> Path:
        model = specs.loads(SPEC.format(batch=batch, rate=rate, start=start), ClassificationSpec)
        text = specs.dumps(model, defaults=True)
        began = datetime(2026, 12, 1, 9, next(minutes))
        with RunFolder.open(tmp_path / name, RunIdentity("classification", text, ("a", "b"), DATA, parent)) as folder:
            folder.status = StatusFile(folder.root / "status.json", clock=lambda: began)
            folder.status.write("Starting", status="STARTED")
            folder.metrics.write(1, {"loss": 0.5, "seconds": 10.0})
            folder.status.write("Training loop in progress", epoch=2, max_epoch=2)
            folder.record(metric="accuracy", name="resnet", seed=3, batch_size=batch, **facts)
            if score is not None:
                folder.record(metrics={"accuracy": score, "precision": {"a": score, "b": 1.0}, "validation_cost": 0.1})
            folder.status.write("Done", status=status)  # type: ignore[arg-type]
        return tmp_path / name

    return run


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """said("list", root): the lines that `taolite experiment` prints; it has to succeed."""

    def run(*words: object) -> list[str]:
        capsys.readouterr()
        assert main(["experiment", *map(str, words)]) == 0
        return capsys.readouterr().out.splitlines()

    return run


def test_runs_are_listed_with_what_each_has_that_its_neighbours_have_not(make, said, tmp_path):
    make("first")
    make("second", batch=8, score=0.75)
    make("third", rate=0.02, status="FAILURE", score=None)
    make("deeper/other", batch=16)

    assert said("list", tmp_path) == [
        "run           task            state     epoch  score             started           "
        "differs from its neighbours in",
        "first         classification  finished  2/2    accuracy 50.00 %  2026-12-01 09:00",
        "second        classification  finished  2/2    accuracy 75.00 %  2026-12-01 09:01  batch_size_per_gpu 8",
        "third         classification  failed    2/2    -                 2026-12-01 09:02  learning_rate 0.02",
        "deeper/other  classification  finished  2/2    accuracy 50.00 %  2026-12-01 09:03",
    ]


def test_a_list_is_filtered_and_sorted_and_read_by_machines(make, said, tmp_path):
    make("first")
    make("second", batch=8, score=0.75)
    make("third", status="FAILURE", score=None)

    rows = json.loads("\n".join(said("list", tmp_path, "--sort", "score", "--state", "finished", "--json")))

    assert [(row["name"], row["score"], row["differs"]) for row in rows] == [
        ("second", 0.75, {"batch_size_per_gpu": "8"}),
        ("first", 0.5, {}),
    ]


def test_two_runs_of_one_spec_with_one_field_changed_are_compared(make, said):
    first = make("first", parameters=100)
    second = make("second", batch=8, score=0.75, parameters=100)
    fields = sum(": " in line for line in (first / "experiment_spec.txt").read_text().splitlines())

    assert said("compare", first, second) == [
        f"A  {first}   finished",
        f"B  {second}  finished",
        "",
        f"spec: 1 field differs, {fields - 1} are the same",
        "                                   A  B",
        "  train_config.batch_size_per_gpu  4  8",
        "",
        "beside the spec:",
        "                 A  B",
        "  images a step  4  8",
        "",
        "score, %            A        B        B - A",
        "accuracy            50.00    75.00    +25.00",
        "precision a         50.00    75.00    +25.00",
        "precision b         100.00   100.00   +0.00",
        "time of the epochs  0:00:10  0:00:10  x 1.00",
    ]


def test_a_default_that_is_written_is_no_difference(make, said, tmp_path):
    first, second = make("first"), make("second")
    manifest = json.loads((second / "manifest.json").read_text())
    manifest["run"]["spec"] = SPEC.format(batch=4, rate=0.01, start='pretrained_model_path: "w/resnet.safetensors"')
    (second / "manifest.json").write_text(json.dumps(manifest))

    found = json.loads("\n".join(said("compare", first, second, "--json")))

    assert (found["spec"], found["facts"]) == ([], [])


def test_one_run_cannot_be_compared(make, capsys):
    assert main(["experiment", "compare", str(make("first"))]) == 1

    assert capsys.readouterr().err == "error: compare needs 2 to 26 runs; found 1: name the folder of each\n"


@pytest.fixture
def life(make: Make, tmp_path: Path) -> Path:
    """A run, pruned, retrained, exported, built: the notes that the stages leave."""
    pruned = {"file": "../pruned.tlt", "weights_sha256": SMALL, "parent_weights": WEIGHTS, "parameters": 1_500_000}
    make("first", weights_sha256=WEIGHTS, parameters=2_000_000, pruned={"pruned.tlt": pruned})
    export = {"file": "../model.etlt", "sha256": "7" * 64, "onnx_sha256": ONNX, "precision": "fp16"}
    make(
        "again",
        parent=SMALL,
        weights_sha256=AGAIN,
        score=0.75,
        exports={"model.etlt": {**export, "parent_weights": AGAIN}},
    )
    for name in ("pruned.tlt", "model.etlt", "model.engine"):
        (tmp_path / name).write_bytes(name.encode())
    engine = {"onnx_sha256": ONNX, "engine_sha256": "8" * 64, "backend": "openvino", "backend_version": "2026.1",
              "precision": "fp16"}  # fmt: skip
    (tmp_path / "model.engine.json").write_text(json.dumps(engine))
    (tmp_path / "labels.json").write_text("[1, 2]")
    return tmp_path


def test_the_lineage_goes_from_the_data_to_the_engine(life, said):
    assert said("lineage", life) == [
        "data data/train  11111111",
        "└─ run first  33333333, finished, accuracy 50.00 %, 2.00 M parameters, from resnet.safetensors 22222222",
        "   └─ pruned pruned.tlt  44444444, 1.50 M parameters",
        "      └─ run again  55555555, finished, accuracy 75.00 %, on data 11111111",
        "         └─ export model.etlt  77777777, fp16",
        "            └─ engine model.engine  88888888, openvino, 2026.1, fp16",
    ]


def test_the_lineage_of_one_file_leaves_out_what_does_not_belong_to_it_and_tells_a_file_that_is_gone(life, said, make):
    make("stranger")
    (life / "pruned.tlt").unlink()

    lines = said("lineage", life / "model.engine", "--root", life)

    assert [line.strip(" └─").split("  ")[0] for line in lines] == [
        *("data data/train", "run first", "pruned pruned.tlt", "run again", "export model.etlt", "engine model.engine")
    ]
    assert lines[2].endswith("1.50 M parameters, the file is gone")


def test_a_file_of_no_run_is_told(life, capsys):
    assert main(["experiment", "lineage", str(life / "labels.json"), "--root", str(life)]) == 1

    assert capsys.readouterr().err == (
        f"error: {life}/labels.json: no run below {life} made this; name the folder of its runs with --root\n"
    )


def test_a_run_that_started_from_the_best_model_of_another_is_joined_by_the_path_in_its_spec(make, said, tmp_path):
    make("first", weights_sha256=WEIGHTS)
    make(
        "again",
        parent="9" * 64,
        start='pretrained_model_path: "first/weights/resnet.best.tlt"',
        started_in=str(tmp_path),
    )

    assert [line.split("  ")[0] for line in said("lineage", tmp_path)[1:]] == ["└─ run first", ""]
    assert "run again" in said("lineage", tmp_path)[2]


def test_manifests_that_make_each_other_are_not_followed_for_ever(make, said, tmp_path):
    make("one", weights_sha256="a" * 64, parent="b" * 64)
    make("two", weights_sha256="b" * 64, parent="a" * 64)

    assert [line.partition("  ")[0].strip() for line in said("lineage", tmp_path)] == [
        "data data/train",
        "└─ run one",
        "",
    ]


@pytest.mark.parametrize(("name", "start"), [("l.png", b"\x89PNG"), ("l.svg", b"<?xml")])
def test_the_lineage_is_drawn(life, said, tmp_path, name, start):
    said("lineage", life, "-o", tmp_path / name)

    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.fixture
def litter(make: Make, tmp_path: Path) -> Path:
    """A finished run with a checkpoint, a failed one with a file of the user's, a stopped one, a partial file."""
    for name, status in (("done", "SUCCESS"), ("broken", "FAILURE"), ("halted", "RUNNING")):
        folder = make(name, status=status)
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "step-000000002.ckpt").write_bytes(bytes(1_000_000))
    (tmp_path / "broken" / "notes.txt").write_text("mine")
    (tmp_path / ".model.etlt.1234.0123abcd.partial").write_bytes(bytes(2_000_000))
    return tmp_path


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".lock"}


def test_what_can_be_deleted_is_listed_and_stays(litter, said):
    before = files(litter)

    lines = said("gc", litter)

    assert [line.split("  ", 1)[1].strip() for line in lines[1:4]] == [
        f"1 file   checkpoints of a finished run                                                      {litter}/done",
        f"5 files  failed run without a model (it has checkpoints: the same command goes on with it)  {litter}/broken",
        f"1 file   left by a process that was killed                                                  {litter}",
    ]
    assert lines[4:] == [
        "4.0 MB in all",
        "without its checkpoints a finished run cannot be extended: the same command trains it anew",
        "nothing was deleted; --yes deletes these files",
    ]
    assert files(litter) == before


def test_only_what_was_listed_is_deleted_and_a_users_own_file_stays(litter, said):
    before = files(litter)

    said("gc", litter, "--yes")
    said("gc", litter / "broken", "--yes")

    assert before - files(litter) == {
        ".model.etlt.1234.0123abcd.partial",
        "done/checkpoints/step-000000002.ckpt",
        *(f"broken/{name}" for name in ("manifest.json", "status.json", "metrics.jsonl", "experiment_spec.txt")),
        "broken/checkpoints/step-000000002.ckpt",
    }
    assert (litter / "broken" / "notes.txt").read_text() == "mine"
    assert said("gc", litter) == [f"{litter}: nothing to delete"]


def test_a_failed_run_that_could_go_on_is_deleted_only_where_it_is_named(litter, said, capsys):
    before = files(litter)

    assert main(["experiment", "gc", str(litter), "--yes"]) == 0

    assert {name for name in before - files(litter) if name.startswith("broken/")} == set()
    assert capsys.readouterr().err.splitlines() == [
        "deleted: 3.0 MB",
        f"kept: {litter}/broken, because the same command goes on with it; to delete it, name it: "
        f"taolite experiment gc {litter}/broken --yes",
    ]


def test_a_partial_file_that_is_being_written_is_not_listed(tmp_path, said):
    with open_atomic(tmp_path / "model.etlt") as stream:
        stream.write(b"x")
        assert said("gc", tmp_path) == [f"{tmp_path}: nothing to delete"]


@pytest.mark.slow
def test_a_thousand_runs_are_listed_in_two_seconds(make, tmp_path):
    first = make("0000")
    text = (first / "manifest.json").read_text()
    for number in range(1, 1000):
        folder = tmp_path / f"{number:04d}"
        folder.mkdir()
        (folder / "manifest.json").write_text(text.replace("batch_size_per_gpu: 4", f"batch_size_per_gpu: {number}"))
        for name in ("status.json", "metrics.jsonl"):
            (folder / name).write_bytes((first / name).read_bytes())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = subprocess.run(
        [sys.executable, "-m", "taolite", "experiment", "list", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert len(done.stdout.splitlines()) == 1001
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2  # seconds of one core


def test_names_from_outside_do_not_steer_the_terminal(make, said, tmp_path):
    folder = make("e\x1b[2Jvil", weights_sha256=WEIGHTS)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {
        "metrics": {"accuracy": 0.5, "precision": {"\x1b[31m": 0.5}},
        "exports": {"\x1b]0;x\x07": {"file": "a"}},
    }
    manifest["run"]["classes"] = [3]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    lines = [
        *said("list", tmp_path),
        *said("lineage", tmp_path),
        *said("compare", folder, folder),
        *said("show", folder),
    ]

    assert "\x1b" not in "\n".join(lines)
