"""`taolite.load` and what the model says of pictures, by file, array and Pillow's picture, and of streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import taolite
from taolite.errors import DataError, ModelError, UsageError, WrongKeyError
from taolite.media.videos import VideoFile
from tests.stages.test_infer import DBSCAN, SPEC, network

from .detector import CLASSES, KEY, picture, write_detector
from .foreign import write_ssd

RED, GREEN = (64.0, 32.0, 96.0, 64.0), (160.0, 96.0, 192.0, 128.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_detector(tmp_path_factory.mktemp("model") / "detector.etlt")


@pytest.fixture
def model(file: Path):
    with taolite.load(file, key=KEY) as opened:
        yield opened


def test_importing_taolite_loads_nothing_heavy():
    code = (
        "import sys, taolite\n"
        "heavy = {'numpy', 'cv2', 'torch', 'pydantic', 'onnx', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(set(taolite.__all__) - set(dir(taolite))))\n"
        "taolite.load\n"
        "print('torch' in sys.modules, 'onnxruntime' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)

    assert done.stdout.splitlines() == ["[] []", "False False"]


def test_every_public_name_is_there():
    assert all(getattr(taolite, name) is not None for name in taolite.__all__)
    with pytest.raises(AttributeError, match="module 'taolite' has no attribute 'laod'"):
        taolite.laod  # noqa: B018


def test_a_sealed_model_says_what_it_is(model):
    assert (model.task, model.classes, model.input_hw) == ("detectnet", CLASSES, (64, 96))
    assert model.is_detector
    assert repr(model).startswith("<Model detector.etlt: detectnet, 2 classes, input 96x64, onnxruntime ")


def test_a_wrong_key_is_the_error_of_a_wrong_key(file: Path):
    with pytest.raises(WrongKeyError):
        taolite.load(file, key="another")


def test_the_key_is_that_of_a_file_or_of_the_variable(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "key").write_text(f"{KEY}\n")

    of_file = taolite.load(file, key=f"@{tmp_path / 'key'}")
    monkeypatch.setenv("TAOLITE_KEY", KEY)
    of_variable = taolite.load(str(file))

    with of_file, of_variable:
        assert of_file.classes == of_variable.classes != ()


def test_an_array_gives_one_result(model):
    result = model.predict(picture())

    assert result.names == ["red", "green"]
    assert [one.index for one in result] == [0, 1]
    assert result.scores.tolist() == pytest.approx([1.0, 0.6], abs=1e-3)
    assert result.boxes.dtype == np.float32
    assert result.boxes.tolist() == [pytest.approx(RED, abs=0.01), pytest.approx(GREEN, abs=0.01)]
    assert result.top == result.detections[0]
    assert result.path is None


def test_files_and_pictures_of_pillow_are_turned_upright(model, tmp_path: Path):
    on_its_side = Image.fromarray(np.rot90(picture()))
    exif = on_its_side.getexif()
    exif[0x0112] = 6  # a viewer turns it clockwise
    on_its_side.save(tmp_path / "turned.png", exif=exif)

    of_file = model.predict(tmp_path / "turned.png")
    of_pillow = model.predict(Image.open(tmp_path / "turned.png"))

    assert of_file.path == tmp_path / "turned.png"
    assert (of_file.image == picture()).all()
    assert of_file.boxes.tolist() == of_pillow.boxes.tolist() == model.predict(picture()).boxes.tolist()


def test_several_pictures_give_a_list_in_their_order(model):
    pictures = [picture(), np.zeros_like(picture()), picture()]

    for batch_size in (1, 2, 8):
        results = model.predict(iter(pictures), batch_size=batch_size)
        assert [result.names for result in results] == [["red", "green"], [], ["red", "green"]]
        assert [result.number for result in results] == [0, 1, 2]
    assert model.predict([]) == []


def test_a_grey_array_is_looked_at_as_grey(model):
    grey = np.full((64, 96), 200, np.uint8)

    flat, deep = model.predict(grey), model.predict(grey[:, :, None])

    assert len(flat) == len(deep) == 2 * 24  # every cell is red and green at once
    assert flat.image.shape == (64, 96, 3)


def test_threshold_and_top_leave_results_out(model, file: Path):
    assert model.predict(picture(), threshold=0.7).names == ["red"]
    assert model.predict(picture(), top=1).names == ["red"]
    assert model.predict(picture(), top=0).names == ["red", "green"]
    with taolite.load(file, key=KEY, threshold=0.7) as strict:
        assert strict.predict(picture()).names == ["red"]
        assert strict.predict(picture(), threshold=0.5).names == ["red", "green"]


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (np.zeros((4, 5, 3)), "this one is 4 x 5 x 3 of float64"),
        (np.zeros((4, 5, 4), np.uint8), "this one is 4 x 5 x 4 of uint8"),
        (np.zeros((2, 4, 5, 3), np.uint8), "this one is 2 x 4 x 5 x 3 of uint8; give a list for several pictures"),
        (np.zeros((0, 5, 3), np.uint8), "this one is 0 x 5 x 3 of uint8"),
    ],
)
def test_an_array_of_another_kind_is_refused(model, thing: object, said: str):
    with pytest.raises(UsageError) as caught:
        model.predict(thing)

    assert str(caught.value) == (
        "a picture's array needs the shape (height, width, 3), RGB, or (height, width), grey, and uint8 values; " + said
    )


@pytest.mark.parametrize("thing", [3, None, [3]])
def test_what_is_no_picture_is_refused(model, thing: object):
    kind = type(thing[0] if isinstance(thing, list) else thing).__name__
    with pytest.raises(UsageError) as caught:
        model.predict(thing)

    assert str(caught.value) == (f"a picture is a path, a NumPy array or a picture of Pillow's; this is of type {kind}")


def test_a_folder_is_for_stream(model, tmp_path: Path):
    with pytest.raises(UsageError, match="a folder; give the path of a picture, or the folder to `stream`"):
        model.predict(tmp_path)


def test_a_folder_and_a_video_are_streamed(model, tmp_path: Path):
    for name in ("a.png", "b.png"):
        Image.fromarray(picture()).save(tmp_path / name)
    with VideoFile(tmp_path / "film.avi", fps=10) as film:
        for _ in range(3):
            film.write(picture())

    of_folder = list(model.stream(tmp_path, batch_size=2))
    of_video = list(model.stream(tmp_path / "film.avi", threshold=0.7))

    assert [result.path.name for result in of_folder] == ["a.png", "b.png"]
    assert [result.names for result in of_folder] == [["red", "green"]] * 2
    assert [(result.number, result.names, result.path) for result in of_video] == [
        (number, ["red"], None) for number in range(3)
    ]


def test_objects_of_a_stream_are_numbered(model, tmp_path: Path):
    pytest.importorskip("edgefirst.tracker", reason="the extra track is not installed")
    for number in range(4):
        Image.fromarray(picture()).save(tmp_path / f"{number}.png")

    results = list(model.stream(tmp_path, track=True))

    assert results[-1].names == ["red", "green"]
    assert None not in {one.track for one in results[-1]}
    assert [one.track for one in results[-1]] == [one.track for one in results[-2]]


def test_a_classifier_has_no_tracks(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAOLITE_NETWORKS", str(shared_data / "pretrained"))

    with taolite.load("resnet-18") as classifier, pytest.raises(UsageError, match="follows the objects of a detector"):
        classifier.stream(shared_data / "jetson_images", track=True)


def test_an_unknown_option_of_a_source_is_told(model, tmp_path: Path):
    with pytest.raises(UsageError, match="'colour'; a source's options are size_hw, rate, flip, loop, "):
        model.stream(tmp_path, colour=True)


def test_a_detector_without_metadata_takes_its_names_from_labels(tmp_path: Path):
    ssd = write_ssd(tmp_path / "ssd.onnx")
    labels, others = tmp_path / "labels.txt", tmp_path / "others.txt"
    labels.write_text("BACKGROUND\ncat\ndog\n")
    others.write_text("BACKGROUND\ncat\n")

    with taolite.load(ssd, labels=labels) as model:
        found = model.predict(np.zeros((100, 200, 3), np.uint8))
        more = model.predict(np.zeros((100, 200, 3), np.uint8), threshold=0.2)
    with pytest.raises(DataError, match="finds 2 classes and does not say which, and 1 label is given"):
        taolite.load(ssd, labels=others)

    assert found.names == ["dog"]  # 0.8; the cat of 0.3 is below an SSD's 0.5
    assert found.boxes.tolist() == [pytest.approx([20.0, 10.0, 100.0, 50.0], abs=1e-3)]
    assert more.names == ["dog", "cat"]


def test_labels_that_contradict_the_model_are_told(file: Path, tmp_path: Path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")

    with pytest.raises(DataError) as caught:
        taolite.load(file, key=KEY, labels=tmp_path / "labels.txt")

    assert str(caught.value) == (
        f"{tmp_path / 'labels.txt'} names cat, dog; {file} finds red, green; leave --labels out, the model knows its "
        "classes"
    )


def test_an_inference_spec_describes_an_onnx_that_says_nothing(tmp_path: Path):
    bare, spec = tmp_path / "bare.onnx", tmp_path / "inference.txt"
    bare.write_bytes(network())
    spec.write_text(SPEC.format(model='tlt_config { model: "m.tlt" }', dbscan=DBSCAN))

    with pytest.raises(ModelError, match=r"bare\.onnx does not say how its outputs are read; give an inference spec"):
        taolite.load(bare)
    with taolite.load(bare, spec=spec) as model:
        assert model.predict(picture()).names == ["red"]  # DBSCAN needs a summed coverage of 1; the green has 0.6


def test_a_network_by_name_gives_its_best_class(shared_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAOLITE_NETWORKS", str(shared_data / "pretrained"))

    with taolite.load("resnet-18") as model:
        best = model.predict(shared_data / "jetson_images" / "black_bear.jpg")
        five = model.predict(shared_data / "jetson_images" / "black_bear.jpg", top=5)
        every = model.predict(shared_data / "jetson_images" / "black_bear.jpg", top=0)
        none = model.predict(shared_data / "jetson_images" / "black_bear.jpg", threshold=0.9)

    assert (best.names, best.top.index) == (["American black bear"], 295)
    assert len(five) == 5
    assert five.boxes.shape == (0, 4)
    assert len(every) == 1000
    assert every.scores.sum() == pytest.approx(1, abs=1e-4)
    assert (len(none), none.top) == (0, None)
