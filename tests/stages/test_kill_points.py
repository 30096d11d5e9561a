"""A life cycle that is killed at every write, or whose disk is full or read-only from that write on.

After each: every file is the old one or the whole new one; an error is one message that names a file; the same command
then succeeds, with the result of a run that nothing happened to, and leaves nothing else behind.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts.bundle import read_bundle, read_checkpoint, weights_hash
from taolite.artifacts.etlt import read_etlt
from taolite.artifacts.keys import Key

from . import classes, conftest

KEY = "tlt_encode"
PARTIAL = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.partial(\.[a-z0-9]+)?")
LOGS = (".lock", "status.json", "metrics.jsonl")  # and TensorBoard's: written line by line
Files = dict[str, bytes]
Answer = dict[str, Any]
Run = Callable[..., Answer]


@dataclass(frozen=True)
class Stage:
    """A command that writes below `place`/out.

    words: the command, which is run in `place`. before: the files that an earlier run left. done: the message of a
    command that refuses to write what is there and whole. spares: how files that are kept for the user are called.
    """

    place: Path
    words: Sequence[object]
    before: Files = field(default_factory=dict)
    done: str = ""
    spares: str = "nothing"

    @property
    def out(self) -> Path:
        return self.place / "out"


def serve(folder: Path, *modules: str) -> Iterator[Run]:
    """run(stage, fault=, at=): see kill_points.py, which runs it."""
    script = Path(__file__).with_name("kill_points.py")
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])}
    environ = {**os.environ, **variables, "XDG_CACHE_HOME": str(folder / "cache")}
    words = [sys.executable, str(script), *modules]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ask, answers = server.stdin, server.stdout

        def run(stage: Stage, *, fault: str = "", at: int | None = None) -> Answer:
            where = {"cwd": stage.place, "root": stage.out, "log": folder / "log"}
            ask.write(json.dumps({"words": [*map(str, stage.words)], **where, "fault": fault, "at": at}, default=str))
            ask.write("\n")
            ask.flush()
            answer: Answer = json.loads(answers.readline())
            return answer

        yield run
        ask.close()


def restore(folder: Path, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def found(folder: Path) -> Files:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_temporary(name: str) -> bool:
    return any(PARTIAL.fullmatch(part) or part.endswith(".converting") for part in Path(name).parts)


def require_whole(path: Path) -> None:
    """Raises where a file is cut off or damaged."""
    if path.name in LOGS or "tfevents" in path.name:
        lines = path.read_text().split("\n") if path.suffix in (".json", ".jsonl") else []
        torn = [line for line in lines[:-1] if not is_json(line)]
        assert len(torn) <= 1, f"{path}: {torn}"
    elif path.suffix == ".tlt":
        read_bundle(path, key=Key(KEY))
    elif path.suffix == ".etlt":
        read_etlt(path, key=Key(KEY))
    elif path.suffix == ".ckpt":
        read_checkpoint(path, key=Key(KEY))
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".png":
        Image.open(io.BytesIO(path.read_bytes())).load()
    elif path.suffix == ".engine":
        pass  # its sidecar has its hash, and `check_engine` compares them at each use
    elif path.suffix == ".csv":
        assert path.read_text().endswith("\n")
    elif path.suffix == ".html":
        assert path.read_text().endswith("</html>\n")
    elif path.suffix == ".mp4":
        import cv2

        assert cv2.VideoCapture(str(path)).read()[0]
    else:
        raise AssertionError(f"{path} is neither the old file nor the new one")


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def weights(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): weights_hash(read_bundle(path, key=Key(KEY)).tensors)
        for path in sorted(folder.rglob("*.tlt"))
    }


def sweep(run: Run, stage: Stage, fault: str, *, points: Callable[[int], Sequence[int]] | None = None) -> Counter[str]:
    """Bring about the fault at every write of a command, or at the `points` of so many; how often it ended how."""
    restore(stage.out, stage.before)
    alone = run(stage)
    assert alone["code"] == 0, alone["said"]
    reference, trained = found(stage.out), weights(stage.out)
    assert not [name for name in reference if is_temporary(name)]
    kinds = [kind for kind, _ in alone["writes"]]
    count, counts = len(kinds), Counter[str]()
    for at in points(count) if points else range(1, count + 1):
        if fault == "torn" and kinds[at - 1] != "append":
            continue
        restore(stage.out, stage.before)
        hit = run(stage, fault=fault, at=at)
        what = f"{fault} at write {at} of {count}, {alone['writes'][at - 1]}"
        counts["points"] += 1
        outcome = ended(hit, stage, fault, what)
        if outcome == "not needed":  # what a full disk refuses did not come any more
            assert fault == "ENOSPC", what
            assert not {"open", "append", "fsync", "os.mkdir"} & set(kinds[at - 1 :]), what
        counts[outcome] += 1
        left = {name: data for name, data in found(stage.out).items() if not is_temporary(name)}
        for name, data in left.items():
            if data not in (reference.get(name), stage.before.get(name)):
                require_whole(stage.out / name)
        assert set(stage.before) <= set(left), what
        again = run(stage)
        if again["code"] == 1 and stage.done and stage.done in again["said"]:
            assert set(left) == set(reference), what
            counts["had been done"] += 1
        else:
            assert again["code"] == 0, f"{what}: {again['said']}"
        after = found(stage.out)
        more = {name for name in set(after) - set(reference) if "tfevents" not in name}
        spares = {name for name in more if re.fullmatch(stage.spares, name)}
        counts["kept videos"] += len(spares)
        assert more == spares, f"{what}: left behind"
        assert set(reference) - set(after) <= {name for name in reference if "tfevents" in name}, what
        assert weights(stage.out) == trained, what
        for name in sorted(set(after) & set(reference)):
            if after[name] != reference[name]:
                require_whole(stage.out / name)
    return +counts


def ended(answer: Answer, stage: Stage, fault: str, what: str) -> str:
    """How a command ended, in a word. Raises AssertionError where it should not end so."""
    code, said = answer["code"], answer["said"]
    assert "Traceback" not in said, f"{what}: {said}"
    if fault in ("kill", "torn"):
        assert code == -signal.SIGKILL, f"{what}: {said}"
        return "killed"
    if code == 0:
        return "not needed"
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (code, len(errors)) == (1, 1), f"{what}: {said}"
    way_out = {"ENOSPC": "ree some ", "EROFS": "choose another folder"}[fault]
    named = (f"error: {stage.out}", f"error: {stage.out.relative_to(stage.place)}")
    assert errors[0].startswith(named), f"{what}: {errors[0]}"
    assert way_out in errors[0], f"{what}: {errors[0]}"
    return "refused"


def some(step: int) -> Callable[[int], Sequence[int]]:
    """The first write, every `step`-th one after it, and the last."""
    return lambda count: sorted({*range(1, count + 1, step), count})


def draw(place: Path, *, count: int = 2) -> None:
    """So many pictures with a plate each, as KITTI; and the spec that converts them."""
    for name in ("image_2", "label_2"):
        (place / "kitti" / name).mkdir(parents=True)
    rng = np.random.default_rng(5)
    for index in range(count):
        image = rng.integers(0, 90, (64, 96, 3)).astype(np.uint8)
        image[10:34, 8:40] = 230
        Image.fromarray(image).save(place / "kitti" / "image_2" / f"{index:03d}.png")
        label = "Plate 0.00 0 0.00 8.0 10.0 40.0 34.0 0 0 0 0 0 0 0\n"
        (place / "kitti" / "label_2" / f"{index:03d}.txt").write_text(label)
    (place / "convert.txt").write_text(conftest.CONVERT.format(root=place).replace("val_split: 25", "val_split: 50"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    draw(folder)
    return folder


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs commands that need no torch."""
    yield from serve(tmp_path_factory.mktemp("light"), "taolite.cli.own.dataset", "taolite.cli.tao.detectnet")


