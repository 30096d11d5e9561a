"""Cameras on the network: http and RTSP servers in a second process, which are killed and started again.

What these tests cannot reach: a V4L2 or CSI device. Fakes of OpenCV's capture stand in for them; that a real driver
answers as they do is not tested.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.errors import DataError, PathError, StreamError, TaoliteError, UsageError
from taolite.events import Event, SourceBack, SourceLost
from taolite.media import Frame, InputOptions, Source, VideoFile, open_source, readers, reconnect, with_opencv

pytestmark = pytest.mark.sockets

Server = tuple[str, Callable[..., subprocess.Popen[str]]]


def killing(server: subprocess.Popen[str], source: Source) -> Iterator[Frame]:
    """The frames of `source`; its server is killed after number 5."""
    for frame in source:
        yield frame
        if frame.number == 5:
            server.kill()
            server.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses and limits of a test rather than of a camera."""
    monkeypatch.setattr(reconnect, "_PAUSE_S", 0.1)
    monkeypatch.setattr(reconnect, "_LONGEST_PAUSE_S", 0.4)
    monkeypatch.setattr(readers, "STALL_S", 5.0)


def test_motion_jpeg_over_http_is_a_stream(camera_server: Server, library: str):
    address, start = camera_server
    start()

    source = open_source(f"{address}/video")
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 10:
            break

    assert (source.kind, source.is_live, source.total, source.paths) == ("stream", True, None, ())
    assert source.place == f"{address}/video"
    assert [frame.number for frame in frames] == list(range(10))
    assert frames[3].name == "127.0.0.1_000003.jpg"
    reds = np.array([frame.image_hwc[:, :, 0].mean() for frame in frames])
    np.testing.assert_allclose(np.diff(reds), 5, atol=2.5)  # no frame is missing
    assert 0.25 < frames[-1].time_s - frames[0].time_s < 2  # 9 frames of 50 ms; some wait while ffmpeg opens


def test_a_stream_that_drops_out_is_opened_again(camera_server: Server, library: str):
    address, start = camera_server
    server = start()
    said: list[Event] = []
    source = open_source(f"{address}/video", options=InputOptions(give_up_s=30), listener=said.append)
    numbers, times = [], []

    for frame in source:
        numbers.append(frame.number)
        times.append(frame.time_s)
        if frame.number == 5:
            server.kill()
            server.wait()
            threading.Timer(1.0, start).start()
        if said and isinstance(said[-1], SourceBack):
            break

    lost, back = said
    assert isinstance(lost, SourceLost)
    assert (lost.place, lost.patience_s) == (f"{address}/video", 30)
    assert lost.reason
    assert isinstance(back, SourceBack)
    assert 1.0 <= back.after_s < 15
    assert numbers == list(range(len(numbers)))
    assert times == sorted(times)


def test_a_stream_that_stays_away_is_given_up(camera_server: Server, library: str):
    address, start = camera_server
    server = start()
    said: list[Event] = []
    source = open_source(f"{address}/video", options=InputOptions(give_up_s=1.0), listener=said.append)

    with pytest.raises(StreamError) as caught:
        list(killing(server, source))

    assert str(caught.value) == (
        f"{address}/video: no frames for 1 s (Connection refused); see that the camera or the server is on and can be "
        "reached, and run it again"
    )
    assert [type(event) for event in said] == [SourceLost]


def test_a_stream_that_stands_still_is_lost(camera_server: Server, library: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readers, "STALL_S", 1.0)
    address, start = camera_server
    start("--frames", "40", "--stall")
    said: list[Event] = []
    source = open_source(f"{address}/video", listener=said.append)

    for _ in source:
        if len(said) == 2:
            break

    assert [type(event) for event in said] == [SourceLost, SourceBack]


def test_waiting_for_a_lost_stream_can_be_stopped(camera_server: Server, library: str):
    address, start = camera_server
    server = start()
    source = open_source(f"{address}/video", listener=lambda event: threading.Timer(0.3, source.stop).start())

    for frame in killing(server, source):
        began = time.monotonic() if frame.number == 5 else 0.0

    assert time.monotonic() - began < 10


