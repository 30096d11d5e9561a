"""The runs below a folder stay in memory until a file changes; broken, slow and linked ones hold up no other."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from taolite.errors import PathError
from taolite.web import shelf as shelves
from taolite.web.shelf import Shelf
from taolite.workspace.run import RunFolder, RunIdentity

from .workspaces import make_run


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch):
    """look(root): the runs by name, as a page has them that asks anew; the same shelf for the same root."""
    monkeypatch.setattr(shelves, "_FRESH_S", 0.0)
    known: dict[Path, Shelf] = {}

    def entries(root: Path):
        shelf = known.setdefault(root, Shelf(root))
        return {one.name: one for one in shelf.entries()[0]}

    yield entries
    for shelf in known.values():
        shelf.close()


def test_runs_are_found_at_any_depth_but_not_in_dot_folders_links_and_other_runs(tmp_path: Path, look):
    root, outside = tmp_path / "runs", tmp_path / "outside"
    for name in ("a", "b/c/d", ".trash/e", "a/inner"):
        make_run(root / name)
    make_run(outside / "f")
    (root / "linked").symlink_to(outside)

    assert list(look(root)) == ["a", "b/c/d"]


def test_runs_below_a_manifest_that_is_none_of_a_run_are_found(tmp_path: Path, look):
    make_run(tmp_path / "set" / "part" / "run")
    for name in ("set", "set/part"):
        (tmp_path / name / "manifest.json").write_text('{"name": "data"}')

    assert list(look(tmp_path)) == ["set/part/run"]
    assert list(look(tmp_path)) == ["set/part/run"]


def test_the_root_may_be_a_run_itself(tmp_path: Path, look):
    make_run(tmp_path / "mine")

    assert list(look(tmp_path / "mine")) == ["mine"]


def test_a_line_has_what_the_files_say(tmp_path: Path, look):
    make_run(tmp_path / "a", scores=(0.25, 0.5), epochs=10, end="")

    row = look(tmp_path)["a"].row

    assert (row.state, row.task, row.metric, row.score) == ("stopped", "detectnet", "mAP", 0.5)
    assert (row.epoch, row.epochs, row.ends, row.trained_s) == (2, 10, None, 121.0)
    assert row.started is not None
    assert row.updated == row.started + 120


def test_a_run_is_read_again_when_a_file_changes_or_its_lock_comes_and_goes(tmp_path: Path, look, monkeypatch):
    make_run(tmp_path / "a", scores=(0.25,), epochs=10, end="")
    make_run(tmp_path / "b")
    reads: list[str] = []
    read = shelves.read_run
    monkeypatch.setattr(shelves, "read_run", lambda folder: reads.append(folder.name) or read(folder))

    assert look(tmp_path)["a"].row.score == 0.25
    look(tmp_path)
    assert sorted(reads) == ["a", "b"]
    identity = json.loads((tmp_path / "a" / "manifest.json").read_text())["run"]
    del identity["spec_hash"]
    with RunFolder.open(tmp_path / "a", RunIdentity(**{**identity, "classes": tuple(identity["classes"])})) as run:
        row = look(tmp_path)["a"].row
        assert (row.state, row.ends) == ("running", (row.updated or 0) + 540)
        run.status.write("Evaluation metrics generated.")
        assert look(tmp_path)["a"].row.ends == row.ends
        run.status.write("Starting again", status="STARTED")
        assert look(tmp_path)["a"].row.ends is None
        run.metrics.write(2, {"mAP": 0.5, "validation_cost": 0.1})
        assert look(tmp_path)["a"].row.score == 0.5
    assert look(tmp_path)["a"].row.state == "stopped"
    assert reads.count("b") == 1


def test_a_run_that_is_gone_is_gone_from_the_list(tmp_path: Path, look):
    folder = make_run(tmp_path / "a")
    assert list(look(tmp_path)) == ["a"]

    folder.rename(tmp_path / ".a")

    assert look(tmp_path) == {}


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("manifest.json", "{", "not a manifest (Expecting property name enclosed in double quotes: line 1 column 2"),
        ("manifest.json", "[" * 5000, "not a manifest ("),
        ("status.json", '{"max_epoch": 3, "epoch": "x"}\n', "this run cannot be read (invalid literal for int()"),
        ("metrics.jsonl", '{"epoch": 1, "mAP": 1' + "0" * 400 + "}\n", "this run cannot be read (int too large"),
    ],
)
def test_a_damaged_run_is_a_line_with_its_message_among_the_others(tmp_path: Path, look, file, text, reason):
    make_run(tmp_path / "good")
    broken = make_run(tmp_path / "broken", end="")
    (broken / file).write_text(text)

    found = look(tmp_path)

    assert (found["good"].row.score, found["broken"].row.state) == (0.75, "unreadable")
    assert f": {reason}" in found["broken"].error
    assert found["broken"].row.message == found["broken"].error
    with pytest.raises(PathError):
        Shelf(tmp_path).entry(found["broken"].id)


def test_a_file_of_a_run_that_is_a_link_out_of_the_root_is_not_followed(tmp_path: Path, look):
    folder, secret = make_run(tmp_path / "runs" / "a"), tmp_path / "secret"
    secret.write_text('{"epoch": 1, "mAP": 0.99}\n')
    (folder / "metrics.jsonl").unlink()
    (folder / "metrics.jsonl").symlink_to(secret)

    row = look(tmp_path / "runs")["a"].row

    said = "this is a link out of the folder of the board; it is not followed"
    assert (row.state, row.message) == ("unreadable", f"{folder / 'metrics.jsonl'}: {said}")


def test_a_folder_that_hangs_is_a_line_with_a_message_until_it_answers(tmp_path: Path, look, monkeypatch):
    for name in ("fast", "slow"):
        make_run(tmp_path / name)
    answers, read = threading.Event(), shelves.read_run

    def slowly(folder: Path):
        if folder.name == "slow":
            answers.wait(60)
        return read(folder)

    monkeypatch.setattr(shelves, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(shelves, "read_run", slowly)

    found = look(tmp_path)
    said = "it is still being read; its disk may be slow"
    assert (found["slow"].row.state, found["slow"].row.message) == ("waiting", said)
    answers.set()
    until = time.monotonic() + 30
    while look(tmp_path)["slow"].row.score is None and time.monotonic() < until:
        time.sleep(0.05)
    found = look(tmp_path)
    assert (found["fast"].row.score, found["slow"].row.score) == (0.75, 0.75)


def test_a_folder_that_is_missing_is_told(tmp_path: Path):
    with pytest.raises(PathError) as caught:
        Shelf(tmp_path / "none")

    assert str(caught.value) == f"{tmp_path / 'none'}: there is no such folder; name a folder that holds runs"


@pytest.mark.bench
def test_a_thousand_runs_are_listed_within_two_seconds(tmp_path: Path):
    first = make_run(tmp_path / "0", scores=tuple(0.5 + i / 200 for i in range(60)))
    for number in range(1, 1000):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name in ("manifest.json", "status.json", "metrics.jsonl", "scores.json"):
            (folder / name).write_bytes((first / name).read_bytes())
    shelf = Shelf(tmp_path)

    times, work = [], []
    for _ in range(2):
        began, worked = time.perf_counter(), time.process_time()
        entries, complete = shelf.entries()
        while not complete or any(one.row.score is None for one in entries):
            entries, complete = shelf.entries()
        times.append(time.perf_counter() - began)
        work.append(time.process_time() - worked)
        time.sleep(shelves._FRESH_S)

    seconds = ", ".join(f"{one:.2f} s ({cpu:.2f} s of a processor)" for one, cpu in zip(times, work, strict=True))
    print(f"first and again: {seconds}; load {os.getloadavg()[0]:.1f}")
    assert len(entries) == 1000
    assert times[0] < 2
    assert times[1] < 0.5
