"""A first detector out of nothing: pictures of red circles, green squares and blue triangles, labelled in labelme's
format, and specs.

A picture depends on its number and on the seed alone. NumPy and Pillow draw it. Loads without torch.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import PathError
from taolite.events import Listener, Progress, silent
from taolite.files import whole_folder, write_bytes, write_text
from taolite.tasks.detectnet.demo import demo_specs

__all__ = ["CLASSES", "draw", "draw_pictures", "new_demo"]

SIZE_HW = (112, 160)  # pixels of a picture
UNSEEN = 8  # pictures that the detector is shown at the end
MOST = 3  # objects in a picture
SIDES = (28, 56)  # of an object, pixels
GAP = 4  # least distance of two objects, pixels

_Inside = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]
"""Whether a point is part of the object; x and y from 0 to 1 in its box."""
_SHAPES: dict[str, _Inside] = {
    "circle": lambda x, y: (x - 0.5) ** 2 + (y - 0.5) ** 2 <= 0.25,
    "square": lambda x, y: np.ones_like(x + y, dtype=bool),
    "triangle": lambda x, y: np.abs(x - 0.5) <= y / 2,
}
CLASSES = tuple(_SHAPES)
_COLOURS = {"circle": (215, 60, 50), "square": (60, 170, 70), "triangle": (60, 90, 215)}  # RGB, each a shade of it


def new_demo(folder: Path, *, count: int, epochs: int, listener: Listener = silent) -> dict[str, int]:
    """Write `count` labelled pictures, a few for the end, and the specs of a detector to `folder`, which must be new or
    empty.

    Returns:
        The number of objects of each class in the labelled pictures.

    Raises:
        PathError: `folder` has files.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise PathError(f"{folder}: this folder is not empty; choose another one for the demonstration")
    objects = draw_pictures(folder / "pictures", count=count, seed=0, listener=listener)
    draw_pictures(folder / "unseen", count=UNSEEN, seed=1)
    for name, text in demo_specs(str(folder.absolute()), classes=CLASSES, size_hw=SIZE_HW, epochs=epochs).items():
        write_text(folder / "specs" / name, text)
    return objects


def draw_pictures(folder: Path, *, count: int, seed: int = 0, listener: Listener = silent) -> dict[str, int]:
    """Write `count` pictures, NNN.jpg, and their labels, NNN.json, to the new folder `folder`.

    Returns:
        The number of objects of each class.
    """
    objects = dict.fromkeys(CLASSES, 0)
    with whole_folder(folder) as partial:
        for index in range(count):
            picture, boxes = draw(np.random.default_rng([seed, index]))
            write_bytes(partial / f"{index:03d}.jpg", _jpeg(picture))
            write_text(partial / f"{index:03d}.json", _labelme(f"{index:03d}.jpg", boxes))
            for name, _ in boxes:
                objects[name] += 1
            listener(Progress("drawing", index + 1, count))
    return objects


def draw(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[str, tuple[int, int, int, int]]]]:
    """A picture (H, W, 3) RGB, and the class and box (x1, y1, x2, y2) of each object, pixels, edges continuous."""
    height, width = SIZE_HW
    picture = _background(rng)
    boxes: list[tuple[str, tuple[int, int, int, int]]] = []
    for _ in range(int(rng.integers(1, MOST + 1))):
        side = int(rng.integers(SIDES[0], SIDES[1] + 1))
        x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        box = (x, y, x + side, y + side)
        if any(_are_close(box, other) for _, other in boxes):
            continue
        name = CLASSES[int(rng.integers(len(CLASSES)))]
        centres = (np.arange(side) + 0.5) / side
        part = picture[y : y + side, x : x + side]
        part[_SHAPES[name](centres[None, :], centres[:, None])] = np.array(_COLOURS[name]) + rng.uniform(-35, 35, 3)
        boxes.append((name, box))
    grain = rng.normal(0, 5, picture.shape)
    return np.clip(np.round(picture + grain), 0, 255).astype(np.uint8), boxes


def _background(rng: np.random.Generator) -> NDArray[np.float64]:
    """A soft grey ground with a touch of colour, and thin strokes of any colour."""
    from PIL import Image

    height, width = SIZE_HW
    few = (rng.uniform(90, 200, (4, 6, 1)) + rng.uniform(-20, 20, (4, 6, 3))).astype(np.uint8)
    ground = np.array(Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC), np.float64)
    for _ in range(6):
        ends = rng.uniform(0, 1, (2, 2)) * (width - 1, height - 1)
        x, y = np.round(np.linspace(ends[0], ends[1], 2 * width)).astype(int).T
        ground[y, x] = rng.integers(0, 256, 3)
    return ground


def _are_close(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return all(one[axis] < other[axis + 2] + GAP and other[axis] < one[axis + 2] + GAP for axis in (0, 1))


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=92)
    return data.getvalue()


def _labelme(image: str, boxes: list[tuple[str, tuple[int, int, int, int]]]) -> str:
    height, width = SIZE_HW
    shapes: list[dict[str, Any]] = [
        {"label": name, "points": [box[:2], box[2:]], "group_id": None, "shape_type": "rectangle", "flags": {}}
        for name, box in boxes
    ]
    about: dict[str, Any] = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    return json.dumps({**about, "imageHeight": height, "imageWidth": width}, indent=2) + "\n"
