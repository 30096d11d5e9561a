"""jetson-inference's module over taolite: see `taolite.jetson`."""

import sys
from typing import Any

try:
    import taolite  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(f"{sys.executable} has no taolite; run: taolite jetson python {' '.join(sys.argv)}") from None

from taolite.jetson.absent import absent
from taolite.jetson.detect_net import detectNet
from taolite.jetson.image_net import imageNet
from taolite.jetson.log import short_errors

__all__ = ["detectNet", "imageNet"]

short_errors()


def __getattr__(name: str) -> Any:
    raise absent(__name__, name)
