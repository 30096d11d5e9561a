"""What `dataset_convert` promises of large sets: the same files from any number of processes and after any kill, and
memory that does not grow."""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taolite import spec as specs
from taolite.errors import StoppedError
from taolite.events import Event
from taolite.stages.convert import sorted_names
from taolite.stages.convert.dataset_convert import dataset_convert

from .test_dataset_convert import DOG, kitti_spec, many, notices, written


def test_any_number_of_processes_writes_the_same_files_and_says_the_same(tmp_path: Path):
    spec = kitti_spec(many(tmp_path / "data", 2300), val_split="20", num_shards="3")
    heard: dict[int, list[str]] = {}
    for workers in (1, 3):
        events: list[Event] = []
        dataset_convert(spec, tmp_path / f"out{workers}" / "kitti", listener=events.append, workers=workers)
        heard[workers] = notices(events)

    assert written(tmp_path / "out3") == written(tmp_path / "out1")
    assert heard[3] == heard[1]
    assert len(written(tmp_path / "out3")) == 6


KILLED = """
import os, signal, sys
from pathlib import Path
from taolite import spec as specs
from taolite.events import Notice
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.tasks.detectnet.spec import DatasetExportSpec

def listen(event):
    if isinstance(event, Notice) and event.text == "Writing partition 1, shard 1":
        os.kill(os.getpid(), signal.SIGKILL)

dataset_convert(specs.loads(sys.argv[1], DatasetExportSpec), Path(sys.argv[2]), listener=listen, workers=2)
"""


def test_a_killed_conversion_goes_on_behind_its_whole_files(tmp_path: Path):
    root = many(tmp_path / "data", 2300)
    spec = kitti_spec(root, val_split="20", num_shards="3")
    dataset_convert(spec, tmp_path / "whole" / "kitti")

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, specs.dumps(spec), str(tmp_path / "out" / "kitti")], check=False
    )
    staged = tmp_path / "out" / ".kitti.converting"
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "out").iterdir()] == [staged.name]
    kept = sorted(path for path in staged.iterdir() if path.suffix != ".json")
    assert len(kept) == 4  # three of fold 0, one of fold 1
    nodes = [path.stat().st_ino for path in kept]
    kept[1].write_bytes(kept[1].read_bytes()[:-1])  # as a broken disk might leave it
    report = dataset_convert(spec, tmp_path / "out" / "kitti", workers=2)

    assert written(tmp_path / "out") == written(tmp_path / "whole")
    after = [path.stat().st_ino for path in report.files[:4]]
    assert [one == other for one, other in zip(after, nodes, strict=True)] == [True, False, True, True]
    assert report.objects == dataset_convert(spec, tmp_path / "again" / "kitti").objects


def test_a_file_whose_labels_changed_since_is_made_anew(tmp_path: Path):
    root = many(tmp_path / "data", 2300)
    spec = kitti_spec(root, val_split="0", num_shards="4")
    subprocess.run([sys.executable, "-c", KILLED, specs.dumps(spec), str(tmp_path / "out" / "kitti")], check=False)
    assert len(list((tmp_path / "out" / ".kitti.converting").iterdir())) == 2  # a file and its receipt
    (root / "7.txt").write_text(DOG)
    dataset_convert(spec, tmp_path / "out" / "kitti")
    dataset_convert(spec, tmp_path / "whole" / "kitti")

    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_a_process_that_is_ended_from_outside_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from taolite.stages.convert import dataset_convert as room

    spec = kitti_spec(many(tmp_path / "data", 2300), val_split="20")
    monkeypatch.setattr(room, "_convert", end_at_once)

    with pytest.raises(StoppedError, match="ended from outside"):
        dataset_convert(spec, tmp_path / "out" / "kitti", workers=2)


def end_at_once(frames: object, pictures: bool) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


KILLED_AT = """
import multiprocessing, os, signal, sys
from pathlib import Path
from taolite import spec as specs
from taolite.events import Progress
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.tasks.detectnet.spec import DatasetExportSpec

text, out, who, point = sys.argv[1:]
replace, placed = Path.replace, 0

def kill(pid):
    os.kill(pid, signal.SIGKILL)

def listen(event):
    if isinstance(event, Progress) and event.done >= int(point):
        if who == "parent":
            kill(os.getpid())
        for child in multiprocessing.active_children() if who == "child" else ():
            kill(child.pid)

def replace_some(path, target):
    global placed
    placed += target.parent == Path(out).parent
    if who == "placing" and placed > int(point):
        kill(os.getpid())
    return replace(path, target)

Path.replace = replace_some
dataset_convert(specs.loads(text, DatasetExportSpec), Path(out), listener=listen, workers=2)
"""


