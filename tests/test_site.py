"""The site of the documents: it is complete, its list of pages is up to date, and a link that leads nowhere ends its
build. `.ci/site` builds all of it, in CI too."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

import taolite
from taolite.cli.main import GROUPS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    found = importlib.util.spec_from_file_location("site_build", ROOT / "docs" / "site" / "build.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_start_page_lists_every_page_of_the_cookbook(site: ModuleType) -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")

    assert site.with_listing(text) == text, "run python docs/site/build.py --list"
    listed = set(re.findall(r"^- \[.+\]\(cookbook/(.+)\): .+\.$", text, re.MULTILINE))
    assert listed == {page.name for page in (ROOT / "docs" / "cookbook").glob("*.md")}


def test_every_page_has_one_place_in_the_menu_also_one_that_nobody_knew(site: ModuleType) -> None:
    names = ["README", "README.ja", "docs/index", "docs/api", "docs/commands/index", "docs/commands/run"]
    names += ["docs/cookbook/board", "docs/cookbook/int8", "docs/specs/ssd", "docs/surprise", "docs/compat/README"]

    menu = "".join(site.contents(names))

    found = re.findall(r"^/(.+)$", menu, re.MULTILINE)
    assert sorted(found) == sorted(set(names) - {"docs/index", "docs/commands/run"})
    captions = re.findall(r":caption: (.+)\n\n/(.+)\n", menu)
    assert captions == [
        ("Ways in", "docs/cookbook/int8"),
        ("Cookbook", "docs/cookbook/board"),
        ("Look up", "docs/commands/index"),
        ("How TAO behaves, and what differs", "docs/compat/README"),
        ("More", "docs/surprise"),
    ]


def test_the_commands_and_python_s_names_have_their_pages(site: ModuleType) -> None:
    commands = dict(site.command_pages())

    assert set(commands) == {"index", *GROUPS}
    assert "\n## taolite detectnet train\n\n```text\nusage: taolite detectnet train " in commands["detectnet"]
    headings = re.findall(r"^#+ (.+)$", commands["dataset"], re.MULTILINE)
    assert headings[:2] == ["taolite dataset", "taolite dataset convert"]
    assert "taolite dataset download openimages" in headings
    names = re.findall(r"^## (.+)$", site.api_page(), re.MULTILINE)
    assert names == sorted(set(taolite.__all__) - {"__version__"})


def test_a_file_that_a_page_links_to_comes_along(site: ModuleType, tmp_path: Path) -> None:
    site.gather(tmp_path)

    for name in ("docs/cookbook/deepstream_app.txt", "docs/pictures/finds.jpg", "tests/second_reader.py"):
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("link", "code"), [("other.md#a-heading", 0), ("other.md#nowhere", 1), ("missing.md", 1)])
def test_a_link_that_leads_nowhere_ends_the_build(
    site: ModuleType, link: str, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("myst_parser", reason="the docs extra is not installed")
    pytest.importorskip("furo", reason="the docs extra is not installed")
    source = tmp_path / "source" / "docs"
    source.mkdir(parents=True)
    (source / "index.md").write_text(f"# Start\n\n[there]({link})\n\n```{{toctree}}\nother\n```\n")
    (source / "other.md").write_text("# Other\n\n## A heading\n")

    assert site.sphinx(tmp_path / "source", tmp_path / "html") == code

    assert ("myst.xref_missing" in capfd.readouterr().err) == bool(code)
    assert (tmp_path / "html" / "index.html").exists() == (not code)
