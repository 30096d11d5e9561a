"""Class names of every script: written in a font of the system that has them, else as codes; never as empty boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from taolite.media import fonts, tags
from taolite.media.fonts import font_warning, text_size
from taolite.media.overlay import draw_boxes
from taolite.media.sheet import contact_sheet

PLAIN = np.full((240, 320, 3), 90, np.uint8)
BOX = np.float32([[100, 100, 200, 200]])


def forget() -> None:
    kept = (fonts._parts, fonts._source, fonts._has, fonts._probe, fonts._load, fonts._system_fonts)
    for cached in (*kept, tags._cover, tags._piece):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that takes the place of the system's fonts; empty."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    monkeypatch.setattr(fonts, "_folders", lambda: [folder])
    forget()
    yield folder
    forget()


@pytest.fixture
def install(system: Path) -> Callable[..., None]:
    """install(name, letters): a font with these letters, each drawn as a bar of its own height."""
    builder = pytest.importorskip("fontTools.fontBuilder", reason="fontTools comes with matplotlib")
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")

    def bar(height: int, left: int = 100) -> object:
        pen = pens.TTGlyphPen(None)
        for number, point in enumerate([(left, 0), (left, height), (800, height), (800, 0)]):
            (pen.lineTo if number else pen.moveTo)(point)
        pen.closePath()
        return pen.glyph()

    def make(name: str, letters: str) -> None:
        names = [".notdef", *(f"g{ord(letter)}" for letter in letters)]
        font = builder.FontBuilder(1000, isTTF=True)
        font.setupGlyphOrder(names)
        font.setupCharacterMap({ord(letter): f"g{ord(letter)}" for letter in letters})
        font.setupGlyf({one: bar(900, 500) if one == ".notdef" else bar(200 + 37 * at) for at, one in enumerate(names)})
        font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
        font.setupHorizontalHeader(ascent=900, descent=-100)
        font.setupNameTable({"familyName": name, "styleName": "Regular"})
        font.setupOS2()
        font.setupPost()
        font.save(system / f"{name}.ttf")
        forget()

    return make


def written(text: str) -> list[tuple[str, str]]:
    """The families that write a text, and what of it each writes."""
    return [(str(font.getname()[0]), words) for font, words in fonts._parts(text, 14)]


def tag(text: str) -> np.ndarray:
    return draw_boxes(PLAIN, BOX, [text], [(255, 120, 0)])


@pytest.mark.parametrize(
    ("text", "family"),
    [("cat:0.93", "Aileron"), ("Чайка écureuil ß", "DejaVu Sans"), ("قطة", "DejaVu Sans"), ("ελιά", "DejaVu Sans")],
)
def test_alphabets_are_in_the_fonts_that_come_along(text, family):
    assert written(text) == [(family, text)]
    assert font_warning([text]) == ""


def test_letters_of_a_font_of_the_system_are_drawn_with_it(install):
    codes = tag("車犬")
    install("Own", "車犬 :.0123456789")

    assert written("車犬") == [("Own", "車犬")]
    assert font_warning(["車犬", "cat"]) == ""
    assert not np.array_equal(tag("車犬"), codes)
    assert not np.array_equal(tag("車犬"), tag("犬車"))


def test_of_two_fonts_the_one_that_has_all_letters_is_taken_and_names_of_cjk_fonts_come_first(install):
    install("A", "車x")
    install("B", "車犬x")
    assert written("車犬x") == [("B", "車犬x")]

    install("NotoSansCJK-Regular", "車")
    assert written("車") == [("NotoSansCJK-Regular", "車")]


def test_without_a_font_letters_are_codes_and_one_line_says_so():
    assert written("車 cat:0.93") == [("Aileron", "\\u8eca cat:0.93")]
    np.testing.assert_array_equal(tag("車 cat:0.93"), tag("\\u8eca cat:0.93"))
    assert font_warning(["車", "cat", "犬", "車"]) == (
        "no font of this system has 犬 車: such letters are drawn as codes (\\u72ac); install a font that has them, "
        "e.g. fonts-noto-cjk (Debian, Ubuntu) or google-noto-sans-cjk-fonts (Fedora)"
    )
    assert "has 一 丁 丂 七 丄 ...:" in font_warning(["".join(map(chr, range(0x4E00, 0x4E20)))])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("lone \ud800", "lone \\ud800"),
        ("private \ue000", "private \\ue000"),
        ("unassigned \u0378", "unassigned \\u0378"),
        ("joined\u200dup \ufe0f", "joined\u200dup \ufe0f"),
        ("accents u\u0302 \u0941", "accents u\u0302 \\u0941"),
        ("", ""),
        ("   ", "   "),
    ],
)
def test_what_leaves_no_mark_is_kept_and_what_is_no_letter_is_a_code(text, kept):
    assert "".join(words for _, words in written(text)) == kept
    tag(text)


def test_a_text_may_need_several_fonts_and_a_code(install):
    install("Own", "車")  # such as Droid Sans Fallback, which has no digits

    assert written("車 車:0.93 Ч犬") == [
        ("Own", "車 車"), ("Aileron", ":0.93 "), ("DejaVu Sans", "Ч"), ("Aileron", "\\u72ac")
    ]  # fmt: skip
    parts = [text_size(part, 14)[0] for part in ("車 車", ":0.93")]
    assert text_size("車 車:0.93", 14)[0] == pytest.approx(sum(parts))
    assert not np.array_equal(tag("車:0.93"), tag("車:0.94"))


def test_a_title_of_several_fonts_is_in_the_middle_of_its_cell(install):
    install("Own", "車")

    sheet = contact_sheet([PLAIN], titles=["車 0.93"])

    below = sheet[330:] < 200
    columns = np.nonzero(below.any(axis=(0, 2)))[0]
    assert abs((columns[0] + columns[-1]) / 2 - sheet.shape[1] / 2) < 6


def test_a_damaged_font_is_one_font_less(install, system):
    (system / "NotoSansCJK.ttc").write_bytes(b"not a font")
    install("Own", "車")

    assert written("車") == [("Own", "車")]


def test_titles_of_a_sheet_are_written_the_same_way():
    sheet, same = (contact_sheet([PLAIN], titles=[text], heading=text) for text in ("車", "\\u8eca"))

    np.testing.assert_array_equal(sheet, same)


def test_the_systems_own_folders_are_searched(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path}:/usr/share")
    monkeypatch.setenv("HOME", "/home/me")

    folders = fonts._folders()

    assert folders[:4] == [
        Path("/home/me/.local/share/fonts"), Path("/home/me/.fonts"), tmp_path / "fonts", Path("/usr/share/fonts")
    ]  # fmt: skip
