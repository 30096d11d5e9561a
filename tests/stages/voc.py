"""A tiny detection data set in VOC's layout: one bright square or disc on a dark photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("square", "disc")
SIDE = 64


def draw_voc(root: Path, *, train: int = 8, test: int = 4) -> None:
    """`train` photos of trainval.txt, `test` of test.txt, classes in turn; labels.txt as CLASSES."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    stems = [f"{index:02d}" for index in range(train + test)]
    for index, stem in enumerate(stems):
        _draw(root, stem, CLASSES[index % 2], np.random.default_rng(index))
    for name, part in (("trainval", stems[:train]), ("test", stems[train:])):
        (root / f"ImageSets/Main/{name}.txt").write_text("".join(f"{stem}\n" for stem in part))
    (root / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))


def _draw(root: Path, stem: str, name: str, rng: np.random.Generator) -> None:
    size = int(rng.integers(24, 40))
    left, top = (int(at) for at in rng.integers(0, SIDE - size, 2))
    photo = Image.fromarray(rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8))
    box = (left, top, left + size - 1, top + size - 1)
    pen = ImageDraw.Draw(photo)
    if name == "square":
        pen.rectangle(box, fill=(240, 60, 30))
    else:
        pen.ellipse(box, fill=(40, 90, 240))
    photo.save(root / f"JPEGImages/{stem}.jpg", quality=95)
    corners = (left + 1, top + 1, left + size, top + size)  # VOC counts from 1
    box_xml = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    (root / f"Annotations/{stem}.xml").write_text(
        f"<annotation><filename>{stem}.jpg</filename><size><width>{SIDE}</width><height>{SIDE}</height>"
        f"<depth>3</depth></size><object><name>{name}</name><difficult>0</difficult><bndbox>{box_xml}</bndbox>"
        "</object></annotation>"
    )
