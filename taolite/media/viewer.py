"""The process of a window: `python -m taolite.media.viewer natural|maximized|fullscreen end|hold`.

It first answers with one line of JSON: "" where the window is open, else the reason. Then it shows the frames that come
through its standard input, as `taolite.media.window` describes them, until the input ends or the user closes it. It
needs tkinter and Pillow.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import suppress
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tkinter

_LOOK_MS = 5  # between two looks for a new frame


def main(size: str, *, holds: bool) -> int:
    """Open the window and show frames until it is closed; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is for the parent, which tells
    try:
        import tkinter

        root = tkinter.Tk(className="taolite")
    except ImportError:
        return _refuse("this Python has no tkinter; on Debian: apt install python3-tk")
    except tkinter.TclError as error:
        return _refuse(str(error))
    print(json.dumps(""), flush=True)
    Viewer(root, size, holds=holds)
    root.mainloop()
    return 0


def _refuse(reason: str) -> int:
    print(json.dumps(reason), flush=True)
    return 1


class Viewer:
    """Shows one frame after the other, as large as the user makes the window."""

    def __init__(self, root: tkinter.Tk, size: str, *, holds: bool) -> None:
        import tkinter

        self._root, self._size, self._holds = root, size, holds
        self._label = tkinter.Label(root, background="black", borderwidth=0)
        self._label.pack(fill="both", expand=True)
        self._photo: Any = None
        for key in ("<Escape>", "q"):
            root.bind(key, lambda event: root.destroy())
        root.withdraw()  # until there is a frame
        self._frames: Queue[tuple[dict[str, Any], bytes] | None] = Queue(1)
        threading.Thread(target=self._read, daemon=True).start()
        root.after(_LOOK_MS, self._look)

    def _read(self) -> None:
        stream = open(0, "rb", closefd=False)  # noqa: SIM115 - sys.stdin cannot be read while Python ends
        while line := stream.readline():
            head = json.loads(line)
            size = 3 * head["hw"][0] * head["hw"][1]
            if len(pixels := stream.read(size)) < size:
                break
            self._frames.put((head, pixels))
        self._frames.put(None)

    def _look(self) -> None:
        """Show the next frame, if there is one."""
        with suppress(Empty):
            item = self._frames.get_nowait()
            if item is not None:
                self._show(*item)
            elif self._photo is None or not self._holds:
                self._root.destroy()
                return
        self._root.after(_LOOK_MS, self._look)

    def _show(self, head: dict[str, Any], pixels: bytes) -> None:
        from PIL import Image, ImageTk

        height, width = head["hw"]
        if self._photo is None:
            self._appear(width, height)
        picture = Image.frombytes("RGB", (width, height), pixels)
        scale = min(self._label.winfo_width() / width, self._label.winfo_height() / height)
        if scale != 1:
            picture = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))))
        self._photo = ImageTk.PhotoImage(picture)
        self._label.configure(image=self._photo)
        self._root.title(head["title"])
        self._root.update_idletasks()

    def _appear(self, width: int, height: int) -> None:
        import tkinter

        root = self._root
        screen_wh = (root.winfo_screenwidth(), root.winfo_screenheight())
        if self._size == "natural":
            scale = min(1.0, 0.9 * screen_wh[0] / width, 0.9 * screen_wh[1] / height)
            root.geometry(f"{round(width * scale)}x{round(height * scale)}")
        else:
            root.geometry(f"{screen_wh[0]}x{screen_wh[1]}+0+0")
            with suppress(tkinter.TclError):  # macOS and Windows name it otherwise; the size is right there too
                root.attributes("-fullscreen" if self._size == "fullscreen" else "-zoomed", True)
        root.deiconify()
        root.update()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], holds=sys.argv[2] == "hold"))
