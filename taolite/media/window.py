"""A window that shows frames: the parent's side. The window is a process of its own, `taolite.media.viewer`.

Tk insists on one thread, on macOS on the first one, and must not bring the pipeline down. Frames go through a pipe,
each as one line of JSON (`hw`: height and width, `title`) and its pixels. The viewer takes the next frame when the last
is on the screen, so a slow display is noticed here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError

__all__ = ["WindowSink", "has_display"]

_END_S = 2.0  # for the window to close itself
_RATE_S = 2.0  # the time over which frames a second are counted


def has_display() -> bool:
    """Whether a window can be expected to open here. Nothing is opened, so a display may still refuse."""
    has_screen = sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY"))
    return has_screen and find_spec("tkinter") is not None


class WindowSink:
    """A `live.LiveSink` with a window. It counts as closed when the user closes it or presses Escape or q."""

    def __init__(
        self, place: str, *, title: str, maximized: bool = False, fullscreen: bool = False, hold: bool = False
    ) -> None:
        """Args:
        place: `display://0` for the display that the environment names, `display://N` for X display :N.
        title: the frames a second follow it.
        maximized: the window is as large as the screen.
        fullscreen: the window covers the screen.
        hold: at the end the last frame stays until the user closes the window.

        Raises UsageError where no window can be opened.
        """
        self.holds = hold
        self._title = title
        self._times: deque[float] = deque()
        path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
        env = os.environ | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        number = place.rpartition("/")[2]
        if number.isdigit() and number != "0":
            env["DISPLAY"] = f":{number}"
        size = "fullscreen" if fullscreen else "maximized" if maximized else "natural"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "taolite.media.viewer", size, "hold" if hold else "end"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        self._pipe: IO[bytes] = self._process.stdin
        with self._process.stdout as answer:
            refusal = json.loads(answer.readline() or '"it ended at once"')
        if refusal:
            self._pipe.close()
            self._process.wait()
            raise UsageError(f"{place}: no window can be opened ({refusal}); name another output, or add --headless")

    @property
    def is_open(self) -> bool:
        return self._process.poll() is None

    def put(self, image_hwc: NDArray[np.uint8], time_s: float) -> None:
        self._times.append(time_s)
        while time_s - self._times[0] > _RATE_S:
            self._times.popleft()
        passed_s = time_s - self._times[0]
        rate = f" | {(len(self._times) - 1) / passed_s:.1f} fps" if passed_s > 0 else ""
        head = {"hw": image_hwc.shape[:2], "title": f"{self._title}{rate}"}
        try:
            self._pipe.write(json.dumps(head).encode() + b"\n")
            self._pipe.write(np.ascontiguousarray(image_hwc).data)
            self._pipe.flush()
        except BrokenPipeError:
            if self._process.wait(_END_S) > 0:
                raise OSError("the window failed; its last words are above") from None

    def close(self) -> None:
        with suppress(BrokenPipeError):  # closed by the user
            self._pipe.close()
        try:
            self._process.wait(None if self.holds else _END_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the window at once."""
        self._process.kill()
        self._process.wait()
