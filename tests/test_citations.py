"""Citations such as `reference 7.3` and `reference/deploy.md 11` against the headings of docs/reference/.

A citation names a page, or none for detectnet_v2.md, and sections of it: one, several, or a range (`9.1 to 9.3`). A
section may be followed by table rows or list items of it (`13.1 rows 1 and 2`, `13.5 item 4`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTES = ROOT / "docs" / "reference"
PLACES = ("taolite", "tests", "docs")
SUFFIXES = (".py", ".md", ".txt", ".sh")

NUMBER = r"\d+(?:\.\d+)*"
ITEM = r"\d+\b(?!\.\d)"
ITEMS = rf" (?:item|row)s? {ITEM}(?:(?:, | and ){ITEM})*"
SECTION = rf"{NUMBER}(?:{ITEMS})?"
BETWEEN = r"(?:, and |, | and | to )"
CITATION = re.compile(rf"\b[Rr]eference(?:/ ?(?P<page>\w+)\.md)?(?: (?P<sections>{SECTION}(?:{BETWEEN}{SECTION})*))?")
HEADING = re.compile(rf"^#{{2,4}} ({NUMBER})\.? ", re.MULTILINE)
MARGIN = re.compile(r"\s*\n\s*(?:#+ )?\s*")  # a line end, and what stands before the first word of the next line


class Citation(NamedTuple):
    page: str
    section: str  # empty: the page as a whole
    item: str = ""


def citations(text: str) -> Iterator[Citation]:
    """Each section that `text` cites, one by one; a citation may go on in the next line, also of a comment."""
    for cited in CITATION.finditer(MARGIN.sub(" ", text)):
        page, sections = cited["page"], cited["sections"]
        if sections is None:
            if page is not None:
                yield Citation(page, "")
            continue
        last = ""
        for between, section, items in re.findall(rf"({BETWEEN})?({NUMBER})({ITEMS})?", sections):
            for number in between_numbers(last, section) if between == " to " else [section]:
                yield Citation(page or "detectnet_v2", number)
            for item in re.findall(r"\d+", items):
                yield Citation(page or "detectnet_v2", section, item)
            last = section


def between_numbers(first: str, last: str) -> list[str]:
    """The sections after `first`, up to `last`: 9.1 to 9.3 is 9.2 and 9.3."""
    *above, start = first.split(".")
    *parent, end = last.split(".")
    assert above == parent, f"{first} to {last}"
    return [".".join([*above, str(number)]) for number in range(int(start) + 1, int(end) + 1)]


def sections(page: str) -> dict[str, str]:
    """Number of each heading of docs/reference/`page`.md -> the text below it, up to the next heading."""
    text = (NOTES / f"{page}.md").read_text(encoding="utf-8")
    _, *parts = HEADING.split(text)
    numbers, bodies = parts[::2], parts[1::2]
    assert len(set(numbers)) == len(numbers), f"{page}.md has two sections with one number"
    return dict(zip(numbers, bodies, strict=True))


def problem(cited: Citation) -> str | None:
    """What is wrong with a citation, None where it resolves."""
    if not (NOTES / f"{cited.page}.md").is_file():
        return f"no page {cited.page}.md"
    if not cited.section:
        return None
    found = sections(cited.page)
    if cited.section not in found:
        return f"{cited.page}.md has no section {cited.section}"
    if cited.item and not re.search(rf"^(?:\| {cited.item} \||{cited.item}\. )", found[cited.section], re.MULTILINE):
        return f"{cited.page}.md {cited.section} has no item {cited.item}"
    return None


def test_every_citation_names_a_section_that_exists():
    files = [file for place in PLACES for file in sorted((ROOT / place).rglob("*")) if file.suffix in SUFFIXES]
    cited = [(file, one) for file in files for one in citations(file.read_text(encoding="utf-8"))]

    assert len(cited) > 200
    assert [f"{file.relative_to(ROOT)}: {wrong}" for file, one in cited if (wrong := problem(one))] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (" 7.3", None),
        (" 7.99", "detectnet_v2.md has no section 7.99"),
        (" 99", "detectnet_v2.md has no section 99"),
        ("/deploy.md 4.5", None),
        ("/deploy.md 12.1", "deploy.md has no section 12.1"),
        ("/nowhere.md 1", "no page nowhere.md"),
        ("/nowhere.md", "no page nowhere.md"),
        ("/deploy.md", None),
        (" 13.5 item 9", "detectnet_v2.md 13.5 has no item 9"),
        (" 13.1 rows 30 and 31", "detectnet_v2.md 13.1 has no item 31"),
    ],
)
def test_a_citation_of_a_page_section_or_item_that_is_not_there_is_found(text: str, wrong: str | None):
    problems = [problem(one) for one in citations("reference" + text)]

    assert [found for found in problems if found] == ([wrong] if wrong else [])


def test_a_citation_may_name_several_sections_a_range_and_items_and_go_on_in_the_next_line():
    text = (
        "(reference 1.15 and 12), reference 9.1 to 9.3; reference 13.1 rows 1 and 2, 13.5 item 4.\n"
        "# The loader (reference/\n    # deploy.md 8.2, and 9.5). The reference box is wide, docs/reference/deploy.md"
    )

    assert list(citations(text)) == [
        ("detectnet_v2", "1.15", ""),
        ("detectnet_v2", "12", ""),
        ("detectnet_v2", "9.1", ""),
        ("detectnet_v2", "9.2", ""),
        ("detectnet_v2", "9.3", ""),
        ("detectnet_v2", "13.1", ""),
        ("detectnet_v2", "13.1", "1"),
        ("detectnet_v2", "13.1", "2"),
        ("detectnet_v2", "13.5", ""),
        ("detectnet_v2", "13.5", "4"),
        ("deploy", "8.2", ""),
        ("deploy", "9.5", ""),
        ("deploy", "", ""),
    ]


def test_pages_refer_to_sections_of_their_own_that_exist():
    for page in sorted(NOTES.glob("*.md")):
        named = re.findall(rf"\bsections? ({NUMBER})(?: and ({NUMBER}))?", page.read_text(encoding="utf-8"))

        if page.stem == "README":
            continue
        assert [number for pair in named for number in pair if number and number not in sections(page.stem)] == []
