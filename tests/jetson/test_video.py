"""videoSource and videoOutput in the loops that scripts have."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError, PathError, UsageError
from taolite.jetson.frames import Newest
from taolite.jetson.image import cudaFromNumpy, loadImage
from taolite.jetson.legacy import glDisplay, gstCamera
from taolite.jetson.video import videoOutput, videoSource
from taolite.media.sources import Frame, Source, open_source
from taolite.media.videos import VideoFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures of one grey each."""
    place = tmp_path / "in"
    place.mkdir()
    for number in range(3):
        Image.fromarray(np.full((24, 32, 3), 50 * number, np.uint8)).save(place / f"{number}.png")
    return place


@pytest.fixture
def film(tmp_path: Path) -> Path:
    with VideoFile(tmp_path / "film.avi", fps=12) as video:
        for number in range(4):
            video.write(np.full((24, 32, 3), 50 * number, np.uint8))
    return tmp_path / "film.avi"


def test_the_usual_loop_sees_every_frame_and_ends(folder: Path, tmp_path: Path):
    source, output, seen = videoSource(str(folder)), videoOutput(str(tmp_path / "out" / "%i.png")), []

    while True:
        image = source.Capture()
        if image is None:
            continue
        seen.append(int(image[0, 0, 0]))
        output.Render(image)
        output.SetStatus("three")
        if not source.IsStreaming() or not output.IsStreaming():
            break

    assert seen == [0, 50, 100]
    assert (source.GetFrameCount(), output.GetFrameCount()) == (3, 3)
    assert [int(loadImage(str(tmp_path / "out" / f"{n}.png"))[0, 0, 0]) for n in range(3)] == seen


def test_behind_the_last_frame_capture_raises(folder: Path):
    source = videoSource(str(folder))

    while source.IsStreaming():
        source.Capture()

    with pytest.raises(DataError) as caught:
        source.Capture()
    assert str(caught.value) == f"{folder}: there are no more frames; ask IsStreaming() before Capture()"


def test_a_video_is_read_and_written(film: Path, tmp_path: Path):
    source = videoSource(str(film))
    output = videoOutput(str(tmp_path / "copy.mp4"), options={"framerate": 12})

    assert (source.GetWidth(), source.GetHeight(), source.GetFrameRate()) == (32, 24, 12)
    while source.IsStreaming():
        image = source.Capture(format="rgba32f")
        output.Render(image)
        image[:] = 0  # the script's image is its own
    output.Close()

    assert (image.format, image.timestamp > 0) == ("rgba32f", True)
    read = open_source(tmp_path / "copy.mp4")
    assert (read.fps, len(list(read))) == (12, 4)


def test_a_single_picture_is_written_over(folder: Path, tmp_path: Path):
    output = videoOutput(str(tmp_path / "last.png"))

    for name in ("0.png", "2.png"):
        output.Render(loadImage(str(folder / name)))

    assert int(loadImage(str(tmp_path / "last.png"))[0, 0, 0]) == 100
    assert (output.GetWidth(), output.GetHeight(), output.IsStreaming()) == (32, 24, True)
    output.Close()
    assert not output.IsStreaming()


def test_places_and_flags_of_argv(folder: Path, tmp_path: Path):
    words = ["me.py", str(folder), str(tmp_path / "o.png"), "--input-loop=1", "--headless"]

    source, output = videoSource(argv=words, positionArg=0), videoOutput(argv=words, positionArg=1)

    assert source.GetOptions()["resource"] == str(folder)
    assert source.GetOptions()["loop"] == "1"
    assert output.GetOptions()["resource"] == str(tmp_path / "o.png")


def test_without_a_place_or_a_display_frames_go_nowhere(monkeypatch: pytest.MonkeyPatch, folder: Path):
    monkeypatch.delenv("DISPLAY", raising=False)

    for output in (videoOutput(), videoOutput(argv=["me.py", "--headless"]), glDisplay("title")):
        output.Render(loadImage(str(folder / "0.png")))
        assert output.IsStreaming()
        output.Close()


def test_what_cannot_be_opened_is_told_at_once(tmp_path: Path):
    with pytest.raises(PathError):
        videoSource(str(tmp_path / "nowhere.jpg"))
    with pytest.raises(PathError):
        gstCamera(640, 480, "/dev/video97")
    with pytest.raises(UsageError) as caught:
        videoSource(str(tmp_path), options={"width": 640})

    assert str(caught.value) == "videoSource: give both width and height, or none of them"


class Live(Source):
    """A camera whose frames come when the test says so."""

    def __iter__(self):
        for number in range(3):
            assert self.may.acquire(timeout=10)
            yield Frame("live", np.full((4, 4, 3), number, np.uint8), number)
            self.given.release()
        raise DataError("the camera is gone")


def test_of_a_camera_the_newest_frame_is_taken_and_none_in_time_is_none():
    camera = Live("camera", "0")
    object.__setattr__(camera, "may", threading.Semaphore(0))
    object.__setattr__(camera, "given", threading.Semaphore(0))
    frames = Newest(camera)

    assert frames.take(0.01) is None
    assert not frames.ended
    camera.may.release(2)
    for _ in range(2):
        assert camera.given.acquire(timeout=10)
    assert frames.take(1).number == 1
    camera.may.release()
    assert frames.take(10).number == 2
    with pytest.raises(DataError, match="the camera is gone"):
        frames.take(10)
    assert frames.ended


def test_rendering_takes_any_format(tmp_path: Path):
    output = videoOutput(str(tmp_path / "a.png"))

    output.Render(cudaFromNumpy(np.full((4, 5, 3), [1, 2, 3], np.uint8), isBGR=True))

    assert np.asarray(Image.open(tmp_path / "a.png"))[0, 0].tolist() == [3, 2, 1]