def killed(spec_text: str, prefix: Path, who: str, point: int) -> bool:
    """Whether a conversion came to its end although a process of it was killed with SIGKILL: the `parent` or a `child`
    behind `point` images, or the parent while it is `placing` file `point`."""
    command = [sys.executable, "-c", KILLED_AT, spec_text, str(prefix), who, str(point)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 or (done.returncode, "StoppedError" in done.stderr) == (
        (1, True) if who == "child" else (-signal.SIGKILL, False)
    ), done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(("who", "point"), [("parent", 1300), ("child", 700), ("placing", 2)])
def test_a_conversion_killed_in_mid_file_ends_with_the_same_bytes(tmp_path: Path, who: str, point: int):
    spec = kitti_spec(many(tmp_path / "data", 2300), val_split="20", num_shards="2")
    dataset_convert(spec, tmp_path / "whole" / "kitti")

    assert not killed(specs.dumps(spec), tmp_path / "out" / "kitti", who, point)
    dataset_convert(spec, tmp_path / "out" / "kitti", workers=2)

    assert written(tmp_path / "out") == written(tmp_path / "whole")


@pytest.mark.slow
def test_a_conversion_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path):
    spec = kitti_spec(many(tmp_path / "data", 6000), val_split="20", num_shards="4")
    dataset_convert(spec, tmp_path / "whole" / "kitti")
    rng = random.Random(6)
    points = [(rng.choice(["parent", "child"]), rng.randrange(6000)) for _ in range(20)]

    for who, point in sorted(points, key=lambda one: one[1]):
        killed(specs.dumps(spec), tmp_path / "out" / "kitti", who, point)
    for at in (0, 3, 7):
        killed(specs.dumps(spec), tmp_path / "out" / "kitti", "placing", at)
    dataset_convert(spec, tmp_path / "out" / "kitti", workers=2)

    assert written(tmp_path / "out") == written(tmp_path / "whole")


def test_no_object_is_held_of_an_image_that_was_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sorted_names, "_RUN", 500)  # sorted at once, in the small set as in the large
    gc.collect()
    gc.freeze()  # what others hold

    def most_blocks(count: int) -> int:
        spec = kitti_spec(many(tmp_path / f"data{count}", count), val_split="20", num_shards="1")
        found = [sys.getallocatedblocks()]

        def look(event: Event) -> None:
            gc.collect()  # also of tuples that the interpreter keeps for later, up to 2000 of each length
            found.append(sys.getallocatedblocks())

        dataset_convert(spec, tmp_path / f"out{count}" / "kitti", workers=1, listener=look)
        return max(found) - found[0]

    most_blocks(600)  # what is loaded once
    small, large = most_blocks(750), most_blocks(2250)
    gc.unfreeze()

    assert large - small < 150  # a tenth of an object for each image more


RESIDENT = """
import json, resource, sys
from pathlib import Path
from taolite import spec as specs
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.tasks.detectnet.spec import DatasetExportSpec

report = dataset_convert(specs.loads(sys.argv[1], DatasetExportSpec), Path(sys.argv[2]), workers=2)
own = dict(line.split(":", 1) for line in open("/proc/self/status"))["VmHWM"]  # ru_maxrss would be pytest's
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([sum(report.images), int(own.split()[0]), child]))
"""


@pytest.mark.slow
def test_memory_is_flat_from_twenty_thousand_to_a_hundred_thousand_images(tmp_path: Path):
    found = []
    for count in (20_000, 100_000):
        spec = kitti_spec(many(tmp_path / f"data{count}", count), val_split="10", num_shards="2")
        command = [sys.executable, "-c", RESIDENT, specs.dumps(spec), str(tmp_path / f"out{count}" / "kitti")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))

    (small, *before), (large, *after) = found
    print(f"\nresident at most, parent and a child: {before} kB with {small} images, {after} kB with {large}")
    assert (small, large) == (20_000, 100_000)
    assert all(now <= 1.05 * then for now, then in zip(after, before, strict=True))
