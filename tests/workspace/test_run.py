"""One run a folder, one process a run: the same run resumes, another one is refused with the difference."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys

import pytest

from taolite.errors import PathError, StorageError, TrainingError, UsageError
from taolite.workspace import RunFolder, RunIdentity, content_hash, hardware, versions
from taolite.workspace.manifest import read_manifest

SPEC = "random_seed: 42\ntraining_config {\n  batch_size_per_gpu: 4\n  num_epochs: 10\n}\n"
RUN = RunIdentity(task="detectnet", spec=SPEC, classes=("cat",), data_hash="d" * 64, parent="")


def changed(**parts):
    return RunIdentity(**{**vars(RUN), **parts})


def test_a_fresh_folder_holds_the_spec_and_the_manifest(tmp_path):
    with RunFolder.open(tmp_path / "a" / "run", RUN) as folder:
        folder.record(seeds={"run": 42}, versions=versions(), hardware=hardware())
        folder.status.write("hello", status="STARTED")

    assert not folder.resumed
    assert folder.spec.read_text() == SPEC
    assert folder.weights("resnet18_detector") == tmp_path / "a" / "run" / "weights" / "resnet18_detector.tlt"
    assert folder.weights("m.tlt").name == "m.tlt"
    manifest = read_manifest(folder.manifest)
    assert manifest["run"] == {
        "task": "detectnet",
        "spec": SPEC,
        "spec_hash": RUN.spec_hash,
        "classes": ["cat"],
        "data_hash": "d" * 64,
        "parent": "",
    }
    assert manifest["seeds"] == {"run": 42}
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["hardware"]["cores"] == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "again",
    [
        RUN,
        changed(spec=SPEC.replace("num_epochs: 10", "num_epochs: 20")),
        changed(spec=SPEC.replace("num_epochs: 10", "n_epochs: 20")),
        changed(spec=SPEC.replace("  ", "\t") + "\n"),
        changed(data_hash=""),
    ],
)
def test_the_same_run_resumes_and_keeps_what_was_recorded(tmp_path, again):
    with RunFolder.open(tmp_path, RUN) as first:
        first.record(metrics={"map": 0.9})

    with RunFolder.open(tmp_path, again) as second:
        assert second.resumed
        assert second.spec.read_text() == again.spec
        assert read_manifest(second.manifest)["metrics"] == {"map": 0.9}
        assert read_manifest(second.manifest)["run"]["data_hash"] == "d" * 64


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (
            changed(spec=SPEC.replace("gpu: 4", "gpu: 8")),
            "the spec had `batch_size_per_gpu: 4` and has `batch_size_per_gpu: 8`",
        ),
        (changed(spec=SPEC.replace("random_seed: 42\n", "")), "the spec had `random_seed: 42` and has `nothing`"),
        (changed(classes=("cat", "dog")), "the classes were cat and are cat, dog"),
        (changed(task="ssd"), "the task was detectnet and is ssd"),
        (changed(data_hash="e" * 64), "the data was dddddddddddd and is eeeeeeeeeeee (content hash)"),
        (
            changed(parent="f" * 64, classes=("dog",)),
            "the classes were cat and are dog; it started from nothing, not ffffffffffff",
        ),
    ],
)
def test_another_run_is_refused_and_the_folder_left_as_it_was(tmp_path, other, difference):
    with RunFolder.open(tmp_path, RUN):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(TrainingError) as caught:
        RunFolder.open(tmp_path, other)

    assert str(caught.value) == (
        f"{tmp_path}: this folder holds another run: {difference}. "
        "Choose another folder (-r, --model-dir), or remove this one to start over"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    RunFolder.open(tmp_path, RUN).close()


HOLD = """
import sys
from pathlib import Path
from taolite.workspace import RunFolder, RunIdentity
RunFolder.open(Path(sys.argv[1]), RunIdentity("detectnet", ""))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_kept_out_until_the_first_is_gone_however_it_went(tmp_path):
    identity = RunIdentity("detectnet", "")
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "locked\n"

        with pytest.raises(TrainingError) as caught:
            RunFolder.open(tmp_path, identity)
        holder.kill()

    assert str(caught.value) == (
        f"{tmp_path}: another process (process {holder.pid}) is using this folder; "
        "wait for it to finish, or choose another folder (-r, --model-dir)"
    )
    with RunFolder.open(tmp_path, identity) as folder:
        assert folder.resumed


