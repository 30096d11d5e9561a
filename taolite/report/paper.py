"""The paper that curves are drawn on: a matplotlib figure, written whole or not at all, and names that can be read.

matplotlib is imported when a figure is drawn, on its Agg backend and without pyplot, so nothing here needs a screen or
leaves figures behind. Its warnings are kept off the console. Class names may be of any script: a font of this system
that has their letters is used, and a letter that no font has is written as its code (`\\u8eca`), never as an empty box.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from taolite.files import open_atomic
from taolite.media.overlay import Colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BLUE", "FAINT", "GREY", "INK", "ORANGE", "PURPLE", "Corner", "drawing", "dress", "line", "on_paper"]

INK, FAINT = "#333333", "#d9d9d9"
BLUE, ORANGE, PURPLE, GREY = "#0072b2", "#d55e00", "#cc79a7", "#666666"

Corner = Literal["upper right", "lower right", "lower left"]

_DPI = 110
_LOCK_IS_OLD_S = 60.0  # the list takes a second
_MANY_POINTS = 60  # beyond this, markers would hide the line
_MOST_FONTS = 300  # searched for letters that the preferred families do not have
_BASE = "DejaVu Sans"  # comes with matplotlib
_PLACEHOLDER = "Last Resort"  # matplotlib's font that has a box for every letter
_PREFERRED = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR",
    "Source Han Sans", "IPAGothic", "IPAexGothic", "TakaoGothic", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "NanumGothic", "Hiragino Sans", "Hiragino Sans GB", "PingFang SC", "Apple SD Gothic Neo",
    "MS Gothic", "Yu Gothic", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Arial Unicode MS",
)  # fmt: skip
"""Families with Chinese, Japanese or Korean letters, as Linux, macOS and Windows have them."""


@contextmanager
def drawing(
    inches: tuple[float, float], path: Path, names: Iterable[str] = ()
) -> Iterator[tuple[Figure, dict[str, str]]]:
    """A figure that is written to `path` when the block ends without an error.

    Args:
        inches: (width, height); 110 pixels an inch.
        path: the PNG to write, or the SVG where it ends in .svg. Raises StorageError where writing fails.
        names: the texts from outside that will be drawn, such as class names.

    Yields:
        The figure, and for each of `names` the text to hand to matplotlib for it.
    """
    with _quiet():
        _remove_old_lock()
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = list(names)
        families, missing = _fonts("".join(names))
        with matplotlib.rc_context({"font.family": families, "font.size": 9}):
            figure = Figure(figsize=inches, dpi=_DPI, facecolor="white")
            FigureCanvasAgg(figure)
            yield figure, {name: _drawable(name, missing) for name in names}
            with open_atomic(path) as stream:
                figure.savefig(stream, format="svg" if path.suffix.lower() == ".svg" else "png")


def _remove_old_lock() -> None:
    """Remove the lock of a process that was killed while it wrote matplotlib's list of fonts. matplotlib would wait 5 s
    for it, in every process from then on."""
    for lock in Path(os.environ["MPLCONFIGDIR"]).glob("fontlist-*.matplotlib-lock"):
        with suppress(OSError):  # its owner removed it now, or the folder is read-only
            if time.time() - lock.stat().st_mtime > _LOCK_IS_OLD_S:
                lock.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """matplotlib's notes on its font list, on a home folder it cannot write to and the like stay off the console."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="matplotlib")
            yield
    finally:
        logger.setLevel(before)


def line(
    axes: Axes,
    points: Sequence[tuple[int, float]],
    colour: str,
    label: str,
    *,
    number: str,
    dots: bool = False,
    width: float = 2.0,
) -> None:
    """One curve, its last value in the legend; few points are marked, a lone one always is."""
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    marker = "o" if len(points) == 1 or (dots and len(points) <= _MANY_POINTS) else ""
    text = f"{label}  {number.format(values[-1])}" if label else None
    axes.plot(epochs, values, color=colour, linewidth=width, marker=marker, markersize=3.5, label=text)


def dress(axes: Axes, title: str, *, place: Corner | None) -> None:
    """Quiet axes: no box, faint horizontal lines, a legend where there is something to name."""
    axes.set_ylabel(title, color=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, length=3)
    handles, labels = axes.get_legend_handles_labels()
    if labels and place is not None:
        axes.legend(
            handles,
            labels,
            loc=place,
            frameon=True,
            framealpha=0.85,
            edgecolor="none",
            ncols=1 + (len(labels) - 1) // 8,
        )


def _fonts(text: str) -> tuple[list[str], frozenset[str]]:
    """The families that together have the letters of `text`, and the letters that no font here has."""
    from matplotlib.font_manager import FontProperties, fontManager

    found = [_BASE]
    missing = {letter for letter in text if not letter.isspace()}
    missing -= _letters(fontManager.findfont(FontProperties(family=_BASE)))
    if missing:
        order = {family: rank for rank, family in enumerate(_PREFERRED)}
        real = (font for font in fontManager.ttflist if not font.name.startswith(_PLACEHOLDER))
        fonts = sorted(real, key=lambda font: order.get(font.name, len(order)))
        for font in fonts[:_MOST_FONTS]:
            if font.name not in found and (has := missing & _letters(font.fname)):
                found.append(font.name)
                missing -= has
            if not missing:
                break
    return found, frozenset(missing)


@lru_cache(maxsize=512)
def _letters(font: str) -> frozenset[str]:
    """The characters that the font file has a drawing for; none where it cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(font).get_charmap()))
    except (OSError, RuntimeError):  # a font of the list that is gone or damaged is one font less
        return frozenset()


def _drawable(name: str, missing: frozenset[str]) -> str:
    """`name` as matplotlib will draw it letter by letter."""
    text = "".join(
        letter.encode("unicode_escape").decode() if letter in missing or not letter.isprintable() else letter
        for letter in name
    )
    text = text.replace("$", r"\$")  # else what stands between two is a formula
    return f" {text}" if text.startswith("_") else text  # matplotlib keeps `_name` out of legends


def on_paper(colour: Colour) -> str:
    """A palette colour as hex, darkened where it would not be seen on white."""
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    factor = min(1.0, 150 / light) if light else 1.0
    return "#" + "".join(f"{round(value * factor):02x}" for value in colour)
