"""What a run keeps to go on from: everything, often enough, and safe from torn files, full disks and clocks."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts.bundle import read_bundle, read_checkpoint, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.words import Line, lines
from taolite.errors import StorageError, TrainingError
from taolite.events import EpochDone, Event, Validated, silent
from taolite.scorecard import Point
from taolite.stages.bundles import bundle_of
from taolite.stages.training.run import Pauses
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.registry import find

from .conftest import OWN, write_spec

KEY = Key("tlt_encode")
EPOCHS = 3
STEPS = 3  # an epoch: 12 pictures in batches of 4


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def spec(tiny: Path) -> Path:
    return write_spec(tiny, "checkpoints.txt", epochs=EPOCHS)


@pytest.fixture(scope="module")
def whole(spec: Path, tiny: Path) -> tuple[str, list[dict[str, object]]]:
    """Weights and metrics of a run that nothing happens to."""
    return run(spec, tiny / "never_stopped"), losses(tiny / "never_stopped")


def run(
    spec: Path, results: Path, *, hear: Callable[[Event], None] = silent, minutes: float = 10.0, **options: object
) -> str:
    """Train in this process; the hash of the final weights."""
    settings = TrainOptions(precision="fp32", workers=1, checkpoint_minutes=minutes, **options)  # type: ignore[arg-type]
    experiment = find("detectnet").read(spec).model
    report = train(experiment, results, name="m", key=KEY, options=settings, listener=hear)
    return weights_hash(read_bundle(report.weights, key=KEY).tensors)


def losses(results: Path) -> list[dict[str, object]]:
    """The rows of metrics.jsonl, without what depends on the clock."""
    timed = {"images_per_s", "data_wait", "seconds"}
    rows = map(json.loads, (results / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


def names(results: Path) -> list[str]:
    return sorted(path.name for path in (results / "checkpoints").iterdir())


class CrashError(Exception):
    """Ends a run from its listener, as a crash does: nothing more is saved."""


def crash_in_epoch(epoch: int) -> Callable[[Event], None]:
    def hear(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == epoch:
            raise CrashError

    return hear


def crashed(spec: Path, results: Path, *, minutes: float = 0.0) -> Path:
    """A run that went down at the end of epoch 2, with a checkpoint of steps 4 and 5."""
    with pytest.raises(CrashError):
        run(spec, results, minutes=minutes, hear=crash_in_epoch(2))
    return results


def test_a_run_that_saves_after_every_step_is_the_same_run_and_keeps_the_last_n(spec: Path, tiny: Path, whole):
    assert run(spec, tiny / "often", minutes=0.0, checkpoints_kept=3) == whole[0]

    assert losses(tiny / "often") == whole[1]
    assert names(tiny / "often") == [f"step-{step:09d}.ckpt" for step in (7, 8, 9)]


def test_a_run_that_crashed_goes_on_in_the_middle_of_its_epoch_with_the_epoch_s_sums(spec: Path, tiny: Path, whole):
    results, said = crashed(spec, tiny / "crashed"), list[Line]()
    assert names(results) == ["step-000000004.ckpt", "step-000000005.ckpt"]

    weights = run(spec, results, hear=lambda event: said.extend(lines(event)))

    assert weights == whole[0]
    assert losses(results) == whole[1]
    newest = results / "checkpoints" / "step-000000005.ckpt"
    text = f"{newest}: this folder holds this run already; going on after epoch 1 of 3, step 2 of the next"
    assert text in [line.text for line in said]


def test_a_run_with_taolites_own_block_goes_on_to_the_same_bits_and_saves_the_average_of_its_weights(tiny: Path):
    spec = write_spec(tiny, "own.txt", epochs=EPOCHS, more=OWN)
    never_stopped = run(spec, tiny / "own_never_stopped")
    results = crashed(spec, tiny / "own_crashed")

    assert run(spec, results) == never_stopped
    assert losses(results) == losses(tiny / "own_never_stopped")
    newest = max((results / "checkpoints").iterdir())
    saved = read_checkpoint(newest, key=KEY).tensors
    tensors = read_bundle(results / "weights" / "m.tlt", key=KEY).tensors
    for name, value in tensors.items():
        assert np.array_equal(value, saved[f"average.{name}"]), name
    assert not np.array_equal(tensors["output_cov.weight"], saved["network.output_cov.weight"])


def test_a_class_that_is_not_found_has_the_mean_of_the_others_best_thresholds(tiny: Path):
    experiment = replace(find("detectnet").read(write_spec(tiny, "b.txt")).model, classes=("plate", "cup", "pen"))
    best = {"plate": Point(0.2, 1, 1, 1), "pen": Point(0.4, 1, 1, 1)}

    network = experiment.start(key=None).network

    made = bundle_of(experiment, network, lineage=(), best=best).decoding["best_threshold"]
    assert made == pytest.approx({"plate": 0.2, "cup": 0.3, "pen": 0.4})
    assert "best_threshold" not in bundle_of(experiment, network, lineage=()).decoding


def test_without_minutes_passing_a_checkpoint_is_written_every_epoch_only(spec: Path, tiny: Path):
    assert names(crashed(spec, tiny / "seldom", minutes=10.0)) == ["step-000000003.ckpt"]


@pytest.mark.parametrize("harm", ["cut", "changed", "empty"])
def test_a_torn_checkpoint_is_put_aside_and_the_one_before_it_used(spec: Path, tiny: Path, whole, harm: str):
    results, said = crashed(spec, tiny / f"torn_{harm}"), list[Line]()
    newest = results / "checkpoints" / "step-000000005.ckpt"
    data = newest.read_bytes()
    middle = len(data) // 2
    flipped = bytes([data[middle] ^ 0xFF])
    harmed = {"cut": data[:middle], "changed": data[:middle] + flipped + data[middle + 1 :], "empty": b""}[harm]
    assert harmed != data
    newest.write_bytes(harmed)

    weights = run(spec, results, hear=lambda event: said.extend(lines(event)))

    assert weights == whole[0]
    assert losses(results) == whole[1]
    (warning,) = [line.text for line in said if line.warns and "checkpoint before" in line.text]
    assert warning.startswith(str(newest))
    assert any("going on after epoch 1 of 3, step 1 of the next" in line.text for line in said)
    assert names(results) == ["step-000000005.ckpt.damaged", "step-000000006.ckpt", "step-000000009.ckpt"]


def test_a_run_of_which_no_state_is_whole_begins_anew_and_says_so(spec: Path, tiny: Path, whole):
    results, said = crashed(spec, tiny / "all_torn"), list[Line]()
    for path in (results / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-1])

    weights = run(spec, results, hear=lambda event: said.extend(lines(event)))

    assert weights == whole[0]
    assert losses(results) == whole[1]
    assert f"{results}: this run left no state to go on from; it begins anew" in [line.text for line in said]


def test_the_newest_checkpoint_is_the_one_of_the_highest_step_whatever_the_clock_said(spec: Path, tiny: Path, whole):
    results = crashed(spec, tiny / "clock")
    os.utime(results / "checkpoints" / "step-000000005.ckpt", (0, 0))  # 1970
    os.utime(results / "checkpoints" / "step-000000004.ckpt", (4e9, 4e9))  # 2096
    steps: list[int] = []

    assert run(spec, results, hear=lambda event: steps.append(event.step) if isinstance(event, Validated) else None)

    assert names(results)[-1] == "step-000000009.ckpt"
    assert losses(results) == whole[1]


def test_a_pause_is_due_every_so_many_seconds_and_once_told_to_stop():
    now = [100.0]
    pauses = Pauses(60.0, threading.Event(), clock=lambda: now[0])
    assert not pauses.due()

    now[0] += 60
    assert pauses.due()
    pauses.saved()
    assert not pauses.due()
    pauses.stop.set()
    assert pauses.due()


def test_resume_wants_a_run_to_go_on_with(spec: Path, tiny: Path, whole):
    with pytest.raises(TrainingError) as caught:
        run(spec, tiny / "nothing_here", resume=True)
    assert str(caught.value) == (
        f"--resume: {tiny}/nothing_here holds no run to go on with; leave it out to begin one there"
    )
    assert not (tiny / "nothing_here").exists()

    assert run(spec, crashed(spec, tiny / "resumed"), resume=True) == whole[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 MB of its own; the test is skipped where none can be mounted."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300m", "none", str(mount)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_disk_that_fills_up_costs_nothing_that_was_saved(spec: Path, small_disk: Path, whole):
    results, ballast = small_disk / "run", small_disk / "ballast"

    def fill(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            room = os.statvfs(small_disk)
            ballast.write_bytes(bytes(room.f_bavail * room.f_frsize))

    with pytest.raises(StorageError, match=r"the disk is full|No space left on device"):
        run(spec, results, hear=fill)
    assert names(results) == ["step-000000003.ckpt"]
    ballast.unlink()

    assert run(spec, results) == whole[0]
    assert losses(results) == whole[1]


def test_a_folder_that_has_become_read_only_is_named_and_left_as_it_is(spec: Path, small_disk: Path, whole):
    results = crashed(spec, small_disk / "run")
    before = {path.name: path.read_bytes() for path in results.rglob("*.ckpt")}
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)

    with pytest.raises(StorageError, match=f"{results}: this disk is mounted read-only"):
        run(spec, results)
    assert {path.name: path.read_bytes() for path in results.rglob("*.ckpt")} == before

    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert run(spec, results) == whole[0]


def test_what_a_process_that_was_killed_between_save_and_delete_left_is_deleted_at_the_next_start(
    spec: Path, tiny: Path, whole
):
    results = tiny / "left"
    assert run(spec, results, minutes=0.0, checkpoints_kept=3) == whole[0]

    assert run(spec, results, checkpoints_kept=2) == whole[0]

    assert names(results) == [f"step-{step:09d}.ckpt" for step in (8, 9)]