def test_one_process_cannot_open_a_folder_twice(tmp_path):
    with RunFolder.open(tmp_path, RUN), pytest.raises(TrainingError) as caught:
        RunFolder.open(tmp_path, RUN)

    assert str(caught.value) == f"{tmp_path}: this process already has a run open in this folder; close that run first"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").touch()

    with pytest.raises(PathError) as caught:
        RunFolder.open(tmp_path / "run", RUN)

    assert str(caught.value) == (f"{tmp_path}/run: this is a file; a folder is needed for the results; move it")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            json.dumps({"x": 1}),
            TrainingError,
            ": its manifest.json is not of a run; choose another folder (-r, --model-dir)",
        ),
        (
            "{",
            PathError,
            "/manifest.json: not a manifest (Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)); move this folder away and run again",
        ),
        (
            "[]",
            PathError,
            "/manifest.json: not a manifest (an object is needed); move this folder away and run again",
        ),
    ],
)
def test_a_folder_with_another_manifest_is_left_alone(tmp_path, text, kind, message):
    (tmp_path / "manifest.json").write_text(text)

    with pytest.raises(kind) as caught:
        RunFolder.open(tmp_path, RUN)

    assert str(caught.value) == f"{tmp_path}{message}"
    assert (tmp_path / "manifest.json").read_text() == text


RUNS = {"task": "detectnet", "spec": SPEC, "classes": ["cat"], "data_hash": "", "parent": ""}


@pytest.mark.parametrize(
    "run",
    [None, 3, [], "detectnet", *({**RUNS, name: value} for name in RUNS for value in (5, None, [["cat"]], {"a": 1}))],
)
def test_a_manifest_of_wrong_types_is_not_a_runs(tmp_path, run):
    (tmp_path / "manifest.json").write_text(json.dumps({"run": run}))

    with pytest.raises(TrainingError) as caught:
        RunFolder.open(tmp_path, RUN)

    assert (
        str(caught.value) == f"{tmp_path}: its manifest.json is not of a run; choose another folder (-r, --model-dir)"
    )


@pytest.mark.parametrize("fact", ["4", [4], True, {"a": 4}, 4.5])
def test_a_recorded_fact_of_another_kind_is_named(tmp_path, fact):
    with RunFolder.open(tmp_path, RUN) as folder:
        folder.record(batch_size=4)
        assert folder.recorded("batch_size", int) == 4
        assert folder.recorded("seeds", dict) is None
        folder.record(batch_size=fact)

        with pytest.raises(PathError) as caught:
            folder.recorded("batch_size", int)

    assert str(caught.value) == (
        f"{tmp_path}/manifest.json: not a manifest (batch_size is {fact!r}); move this folder away and run again"
    )


def test_the_next_run_removes_what_a_killed_one_left_half_written(tmp_path):
    for name in (
        ".manifest.json.7.0123abcd.partial",
        "weights/.m.tlt.7.0123abcd.partial",
        "checkpoints/.c.7.0a1b2c3d.partial",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    with RunFolder.open(tmp_path, RUN):
        assert not list(tmp_path.rglob("*.partial"))


def test_the_hash_of_a_data_set_does_not_depend_on_place_or_order(tmp_path):
    files = {}
    for place in ("here", "there"):
        root = tmp_path / place / "set"
        (root / "images").mkdir(parents=True)
        files[place] = [root / "images" / "b.jpg", root / "a.txt"]
        for path in files[place]:
            path.write_text(path.name)

    one = content_hash(files["here"], root=tmp_path / "here" / "set")
    two = content_hash(reversed(files["there"]), root=tmp_path / "there" / "set")
    files["there"][1].write_text("changed")
    three = content_hash(files["there"], root=tmp_path / "there" / "set")

    assert one == two != three


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "/tmp/x"])
def test_a_models_name_that_is_no_file_name_is_refused(tmp_path, name):
    folder = RunFolder(tmp_path, RUN, resumed=False)

    with pytest.raises(UsageError) as caught:
        folder.weights(name)

    assert str(caught.value) == f"-n {name}: a model's name has to be that of a file, without folders"


def test_the_model_of_a_run_folder_is_the_one_its_manifest_names(tmp_path):
    with RunFolder.open(tmp_path / "run", RUN) as folder:
        folder.record(name="detector")
        with pytest.raises(PathError, match="the run in this folder has not finished"):
            RunFolder.model_in(folder.root)
        folder.weights("detector").parent.mkdir(exist_ok=True)
        folder.weights("detector").write_bytes(b"")

        assert RunFolder.model_in(folder.root) == folder.root / "weights" / "detector.tlt"


def test_a_folder_without_a_run_has_no_model(tmp_path):
    with pytest.raises(PathError, match="this folder holds no run"):
        RunFolder.model_in(tmp_path)


def test_a_full_disk_is_told_when_the_folder_is_taken_and_the_folder_is_free_again(tmp_path, monkeypatch):
    def full(handle: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StorageError) as caught:
            RunFolder.open(tmp_path, RUN)

    assert str(caught.value) == (
        f"{tmp_path}: the disk is full; nothing was replaced. Free some space and run it again"
    )
    with RunFolder.open(tmp_path, RUN) as folder:
        assert not folder.resumed


def test_a_name_that_is_no_unicode_is_kept_in_the_manifest(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    with RunFolder.open(tmp_path, RUN) as folder:
        folder.record(weights=name)

    assert read_manifest(folder.manifest)["weights"] == name