def converting(place: Path) -> Stage:
    words = ("dataset", "convert", "kitti", place / "out" / "voc", "--to", "voc")
    return Stage(place, words, done="is not empty; choose another folder or remove it")


def recording(run: Run, place: Path) -> Stage:
    """A conversion over the records of other labels."""
    words = ("detectnet", "dataset_convert", "-d", "convert.txt", "-o", place / "out" / "tiny")
    label = place / "kitti" / "label_2" / "000.txt"
    text = label.read_text()
    restore(place / "out", {})
    label.write_text(text.replace("8.0 10.0", "9.0 10.0"))
    assert run(Stage(place, words))["code"] == 0
    label.write_text(text)
    return Stage(place, words, before=found(place / "out"))


FAULTS = ("kill", "ENOSPC", "EROFS")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_data_set_is_written_whole_or_not_at_all_whatever_write_fails(light: Run, place: Path, fault: str):
    counts = sweep(light, converting(place), fault, points=some(4))

    assert counts["killed"] + counts["refused"] > 5
    assert counts["had been done"] <= 2


@pytest.mark.parametrize("fault", FAULTS)
def test_records_are_old_or_new_whatever_write_fails(light: Run, place: Path, fault: str):
    counts = sweep(light, recording(light, place), fault, points=some(4))

    assert counts["killed"] + counts["refused"] > 5


MODULES = (
    *("taolite.cli.own.dataset", "taolite.cli.own.run", "taolite.cli.tao.detectnet", "taolite.cli.tao.classification"),
    *("torch", "taolite.tasks.detectnet.task", "taolite.tasks.classification.task"),
    *("taolite.stages.training.train", "taolite.stages.exporting.export"),
)
STAGES = (
    *("dataset convert", "dataset_convert", "detectnet prune", "detectnet export", "engine", "detectnet inference"),
    *("run", "classification prune", "classification export", "detectnet train", "classification train"),
)
THERE = "already exists; remove it, choose another, or add --force"


