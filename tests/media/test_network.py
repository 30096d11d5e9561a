"""Video to other machines: a second process receives it and looks at the frames."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from taolite import extras
from taolite.errors import DataError, StorageError, UsageError
from taolite.events import Event, FramesDropped, StreamDescribed
from taolite.media import OutputOptions, open_output
from taolite.media.network import NetworkSink, shown
from taolite.media.sources import Frame, Source

pytestmark = pytest.mark.sockets

RECEIVER = Path(__file__).with_name("receiver.py")
LEFT, RIGHT = (200, 30, 40), (20, 60, 220)
FPS = 20.0
COUNT = 60

Start = Callable[..., "subprocess.Popen[bytes]"]


def picture(number: int) -> np.ndarray:
    """Red on the left, blue on the right, and a white bar whose place is `number`."""
    image = np.empty((120, 160, 3), np.uint8)
    image[:, :80], image[:, 80:] = LEFT, RIGHT
    image[100:, 2 * number : 2 * number + 20] = 255
    return image


def bar(image_hwc: np.ndarray) -> float:
    """The number of a picture, by the middle of its bar."""
    columns = np.flatnonzero(image_hwc[102:118].min((0, 2)) > 150)
    return (float(columns.mean()) - 9.5) / 2


@pytest.fixture(autouse=True)
def _pyav() -> None:
    pytest.importorskip("av", reason="PyAV is not installed (the extra `video`)")


@pytest.fixture
def port() -> int:
    """A port that nobody uses, with the next one free as well: RTP's reports go there."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            number = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", number + 1))
            except OSError:
                continue
            return number


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Start]:
    """receiver(address, *options): a process that receives into `tmp_path / "got.npz"`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(address: str | Path, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(RECEIVER), str(address), str(tmp_path / "got.npz"), *options]
        started.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for_port(port: int, kind: str) -> None:
    """Until the kernel lists a socket of this process's machine on `port`. kind: tcp (listening) or udp."""
    wanted = f":{port:04X} "
    end = time.monotonic() + 30
    while time.monotonic() < end:
        rows = Path(f"/proc/net/{kind}").read_text().splitlines()[1:]
        if any(wanted in row.split(maxsplit=1)[1][:14] for row in rows):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on {port}")


def send(place: str, listener: Callable[[Event], None], *, count: int = COUNT, codec: str = "h264") -> int:
    """Frames of a film to `place`, at its pace; the number of lost ones."""
    source = Source("video", "film.mp4", (Path("film.mp4"),), count, FPS)
    with ExitStack() as stack:
        output = open_output(place, source, stack, options=OutputOptions(codec=codec), listener=listener)
        for number in range(count):
            assert output.write(Frame("x", picture(number), number, None, number / FPS), picture(number)) is None
    return output.lost


