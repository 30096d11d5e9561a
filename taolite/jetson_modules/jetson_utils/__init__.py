"""jetson-utils' module over taolite: see `taolite.jetson`."""

import sys
from typing import Any

try:
    import taolite  # noqa: F401
except ModuleNotFoundError:
    raise ImportError(f"{sys.executable} has no taolite; run: taolite jetson python {' '.join(sys.argv)}") from None

from taolite.jetson.absent import absent
from taolite.jetson.drawing import (
    adaptFontSize,
    cudaConvertColor,
    cudaCrop,
    cudaDrawCircle,
    cudaDrawLine,
    cudaDrawRect,
    cudaFont,
    cudaNormalize,
    cudaOverlay,
    cudaResize,
)
from taolite.jetson.image import (
    cudaAllocMapped,
    cudaDeviceSynchronize,
    cudaFromNumpy,
    cudaImage,
    cudaMemcpy,
    cudaToNumpy,
    loadImage,
    loadImageRGBA,
    saveImage,
    saveImageRGBA,
)
from taolite.jetson.legacy import glDisplay, gstCamera
from taolite.jetson.log import Log, logUsage, short_errors
from taolite.jetson.video import videoOutput, videoSource

cudaMallocMapped = cudaAllocMapped

__all__ = [
    "Log",
    "adaptFontSize",
    "cudaAllocMapped",
    "cudaConvertColor",
    "cudaCrop",
    "cudaDeviceSynchronize",
    "cudaDrawCircle",
    "cudaDrawLine",
    "cudaDrawRect",
    "cudaFont",
    "cudaFromNumpy",
    "cudaImage",
    "cudaMallocMapped",
    "cudaMemcpy",
    "cudaNormalize",
    "cudaOverlay",
    "cudaResize",
    "cudaToNumpy",
    "glDisplay",
    "gstCamera",
    "loadImage",
    "loadImageRGBA",
    "logUsage",
    "saveImage",
    "saveImageRGBA",
    "videoOutput",
    "videoSource",
]

short_errors()


def __getattr__(name: str) -> Any:
    raise absent(__name__, name)
