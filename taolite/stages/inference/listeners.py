"""Listeners for the results of a model: annotated pictures and videos, KITTI labels, a table, services.

Each takes one `Seen` after the other. Resources to close at the end are put on the caller's stack.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.events import Listener, Notice, silent
from taolite.files import sync_folder, write_text
from taolite.media.fonts import font_warning
from taolite.media.output import open_output
from taolite.media.overlay import USUAL, Colour, Marks, Overlay, draw_detections, palette
from taolite.media.sinks import KittiFolder, PictureFolder
from taolite.media.sources import Source
from taolite.media.videos import VideoFile
from taolite.sample import Detection
from taolite.sinks.base import Sink
from taolite.stages.inference.look import Counted, Seen

__all__ = ["Drawing", "SeenListener", "annotated_folder", "annotated_output", "cell", "labels", "table"]

SeenListener: TypeAlias = Callable[[Seen], "Path | None"]
"""Called for every frame, in order; returns the file it wrote for the frame, or None. Raises StorageError, DataError,
UsageError."""


@dataclass(frozen=True)
class Drawing:
    """How results are drawn.

    Attributes:
        classes: the model's, in its order.
        names: text to write instead of a class name.
        colours: by class; a class without an entry gets one from the palette.
        shown: the classes that are drawn, written and counted; None is all.
        linewidth: pixels; None follows the picture's size.
        overlay: what is drawn.
        least: the score from which a class is shown; 0 where it is not named.
    """

    classes: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[str, Colour] = field(default_factory=dict)
    shown: frozenset[str] | None = None
    linewidth: int | None = None
    overlay: Overlay = USUAL
    least: Mapping[str, float] = field(default_factory=dict)
    _palette: Mapping[str, Colour] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = dict(zip(self.classes, palette(len(self.classes)), strict=True))
        object.__setattr__(self, "_palette", {**own, **self.colours})

    def chosen(self, found: Sequence[Detection]) -> list[Detection]:
        """The detections that are shown."""
        shown = self.classes if self.shown is None else self.shown
        return [one for one in found if one.name in shown and one.score >= self.least.get(one.name, 0.0)]

    def draw(self, seen: Seen, *, note: str = "") -> NDArray[np.uint8]:
        """A copy of the frame with its detections, counting lines and trails; note: a line at the bottom."""
        lines = [(line.start, line.end, _line_text(line)) for line in seen.lines]
        return draw_detections(
            seen.frame.image_hwc,
            self.chosen(seen.found),
            self._palette,
            names=self.names,
            linewidth=self.linewidth,
            overlay=self.overlay,
            marks=Marks(lines, seen.trails, note),
        )


def annotated_folder(
    folder: Path,
    source: Source,
    drawing: Drawing,
    stack: ExitStack,
    *,
    services: Sequence[Sink] = (),
    listener: Listener = silent,
) -> SeenListener:
    """Write annotated pictures to `folder` under their own names, or one video; `services` get the pictures too."""
    if missing := font_warning([*drawing.classes, *drawing.names.values()]):
        listener(Notice(missing, "warning"))
    stack.callback(sync_folder, folder)
    video = None
    if source.kind == "video":
        path = folder / f"{source.paths[0].stem}.mp4"
        video = stack.enter_context(VideoFile(path, fps=source.fps or 25.0, protect=source.paths))
    pictures = PictureFolder(folder, protect=source.paths, on_rename=_warning(listener))

    def take(seen: Seen) -> Path | None:
        annotated = drawing.draw(seen)
        for service in services:
            service.pictures({f"inference/{seen.frame.name}": annotated}, seen.frame.number)
        if video is None:
            return pictures.write(seen.frame.name, annotated)
        video.write(annotated, time_s=seen.frame.time_s)
        return video.path

    return take


def annotated_output(output: Path, source: Source, drawing: Drawing, stack: ExitStack) -> SeenListener:
    """Write annotated frames to any output that jetson-inference accepts; see `taolite.media.output`."""
    writer = open_output(output, source, stack)
    return lambda seen: writer.write(seen.frame, drawing.draw(seen))


def labels(folder: Path, drawing: Drawing, *, listener: Listener = silent) -> SeenListener:
    """Write one KITTI label file for each frame, with the drawing's classes and names."""
    files = KittiFolder(folder, on_rename=_warning(listener))

    def take(seen: Seen) -> Path:
        renamed = [replace(one, name=drawing.names.get(one.name, one.name)) for one in drawing.chosen(seen.found)]
        return files.write(seen.frame.name, renamed)

    return take


def table(path: Path, stack: ExitStack) -> SeenListener:
    """Write a CSV file without a header at the end: path, class and score of each detection, empty where a picture has
    none. A text that a spreadsheet would compute gets a leading apostrophe."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    stack.callback(lambda: write_text(path, text.getvalue()))

    def take(seen: Seen) -> None:
        name = cell(str(seen.frame.path or seen.frame.name))
        rows.writerows([(name, cell(one.name), one.score) for one in seen.found] or [(name, "", None)])

    return take


def _line_text(line: Counted) -> str:
    """`door  left 2  right 5`"""
    return "  ".join([line.name, *(f"{way[3:]} {sum(counts.values())}" for way, counts in line.counts.items())])


def cell(text: str) -> str:
    """Escape a text that a spreadsheet would read as a formula: one that begins with `=`, `+`, `-` or `@`."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _warning(listener: Listener) -> Callable[[str], None]:
    return lambda text: listener(Notice(text, "warning"))
