"""Servers in a second process, and both libraries that read videos."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(params=["av", "opencv"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs with PyAV, where it is installed, and as if it were not."""
    if request.param == "opencv":
        monkeypatch.setitem(sys.modules, "av", None)
        monkeypatch.delitem(sys.modules, "taolite.media.with_av", raising=False)
    elif importlib.util.find_spec("av") is None:
        pytest.skip("PyAV is not installed (extra `video`)")
    return request.param


@pytest.fixture
def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def serve() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """serve(*command, cwd=None): a process that has said `ready`; it ends with the test."""
    running = []

    def start(*command: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
        running.append(process)
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.readline() != "ready\n":
            process.kill()
            pytest.fail(f"{' '.join(command)}: {process.stderr.read()}")
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def camera_server(
    serve: Callable[..., subprocess.Popen[str]], free_port: int, tmp_path: Path
) -> tuple[str, Callable[..., subprocess.Popen[str]]]:
    """An address, and what starts the http camera of mjpeg_server.py there; `tmp_path` holds its clip.mp4."""

    def start(*flags: str) -> subprocess.Popen[str]:
        return serve(sys.executable, str(HERE / "mjpeg_server.py"), str(free_port), *flags, cwd=tmp_path)

    return f"http://127.0.0.1:{free_port}", start


@pytest.fixture
def rtsp_server(
    serve: Callable[..., subprocess.Popen[str]], free_port: int
) -> tuple[str, Callable[..., subprocess.Popen[str]]]:
    """An address, and what starts the RTSP server of rtsp_server.py there. The system's own Python runs it, because
    Debian's GStreamer belongs to that."""
    python = "/usr/bin/python3"
    needed = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if not Path(python).exists() or subprocess.run([python, "-c", needed], capture_output=True).returncode:
        pytest.skip(
            "no RTSP server is here: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good python3-gi"
        )

    def start(*flags: str) -> subprocess.Popen[str]:
        return serve(python, str(HERE / "rtsp_server.py"), str(free_port), *flags)

    return f"rtsp://127.0.0.1:{free_port}/live", start
