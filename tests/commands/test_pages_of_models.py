"""Pages of the cookbook for those who have a model or pictures: their blocks run as printed, on what is tiny.

The models are those of tests/vectors, sealed with the keys that the pages have.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.stages.demo import draw_pictures
from tests.stages.conftest import tiny, write_spec

from .pages import COOKBOOK, ROOT, play

__all__ = ["tiny"]

VECTORS = ROOT / "tests" / "vectors" / "0.1.0"
PUBLISHED = "tlt_encode"


def put(model: str, path: Path, *, key: str) -> None:
    """A model of tests/vectors at a path that a page names, sealed with the page's key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert main(["rekey", str(VECTORS / model), "-k", PUBLISHED, "--new", key, "-o", str(path)]) == 0


def put_onnx(model: str, path: Path) -> None:
    """The graph of an export of tests/vectors, not sealed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(read_model(VECTORS / model, key=Key(PUBLISHED)).onnx)


def film(path: Path) -> None:
    """A video of 10 frames, 96x64, in which a bright plate moves down over the middle."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 5.0, (96, 64))
    for frame in range(10):
        picture = np.zeros((64, 96, 3), np.uint8)
        picture[4 * frame : 4 * frame + 24, 32:64] = 230
        video.write(picture)
    video.release()


def frames_of(path: Path) -> int:
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))


def draw(folder: Path, *, count: int = 4) -> None:
    """Pictures as a camera takes them, without labels."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture = np.full((64, 96, 3), 40 * number, np.uint8)
        assert cv2.imwrite(str(folder / f"{number}.jpg"), picture)


def test_keys_seal_and_signatures_are_asked_for_as_printed(tiny: Path, tmp_path: Path) -> None:
    write_spec(tiny, "train.txt", epochs=1).rename(tmp_path / "train.txt")
    film(tmp_path / "street.mp4")
    for name in ("model.etlt", "detector.etlt"):
        shutil.copy(VECTORS / "detectnet" / "model.etlt", tmp_path / name)

    said = play(
        COOKBOOK / "keys.md",
        tmp_path,
        before={
            "taolite rekey run": "cp model.key old.key; taolite key new new.key; taolite key new customer.key",
            "taolite run detector.etlt": f"export TAOLITE_KEY={PUBLISHED}",
        },
    )

    assert said.count(": sealed with the new key\n") == 4  # two models and a checkpoint of the run; the export
    assert re.search(r"^detector.etlt: signed by ed25519:\S+ at \S+, and unchanged since$", said, re.MULTILINE)
    assert "\nframes  10 " in said
    assert (tmp_path / "detector.engine").is_file()


def test_a_model_shows_what_it_sees_as_printed(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("edgefirst.tracker", reason="the track extra is not installed")
    models = tmp_path / "models"
    put_onnx("detectnet/model.etlt", models / "detector.onnx")
    put("detectnet/model.etlt", models / "detector.etlt", key="KEY")
    put("classification/model.tlt", models / "cat_dog" / "model_best.tlt", key="nvidia_tlt")
    put_onnx("ssd/model.etlt", models / "plates" / "ssd-mobilenet.onnx")
    for name in ("street.mp4", "video.mp4"):
        film(tmp_path / name)
    for name in ("photos", "images"):
        draw(tmp_path / name)
    shutil.copy(shared_data / "jetson_images" / "cat_1.jpg", tmp_path / "cat.jpg")

    said = play(
        COOKBOOK / "live.md",
        tmp_path,
        before={"taolite run models/detector.onnx street.mp4": "mv out.mp4 first.mp4"},
        TAOLITE_NETWORKS=str(shared_data / "pretrained"),
    )

    assert re.search(r"^cat.jpg: Egyptian cat 0.\d+; tabby 0.\d+; ", said, re.MULTILINE)
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 4
    assert [frames_of(tmp_path / name) for name in ("first.mp4", "out.mp4")] == [10, 10]
    assert len(list(tmp_path.glob("out_*.jpg"))) == 4


def test_objects_of_a_video_are_followed_and_counted_as_printed(tmp_path: Path) -> None:
    pytest.importorskip("edgefirst.tracker", reason="the track extra is not installed")
    put("detectnet/model.etlt", tmp_path / "model.etlt", key="KEY")
    film(tmp_path / "street.mp4")

    said = play(COOKBOOK / "tracking.md", tmp_path)

    assert re.findall(r"^gate +to left: .*; to right: ", said, re.MULTILINE) == ["gate    to left: nothing; to right: "]
    assert frames_of(tmp_path / "out.mp4") == 10


def test_engines_are_built_and_two_models_compared_as_printed(tiny: Path, tmp_path: Path) -> None:
    for package in ("openvino", "tensorrt_rtx"):
        pytest.importorskip(package)
    write_spec(tiny, "compare.txt").rename(tmp_path / "train.txt")
    put("detectnet/model.etlt", tmp_path / "model.etlt", key="KEY")
    put("detectnet/model.tlt", tmp_path / "model.tlt", key="KEY")
    draw(tmp_path / "pictures")

    said = play(COOKBOOK / "engines.md", tmp_path)

    assert re.findall(r"^  built by   (\w+) ", said, re.MULTILINE) == ["openvino", "tensorrt_rtx", "tensorrt_rtx"]
    assert re.findall(r"^mAP: A ([\d.]+) %, B \1 %: no drop$", said, re.MULTILINE) != []
    assert "4 pictures: pictures in pictures\n" in said
    assert (tmp_path / "nvinfer_config.txt").is_file()


def test_specs_are_chosen_from_few_photographs_as_printed(shared_data: Path, tmp_path: Path) -> None:
    draw_pictures(tmp_path / "photos", count=12)
    shutil.copy(shared_data / "pretrained" / "resnet18.safetensors", tmp_path)

    play(COOKBOOK / "recipe.md", tmp_path)

    assert (tmp_path / "experiment" / "train.txt").is_file()


def test_shards_are_made_as_printed(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        draw(tmp_path / "data" / "train" / name)

    play(COOKBOOK / "shards.md", tmp_path)

    packed: list[str] = []
    for path in (tmp_path / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            packed += tar.getnames()
    assert sorted(packed) == sorted(f"train/{name}/{number}.jpg" for name in ("cat", "dog") for number in range(4))