def check(tmp_path: Path, lost: int) -> None:
    """The frames that came have the right colours and order, and times as far apart as they were sent."""
    with np.load(tmp_path / "got.npz") as got:
        frames, times = got["frames"], got["times"]
    assert frames.shape[1:] == (120, 160, 3)
    assert len(frames) >= COUNT - lost - 25  # it may miss the first key frame, and waits a second for the next one
    for column, colour in ((10, LEFT), (150, RIGHT)):
        assert np.abs(frames[:, 50, column].astype(int) - colour).max() <= 12
    numbers = np.array([bar(frame) for frame in frames])
    assert np.abs(numbers - numbers.round()).max() < 0.3
    assert (np.diff(numbers) > 0.5).all()
    assert numbers[-1] == pytest.approx(COUNT - 1, abs=0.3)
    middle = slice(len(frames) // 2, None)
    assert times[middle] - times[-1] == pytest.approx((numbers[middle] - numbers[-1]) / FPS, abs=0.5)


@pytest.mark.parametrize("codec", ["h264", "h265", "vp8"])
def test_rtp_reaches_a_receiver_that_has_the_description(receiver, tmp_path, port, codec):
    told: list[Event] = []
    description = tmp_path / "stream.sdp"
    place = f"rtp://127.0.0.1:{port}"
    with ExitStack() as stack:  # the description comes when the output is opened
        source = Source("video", "film.mp4", (), 1, FPS)
        open_output(place, source, stack, options=OutputOptions(codec=codec), listener=told.append)
    (event,) = told
    assert isinstance(event, StreamDescribed)
    assert event.place == place
    description.write_text(event.description)
    process = receiver(description, "protocol_whitelist=file,udp,rtp")
    wait_for_port(port, "udp")

    lost = send(place, told.append, codec=codec)

    assert process.wait(60) == 0
    check(tmp_path, lost)


def test_the_description_of_a_stream():
    sink = NetworkSink("rtp://10.0.0.2:5004", codec="h264", bitrate=1_000_000, fps=25)

    assert sink.description == (
        "v=0\no=- 0 0 IN IP4 10.0.0.2\ns=taolite\nc=IN IP4 10.0.0.2\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode=1\n"
    )
    described = [
        NetworkSink(f"rtp://{host}:5004", codec="vp8", bitrate=1, fps=25).description.splitlines()[3]
        for host in ("239.1.2.3", "[ff15::1]", "camera.local")
    ]
    assert described == ["c=IN IP4 239.1.2.3/16", "c=IN IP6 ff15::1", "c=IN IP4 camera.local"]


@pytest.mark.parametrize("codec", ["h264", "h265", "vp8"])
def test_rtsp_is_pushed_to_a_server(receiver, tmp_path, port, codec):
    process = receiver(f"rtsp://127.0.0.1:{port}/live", "rtsp_flags=listen", "listen_timeout=30")
    wait_for_port(port, "tcp")

    lost = send(f"rtsp://127.0.0.1:{port}/live", lambda event: None, codec=codec)

    assert process.wait(60) == 0
    check(tmp_path, lost)


def test_rtmp_is_pushed_to_a_server(receiver, tmp_path, port):
    process = receiver(f"rtmp://127.0.0.1:{port}/live/key", "listen=1")
    wait_for_port(port, "tcp")

    lost = send(f"rtmp://127.0.0.1:{port}/live/key", lambda event: None)

    assert process.wait(60) == 0
    check(tmp_path, lost)


def test_no_receiver_is_told_without_the_password(port):
    with pytest.raises(StorageError) as caught:
        send(f"rtsp://me:secret@127.0.0.1:{port}/a?token=1", lambda event: None)

    assert str(caught.value) == (
        f"rtsp://me:***@127.0.0.1:{port}/a?***: the connection failed (connection refused); see that the receiver "
        "runs, then try again"
    )


def test_a_receiver_that_goes_away_is_told_and_a_file_beside_it_is_kept(receiver, tmp_path, port):
    import cv2

    from taolite.media import open_outputs

    address = f"rtsp://127.0.0.1:{port}/live"
    process = receiver(address, "rtsp_flags=listen", "listen_timeout=30")
    wait_for_port(port, "tcp")
    source = Source("camera", "0", (), None, 30.0)

    def film() -> None:
        with ExitStack() as stack:
            output = open_outputs([tmp_path / "out.mp4", address], source, stack)
            for number in range(400):
                if number == 30:
                    process.kill()
                output.write(Frame("x", picture(number % 60), number), picture(number % 60))
                time.sleep(0.02)

    with pytest.raises(StorageError) as caught:
        film()

    assert str(caught.value).startswith(f"{address}: the connection failed (")
    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 30


def test_a_receiver_that_stalls_holds_nothing_up(receiver, port, monkeypatch):
    from taolite.media import live

    monkeypatch.setattr(live, "_GRACE_S", 0.3)
    told: list[Event] = []
    address = f"rtsp://127.0.0.1:{port}/live"
    process = receiver(address, "rtsp_flags=listen", "listen_timeout=30")
    wait_for_port(port, "tcp")
    noise = np.random.default_rng(0).integers(0, 255, (4, 480, 640, 3), dtype=np.uint8)
    longest_s = 0.0

    with ExitStack() as stack:
        options = OutputOptions(bitrate=40_000_000)
        output = open_output(
            address, Source("camera", "0", (), None, 30.0), stack, options=options, listener=told.append
        )
        for number in range(240):
            if number == 40:
                process.send_signal(signal.SIGSTOP)
            begin = time.monotonic()
            output.write(Frame("x", noise[number % 4], number), noise[number % 4])
            longest_s = max(longest_s, time.monotonic() - begin)
            time.sleep(0.02)

    assert longest_s < 2  # it would be for ever
    assert output.lost > 20
    assert told[-1] == FramesDropped(address, output.lost, 240, True)


def test_a_frame_of_another_size_is_refused(port):
    sink = NetworkSink(f"rtp://127.0.0.1:{port}", codec="h264", bitrate=1_000_000, fps=25)
    sink.put(picture(0), 0.0)

    with pytest.raises(DataError) as caught:
        sink.put(picture(0)[:, :100], 0.1)

    assert str(caught.value) == f"rtp://127.0.0.1:{port}: a frame of 100x120 pixels came after 160x120 ones"
    sink.close()


@pytest.mark.parametrize(
    ("address", "codec", "message"),
    [
        ("rtp://h:1", "mjpeg", "rtp://h:1: rtp is sent as h264 or h265 or vp8, not mjpeg"),
        ("rtmp://h/a/key", "h265", "rtmp://h/a/***: rtmp is sent as h264, not h265"),
    ],
)
def test_a_codec_that_a_protocol_does_not_carry_is_refused(address, codec, message):
    with pytest.raises(UsageError) as caught:
        NetworkSink(address, codec=codec, bitrate=1, fps=25)

    assert str(caught.value) == message


def test_without_pyav_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setattr(extras, "_source", lambda: None)

    with pytest.raises(UsageError) as caught:
        NetworkSink("rtsp://me:secret@h/a", codec="h264", bitrate=1, fps=25)

    assert str(caught.value) == (
        "rtsp://me:***@h/a: this needs PyAV, which is not installed; run pip install 'taolite[video]'"
    )


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("rtsp://cam.local/a", "rtsp://cam.local/a"),
        ("rtsp://me@cam.local:8554/a", "rtsp://me@cam.local:8554/a"),
        ("rtsp://me:se:cr/e@t@cam.local/a", "rtsp://me:***@cam.local/a"),
        ("rtsp://me:se?cret@cam.local/a", "rtsp://me:***@***"),
        ("rtsp://cam.local/a?user=me@x&key=secret", "rtsp://cam.local/a:***@***"),
        ("rtmp://h/app/key?x=secret", "rtmp://h/app/***?***"),
        ("rtmp://h/app", "rtmp://h/app"),
    ],
)
def test_nothing_secret_of_an_address_is_shown(address, said):
    assert shown(address) == said
