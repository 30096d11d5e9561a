"""A frame, and how the user wants frames: the size, the rate, the flip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from taolite.media.flips import Flip

__all__ = ["Frame", "InputOptions"]


@dataclass(frozen=True)
class InputOptions:
    """How a source is read.

    Attributes:
        size_hw: (height, width) in pixels, before the flip: asked of a camera; frames of videos and streams are scaled
            to it. Pictures keep their size.
        rate: frames a second: asked of a camera; videos and streams are thinned to it.
        flip: applied to every frame, pictures too.
        loop: further passes over pictures or a video file; -1 is without an end.
        codec: of a raw stream (`rtp://`), as "h264"; other sources say it themselves.
        latency_ms: how long packets of a network stream are waited for, to put them in order.
        give_up_s: seconds after which a lost camera or stream that did not come back is an error.
    """

    size_hw: tuple[int, int] | None = None
    rate: float | None = None
    flip: Flip = "none"
    loop: int = 0
    codec: str | None = None
    latency_ms: int = 10
    give_up_s: float = 60.0


class Frame(NamedTuple):
    """One picture: a file name to keep it under, (H, W, 3) uint8 RGB, its number from 0, and the file it is from
    (None for frames of videos, cameras and streams). `time_s`: seconds from the start of a video, or since a camera or
    stream was opened; None for pictures. Pictures and frames that cannot be read have numbers, too."""

    name: str
    image_hwc: NDArray[np.uint8]
    number: int
    path: Path | None = None
    time_s: float | None = None
