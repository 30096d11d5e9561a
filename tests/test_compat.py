"""docs/compat/ against TAO's list of quirks (reference 13.1) and against the tests that it points at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPAT = ROOT / "docs" / "compat"
PAGES = sorted(page.name for page in COMPAT.glob("*.md") if page.name not in ("README.md", "quirks.md"))


def rows(page: Path) -> list[list[str]]:
    """The cells of the rows of all tables of a page, without headers and rules; `\\|` is a bar inside a cell."""
    lines = page.read_text(encoding="utf-8").splitlines()
    headers = {number - 1 for number, line in enumerate(lines) if re.fullmatch(r"\|(-+\|)+", line)}
    body = [line for number, line in enumerate(lines) if line.startswith("|") and not headers & {number, number - 1}]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in body]


def test_every_quirk_of_tao_has_its_row_a_choice_and_a_test_that_exists():
    quirks = rows(COMPAT / "quirks.md")
    listed = re.search(
        r"^### 13\.1 .*?(?=^### )", (ROOT / "docs/reference/detectnet_v2.md").read_text("utf-8"), re.M | re.S
    )

    assert [row[0] for row in quirks] == [str(number) for number in range(1, 31)]
    assert listed
    assert re.findall(r"^\| (\d+) \|", listed[0], re.MULTILINE) == [row[0] for row in quirks]
    for number, _, choice, tests in quirks:
        assert choice, number
        pointed = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert pointed, number
        for file, name in pointed:
            assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (number, file, name)


@pytest.mark.parametrize("page", PAGES)
def test_every_row_of_differences_has_a_cell_for_each_column(page: str):
    differences = rows(COMPAT / page)

    assert differences
    for row in differences:
        assert len(row) == 4, row
        assert all(row[:3]), row


def test_the_index_links_every_page():
    linked = re.findall(
        r"^\| \[([\w-]+\.md)\]\(\1\) \|", (COMPAT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert sorted(linked) == sorted([*PAGES, "quirks.md"])


def test_every_test_that_a_page_points_at_exists():
    pointed = [
        (page, file, name)
        for page in PAGES
        for file, name in re.findall(r"`([\w/]*test_\w+\.py)(?:::(\w+))?`", (COMPAT / page).read_text(encoding="utf-8"))
    ]
    tests = {file.as_posix(): file for file in (ROOT / "tests").rglob("test_*.py")}

    assert pointed
    for page, file, name in pointed:
        found = [path for path in tests if path.endswith(f"/{file}")]
        assert found, (page, file)
        assert not name or f"def {name}(" in tests[found[0]].read_text(encoding="utf-8"), (page, file, name)
