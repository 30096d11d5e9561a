"""What was found, drawn on pictures: boxes, names, tracks, counting lines.

Meant to be looked at: lines grow outwards from a box, so that a small object stays visible; a name sits on a filled
tag, placed where it covers the least of other boxes and tags; sizes follow the picture. The colours of `palette` stay
apart for the colour-blind. Images are (H, W, 3) uint8 RGB and are never changed; boxes are in their pixels.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from taolite.boxes import Boxes, clip_boxes
from taolite.media.tags import Colour, place_tags, stamp_tag, tag_size
from taolite.sample import Detection

__all__ = ["PARTS", "Colour", "Marks", "Overlay", "USUAL", "draw_boxes", "draw_detections", "palette"]

Picture: TypeAlias = NDArray[np.uint8]
Point: TypeAlias = tuple[float, float]

PARTS = ("box", "lines", "labels", "conf", "tracking", "trails", "fps")
"""What can be drawn: filled boxes, their outlines, class names, scores, numbers of tracks, their ways, and the rate of
frames. The first five are jetson-inference's words."""

_OKABE_ITO: tuple[Colour, ...] = (  # Okabe and Ito's colours for every kind of sight, the loud ones first
    (255, 120, 0),
    (86, 180, 233),
    (240, 228, 66),
    (0, 178, 130),
    (225, 120, 180),
    (0, 114, 178),
    (213, 60, 30),
)
_GOLDEN, _FIRST_HUE = 0.381966, 0.36  # of the colour wheel: each further hue falls into the widest gap
_HALO = 135 / 255  # what is left of a picture's light in the line around a frame
_LINE: Colour = (255, 255, 255)
_NOTE: Colour = (20, 20, 20)


@dataclass(frozen=True)
class Overlay:
    """What of `PARTS` is drawn; `alpha` is the opacity of a filled box, 0..255."""

    parts: frozenset[str] = frozenset({"lines", "labels", "conf", "tracking"})
    alpha: int = 120


USUAL = Overlay()


@dataclass(frozen=True)
class Marks:
    """What is drawn besides detections.

    Attributes:
        lines: start and end of each counting line in pixels, and its text.
        trails: the number of a track -> the places its object was at, in pixels, the oldest first.
        note: a line of text at the bottom left.
    """

    lines: Sequence[tuple[Point, Point, str]] = ()
    trails: Mapping[int, Sequence[Point]] = field(default_factory=dict)
    note: str = ""


_NO_MARKS = Marks()


