"""Pictures that came from the page and are not saved yet: checked, and kept until they are."""

from __future__ import annotations

import io
import secrets
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from taolite.errors import DataError, PictureError, UsageError
from taolite.pictures import read_rgb

__all__ = ["Frozen", "Frames", "checked_jpeg"]

_KEPT = 8  # frozen frames; one for each open page is enough


class Frozen(NamedTuple):
    """A picture that boxes are drawn on. jpeg: its file. size_hw: (height, width) in pixels."""

    jpeg: bytes
    size_hw: tuple[int, int]


class Frames:
    """The newest frozen frames, by a name that cannot be guessed."""

    def __init__(self) -> None:
        self._frames: OrderedDict[str, Frozen] = OrderedDict()

    def add(self, jpeg: bytes, size_hw: tuple[int, int]) -> str:
        """Keep a frame; its name."""
        name = secrets.token_urlsafe(9)
        self._frames[name] = Frozen(jpeg, size_hw)
        while len(self._frames) > _KEPT:
            self._frames.popitem(last=False)
        return name

    def get(self, name: str) -> Frozen:
        """A kept frame. Raises UsageError for one that is gone."""
        frame = self._frames.get(name)
        if frame is None:
            raise UsageError("this frozen picture is no longer here, because taolite was started again; freeze another")
        return frame


def checked_jpeg(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a picture that a browser sent. Raises DataError for anything but a whole JPEG."""
    if not data.startswith(b"\xff\xd8\xff"):
        raise DataError("the browser sent no JPEG picture; take it again")
    try:
        return read_rgb(Path("picture"), stream=io.BytesIO(data))
    except PictureError as error:
        raise DataError(
            f"the picture that the browser sent cannot be decoded ({error.reason}); take it again"
        ) from error
