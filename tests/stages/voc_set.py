"""A tiny VOC set and spec on which a whole life of an SSD passes in seconds: bright balls and boxes on noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SPEC = """
jetson_config {{
  dataset_type: "voc" datasets: "{root}"
  net: "mb2-ssd-lite" mb2_width_mult: 0.25 resolution: 96
  lr: 0.01 base_net_lr: 0.01 batch_size: 4 num_epochs: {epochs} random_seed: 3 {more}
}}
"""


def write_spec(root: Path, name: str, *, epochs: int = 2, more: str = "") -> Path:
    """A spec for the tiny data set at `root`; `more` are fields of pytorch-ssd's settings."""
    path = root / name
    path.write_text(SPEC.format(root=root, epochs=epochs, more=more))
    return path


def draw_set(root: Path, *, train: int = 16, test: int = 6) -> None:
    """Pictures of 96x80 with one or two objects each, in Pascal VOC's layout."""
    rng = np.random.default_rng(1)
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / "labels.txt").write_text("ball\nbox\n")
    for number in range(train + test):
        image = rng.integers(0, 90, (80, 96, 3)).astype(np.uint8)
        objects = []
        for x in (0, 48)[: 1 + number % 2]:
            name = ("ball", "box")[int(rng.integers(2))]
            size = int(rng.integers(24, 40))
            x1, y1 = x + int(rng.integers(0, 48 - size)), int(rng.integers(0, 80 - size))
            if name == "box":
                image[y1 : y1 + size, x1 : x1 + size] = (250, 200, 40)
            else:
                cv2.circle(image, (x1 + size // 2, y1 + size // 2), size // 2, (60, 240, 250), -1)
            corners = (x1 + 1, y1 + 1, x1 + size, y1 + size)
            rows = "".join(
                f"<{corner}>{value}</{corner}>"
                for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
            )
            objects.append(f"<object><name>{name}</name><difficult>0</difficult><bndbox>{rows}</bndbox></object>")
        Image.fromarray(image).save(root / f"JPEGImages/{number:03d}.png")
        text = f"<annotation><filename>{number:03d}.png</filename>{''.join(objects)}</annotation>"
        (root / f"Annotations/{number:03d}.xml").write_text(text)
    for split, numbers in (("trainval", range(train)), ("test", range(train, train + test))):
        lines = "".join(f"{number:03d}\n" for number in numbers)
        (root / f"ImageSets/Main/{split}.txt").write_text(lines)