def palette(count: int) -> list[Colour]:
    """`count` colours, one for each class; the same ones whatever the count, so that a class keeps its colour."""
    colours = list(_OKABE_ITO[:count])
    for index in range(count - len(colours)):
        red, green, blue = colorsys.hsv_to_rgb(
            (_FIRST_HUE + index * _GOLDEN) % 1.0, (0.85, 0.55)[index % 2], (0.95, 0.75)[index // 2 % 2]
        )
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def draw_boxes(
    image_hwc: Picture,
    boxes_n4: Boxes,
    texts: Sequence[str],
    colors: Sequence[Colour],
    *,
    linewidth: int | None = None,
) -> Picture:
    """A copy of the image with a named frame around every box.

    Args:
        image_hwc: (H, W, 3) uint8 RGB.
        boxes_n4: (N, 4) boxes in pixels of the image; what lies outside is cut off.
        texts: N tags; an empty one draws the frame alone.
        colors: N colours.
        linewidth: pixels; None follows the size of the picture, less for small objects. 0 draws one pixel, as TAO does.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    canvas = image_hwc.copy()
    _draw_boxes(canvas, boxes_n4, texts, colors, linewidth=linewidth)
    return canvas


def draw_detections(
    image_hwc: Picture,
    detections: Sequence[Detection],
    colours: Mapping[str, Colour],
    *,
    names: Mapping[str, str] = MappingProxyType({}),
    linewidth: int | None = None,
    overlay: Overlay = USUAL,
    marks: Marks = _NO_MARKS,
) -> Picture:
    """A copy of the image with everything that was found in it: objects in named frames, what is said of the whole
    picture in lines at its top left.

    Args:
        image_hwc: (H, W, 3) uint8 RGB; boxes are in its pixels.
        colours: by class; names: what to write instead of a class; linewidth: see `draw_boxes`.
        overlay: what is drawn. marks: what is drawn besides.
    """
    canvas, parts = image_hwc.copy(), overlay.parts
    placed = [one for one in detections if one.box is not None]
    if "trails" in parts:
        _draw_trails(canvas, marks.trails, {one.track: colours[one.name] for one in placed if one.track is not None})
    _draw_boxes(
        canvas,
        np.array([one.box for one in placed], np.float32).reshape(-1, 4),
        [_text(one, names, parts) for one in placed],
        [colours[one.name] for one in placed],
        linewidth=linewidth,
        outlined="lines" in parts,
        alpha=overlay.alpha if "box" in parts else 0,
    )
    for start, end, text in marks.lines:
        _draw_line(canvas, start, end, text)
    top, size = 0, max(10, round(_side(canvas) / 24))
    for one in detections:  # those that do not fit are left out
        text = _text(one, names, parts) if one.box is None else ""
        if text and top + (high := tag_size(text, size)[1]) <= len(canvas):
            stamp_tag(canvas, text, colours[one.name], (0, top), size)
            top += high
    if marks.note and "fps" in parts:
        stamp_tag(canvas, marks.note, _NOTE, (0, len(canvas) - tag_size(marks.note, size)[1]), size)
    return canvas


def _text(one: Detection, names: Mapping[str, str], parts: frozenset[str]) -> str:
    """`cat #3:0.912`, or the asked parts of it."""
    label = names.get(one.name, one.name) if "labels" in parts else ""
    track = f"#{one.track}" if "tracking" in parts and one.track is not None else ""
    score = f"{one.score:.3f}" if "conf" in parts else ""
    return ":".join(filter(None, (" ".join(filter(None, (label, track))), score)))


def _draw_boxes(
    canvas: Picture,
    boxes_n4: Boxes,
    texts: Sequence[str],
    colors: Sequence[Colour],
    *,
    linewidth: int | None,
    outlined: bool = True,
    alpha: int = 0,
) -> None:
    assert len(boxes_n4) == len(texts) == len(colors), f"{len(boxes_n4)}, {len(texts)} and {len(colors)} things"
    if not len(boxes_n4):
        return
    hw = (canvas.shape[0], canvas.shape[1])
    boxes = clip_boxes(np.asarray(boxes_n4, dtype=np.float32).reshape(-1, 4), hw=hw)
    largest = max(10, round(_side(canvas) / 31))
    frames = [_frame(box, canvas, linewidth=linewidth) for box in boxes.tolist()]
    sizes = [_text_size(text, x2 - x1 + 1, largest) for text, ((x1, _, x2, _), _) in zip(texts, frames, strict=True)]
    big_first = sorted(range(len(frames)), key=lambda index: -_area(frames[index][0]))
    for index in big_first:
        frame, thick = frames[index]
        if alpha:
            _fill(canvas, frame, colors[index], alpha)
        if outlined:
            _outline(canvas, frame, thick, colors[index])
    places = place_tags(
        np.array([frame for frame, _ in frames], np.float64),
        np.array([tag_size(text, size) for text, size in zip(texts, sizes, strict=True)], np.float64),
        [index for index in reversed(big_first) if texts[index]],  # small objects choose first
        hw=hw,
    )
    for index, (left, top, _, _) in places.items():
        stamp_tag(canvas, texts[index], colors[index], (left, top), sizes[index])


def _frame(box: Sequence[float], canvas: Picture, *, linewidth: int | None) -> tuple[tuple[int, int, int, int], int]:
    """The outer corners, in whole pixels inside the image, of the line around a box; and the line's width."""
    height, width = canvas.shape[:2]
    if linewidth is None:
        side = min(box[2] - box[0], box[3] - box[1])
        thick = max(1, min(round(_side(canvas) / 215), round(side / 12)))
    else:
        thick = max(1, linewidth)
    x1, y1 = max(round(box[0]) - thick, 0), max(round(box[1]) - thick, 0)
    x2, y2 = min(round(box[2]) + thick - 1, width - 1), min(round(box[3]) + thick - 1, height - 1)
    return (x1, y1, max(x2, x1), max(y2, y1)), thick


def _text_size(text: str, width: int, largest: int) -> int:
    """The height of a tag's text, pixels: a tag is no wider than its box, where it can be."""
    return max(round(0.75 * largest), 10, min(largest, int(largest * width / tag_size(text, largest)[0])))


def _outline(canvas: Picture, frame: tuple[int, int, int, int], thick: int, colour: Colour) -> None:
    """A line inside of the frame, and a dark one around it."""
    import cv2

    x1, y1, x2, y2 = frame
    left = max(x1 - 1, 0)
    edges = []
    if y1 > 0:
        edges.append(canvas[y1 - 1, left : x2 + 2])
    if x1 > 0:
        edges.append(canvas[y1 : y2 + 1, x1 - 1])
    edges += [canvas[y2 + 1 : y2 + 2, left : x2 + 2], canvas[y1 : y2 + 1, x2 + 1 : x2 + 2]]
    for edge in edges:
        np.multiply(edge, _HALO, out=edge, casting="unsafe")
    for inset in range(thick):
        cv2.rectangle(canvas, (x1 + inset, y1 + inset), (x2 - inset, y2 - inset), colour)


def _fill(canvas: Picture, frame: tuple[int, int, int, int], colour: Colour, alpha: int) -> None:
    import cv2

    x1, y1, x2, y2 = frame
    part, share = canvas[y1 : y2 + 1, x1 : x2 + 1], alpha / 255
    tint = np.array(colour, np.uint8)
    cv2.addWeighted(part, 1 - share, np.broadcast_to(tint, part.shape).copy(), share, 0, dst=part)


def _draw_line(canvas: Picture, start: Point, end: Point, text: str) -> None:
    """A counting line, light on dark, with its text at the start."""
    import cv2

    thick = max(2, round(_side(canvas) / 300))
    ends = [(round(x), round(y)) for x, y in (start, end)]
    cv2.line(canvas, ends[0], ends[1], (0, 0, 0), thick + 2, cv2.LINE_AA)
    cv2.line(canvas, ends[0], ends[1], _LINE, thick, cv2.LINE_AA)
    if text:
        size = max(10, round(_side(canvas) / 31))
        wide, high = tag_size(text, size)
        x, y = (round((a + b) / 2) for a, b in zip(*ends, strict=True))
        at = (min(max(x - wide // 2, 0), canvas.shape[1] - wide), min(max(y - high // 2, 0), canvas.shape[0] - high))
        stamp_tag(canvas, text, _LINE, at, size)


def _draw_trails(canvas: Picture, trails: Mapping[int, Sequence[Point]], colours: Mapping[int, Colour]) -> None:
    """The way of each track that is in the picture."""
    import cv2

    thick = max(1, round(_side(canvas) / 300))
    for track, points in trails.items():
        if track in colours and len(points) > 1:
            way = np.round(np.array(points)).astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(canvas, [way], False, colours[track], thick, cv2.LINE_AA)


def _side(canvas: Picture) -> float:
    """The side of a square as large as the picture, pixels; lines and letters follow it."""
    return math.sqrt(canvas.shape[0] * canvas.shape[1])


def _area(frame: tuple[int, int, int, int]) -> int:
    return (frame[2] - frame[0]) * (frame[3] - frame[1])
