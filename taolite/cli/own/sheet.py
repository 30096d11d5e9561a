"""The sheet that `taolite dataset view` draws: labelled images in rows, each at most as wide as asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.errors import PathError, UsageError
from taolite.wording import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from taolite.sample import Sample

__all__ = ["CELL", "draw_sheet", "require_sheet"]

CELL = 400  # largest width of an image, pixels
_LEAST, _MOST = 16, 4000
_LARGEST = 100_000_000  # largest sheet, pixels


def require_sheet(output: Path, *, count: int, columns: int, size: int) -> None:
    """Raises UsageError for a sheet without images or too large for memory, PathError for a name of no picture type."""
    _kind_of(output)
    if count < 1 or columns < 1:
        raise UsageError("--count and --columns need to be 1 or more")
    if not _LEAST <= size <= _MOST:
        raise UsageError(f"--size is {size}; it needs to be {_LEAST} to {_MOST} pixels")
    if count * size * size > _LARGEST:
        text = f"--count {count} with --size {size} makes a sheet of more than {_LARGEST:,} pixels"
        raise UsageError(f"{text}; choose fewer or smaller images")


def draw_sheet(
    samples: Sequence[Sample], output: Path, *, title: str, count: int, columns: int, size: int
) -> tuple[int, int]:
    """Draw `count` of the samples, spread over all of them, each at most `size` pixels wide, and write the sheet.

    Returns (images drawn, number of images). Raises DataError for a picture that cannot be read, StorageError where the
    sheet cannot be written.
    """
    from PIL import Image

    from taolite.files import open_atomic
    from taolite.media.overlay import palette
    from taolite.media.sheet import contact_sheet

    names = sorted({label.name for sample in samples for label in sample.labels})
    colours = dict(zip(names, palette(len(names)), strict=True))
    step = max(1.0, len(samples) / count)
    chosen = [samples[int(index * step)] for index in range(min(count, len(samples)))]
    sheet = contact_sheet(
        [_drawn(sample, colours, size) for sample in chosen],
        columns=columns,
        titles=[sample.image.name for sample in chosen],
        heading=f"{title}: {len(chosen)} of {counted(len(samples), 'image')}",
        cell_hw=(max(1, round(size * 3 / 4)), size),
    )
    with open_atomic(output) as stream:
        Image.fromarray(sheet).save(stream, format=_kind_of(output))
    return len(chosen), len(samples)


def _kind_of(output: Path) -> str:
    from PIL import Image

    kind = Image.registered_extensions().get(output.suffix.lower())
    if kind is None:
        raise PathError(f"{output}: the output is a picture; its name needs to end in .png or .jpg")
    return kind


def _drawn(sample: Sample, colours: Mapping[str, tuple[int, int, int]], width: int) -> NDArray[np.uint8]:
    """The picture with its boxes, at most `width` pixels wide, so that large pictures do not stay in memory."""
    import numpy as np
    from PIL import Image

    from taolite.formats.photo import read_photo
    from taolite.media.overlay import draw_boxes

    names = [label.name for label in sample.labels]
    drawn = Image.fromarray(draw_boxes(read_photo(sample), sample.boxes_n4, names, [colours[name] for name in names]))
    drawn.thumbnail((width, width), Image.Resampling.LANCZOS)
    return np.array(drawn)