def test_an_rtsp_camera_that_drops_out_is_opened_again(rtsp_server: Server, library: str):
    address, start = rtsp_server
    server = start()
    said: list[Event] = []
    source = open_source(address, options=InputOptions(give_up_s=40), listener=said.append)
    assert (source.kind, source.is_live, source.fps) == ("stream", True, 20.0)
    assert source.fps == 20.0
    numbers, times = [], []

    for frame in source:
        assert frame.image_hwc.shape == (48, 64, 3)
        assert frame.image_hwc.max() > 200  # the ball
        numbers.append(frame.number)
        times.append(frame.time_s)
        if frame.number == 30:
            server.kill()
            server.wait()
            start()
        if said and isinstance(said[-1], SourceBack):
            break

    assert [type(event) for event in said] == [SourceLost, SourceBack]
    assert numbers == list(range(len(numbers)))
    assert times == sorted(times)


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_a_raw_stream_is_read_with_its_codec(
    serve: Callable[..., subprocess.Popen[str]], free_port: int, library: str, codec: str
):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg sends a raw stream here: apt-get install ffmpeg")
    how = {"h264": ["libx264", "-tune", "zerolatency", "-g", "10"], "mjpeg": ["mjpeg", "-huffman", "default"]}[codec]
    command = "echo ready; exec ffmpeg -v quiet -re -f lavfi -i testsrc=size=320x240:rate=20 -pix_fmt yuvj420p -c:v "
    serve("/bin/sh", "-c", f"{command}{' '.join(how)} -f rtp rtp://127.0.0.1:{free_port}")

    source = open_source(
        f"rtp://@:{free_port}", options=InputOptions(codec=codec, size_hw=(120, 160), flip="clockwise")
    )
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 20:
            break

    assert (source.kind, source.place) == ("stream", f"rtp://@:{free_port}")
    assert {frame.image_hwc.shape for frame in frames} == {(160, 120, 3)}
    assert frames[0].name == "rtp_000000.jpg"


@pytest.mark.parametrize(
    ("codec", "what"), [(None, "a raw stream does not say which it is of"), ("av2", "av2 is not one of them")]
)
def test_a_raw_stream_needs_its_codec(codec: str | None, what: str):
    with pytest.raises(UsageError) as caught:
        open_source("rtp://@:5000", options=InputOptions(codec=codec))

    assert str(caught.value) == (
        f"rtp://@:5000: the codec is needed (h264, h265, vp8, vp9, mpeg4, mpeg2, mjpeg), and {what}; give "
        "--input-codec, as in --input-codec=h264"
    )


def test_a_picture_and_a_video_behind_an_address_end(camera_server: Server, library: str, tmp_path: Path):
    address, start = camera_server
    start("--password", "s3cret")
    with VideoFile(tmp_path / "clip.mp4", fps=10) as video:
        for _ in range(7):
            video.write(np.full((48, 64, 3), 90, np.uint8))
    address = address.replace("//", "//me:s3cret@")

    picture = open_source(f"{address}/shot.jpg?x=1", options=InputOptions(flip="clockwise", loop=1))
    clip = open_source(f"{address}/clip.mp4")

    assert (picture.kind, picture.is_live, picture.total, picture.paths) == ("pictures", False, 2, ())
    (first, second) = picture
    assert (first.name, first.path, first.number, second.number) == ("shot.jpg", None, 0, 1)
    assert first.image_hwc.shape == (64, 48, 3)
    np.testing.assert_allclose(first.image_hwc.mean(axis=(0, 1)), (100, 30, 60), atol=4)
    assert (clip.kind, clip.is_live, clip.fps) == ("stream", False, 10.0)
    assert len(list(clip)) == 7
    assert "s3cret" not in f"{picture} {clip} {first.name} {picture.place} {clip.place}"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/nothing", "the server answers 404 Not Found"),
        (
            "/page",
            "the server answers with a web page (text/html); give the address of the picture or the stream itself",
        ),
    ],
)
def test_what_an_address_does_not_hold_is_said(camera_server: Server, path: str, message: str):
    address, start = camera_server
    start()

    with pytest.raises((PathError, DataError)) as caught:
        open_source(f"{address}{path}")

    assert str(caught.value) == f"{address}{path}: {message}"


