"""What a model found in one picture, in the forms that scripts and notebooks want: arrays, plain values, a picture.

No torch. Legend: N detections, H x W pixels of the picture.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite import sample
from taolite.boxes import Boxes
from taolite.errors import TaoliteError, UsageError
from taolite.media.overlay import Colour
from taolite.media.sinks import PictureFolder
from taolite.media.sources import Frame
from taolite.pictures import EXTENSIONS
from taolite.stages.inference.listeners import Drawing
from taolite.stages.inference.look import Seen

__all__ = ["Detection", "Result"]

_SHOWN = 3  # detections in a repr


@dataclass(frozen=True)
class Detection(sample.Detection):
    """One object, or one class of the whole picture.

    Attributes:
        name: the class; index: its place in the model's classes, from 0.
        box: (x1, y1, x2, y2) in pixels of the picture; None where it is about the whole picture.
        score: usually 0..1; a DetectNet's summed coverage may exceed 1.
        track: the number of the object over the frames of a video; None without a tracker.
    """

    index: int = -1


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a model found in one picture, best first.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright; shared with the caller's array where one was given.
        drawing: how it is drawn: the model's classes, and the colours and names of its spec.
        seconds: time from pixels to results, the picture's share of its batch.
        path: the picture's file; None where it came from memory, a video or a camera.
        number: of the frame, from 0.
        time_s: seconds from the start of a video, or since a camera was opened; None for pictures.
    """

    image: NDArray[np.uint8]
    detections: list[Detection]
    drawing: Drawing
    seconds: float
    path: Path | None = None
    number: int = 0
    time_s: float | None = None

    @cached_property
    def boxes(self) -> Boxes:
        """(N, 4) float32, x1 y1 x2 y2 in pixels of the picture; (0, 4) for a classifier."""
        return np.array([one.box for one in self.detections if one.box is not None], np.float32).reshape(-1, 4)

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(N,) float32."""
        return np.array([one.score for one in self.detections], np.float32)

    @property
    def names(self) -> list[str]:
        """N class names."""
        return [one.name for one in self.detections]

    @property
    def top(self) -> Detection | None:
        """The best of the detections; None where there are none."""
        return self.detections[0] if self.detections else None

    def __len__(self) -> int:
        return len(self.detections)

    def __iter__(self) -> Iterator[Detection]:
        return iter(self.detections)

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        shown = [f"{one.name} {one.score:.3f}" for one in self.detections[:_SHOWN]]
        more = [f"and {len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return f"<Result {width}x{height}: {', '.join([*shown, *more]) or 'nothing found'}>"

    def draw(self, *, colours: Mapping[str, Colour] | None = None, linewidth: int | None = None) -> NDArray[np.uint8]:
        """A copy of the picture with the detections drawn, (H, W, 3) uint8 RGB.

        Args:
            colours: (red, green, blue) by class; other classes have the palette's.
            linewidth: pixels; None follows the picture's size.
        """
        drawing = replace(
            self.drawing,
            colours={**self.drawing.colours, **(colours or {})},
            linewidth=self.drawing.linewidth if linewidth is None else linewidth,
        )
        return drawing.draw(Seen(Frame("", self.image, self.number), tuple(self.detections), self.seconds))

    def save(self, path: Path | str) -> Path:
        """Write the drawn picture to `path`; the ending of its name gives the format. Raises UsageError for another
        ending, or where `path` is the picture itself; StorageError."""
        path = Path(path).expanduser()
        if path.suffix.lower() not in EXTENSIONS:
            raise UsageError(f"{path}: a picture needs a name that ends in one of {' '.join(EXTENSIONS)}")
        return PictureFolder(path.parent, protect=() if self.path is None else (self.path,)).write(
            path.name, self.draw()
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for `json.dumps`; without the pixels."""
        height, width = self.image.shape[:2]
        return {
            "path": None if self.path is None else str(self.path),
            "number": self.number,
            "time_s": self.time_s,
            "width": width,
            "height": height,
            "detections": [
                {
                    "name": one.name,
                    "index": one.index,
                    "score": float(one.score),
                    "box": None if one.box is None else [float(value) for value in one.box],
                    "track": one.track,
                }
                for one in self.detections
            ],
        }

    def to_supervision(self) -> Any:
        """`supervision.Detections`, or `supervision.Classifications` for a classifier. Raises TaoliteError where the
        library is not installed."""
        try:
            import supervision
        except ModuleNotFoundError as error:
            if error.name != "supervision":
                raise
            raise TaoliteError(
                "to_supervision needs supervision, which is not installed; run pip install supervision"
            ) from error
        indices = np.array([one.index for one in self.detections], int)
        if self.detections and self.detections[0].box is None:
            return supervision.Classifications(class_id=indices, confidence=self.scores)
        tracks = [one.track for one in self.detections]
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=indices,
            tracker_id=np.array(tracks, int) if tracks and None not in tracks else None,
            data={"class_name": np.array(self.names, dtype=str)},
        )

    def _repr_png_(self) -> bytes:
        """The drawn picture as a PNG: how a notebook shows the result."""
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(self.draw()).save(stream, "PNG")
        return stream.getvalue()
