"""README.ja.md and README.zh.md say what README.md says: the same headings, commands, links, pictures and table rows,
in the same order. What is translated are words, and the comments behind commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGLISH = ROOT / "README.md"
OTHERS = [ROOT / "README.ja.md", ROOT / "README.zh.md"]


def skeleton(text: str) -> dict[str, list[str]]:
    """What must be the same in every language, by kind."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return {
        "headings": re.findall(r"^(#+) ", prose, re.MULTILINE),
        "commands": [
            f"{language}: {re.sub(r' +# .*', '', line).rstrip()}"
            for language, block in blocks
            for line in block.splitlines()
        ],
        "links": re.findall(r"\]\(([^)]+)\)", prose),
        "code of tables": [" ".join(re.findall(r"`[^`]+`", row)) for row in prose.splitlines() if row.startswith("|")],
        "list items": re.findall(r"^(- \*\*)", prose, re.MULTILINE),
        "code": sorted(set(re.findall(r"`([^`\n]+)`", re.sub(r"\s*\n\s*", " ", prose)))),
    }


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_a_translation_has_the_headings_commands_links_and_rows_of_the_readme(path: Path) -> None:
    english, other = (skeleton(one.read_text(encoding="utf-8")) for one in (ENGLISH, path))

    assert other == english


def test_the_skeleton_tells_a_changed_command_a_lost_heading_and_another_link() -> None:
    english = "# A\n\n[b](b.md)\n\n## C\n\n```sh\nls -l  # list\n```\n\n| `x` | y |\n"

    same = "# あ\n\n[い](b.md)\n\n## う\n\n```sh\nls -l    # 一覧\n```\n\n| `x` | え |\n"
    assert skeleton(same) == skeleton(english)
    for found, other in (("ls -l", "ls -a"), ("## う", "う"), ("(b.md)", "(c.md)"), ("`x`", "x"), ("```sh", "```bash")):
        assert skeleton(same.replace(found, other)) != skeleton(english)


@pytest.mark.parametrize(("path", "letters"), [(OTHERS[0], "[぀-ヿ]"), (OTHERS[1], "[一-鿿]")], ids=("ja", "zh"))
def test_every_paragraph_of_a_translation_is_in_its_language(path: Path, letters: str) -> None:
    prose = re.sub(r"^```.*?^```\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    paragraphs = [one for one in re.split(r"\n\n+", prose.strip()) if not one.startswith(("# taolite", "[English]"))]

    assert [one for one in paragraphs if not re.search(letters, one)] == []
    assert not re.search("[぀-ヿ]", (ROOT / "README.zh.md").read_text(encoding="utf-8").replace("日本語", ""))


def test_the_pictures_of_the_readme_are_small_and_their_source_is_told() -> None:
    folder = ROOT / "docs" / "pictures"
    shown = {Path(name).name for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", ENGLISH.read_text(encoding="utf-8"))}
    files = [path for path in folder.iterdir() if path.name != "README.md"]

    assert {path.name for path in files} == shown
    assert sum(path.stat().st_size for path in files) < 500_000
    told = set(re.findall(r"^\| (\S+) \|", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert shown <= told