def test_a_wrong_password_is_said_and_not_shown(camera_server: Server):
    address, start = camera_server
    start("--password", "right")
    address = address.replace("//", "//me:s3cret@")

    with pytest.raises(PathError) as caught:
        open_source(f"{address}/video")

    shown = f"{address}/video".replace("s3cret", "***")
    assert str(caught.value) == (
        f"{shown}: the server refuses it (401 Unauthorized); give name and password, as in "
        "http://NAME:PASSWORD@HOST/PATH"
    )


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_server_that_is_not_there_is_said_at_once(
    free_port: int, library: str, scheme: str, capfd: pytest.CaptureFixture[str]
):
    began = time.monotonic()

    with pytest.raises(PathError) as caught:
        open_source(f"{scheme}://me:s3cret@127.0.0.1:{free_port}/live")

    what = "it cannot be opened" if scheme == "http" else "this stream cannot be opened"
    assert str(caught.value) == f"{scheme}://me:***@127.0.0.1:{free_port}/live: {what} (Connection refused)"
    assert caught.value.__cause__ is None  # whose text would hold the password
    assert time.monotonic() - began < 5
    assert "s3cret" not in "".join(capfd.readouterr())


def test_no_event_of_a_lost_stream_shows_a_password(
    camera_server: Server, library: str, capfd: pytest.CaptureFixture[str]
):
    address, start = camera_server
    server = start("--password", "s3cret")
    said: list[object] = []
    source = open_source(
        f"{address.replace('//', '//me:s3cret@')}/video?token=s3cret",
        options=InputOptions(give_up_s=0.5),
        listener=said.append,
    )

    try:
        for frame in killing(server, source):
            said.append(frame.name)
    except TaoliteError as error:
        said += [error, error.__cause__]

    assert len(said) > 3
    assert "s3cret" not in f"{said} {source} {source.place} {''.join(capfd.readouterr())}"


class FakeCapture:
    """What OpenCV says of a camera: `frames` frames, then none; of these calls alone the code makes use."""

    asked: dict[int, float] = {}  # noqa: RUF012 - of the last one that was made
    opened: list[object] = []  # noqa: RUF012
    lives: list[int] = []  # noqa: RUF012 - frames of each capture still to be made; none: it cannot be opened

    def __init__(self, *where: object) -> None:
        FakeCapture.asked = {}
        FakeCapture.opened.append(where)
        self.left = FakeCapture.lives.pop(0) if FakeCapture.lives else -1

    def isOpened(self) -> bool:
        return self.left >= 0

    def get(self, what: int) -> float:
        import cv2

        return {cv2.CAP_PROP_FRAME_WIDTH: 64.0, cv2.CAP_PROP_FRAME_HEIGHT: 48.0, cv2.CAP_PROP_FPS: 15.0}.get(what, 0.0)

    def set(self, what: int, value: float) -> bool:
        FakeCapture.asked[what] = value
        return True

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, object]:
        return True, np.full((48, 64, 3), (1, 2, 3), np.uint8)

    def release(self) -> None:
        """Nothing is held."""


