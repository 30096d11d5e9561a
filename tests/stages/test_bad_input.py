"""Every mistake a user can make: one message that names the file and the way out, exit code 1, nothing lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from taolite.artifacts.bundle import write_bundle
from taolite.artifacts.container import KdfCost
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.preprocessing import Preprocessing
from taolite.stages.bundles import bundle_of
from taolite.tasks.registry import find

from .conftest import write_spec

Say = Callable[..., list[str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command that fails; the lines of its one error message."""

    def run(*words: object) -> list[str]:
        capsys.readouterr()
        assert main(["detectnet", *map(str, words)]) == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert said.count("error: ") == 1
        return said[said.index("error: ") :].strip().splitlines()

    return run


@pytest.fixture(scope="module")
def model(tiny: Path) -> Path:
    """A sealed model with fresh weights."""
    experiment = find("detectnet").read(write_spec(tiny, "model.txt")).model
    torch.manual_seed(0)
    start = experiment.start(key=None)
    path = tiny / "model.tlt"
    bundle = bundle_of(experiment, start.network, lineage=())
    assert bundle.preprocessing == Preprocessing((64, 96))
    write_bundle(path, bundle, key=Key("right"), cost=KdfCost(memory_kib=64, iterations=1, lanes=1))
    return path


def copy_of(path: Path, name: str, change: Callable[[bytearray], bytes]) -> Path:
    other = path.with_name(name)
    other.write_bytes(change(bytearray(path.read_bytes())))
    return other


def flip_last(data: bytearray) -> bytes:
    data[-40] ^= 1
    return bytes(data)


def test_wrong_key(say: Say, tiny: Path, model: Path):
    (line,) = say("evaluate", "-e", tiny / "model.txt", "-m", model, "-k", "wrong")

    assert line.startswith(f"error: {model}: ")
    assert "key" in line
    assert "wrong" not in line.replace("wrong key", "")


def test_truncated_flipped_and_foreign_models_are_told_apart(say: Say, tiny: Path, model: Path):
    files = {
        "cut": copy_of(model, "cut.tlt", lambda data: bytes(data[:-1000])),
        "flipped": copy_of(model, "flipped.tlt", flip_last),
        "nvidia": copy_of(model, "nvidia.tlt", lambda data: os.urandom(8192)),
    }

    said = {name: say("prune", "-m", path, "-o", tiny / "out.tlt", "-k", "right") for name, path in files.items()}

    assert all(lines[0].startswith(f"error: {files[name]}") for name, lines in said.items())
    assert all(len(lines) == 1 for lines in said.values())
    assert "NVIDIA" in said["nvidia"][0]
    assert len({lines[0].split(".tlt")[1] for lines in said.values()}) == 3
    assert not (tiny / "out.tlt").exists()


def test_missing_model(say: Say, tiny: Path):
    assert say("evaluate", "-e", tiny / "model.txt", "-m", tiny / "none.tlt", "-k", "x") == [
        f"error: {tiny}/none.tlt: no such model; give the path of a .tlt, .etlt, .onnx or engine"
    ]


def test_missing_image(say: Say, tiny: Path, tmp_path: Path):
    spec = moved(tiny, tmp_path)
    (tmp_path / "kitti/image_2/009.png").unlink()

    assert say("train", "-e", spec, "-r", tmp_path / "run", "-k", "x") == [
        f"error: {tmp_path}/kitti/image_2/009.png: this image is missing; restore it or remove its label"
    ]


def test_image_that_was_cut_off(say: Say, tiny: Path, tmp_path: Path):
    spec = moved(tiny, tmp_path)
    image = tmp_path / "kitti/image_2/010.png"
    image.write_bytes(image.read_bytes()[:3000])

    assert say("train", "-e", spec, "-r", tmp_path / "run", "-k", "x") == [
        "error: 1 picture cannot be decoded; replace or remove what is listed, or add --skip-corrupt:",
        f"  {image}: not a readable image (image file is truncated); replace the file or remove it",
    ]


def test_image_replaced_by_one_of_another_size(say: Say, tiny: Path, tmp_path: Path):
    from PIL import Image

    spec = moved(tiny, tmp_path)
    Image.new("RGB", (50, 40)).save(tmp_path / "kitti/image_2/011.png")

    assert say("train", "-e", spec, "-r", tmp_path / "run", "-k", "x") == [
        f"error: {tmp_path}/kitti/image_2/011.png: 50x40 pixels, and its record says 96x64; "
        "the image was changed after dataset_convert: convert again"
    ]


def test_unreadable_label(say: Say, tiny: Path, tmp_path: Path):
    moved(tiny, tmp_path)
    label = tmp_path / "kitti/label_2/003.txt"
    label.write_text("plate 0.00 0 0.00 ten 4.0 40.0 30.0 0 0 0 0 0 0 0\n")

    lines = say("dataset_convert", "-d", tmp_path / "convert.txt", "-o", tmp_path / "again/tiny")

    assert any(f"{label}:1" in line or "label_2/003.txt:1" in line for line in lines)
    assert any("ten" in line for line in lines)
    assert not (tmp_path / "again").exists()


def test_class_absent_from_the_spec(say: Say, tiny: Path, tmp_path: Path):
    spec = moved(tiny, tmp_path)
    text = spec.read_text().replace('key: "plate" value: "plate"', 'key: "plate" value: "car"')
    spec.write_text(text)

    lines = say("train", "-e", spec, "-r", tmp_path / "run", "-k", "x")

    assert lines[0].startswith(f"error: {spec}: ")
    assert any('"car", which is no class of cost_function_config' in line for line in lines)


def test_labels_of_which_the_spec_knows_none(say: Say, tiny: Path, tmp_path: Path):
    spec = moved(tiny, tmp_path)
    spec.write_text(spec.read_text().replace('"plate"', '"car"'))

    assert say("train", "-e", spec, "-r", tmp_path / "run", "-k", "x") == [
        f"error: {spec}: no training image has a label of car: the labels are plate (18); "
        "map the labels' names to these classes in dataset_config.target_class_mapping"
    ]


def test_size_that_is_no_multiple_of_16(say: Say, tiny: Path, tmp_path: Path):
    spec = moved(tiny, tmp_path)
    spec.write_text(spec.read_text().replace("output_image_width: 96", "output_image_width: 100"))

    lines = say("train", "-e", spec, "-r", tmp_path / "run", "-k", "x")

    assert lines[0] == f"error: {spec}: 1 problem"
    assert "output_image_width is 100" in lines[1]
    assert "96 or 112" in lines[1]


def test_no_key_to_seal_with(say: Say, tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("TAOLITE_KEY", raising=False)

    assert say("train", "-e", tiny / "model.txt", "-r", tmp_path / "run") == [
        "error: a key is needed, and none was given; give -k KEY, -k @FILE, or set TAOLITE_KEY"
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_keeps_what_was_there(say: Say, tiny: Path, small_disk: Path):
    spec = write_spec(tiny, "disk.txt")

    lines = say("train", "-e", spec, "-r", small_disk / "run", "-k", "x")

    assert lines[-1].endswith("the disk is full; nothing was replaced. Free some space and run it again")
    assert [path.name for path in small_disk.rglob("*") if "partial" in path.name] == []


def moved(tiny: Path, place: Path) -> Path:
    """A copy of the tiny data set that may be spoilt; its training spec."""
    for name in ("kitti", "records"):
        shutil.copytree(tiny / name, place / name)
    (place / "convert.txt").write_text((tiny / "convert.txt").read_text().replace(str(tiny), str(place)))
    return write_spec(place, "train.txt", epochs=1)
