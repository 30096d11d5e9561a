"""The server's own camera: the newest frame, a camera that is missing or stops, a video that ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from PIL import Image

from taolite.errors import DataError, PathError
from taolite.media.sources import open_source
from taolite.media.videos import VideoFile
from taolite.web import live as live_module
from taolite.web.live import LiveCamera


class Seen(NamedTuple):
    image_hwc: np.ndarray


class Camera:
    """A camera that shows frames of one grey value each, as long as it is plugged in."""

    kind, fps, is_live = "camera", 30.0, True

    def __init__(self) -> None:
        self.plugged, self.opened, self.stalls = True, 0, False

    def stop(self) -> None:
        self.plugged = False

    def open(self) -> Camera:
        if not self.plugged:
            raise PathError("/dev/video9: this camera cannot be opened")
        self.opened += 1
        return self

    def __iter__(self) -> Iterator[Seen]:
        for value in range(1, 10_000):
            if not self.plugged:
                raise DataError("/dev/video9: the camera stopped")
            time.sleep(0.002)
            while self.stalls:
                time.sleep(0.002)
            yield Seen(np.full((12, 16, 3), value % 256, np.uint8))


@pytest.fixture
def camera() -> Iterator[Camera]:
    made = Camera()
    yield made
    made.plugged = False


def test_each_frame_is_newer_than_the_one_before(camera: Camera):
    live = LiveCamera("/dev/video9", camera.open)

    numbers, after = [], 0
    for _ in range(5):
        after = live.wait(after=after).number
        numbers.append(after)

    assert numbers == sorted(set(numbers))
    assert camera.opened == 1
    live.close()


def test_a_camera_that_stops_is_said_once_and_can_be_opened_again(camera: Camera):
    said: list[str] = []
    live = LiveCamera("/dev/video9", camera.open, listener=lambda event: said.append(event.text))
    live.wait()

    camera.plugged = False
    with pytest.raises(DataError, match=r"^/dev/video9: the camera stopped$"):
        live.wait(after=1_000_000)
    live.start()
    with pytest.raises(DataError, match=r"^/dev/video9: this camera cannot be opened$"):
        live.wait()
    camera.plugged = True
    live.start()

    assert live.wait().image_hwc.shape == (12, 16, 3)
    assert said == ["/dev/video9: the camera stopped", "/dev/video9: this camera cannot be opened"]
    live.close()


def test_no_picture_is_taken_of_an_old_frame(camera: Camera, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live_module, "_OLD_S", 0.1)
    live = LiveCamera("/dev/video9", camera.open)
    live.wait()

    camera.stalls = True
    time.sleep(0.3)
    with pytest.raises(DataError, match=r"^/dev/video9: no frame for 0 seconds; it is tried again$"):
        live.wait()
    camera.stalls = False

    assert live.wait(after=live.wait(after=1).number).image_hwc.shape == (12, 16, 3)
    live.close()


def test_a_missing_camera_does_not_stop_the_page(tmp_path: Path, open_page, jpeg):
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    place = "/dev/video97"
    page = open_page(tmp_path, "labelme", camera=LiveCamera(place, lambda: open_source(place)))

    answer = page.get("/api/camera")

    assert answer.status_code == 503
    assert answer.json()["error"].startswith("/dev/video97: ")
    assert page.post("/api/frames").json() == answer.json()
    assert [one["name"] for one in page.get("/api/pictures").json()["pictures"]] == ["photo.jpg"]
    assert page.get("/api/state").json()["state"]["camera"] == {"place": place}


def test_the_page_shows_and_takes_pictures_of_the_server_s_camera(tmp_path: Path, open_page, camera: Camera):
    (tmp_path / "labels.txt").write_text("cat\n")
    live = LiveCamera("/dev/video9", camera.open)
    page = open_page(tmp_path, "folders", camera=live)

    shown = page.get("/api/camera", after="3")
    taken = page.post("/api/shots", **{"set": "train", "class": "cat", "quality": "40"})

    assert (shown.headers["content-type"], int(shown.headers["x-frame"]) > 3) == ("image/jpeg", True)
    with Image.open(tmp_path / taken.json()["state"]["last"]) as picture:
        low = picture.quantization[0][0]
        assert picture.size == (16, 12)
    page.post("/api/shots", **{"set": "train", "class": "cat", "quality": "95"})
    assert low > 2  # at quality 95 it is 2
    live.close()


def test_the_password_of_a_camera_is_not_shown(tmp_path: Path, open_page):
    page = open_page(tmp_path, "voc", camera=LiveCamera("rtsp://me:secret@cam/live", list))

    assert "secret" not in page.get("/api/state").text


@pytest.mark.parametrize("quality", ["0", "101", "-3", "high", "9.5"])
def test_a_quality_out_of_range_is_refused(tmp_path: Path, open_page, quality: str):
    answer = open_page(tmp_path, "voc").post("/api/frames", quality=quality)

    assert answer.json() == {"error": f"JPEG quality {quality}: it needs to be 1 to 100"}


def test_a_page_without_a_camera_of_the_server_says_so(tmp_path: Path, open_page):
    answer = open_page(tmp_path, "voc").post("/api/frames")

    said = "taolite was started without a camera of its own (--input); the browser's is used"
    assert answer.json() == {"error": said}


def test_a_video_plays_at_its_speed_and_its_end_is_said(tmp_path: Path):
    with VideoFile(tmp_path / "v.avi", fps=20.0) as video:
        for value in range(8):
            video.write(np.full((48, 64, 3), 20 * value, np.uint8))
    live = LiveCamera("v.avi", lambda: open_source(tmp_path / "v.avi"))

    began = time.monotonic()
    with pytest.raises(DataError, match=r"^v.avi: it has ended after 8 frames$"):
        live.wait(after=99)

    assert time.monotonic() - began > 0.3