@pytest.fixture
def fake_camera(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    FakeCapture.opened, FakeCapture.lives = [], []
    return FakeCapture


def test_a_camera_is_asked_for_size_and_rate_and_opened_again(fake_camera: type[FakeCapture]):
    import cv2

    fake_camera.lives = [3, 2]
    said: list[Event] = []
    source = open_source(
        "/dev/video97", options=InputOptions(size_hw=(480, 640), rate=15.0, give_up_s=1.0), listener=said.append
    )

    asked, frames = dict(fake_camera.asked), []
    with pytest.raises(StreamError) as caught:
        frames.extend(source)

    assert (source.kind, source.place, source.is_live, source.fps) == ("camera", "/dev/video97", True, 15.0)
    assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT]) == (640, 480)
    assert asked[cv2.CAP_PROP_FPS] == 15.0
    assert fake_camera.opened[0][0] == 97
    assert frames[0].name == "camera97_000000.jpg"
    assert frames[0].image_hwc.shape == (480, 640, 3)  # the device gave another size
    assert frames[0].image_hwc[0, 0].tolist() == [3, 2, 1]
    assert [type(event) for event in said] == [SourceLost, SourceBack, SourceLost]
    assert str(caught.value).startswith("/dev/video97: no frames for 1 s (it cannot be opened); ")


def test_a_csi_camera_without_gstreamer_says_what_it_needs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(with_opencv, "_has_gstreamer", lambda: False)

    with pytest.raises(PathError) as caught:
        open_source("csi://0")

    assert str(caught.value) == (
        "csi://0: a CSI camera needs an OpenCV that was built with GStreamer, as JetPack's is, and the one here was "
        "not; use JetPack's OpenCV, or a USB camera (/dev/video0)"
    )


def test_a_csi_camera_is_read_through_gstreamer(fake_camera: type[FakeCapture], monkeypatch: pytest.MonkeyPatch):
    import cv2

    monkeypatch.setattr(with_opencv, "_has_gstreamer", lambda: True)
    fake_camera.lives = [2]

    source = open_source("csi://1", options=InputOptions(size_hw=(480, 640), rate=60.0, give_up_s=0.1))

    assert next(iter(source)).name == "camera1_000000.jpg"
    assert fake_camera.opened == [
        (
            "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=640, height=480, framerate=60/1, "
            "format=NV12 ! nvvidconv ! video/x-raw, format=BGRx ! videoconvert ! video/x-raw, format=BGR ! appsink "
            "drop=true max-buffers=1",
            cv2.CAP_GSTREAMER,
        )
    ]


def test_a_camera_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(PathError) as caught:
        open_source("v4l2:///dev/video97")

    assert str(caught.value).startswith("v4l2:///dev/video97: this camera cannot be opened; see that it is plugged in")
    assert capfd.readouterr().err == ""


def test_a_picture_behind_an_address_with_a_bad_body_is_told(
    serve: Callable[..., subprocess.Popen[str]], free_port: int, tmp_path: Path
):
    (tmp_path / "a.png").write_bytes(b"")
    Image.new("RGB", (8, 4)).save(tmp_path / "b.png")
    code = f"import http.server as h; s = h.HTTPServer(('127.0.0.1', {free_port}), h.SimpleHTTPRequestHandler); "
    serve(sys.executable, "-c", code + "print('ready', flush=True); s.serve_forever()", cwd=tmp_path)
    address = f"http://127.0.0.1:{free_port}"

    assert next(iter(open_source(f"{address}/b.png"))).image_hwc.shape == (4, 8, 3)
    with pytest.raises(DataError) as caught:
        list(open_source(f"{address}/a.png"))

    assert str(caught.value) == (
        f"{address}/a.png: not a readable image (the file is empty); replace the file or remove it"
    )


def test_the_session_description_is_the_one_that_senders_print():
    address = readers.Address("rtp", "rtp://@:5004")

    link = readers.link_to_address(address, codec="H265", latency_ms=10)

    head, _, body = link.url.partition(",")
    assert head == "data:application/sdp;base64"
    assert base64.b64decode(body).decode().splitlines() == [
        *("v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=taolite", "c=IN IP4 0.0.0.0", "t=0 0"),
        *("m=video 5004 RTP/AVP 96", "a=rtpmap:96 H265/90000"),
    ]
    assert link.options == {"protocol_whitelist": "data,rtp,udp", "max_delay": "10000"}
