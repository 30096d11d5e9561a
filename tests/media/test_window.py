"""A window on a display without a screen (Xvfb): what it shows is photographed, and a user closes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageGrab

from taolite.errors import StorageError, UsageError
from taolite.media import OutputOptions, has_display, open_output
from taolite.media.sources import Frame, Source

FILM = Source("video", "film.mp4", (), None, 30.0)
WIDTH, HEIGHT = 640, 480  # of the display


@pytest.fixture(scope="module")
def xvfb() -> Iterator[str]:
    """The name of a display that is nobody's."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb (apt install xvfb)")
    reading, writing = os.pipe()
    screen = f"{WIDTH}x{HEIGHT}x24"
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen, "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as answer:
        yield f":{answer.readline().strip()}"
    server.kill()
    server.wait()


@pytest.fixture
def display(xvfb: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DISPLAY", xvfb)
    return xvfb


def xdotool(*words: str) -> str:
    if shutil.which("xdotool") is None:
        pytest.skip("there is no xdotool (apt install xdotool)")
    done = subprocess.run(["xdotool", *words], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()


def scene(width: int, height: int) -> np.ndarray:
    """Four colours, one in each corner."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = (255, 0, 0), (0, 255, 0)
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = (0, 0, 255), (255, 255, 0)
    return image


def photograph(display: str, wanted: np.ndarray, *, left: int = 0, top: int = 0) -> np.ndarray:
    """The display once it shows `wanted` at that place; the last look at it where it never does."""
    height, width = wanted.shape[:2]
    end = time.monotonic() + 10
    while True:
        seen = np.asarray(ImageGrab.grab(xdisplay=display).convert("RGB"))
        part = seen[top : top + height, left : left + width].astype(int)
        if part.shape == wanted.shape and np.abs(part - wanted).mean() < 2:
            return seen
        if time.monotonic() > end:
            raise AssertionError("the window never showed it")
        time.sleep(0.05)


def test_a_window_shows_the_frames_and_the_rate_in_its_title(display):
    image = scene(320, 240)
    with ExitStack() as stack:
        output = open_output("display://0", FILM, stack, options=OutputOptions(title="ssd-mobilenet"))
        for number in range(20):
            assert output.write(Frame("x", image, number), image) is None
            time.sleep(0.05)
        seen = photograph(display, image)
        name = xdotool("search", "--name", "ssd-mobilenet", "getwindowname", "%1")
        assert output.is_open

    assert seen[300:, 400:].max() == 0  # beside the window is nothing
    title, rate = name.split(" | ")
    assert title == "ssd-mobilenet"
    assert 2 < float(rate.removesuffix(" fps")) < 25
    assert not output.is_open
    assert output.lost == 0


@pytest.mark.parametrize("size", ["maximized", "fullscreen"])
def test_a_window_as_large_as_the_screen_keeps_the_shape_of_the_picture(display, size):
    image = scene(320, 120)  # 640x240 fits, with black above and below
    with ExitStack() as stack:
        output = open_output("display", FILM, stack, options=OutputOptions(**{size: True}))
        output.write(Frame("x", image, 0), image)
        photograph(display, scene(640, 240), top=120)


def test_a_picture_larger_than_the_screen_is_shown_whole(display):
    image = scene(1280, 480)
    with ExitStack() as stack:
        output = open_output("display://0", FILM, stack)
        output.write(Frame("x", image, 0), image)
        photograph(display, scene(576, 216))  # 90 % of the screen


@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_closes_the_window_and_with_it_the_output(display, key):
    image, told = scene(64, 48), []
    with ExitStack() as stack:
        output = open_output("display://0", FILM, stack, listener=told.append)
        output.write(Frame("x", image, 0), image)
        photograph(display, image)
        xdotool("search", "--name", "taolite", "windowfocus", "--sync", "%1", "keydown", key)
        end = time.monotonic() + 10
        while output.is_open and time.monotonic() < end:
            time.sleep(0.02)
        assert not output.is_open
        for number in range(1, 9):
            output.write(Frame("x", image, number), image)  # it harms nothing

    assert (output.lost, told) == (0, [])


def test_a_window_that_holds_stays_until_it_is_closed(display):
    image = scene(64, 48)
    with ExitStack() as stack:
        output = open_output("display://0", FILM, stack, options=OutputOptions(hold=True))
        output.write(Frame("x", image, 0), image)
        stack.pop_all()  # closed below, by hand
    close = subprocess.Popen(
        ["sh", "-c", "sleep 3; xdotool search --name taolite windowfocus --sync %1 keydown q"],
        env=os.environ | {"DISPLAY": display},
    )
    photograph(display, image)
    begin = time.monotonic()
    output.close()

    assert time.monotonic() - begin > 1
    assert close.wait(10) == 0


def test_a_window_that_holds_ends_with_ctrl_c(display, monkeypatch):
    image = scene(64, 48)
    with ExitStack() as stack:
        output = open_output("display://0", FILM, stack, options=OutputOptions(hold=True))
        output.write(Frame("x", image, 0), image)
        stack.pop_all()  # closed below, by hand
    photograph(display, image)

    def interrupt(seconds: float | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(output._thread, "join", interrupt)
    with pytest.raises(KeyboardInterrupt):
        output.close()
    assert not output.is_open


def test_a_window_whose_display_dies_is_an_error_and_not_a_users_wish(monkeypatch):
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    if shutil.which("Xvfb") is None:
        pytest.skip("there is no Xvfb (apt install xvfb)")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-nolisten", "tcp"], pass_fds=[writing], stderr=subprocess.DEVNULL
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        monkeypatch.setenv("DISPLAY", f":{answer.readline().strip()}")
    image = scene(64, 48)

    def film() -> None:
        with ExitStack() as stack:
            output = open_output("display://0", FILM, stack)
            for number in range(200):
                if number == 10:
                    server.kill()
                    server.wait()
                output.write(Frame("x", image, number), image)
                time.sleep(0.02)

    with pytest.raises(StorageError) as caught:
        film()
    assert str(caught.value) == "display://0: the window failed; its last words are above"


def test_no_display_and_no_tkinter_are_told_with_the_way_out(monkeypatch, tmp_path):
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    monkeypatch.delenv("DISPLAY", raising=False)
    with ExitStack() as stack, pytest.raises(UsageError) as caught:
        open_output("display://0", FILM, stack)
    assert str(caught.value) == (
        "display://0: no window can be opened (no display name and no $DISPLAY environment variable); name another "
        "output, or add --headless"
    )
    with ExitStack() as stack, pytest.raises(UsageError) as caught:
        open_output("display://9876", FILM, stack)
    assert str(caught.value) == (
        'display://9876: no window can be opened (couldn\'t connect to display ":9876"); name another output, or add '
        "--headless"
    )
    (tmp_path / "tkinter.py").write_text("raise ImportError")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with ExitStack() as stack, pytest.raises(UsageError) as caught:
        open_output("display", FILM, stack)
    assert str(caught.value) == (
        "display://0: no window can be opened (this Python has no tkinter; on Debian: apt install python3-tk); name "
        "another output, or add --headless"
    )


def test_a_display_is_known_by_the_environment(monkeypatch):
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_display()
    monkeypatch.setenv("DISPLAY", "")
    assert not has_display()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert has_display()


def test_headless_opens_nothing(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    image = scene(64, 48)
    with ExitStack() as stack:
        output = open_output("display://0", FILM, stack, options=OutputOptions(headless=True))
        assert output.write(Frame("x", image, 0), image) is None
        assert output.is_open
    assert not Path("display:").exists()
