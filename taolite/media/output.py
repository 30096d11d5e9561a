"""Where annotated frames go, told by the place that is named, as jetson-inference does it (reference 11.1).

    out.jpg                             one picture
    out_%i.jpg, out_%03d.jpg, out_*.jpg pictures with a number, from 0
    out.mp4, out.mkv, out.gif ...       a video (`videos`)
    folder                              pictures under their own names; of a video, one video
    file://PATH                         one of those
    rtp://, rtsp://, rtmp://            another machine (`network`)
    display://0, display                a window (`window`)
    ""                                  nothing

Files never lose a frame: `write` waits for them. It does not wait for a network or a window, which drop frames when
they stall. OpenCV, PyAV and Pillow are imported when they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, UsageError
from taolite.events import Listener, Notice, StreamDescribed, silent
from taolite.media.live import LiveOutput
from taolite.media.network import SCHEMES, NetworkSink, shown
from taolite.media.sinks import PICTURES, PictureFolder
from taolite.media.sources import Frame, Source
from taolite.media.videos import BIT_RATE, CODEC, VIDEOS, VideoFile
from taolite.media.window import WindowSink

__all__ = ["Output", "OutputOptions", "open_output", "open_outputs"]

_NUMBER = re.compile(r"%(0\d+)?[id]|\*")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}", re.IGNORECASE)  # two letters or more: `c:/` is a drive
_UNWRITTEN = (".wmv", ".mpg", ".mpeg", ".ogv", ".3gp", ".vob")
_RATE = 25.0  # frames a second of a video that is made of pictures


@dataclass(frozen=True)
class OutputOptions:
    """How frames are written.

    Attributes:
        codec: h264, h265, vp8, vp9 or mjpeg, of a video or a stream.
        bitrate: bits a second of a video or a stream.
        fps: frames a second of a video or a stream; None is the source's.
        headless: no window is opened, and its frames go nowhere.
        title: of a window, usually the name of the network; the frames a second follow it.
        maximized: the window is as large as the screen.
        fullscreen: the window covers the screen.
        hold: at the end the window stays, with the last frame, until the user closes it.
    """

    codec: str = CODEC
    bitrate: int = BIT_RATE
    fps: float | None = None
    headless: bool = False
    title: str = "taolite"
    maximized: bool = False
    fullscreen: bool = False
    hold: bool = False


class Output(Protocol):
    """A place that takes annotated frames."""

    @property
    def is_open(self) -> bool:
        """False once the window has been closed: the run ends."""

    @property
    def lost(self) -> int:
        """The number of frames that were dropped, because a network or a window stalled; files drop none."""

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path | None:
        """Write the annotated picture of `frame`, (H, W, 3) uint8 RGB, which must not change afterwards; the file it
        was written to, None where there is no file. Raises StorageError, DataError, UsageError."""


def open_output(
    place: str | Path,
    source: Source,
    stack: ExitStack,
    *,
    options: OutputOptions | None = None,
    listener: Listener = silent,
) -> Output:
    """An output for the frames of `source` at `place`, closed by `stack`. Numbers of pictures count from 0.

    Args:
        place: as the user gave it; "" writes nothing.
        listener: hears of dropped frames, of pictures that get another name, and of the description of an RTP stream.

    Raises:
        UsageError: a place of another kind, or one that needs something that is not here.
        DataError: one file for a source of several pictures.
    """
    options = options or OutputOptions()
    text = str(place)
    scheme = _SCHEME.match(text)
    name, rest = (scheme[1].lower(), text[len(scheme[0]) :]) if scheme else ("", text)
    if name in SCHEMES:
        return stack.enter_context(_network(f"{name}://{rest}", source, options, listener))
    if name == "display" or (text == "display" and not Path(text).exists()):
        if options.headless:
            return _Nowhere()
        return stack.enter_context(_window(f"display://{rest if scheme else 0}", options, listener))
    if name not in ("", "file"):
        raise UsageError(f"{shown(f'{name}://{rest}')}: nothing is written to {name} here; {_ways_out()}")
    if name == "file" and "://" not in text:  # a Path keeps one slash of three
        rest = f"/{rest}"
    return _file(Path(rest), source, options, stack, listener) if rest else _Nowhere()


def open_outputs(
    places: Sequence[str | Path],
    source: Source,
    stack: ExitStack,
    *,
    options: OutputOptions | None = None,
    listener: Listener = silent,
) -> Output:
    """One output that writes to all `places`, as a file with a window beside it; see `open_output`. It is open while
    all of them are, and `write` returns the first file."""
    return _Several([open_output(place, source, stack, options=options, listener=listener) for place in places])


def _network(address: str, source: Source, options: OutputOptions, listener: Listener) -> LiveOutput:
    fps = options.fps or source.fps or _RATE
    sink = NetworkSink(address, codec=options.codec, bitrate=options.bitrate, fps=fps)
    if sink.description is not None:
        listener(StreamDescribed(sink.place, sink.description))
    is_live = source.kind not in ("pictures", "video")
    return LiveOutput(sink.place, sink, pace=None if is_live else fps, listener=listener)


def _window(place: str, options: OutputOptions, listener: Listener) -> LiveOutput:
    sink = WindowSink(
        place,
        title=options.title,
        maximized=options.maximized,
        fullscreen=options.fullscreen,
        hold=options.hold,
    )
    return LiveOutput(place, sink, listener=listener)


def _file(path: Path, source: Source, options: OutputOptions, stack: ExitStack, listener: Listener) -> Output:
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        return _Pictures(path, source, listener)
    if suffix in _UNWRITTEN:
        raise UsageError(f"{path}: {suffix} is not a kind of video that is written here; {_ways_out()}")
    if suffix not in VIDEOS:
        if source.kind != "video":
            return _Pictures(path, source, listener, is_folder=True)
        path = path / f"{source.paths[0].stem}.mp4"
    fps = options.fps or source.fps or _RATE
    read = source.paths if source.kind == "video" else ()
    file = VideoFile(path, fps=fps, codec=options.codec, bitrate=options.bitrate, protect=read)
    return _Video(stack.enter_context(file))


def _ways_out() -> str:
    return (
        f"give a folder, a picture (out.jpg, out_%i.jpg), a video ({' '.join(VIDEOS)}), display://0, or an address "
        f"({' '.join(f'{name}://' for name in SCHEMES)})"
    )


class _Nowhere:
    """Writes nothing."""

    is_open = True
    lost = 0

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> None:
        """Do nothing."""


class _Pictures:
    """Pictures in a folder, under the name that is given, a name with a number, or the names they came with."""

    is_open = True
    lost = 0

    def __init__(self, path: Path, source: Source, listener: Listener, *, is_folder: bool = False) -> None:
        self._pattern = "" if is_folder or not _NUMBER.search(path.name) else path.name
        self._name = "" if is_folder or self._pattern else path.name
        self._written = 0
        if self._name and not (len(source.paths) == 1 and source.kind == "pictures"):
            raise DataError(
                f"{path}: one file for {source.place}, which is several pictures; give a folder, or a name with a "
                f"number, as in {path.stem}_%i{path.suffix}"
            )
        self._folder = PictureFolder(
            path if is_folder else path.parent,
            protect=source.paths,
            is_numbered=bool(self._pattern) or source.kind != "pictures",
            on_rename=lambda text: listener(Notice(text, "warning")),
        )

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path:
        name = self._name or frame.name
        if self._pattern:
            name = _NUMBER.sub(lambda match: f"{self._written:{match[1] or ''}d}", self._pattern)
        self._written += 1
        return self._folder.write(name, picture_hwc)


class _Video:
    """One video file."""

    is_open = True
    lost = 0

    def __init__(self, file: VideoFile) -> None:
        self._file = file

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path:
        self._file.write(picture_hwc, time_s=frame.time_s)
        return self._file.path


class _Several:
    """Several outputs as one."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = tuple(outputs)

    @property
    def is_open(self) -> bool:
        return all(output.is_open for output in self._outputs)

    @property
    def lost(self) -> int:
        return sum(output.lost for output in self._outputs)

    def write(self, frame: Frame, picture_hwc: NDArray[np.uint8]) -> Path | None:
        paths = [output.write(frame, picture_hwc) for output in self._outputs]
        return next((path for path in paths if path is not None), None)
