"""Text of every script: drawn with a font of this system that has the letters, else as codes; never as empty boxes.

Pillow's own font has ASCII, DejaVu (matplotlib carries it) most alphabets. For other letters the fonts of this system
are searched, those with Chinese, Japanese and Korean letters first; some of these have no other letters, so a text may
need several. A letter that no font has is written as its code,
`\\u8eca`, and so are control characters. Pillow is imported when something is written.
"""

from __future__ import annotations

import importlib.util
import os
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

__all__ = ["font_warning", "text_size", "write_text"]

_MOST = 300  # fonts that are searched
_PROBE = 16  # pixels: the size at which fonts are asked for letters
_NO_LETTER = "\uffff"  # is in no font: what is drawn for it is the font's empty box
_PREFERRED = (  # beginnings of file names, as Linux, macOS and Windows have them, in small letters
    *("notosanscjk", "notosansjp", "notosanssc", "notosanstc", "notosanskr", "sourcehansans"),
    *("ipaexg", "ipag", "takao", "vl-gothic", "wqy-", "droidsansfallback", "nanumgothic", "unfonts", "unifont"),
    *("hiragino", "pingfang", "applesdgothicneo", "arial unicode", "msgothic", "yugoth", "msyh", "simhei", "malgun"),
    *("notosans", "freesans"),
)


def text_size(text: str, size: int) -> tuple[float, int]:
    """(width, height) in pixels of `text`, `size` pixels high."""
    parts = _parts(text, size)
    heights = [font.getmetrics() for font, _ in parts]
    return (
        sum(font.getlength(words) for font, words in parts),
        max(ascent for ascent, _ in heights) + max(descent for _, descent in heights),
    )


def write_text(
    draw: ImageDraw, text: str, size: int, *, left: float, middle: float, fill: tuple[int, ...], centred: bool = False
) -> None:
    """Draw `text`, `size` pixels high, vertically centred at `middle`. It begins at `left`, or is `centred` there."""
    parts = _parts(text, size)
    if len(parts) == 1:
        font, words = parts[0]
        draw.text((left, middle), words, font=font, fill=fill, anchor="mm" if centred else "lm")
        return
    heights = [font.getmetrics() for font, _ in parts]
    baseline = middle + (max(ascent for ascent, _ in heights) - max(descent for _, descent in heights)) / 2
    at = left - text_size(text, size)[0] / 2 if centred else left
    for font, words in parts:
        draw.text((at, baseline), words, font=font, fill=fill, anchor="ls")
        at += font.getlength(words)


def font_warning(texts: Iterable[str]) -> str:
    """A warning that names the letters of `texts` that no font of this system has; "" if there are none."""
    letters = sorted({letter for text in texts for letter in text if _is_drawn(letter)})
    missing = [letter for letter in letters if _source(letter) is None]
    if not missing:
        return ""
    shown = " ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
    return (
        f"no font of this system has {shown}: such letters are drawn as codes ({_code(missing[0])}); install a font "
        "that has them, e.g. fonts-noto-cjk (Debian, Ubuntu) or google-noto-sans-cjk-fonts (Fedora)"
    )


@lru_cache(maxsize=4096)
def _parts(text: str, size: int) -> tuple[tuple[FreeTypeFont, str], ...]:
    """`text` split into parts of one font each; letters that no font has become codes. One part if one font has all."""
    letters = frozenset(filter(_is_drawn, text))
    whole = next((source for source in _sources() if all(_has(source, letter) for letter in letters)), None)
    parts: list[tuple[str, str]] = []
    for letter in text:
        now = whole if whole is not None else parts[-1][0] if parts else ""
        if not _is_kept(letter):
            source, written = "", _code(letter)
        elif not _is_drawn(letter) or _has(now, letter):
            source, written = now, letter
        else:
            found = _source(letter)
            source, written = ("", _code(letter)) if found is None else (found, letter)
        if parts and parts[-1][0] == source:
            parts[-1] = (source, parts[-1][1] + written)
        else:
            parts.append((source, written))
    return tuple((_sized(source, size), words) for source, words in parts or [("", "")])


def _is_drawn(letter: str) -> bool:
    """Whether a font needs the letter: blanks, joiners and control characters have no drawing."""
    kind = unicodedata.category(letter)
    return kind[0] != "Z" and kind not in ("Cc", "Cf", "Cs") and not "\ufe00" <= letter <= "\ufe0f"


def _is_kept(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp")


def _code(letter: str) -> str:
    """車 -> \\u8eca"""
    return letter.encode("unicode_escape", "surrogatepass").decode()


def _sources() -> tuple[str, ...]:
    """All fonts, in the order in which they are asked."""
    return ("", *_dejavu(), *_system_fonts())


@lru_cache(maxsize=1 << 16)
def _source(letter: str) -> str | None:
    """The first font that has the letter."""
    return next((source for source in _sources() if _has(source, letter)), None)


def _sized(source: str, size: int) -> FreeTypeFont:
    font = _load(source, size)
    assert font is not None, "it was loaded at another size"
    return font


@lru_cache(maxsize=1 << 16)
def _has(source: str, letter: str) -> bool:
    """Whether a font draws something of its own for `letter`."""
    font = _probe(source)
    try:
        return font is not None and bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))
    except OSError:  # a damaged font is one font less
        return False


@lru_cache(maxsize=512)
def _probe(source: str) -> FreeTypeFont | None:
    """The font without rules for neighbouring letters, which would put a circle beneath a lone accent."""
    from PIL.ImageFont import Layout

    font = _load(source, _PROBE)
    return None if font is None else font.font_variant(layout_engine=Layout.BASIC)


@lru_cache(maxsize=512)
def _load(source: str, size: int) -> FreeTypeFont | None:
    """A font by file name, or Pillow's own for an empty one; None where it cannot be read, or not at this size."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(source, size) if source else ImageFont.load_default(size)  # type: ignore[return-value]
    except OSError:
        return None


def _dejavu() -> tuple[str, ...]:
    """DejaVu Sans as matplotlib carries it, found without importing matplotlib."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ()
    return (str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"),)


@lru_cache(maxsize=1)
def _system_fonts() -> tuple[str, ...]:
    """Files of this system's fonts, the preferred ones first, then by name."""
    found = [
        Path(place) / name
        for folder in _folders()
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith((".ttf", ".otf", ".ttc"))
    ]

    def rank(path: Path) -> tuple[int, bool, str]:
        name = path.name.lower()
        at = next((index for index, start in enumerate(_PREFERRED) if name.startswith(start)), len(_PREFERRED))
        return at, "regular" not in name, str(path)

    return tuple(str(path) for path in sorted(found, key=rank)[:_MOST])


def _folders() -> list[Path]:
    """Where Linux, macOS and Windows keep fonts."""
    home = Path("~").expanduser()
    data = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    places = [home / ".local/share/fonts", home / ".fonts", *(Path(one) / "fonts" for one in data.split(":") if one)]
    places += [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")]
    if windows := os.environ.get("WINDIR"):
        places.append(Path(windows) / "Fonts")
    return places
