"""docs/compat.md against the reference's list of quirks (13.1) and against the tests that it points at."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMPAT = (ROOT / "docs" / "compat.md").read_text(encoding="utf-8")


def tables() -> dict[str, list[list[str]]]:
    """Heading -> the cells of its table's rows, without header and rule; `\\|` is a bar inside a cell."""
    found: dict[str, list[list[str]]] = {}
    for section in COMPAT.split("\n## ")[1:]:
        heading, *lines = section.splitlines()
        rows = [line for line in lines if line.startswith("|")]
        found[heading] = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]
    return found


def test_every_quirk_of_tao_has_its_row_a_choice_and_a_test_that_exists():
    rows = tables()["TAO's 30 quirks"]

    assert [row[0] for row in rows] == [str(number) for number in range(1, 31)]
    for number, _, choice, tests in rows:
        assert choice, number
        pointed = re.findall(r"`([\w/]+\.py)::(\w+)`", tests)
        assert pointed, number
        for file, name in pointed:
            assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), (number, file, name)


def test_every_table_of_differences_has_a_cell_for_each_column():
    differences = {heading: rows for heading, rows in tables().items() if heading != "TAO's 30 quirks"}

    assert len(differences) >= 8
    for heading, rows in differences.items():
        assert rows, heading
        for row in rows:
            assert len(row) == 4, (heading, row)
            assert all(row[:3]), (heading, row)
