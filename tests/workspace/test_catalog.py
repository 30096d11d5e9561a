"""Runs are found by their own files, and are read while they run without being disturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime

import pytest

from taolite.errors import PathError
from taolite.workspace import RunFolder, RunIdentity
from taolite.workspace.catalog import find_runs, read_run
from taolite.workspace.status import StatusFile

RUN = RunIdentity(task="detectnet", spec="training_config {\n  num_epochs: 10\n}\n", classes=("cat",))


def make(root, *, clock=lambda: datetime(2026, 12, 1, 9, 30, 5)):
    with RunFolder.open(root, RUN) as folder:
        folder.status = StatusFile(root / "status.json", clock=clock)
        folder.status.write("Starting DetectNet_v2 Training job", status="STARTED")
        folder.metrics.write(1, {"loss": 0.5})
        folder.status.write("Training loop in progress", epoch=1, max_epoch=10)
        folder.metrics.write(1, {"mAP": 0.25, "validation_cost": 0.1})
    return folder


def test_a_run_that_was_killed_is_stopped_and_has_its_newest_score(tmp_path):
    make(tmp_path / "a")

    run = read_run(tmp_path / "a")

    assert (run.state, run.task, run.metric, run.score) == ("stopped", "detectnet", "mAP", 0.25)
    assert run.epoch == (1, 10)
    assert run.started == run.updated == datetime(2026, 12, 1, 9, 30, 5)
    assert run.spec == RUN.spec
    assert run.scorecard is None


def test_a_finished_run_has_the_score_of_its_final_validation(tmp_path):
    folder = make(tmp_path / "a")
    folder.record(metrics={"mAP": 0.75, "AP": {"cat": 0.75}}, metric="mAP", name="m")
    folder.status.write("DetectNet_v2 training job complete.", status="SUCCESS")
    (folder.root / "scores.json").write_text(json.dumps({"card": {"images": 3}}))

    run = read_run(folder.root)

    assert (run.state, run.score) == ("finished", 0.75)
    assert run.weights == folder.root / "weights" / "m.tlt"
    assert run.scorecard == {"card": {"images": 3}}


def test_a_run_whose_last_line_says_so_failed(tmp_path):
    make(tmp_path).status.write("no space", status="FAILURE")

    assert read_run(tmp_path).state == "failed"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a lock without taking it")
def test_a_run_that_was_told_to_stop_has_not_failed(tmp_path):
    make(tmp_path).status.write("after epoch 1; saved", status="FAILURE", stopped=True)

    assert read_run(tmp_path).state == "stopped"


def test_a_run_of_this_or_of_another_process_is_running_and_keeps_its_lock(tmp_path):
    make(tmp_path / "ours")
    make(tmp_path / "theirs")
    hold = (
        "import sys; from pathlib import Path; from taolite.workspace import RunFolder, RunIdentity\n"
        "with RunFolder.open(Path(sys.argv[1]), RunIdentity('detectnet', sys.argv[2], ('cat',))):\n"
        "    print('open', flush=True); sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", hold, str(tmp_path / "theirs"), RUN.spec]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        assert read_run(tmp_path / "theirs").state == "running"
        other.stdin.close()
    assert read_run(tmp_path / "theirs").state == "stopped"

    with RunFolder.open(tmp_path / "ours", RUN):
        assert read_run(tmp_path / "ours").state == "running"
        again = subprocess.run([*words[:3], str(tmp_path / "ours"), RUN.spec], input="", capture_output=True, text=True)
        assert "another process" in again.stderr  # reading did not release the lock
    assert read_run(tmp_path / "ours").state == "stopped"


def test_runs_are_found_below_a_folder_oldest_first_and_not_inside_each_other(tmp_path):
    make(tmp_path / "b" / "late", clock=lambda: datetime(2026, 12, 2))
    make(tmp_path / "z_early", clock=lambda: datetime(2026, 12, 1))
    make(tmp_path / "z_early" / "plots" / "inner")
    make(tmp_path / ".hidden")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text('{"pictures": []}')
    (tmp_path / "link").symlink_to(tmp_path / "b", target_is_directory=True)

    assert [run.folder.name for run in find_runs(tmp_path)] == ["z_early", "late"]
    assert [run.folder for run in find_runs(tmp_path / "z_early")] == [tmp_path / "z_early"]


def test_a_folder_without_a_run_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(PathError) as caught:
        read_run(tmp_path)
    expected = "this folder holds no run (it has no manifest.json); name the results of a training"
    assert str(caught.value) == f"{tmp_path}: {expected}"
    with pytest.raises(PathError) as caught:
        find_runs(tmp_path / "gone")
    assert str(caught.value) == f"{tmp_path / 'gone'}: there is no such folder; name a folder that holds runs"


def test_a_run_whose_manifest_is_damaged_is_told_and_the_others_are_found(tmp_path):
    make(tmp_path / "whole")
    make(tmp_path / "torn")
    (tmp_path / "torn" / "manifest.json").write_text('{"run": {')
    told = []

    assert [run.folder.name for run in find_runs(tmp_path, damaged=told.append)] == ["whole"]
    assert [str(error).partition(":")[0] for error in told] == [f"{tmp_path}/torn/manifest.json"]
    with pytest.raises(PathError):
        find_runs(tmp_path)
