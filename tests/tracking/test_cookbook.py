"""The program in docs/cookbook/tracking.md prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "cookbook" / "tracking.md"


def test_the_program_of_the_page_prints_what_the_page_says(capsys):
    pytest.importorskip("edgefirst.tracker", reason="the track extra is not installed")
    program, printed = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(), re.DOTALL).groups()

    exec(compile(program, str(PAGE), "exec"), {})

    assert capsys.readouterr().out == printed