@dataclass(frozen=True)
class Life:
    """Stages by name, and what runs them."""

    run: Run
    stages: Mapping[str, Stage]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """The stages of a detector's and a classifier's life, each on the finished files of those before."""
    folder = tmp_path_factory.mktemp("life")
    draw(folder, count=6)
    classes.draw_classes(folder / "c")
    for run in serve(tmp_path_factory.mktemp("heavy"), *MODULES):
        yield Life(run, {**convert_stages(run, folder), **detector(run, folder), **classifier(run, folder)})


def convert_stages(run: Run, folder: Path) -> dict[str, Stage]:
    stages = {"dataset convert": converting(folder), "dataset_convert": recording(run, folder)}
    make(run, folder, *stages["dataset_convert"].words)
    shutil.copytree(folder / "out", folder / "records")
    return stages


def detector(run: Run, folder: Path) -> dict[str, Stage]:
    conftest.write_spec(folder, "whole.txt", epochs=1)
    graph = f'pretrained_model_file: "{folder}/small.tlt" load_graph: true'
    conftest.write_spec(folder, "small.txt", model=graph)
    training = ("-r", "out/run", "-n", "m", "-k", KEY, "--precision", "fp32", "--keep_checkpoints", 1)
    pruning = ("prune", "-m", "whole.tlt", "-o", "out/small.tlt", "-pth", "0.99", "-nf", "4", "-k", KEY)
    exporting = ("export", "-m", "small.tlt", "-o", "out/m.etlt", "-k", KEY)
    engine = ("-m", "m.etlt", "--engine_file", "out/m.engine", "--backend", "openvino", "-k", KEY)
    make(run, folder, "detectnet", "train", "-e", "whole.txt", *training, kept={"run/weights/m.tlt": "whole.tlt"})
    make(run, folder, "detectnet", *pruning, kept={"small.tlt": "small.tlt"})
    make(run, folder, "detectnet", *exporting, kept={"m.etlt": "m.etlt"})
    found = ("inference", "-i", "kitti/image_2", "-o", "out/found", "-m", "m.etlt", "-k", KEY)
    video = ("run", "m.etlt", "kitti/image_2", "out/out.mp4", "--json", "out/out.jsonl", "-k", KEY)
    return {
        "detectnet train": Stage(folder, ("detectnet", "train", "-e", "small.txt", *training)),
        "detectnet prune": Stage(folder, ("detectnet", *pruning)),
        "detectnet export": Stage(folder, ("detectnet", *exporting, "--gen_ds_config"), done=THERE),
        "engine": Stage(folder, ("detectnet", "gen_trt_engine", *engine)),
        "detectnet inference": Stage(folder, ("detectnet", *found)),
        "run": Stage(folder, video, spares=r"out\.[0-9a-f]{8}\.mp4"),
    }


def classifier(run: Run, folder: Path) -> dict[str, Stage]:
    classes.write_spec(folder / "c", "whole.txt", epochs=1)
    classes.write_spec(folder / "c", "small.txt", pretrained=f"{folder}/c_small.tlt")
    training = ("-r", "out/run", "-k", KEY, "--precision", "fp32", "--keep_checkpoints", 1)
    pruning = ("prune", "-m", "c.tlt", "-o", "out/small.tlt", "-pth", "0.99", "-nf", "4", "-k", KEY)
    exporting = ("export", "-m", "c_small.tlt", "-o", "out/m.etlt", "-k", KEY)
    whole = ("classification", "train", "-e", "c/whole.txt", *training)
    make(run, folder, *whole, kept={"run/weights/resnet.tlt": "c.tlt"})
    make(run, folder, "classification", *pruning, kept={"small.tlt": "c_small.tlt"})
    return {
        "classification train": Stage(folder, ("classification", "train", "-e", "c/small.txt", *training)),
        "classification prune": Stage(folder, ("classification", *pruning)),
        "classification export": Stage(folder, ("classification", *exporting), done=THERE),
    }


def make(run: Run, folder: Path, *words: object, kept: Mapping[str, str] | None = None) -> None:
    """Run a command in `folder`, and copy some of its files there: name below `out` -> name."""
    restore(folder / "out", {})
    answer = run(Stage(folder, words))
    assert answer["code"] == 0, answer["said"]
    for source, target in (kept or {}).items():
        shutil.copyfile(folder / "out" / source, folder / target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *((name, fault) for name in STAGES for fault in FAULTS),
        *((name, "torn") for name in STAGES if name.endswith("train")),  # they alone append to files
    ],
)
def test_every_write_of_a_life_cycle_may_be_the_last(life: Life, name: str, fault: str):
    if name == "engine":
        pytest.importorskip("openvino")

    counts = sweep(life.run, life.stages[name], fault)

    print(f"{name}, {fault}: {dict(counts)}")
    assert counts["points"] == counts["killed"] + counts["refused"] + counts["not needed"]
    assert counts["killed"] + counts["refused"] > 1
