"""TensorRT's calibration cache, the text that TensorRT up to 10 and DeepStream read beside a float model.

    TRT-8601-EntropyCalibration2
    input_1: 3c010a14

Behind a name stands its scale (range / 127), float32, as the hexadecimal digits of its bits without leading zeros.
Names may hold spaces and colons; the last ": " divides. (reference/deploy.md 4.5)
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from taolite.errors import DataError
from taolite.quant.qdq import LEVELS

__all__ = ["DEFAULT_TENSORRT", "CalibrationCache", "cache_text", "parse_cache"]

DEFAULT_TENSORRT = "8.6.1"
_ALGORITHM = "EntropyCalibration2"  # the one DeepStream's and TAO's readers ask for, whatever found the ranges


@dataclass(frozen=True)
class CalibrationCache:
    """What a cache says: its first line, and tensor name -> range (largest |x|, 127 times the scale)."""

    header: str
    ranges: Mapping[str, float]


def cache_text(ranges: Mapping[str, float], *, tensorrt: str = DEFAULT_TENSORRT) -> str:
    """The cache for a TensorRT of this version, "8.6.1" or "10.3.0"; tensors in the order of `ranges`."""
    major, minor, patch = (int(part) for part in tensorrt.split(".")[:3])
    number = major * 1000 + minor * 100 + patch if major < 10 else major * 10000 + minor * 100 + patch
    rows = [f"{name}: {_digits(largest / LEVELS)}" for name, largest in ranges.items()]
    return "\n".join([f"TRT-{number}-{_ALGORITHM}", *rows, ""])


def parse_cache(text: str, *, where: str = "this calibration cache") -> CalibrationCache:
    """Read a cache of any TensorRT, or the older one that begins with a bare 1.

    Raises DataError with the line that is none of a cache's, or a scale that is negative or not a number.
    """
    header, *rows = text.splitlines() or [""]
    if not (header.startswith("TRT-") or header.strip() == "1"):
        raise DataError(
            f"{where}: line 1 is {header[:40]!r}; a calibration cache begins with TRT-<version>-<calibrator>"
        )
    ranges = {}
    for number, row in enumerate(rows, start=2):
        if not row.strip():
            continue
        name, divider, digits = row.rpartition(": ")
        try:
            (scale,) = struct.unpack(">f", int(digits, 16).to_bytes(4, "big"))
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{where}: line {number} is {row[:60]!r}; it needs NAME: HEX, as input_1: 3c010a14"
            ) from error
        if not divider or not 0 <= scale < np.inf:
            raise DataError(f"{where}: line {number}: {digits} is {scale}; a scale needs to be 0 or more, and finite")
        ranges[name] = scale * LEVELS
    return CalibrationCache(header.strip(), ranges)


def _digits(scale: float) -> str:
    return f"{int.from_bytes(struct.pack('>f', scale), 'big'):x}"
