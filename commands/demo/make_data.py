"""Make the demonstration's data set: views of real photographs, with labelme annotations.

    python commands/demo/make_data.py workspace/demo/labelme

The photographs (a cat, an espresso cup, 24 ancient coins, a motorcycle seen by two cameras) come inside the
scikit-image wheel, so nothing is downloaded; `annotations/*.json` holds what was drawn on them by hand in labelme's
format. A view is what another shot of the scene could have been: a window of the photograph, somewhat rotated,
perhaps mirrored, another exposure and white balance, and its shapes carried along and cut at the border.

What is held out is honest about what it can show. Held-out coins are coins no learning view contains (the
photograph is divided below its second row); held-out wheels were taken by the other camera; held-out cats and cups
are other windows of the one photograph there is. So the score proves that the machinery works, not that the model
would know another cat. Held-out names sort before learning names, because TAO's `random` partition takes the first
`val_split` percent in alphabetical order for validation.

Coordinates are pixels, origin top-left, y down; `window` matrices (2, 3) map photograph to view. A view depends on
the seed, its name and the installed versions of OpenCV and Pillow only.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["PLAN", "Scene", "make_data"]

Points = NDArray[np.float64]  # (N, 2), x and y in pixels

ANNOTATIONS = Path(__file__).resolve().parent / "annotations"
VIEW_SIZES_WH = ((320, 240), (384, 288), (400, 300), (480, 360))
JPEG_QUALITY = 92
SEEN_ENOUGH, SEEN_TOO_LITTLE = 0.65, 0.02
"""A view shows at least the first part of each object, or at most the second: no half-seen, unlabelled objects."""
TRIES = 5000


@dataclass(frozen=True)
class Scene:
    """How one photograph is looked at.

    Attributes:
        name: what the views are called.
        photo: file name inside scikit-image's `data` folder.
        region: (x1, y1, x2, y2), the part of the photograph that views may show, pixels.
        widths: narrowest and widest window, pixels of the photograph; windows are 4:3.
        tilt_deg: largest rotation either way; 0 where a rectangle was drawn, which would grow when turned.
        views: how many.
    """

    name: str
    photo: str
    region: tuple[int, int, int, int]
    widths: tuple[int, int]
    tilt_deg: float
    views: int


PLAN: dict[str, tuple[Scene, ...]] = {
    "heldout": (
        Scene("cat", "chelsea.png", (0, 0, 451, 300), (290, 400), 8, 12),
        Scene("coin", "coins.png", (0, 150, 384, 303), (110, 203), 20, 10),
        Scene("cup", "coffee.png", (0, 0, 600, 400), (280, 532), 12, 12),
        Scene("none", "camera.png", (0, 0, 512, 512), (200, 512), 8, 1),
        Scene("none-grass", "grass.png", (0, 0, 512, 512), (200, 400), 20, 1),
        Scene("none-table", "coffee.png", (410, 0, 600, 400), (110, 180), 20, 1),
        Scene("wheel", "motorcycle_right.png", (32, 0, 690, 500), (220, 640), 0, 11),
    ),
    "learning": (
        Scene("cat", "chelsea.png", (0, 0, 451, 300), (290, 400), 8, 25),
        Scene("coin", "coins.png", (0, 0, 384, 150), (110, 199), 20, 26),
        Scene("cup", "coffee.png", (0, 0, 600, 400), (280, 532), 12, 25),
        Scene("none", "astronaut.png", (0, 0, 512, 512), (200, 512), 8, 2),
        Scene("none-garage", "motorcycle_left.png", (330, 0, 741, 280), (180, 340), 0, 2),
        Scene("none-gravel", "gravel.png", (0, 0, 512, 512), (200, 400), 20, 1),
        Scene("none-launch", "rocket.jpg", (0, 0, 640, 427), (250, 560), 8, 2),
        Scene("none-table", "coffee.png", (410, 0, 600, 400), (110, 180), 20, 1),
        Scene("wheel", "motorcycle_left.png", (48, 0, 741, 500), (220, 660), 0, 28),
    ),
}


def make_data(folder: Path, *, seed: int = 42, views_at_most: int | None = None) -> dict[str, int]:
    """Write every view of PLAN as NAME.jpg and NAME.json (labelme) into `folder`.

    Args:
        folder: created where absent; files of the same names are replaced, others are left alone.
        seed: another seed gives other views.
        views_at_most: of each scene, for a quick look; None for all.

    Returns:
        Number of labelled objects by class, and of views under "views".

    Raises:
        FileNotFoundError: the installed scikit-image does not carry a photograph.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    counts = {"views": 0}
    for part, scenes in PLAN.items():
        for scene in scenes:
            photo = _photograph(scene.photo)
            shapes = _annotations(scene.photo)
            for index in range(min(scene.views, views_at_most or scene.views)):
                name = f"{part}-{scene.name}-{index + 1:03d}"
                random = np.random.default_rng([seed, zlib.crc32(name.encode())])
                view, seen = _view(photo, shapes, scene, random)
                Image.fromarray(view).save(folder / f"{name}.jpg", quality=JPEG_QUALITY)
                height, width = view.shape[:2]
                record = _labelme(f"{name}.jpg", seen, width=width, height=height)
                (folder / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
                counts["views"] += 1
                for shape in seen:
                    counts[shape["label"]] = counts.get(shape["label"], 0) + 1
    return counts


def _photograph(name: str) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a photograph bundled with scikit-image."""
    import importlib.metadata

    import skimage
    from PIL import Image

    path = Path(skimage.__file__).parent / "data" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: this photograph does not come with scikit-image {importlib.metadata.version('scikit-image')}; "
            "pip install 'scikit-image>=0.25'"
        )
    return np.array(Image.open(path).convert("RGB"))


def _annotations(photo: str) -> list[dict[str, Any]]:
    """Shapes drawn on a photograph; none where there is no file, for the photographs of other things."""
    path = ANNOTATIONS / f"{Path(photo).stem}.json"
    if not path.is_file():
        return []
    shapes: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["shapes"]
    return shapes


def _view(
    photo: NDArray[np.uint8], shapes: list[dict[str, Any]], scene: Scene, random: np.random.Generator
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """One view (H, W, 3) and its shapes: windows are drawn until one shows every object well or not at all."""
    for _ in range(TRIES):
        size_wh = VIEW_SIZES_WH[random.integers(len(VIEW_SIZES_WH))]
        window = _window(scene, size_wh, random)
        if window is None:
            continue
        seen = [_carry(shape, window, size_wh) for shape in shapes]
        parts = [part for part, _ in seen]
        if any(SEEN_TOO_LITTLE < part < SEEN_ENOUGH for part in parts):
            continue
        kept = [shape for part, shape in seen if part >= SEEN_ENOUGH]
        if bool(kept) != (not scene.name.startswith("none")):
            continue
        return _develop(_take(photo, window, size_wh), random), kept
    raise RuntimeError(f"no window of {scene.photo} shows what {scene.name} needs")


def _window(scene: Scene, size_wh: tuple[int, int], random: np.random.Generator) -> Points | None:
    """Matrix (2, 3) from photograph to view for a random window, or None where it leaves the region."""
    width = random.uniform(*scene.widths)
    tilt = math.radians(random.uniform(-scene.tilt_deg, scene.tilt_deg))
    x1, y1, x2, y2 = scene.region
    centre = np.array([random.uniform(x1, x2), random.uniform(y1, y2)])
    mirrored = random.random() < 0.5
    scale = size_wh[0] / width
    turn = scale * np.array([[math.cos(tilt), math.sin(tilt)], [-math.sin(tilt), math.cos(tilt)]])
    if mirrored:
        turn = np.diag([-1.0, 1.0]) @ turn
    shift = np.array(size_wh) / 2 - turn @ centre
    corners = np.array([[0, 0], [size_wh[0], 0], list(size_wh), [0, size_wh[1]]], dtype=float)
    on_photo = (corners - shift) @ np.linalg.inv(turn).T
    inside = (on_photo >= [x1, y1]).all() and (on_photo <= [x2, y2]).all()
    return np.hstack([turn, shift[:, None]]) if inside else None


def _carry(shape: dict[str, Any], window: Points, size_wh: tuple[int, int]) -> tuple[float, dict[str, Any]]:
    """The part of a shape's area (0..1) that a view shows, and the shape there, cut at the border.

    A whole circle stays a circle and a rectangle a rectangle (scenes with rectangles are not tilted); a cut circle
    becomes a polygon.
    """
    kind = shape["shape_type"]
    points = np.array(shape["points"], dtype=float)
    outline = _on_view(_outline(points, kind), window)
    cut = _clip(outline, size_wh)
    whole = _area(outline)
    part = _area(cut) / whole
    if kind == "circle" and part > 0.9999:
        carried = _on_view(points, window)
    elif kind == "rectangle":
        carried = np.array([cut.min(axis=0), cut.max(axis=0)]) if len(cut) else cut
    else:
        kind, carried = "polygon", cut
    return part, {**shape, "shape_type": kind, "points": np.round(carried, 2).tolist()}


def _on_view(points: Points, window: Points) -> Points:
    return points @ window[:, :2].T + window[:, 2]


def _outline(points: Points, kind: str) -> Points:
    """(N, 2) corners of a labelme shape: a circle is (centre, a point on it), a rectangle two opposite corners."""
    if kind == "circle":
        centre, edge = points
        angles = np.linspace(0, math.tau, 36, endpoint=False)
        return np.asarray(centre + math.dist(centre, edge) * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    if kind == "rectangle":
        (x1, y1), (x2, y2) = points
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    return points


def _clip(outline: Points, size_wh: tuple[int, int]) -> Points:
    """The part of a polygon inside the view, by Sutherland and Hodgman's rule, one border after the other."""
    for axis, bound, sign in ((0, 0, 1), (0, size_wh[0], -1), (1, 0, 1), (1, size_wh[1], -1)):
        kept: list[Points] = []
        for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
            start_in, end_in = sign * (start[axis] - bound), sign * (end[axis] - bound)
            if start_in >= 0:
                kept.append(start)
            if (start_in >= 0) != (end_in >= 0):
                kept.append(start + (end - start) * (start_in / (start_in - end_in)))
        outline = np.array(kept).reshape(-1, 2)
    return outline


def _area(outline: Points) -> float:
    x, y = outline[:, 0], outline[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _take(photo: NDArray[np.uint8], window: Points, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Sample the window at twice the size and average down, so that neither zooming in nor out leaves steps."""
    to_pixel_centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    doubled = np.vstack([2 * window, [0, 0, 1]])
    matrix = np.linalg.inv(to_pixel_centres) @ doubled @ to_pixel_centres
    width, height = size_wh
    large = cv2.warpAffine(
        photo, matrix[:2], (2 * width, 2 * height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(large, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _develop(view: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Another exposure, white balance and colourfulness."""
    light = view.astype(np.float64) / 255
    light = light ** random.uniform(0.8, 1.25) * random.uniform(0.75, 1.2) * random.uniform(0.93, 1.07, size=3)
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * random.uniform(0.75, 1.25)
    return np.asarray(np.clip(np.round(light * 255), 0, 255), dtype=np.uint8)


def _labelme(image: str, shapes: list[dict[str, Any]], *, width: int, height: int) -> dict[str, Any]:
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the demonstration's labelme data set from bundled photographs.")
    parser.add_argument("folder", type=Path, help="where the views go, e.g. workspace/demo/labelme")
    parser.add_argument("--seed", type=int, default=42, help="another seed gives other views (default 42)")
    parser.add_argument("--views-at-most", type=int, metavar="N", help="of each scene, for a quick look")
    options = parser.parse_args(arguments)
    try:
        counts = make_data(options.folder, seed=options.seed, views_at_most=options.views_at_most)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        print(f"{error}\n  pip install 'taolite[demo]' brings the photographs", file=sys.stderr)
        return 1
    views = counts.pop("views")
    objects = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"{options.folder}: {views} photographs, labelled in labelme's format: {objects}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
