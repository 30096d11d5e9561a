"""One small scene that every format can say: two pictures, four boxes, one of the pictures rotated by EXIF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.sample import Label, Sample


def draw_picture(path: Path, *, hw: tuple[int, int], seed: int = 0, orientation: int | None = None) -> Path:
    """A noisy picture of that size on disk; with an EXIF orientation where one is given."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.fixture
def draw() -> Callable[..., Path]:
    """`draw(path, hw=(60, 80))` puts a noisy picture there."""
    return draw_picture


Said = list[tuple[str, tuple[int, int], list[tuple[str, tuple[float, ...]]]]]


@pytest.fixture
def said() -> Callable[[list[Sample]], Said]:
    """What samples say, without where it was read: picture name, size, labels by name and box."""

    def say(samples: list[Sample]) -> Said:
        return [
            (
                sample.image.stem,
                sample.size_hw,
                [(label.name, tuple(round(value, 2) for value in label.box)) for label in sample.labels],
            )
            for sample in sorted(samples, key=lambda sample: sample.image.name)
        ]

    return say


@pytest.fixture
def scene(tmp_path: Path) -> list[Sample]:
    """`house` (60 high, 80 wide) with a cat, a dog and a box that fills the picture; `yard`, stored sideways, with a
    cat; `sky` with nothing."""
    folder = tmp_path / "scene"
    house = Sample(
        draw_picture(folder / "house.jpg", hw=(60, 80), seed=1),
        (60, 80),
        (Label("cat", (10, 20, 30, 50)), Label("dog", (40.25, 0, 80, 33.5)), Label("room", (0, 0, 80, 60))),
    )
    yard = Sample(
        draw_picture(folder / "yard.jpg", hw=(48, 32), seed=2, orientation=6), (32, 48), (Label("cat", (1, 2, 40, 9)),)
    )
    return [house, Sample(draw_picture(folder / "sky.jpg", hw=(20, 20), seed=3), (20, 20)), yard]
