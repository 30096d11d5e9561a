"""Build the site: every page of the repository, Python's interface from its docstrings, the commands from their help.

    python docs/site/build.py [FOLDER]
    python docs/site/build.py --list

FOLDER (default: build/site) gets html/, whose index.html is the start, and source/, the pages as Sphinx read them. The
pages keep their places, so a link that leads somewhere on GitHub leads there on the site; one that does not ends the
build with exit code 1, as any other warning of Sphinx does. Nothing is fetched. Needs the extra `docs`. `--list` writes
the list of the cookbook's pages in docs/index.md, which tests/test_site.py compares.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import taolite  # noqa: E402
from taolite.cli.main import GROUPS, parser_for  # noqa: E402

START = "docs/index"
WAYS = ("first-model", "first-detector", "from-tao", "from-jetson-inference", "ssd-mobilenet", "jetson-deepstream")
WAYS += ("several-machines", "int8")
"""Pages of the cookbook that are a newcomer's way in, in this order; the others follow by name."""
LOOK_UP = ("docs/commands/index", "docs/api", "docs/specs(/.*)?", "docs/reference/specs.*", "docs/FORMAT", "docs/scale")
INSIDE = (
    "CONTRIBUTING",
    "docs/architecture",
    "docs/speed/.*",
    "docs/decisions/.*",
    "docs/hardening",
    "docs/licences",
    "CHANGELOG",
)
HIDDEN = (r"README(\.\w+)?", "docs/interfaces", "workspace/README")
"""Patterns of pages without a line in the site's menu; links lead to them."""
BEGIN, END = "<!-- written by python docs/site/build.py --list -->\n", "<!-- end -->\n"
REDIRECT = """<!doctype html><meta charset="utf-8"><title>taolite</title>
<meta http-equiv="refresh" content="0; url={start}.html"><a href="{start}.html">taolite</a>
"""


def pages() -> list[Path]:
    """The repository's pages, relative to its root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "workspace" / "README.md"]
    return sorted(path.relative_to(ROOT) for path in found)


def gather(source: Path) -> None:
    """Copy the pages and what they link to below `source`, and add those that are made from the code."""
    for page in pages():
        text = (ROOT / page).read_text(encoding="utf-8")
        put(source / page, text)
        for target in linked(text):
            file = (ROOT / page.parent / target).resolve()
            if file.is_file() and file.suffix != ".md" and file.is_relative_to(ROOT):
                copy = source / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    put(source / "docs" / "api.md", api_page())
    for name, text in command_pages():
        put(source / "docs" / "commands" / f"{name}.md", text)
    names = [str(path.relative_to(source).with_suffix("")) for path in sorted(source.rglob("*.md"))]
    start = source / f"{START}.md"
    put(start, start.read_text(encoding="utf-8") + "".join(contents(names)))


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def linked(text: str) -> list[str]:
    """Targets of a page's links and pictures, without anchors."""
    return [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def contents(names: Iterable[str]) -> Iterator[str]:
    """The site's table of contents, a caption at a time. Every page has its place; an unknown one is under "More"."""
    left = [name for name in names if name != START]

    def take(*patterns: str) -> list[str]:
        taken = [name for pattern in patterns for name in left if re.fullmatch(pattern, name)]
        left[:] = [name for name in left if name not in taken]
        return taken

    take("docs/commands/(?!index).*")  # below the page of all commands
    hidden = take(*HIDDEN)
    parts = {
        "Ways in": take(*(f"docs/cookbook/{name}" for name in WAYS)),
        "Cookbook": take("docs/cookbook/.*"),
        "Look up": take(*LOOK_UP),
        "Inside": take(*INSIDE),
        "How TAO behaves, and what differs": take("docs/compat/.*", "docs/reference/.*"),
        "More": left,
    }
    for caption, listed in parts.items():
        if listed:
            yield tree(listed, caption=caption)
    if hidden:
        yield tree(hidden)


def tree(names: Iterable[str], *, caption: str = "") -> str:
    """One toctree of pages, their names from the top of the sources."""
    head = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n```{toctree}\n" + "".join(f"{line}\n" for line in (*head, "", *(f"/{name}" for name in names))) + "```\n"


def api_page() -> str:
    """Python's public interface, for autodoc to fill from the docstrings."""
    head = (
        "# Python interface\n\nWhat `import taolite` offers. [The cookbook](cookbook/python.md) shows how it is used.\n"
    )
    blocks = []
    for name in sorted(set(taolite.__all__) - {"__version__"}):
        value = getattr(taolite, name)
        kind = "autoexception" if isinstance(value, type) and issubclass(value, Exception) else "autofunction"
        if kind == "autofunction" and isinstance(value, type):
            kind = "autoclass"
        members = "" if kind == "autofunction" else "\n   :members:"
        blocks.append(f"\n## {name}\n\n```{{eval-rst}}\n.. {kind}:: taolite.{name}{members}\n```\n")
    return head + "".join(blocks)


def command_pages() -> Iterator[tuple[str, str]]:
    """(name, text) of a page a command, with the help of it and of its tasks, and of the page that lists them."""
    os.environ["COLUMNS"] = "100"
    parser = parser_for(*GROUPS)
    groups = subcommands(parser)
    rows = [f"| [`taolite {name}`]({name}.md) | {GROUPS[name][1].replace('|', '/')} |\n" for name in groups]
    head = (
        "# Commands\n\nWhat each command says with `--help`. The names in TAO's container, `detectnet_v2`,\n"
        "`classification_tf1`, `ssd` and `tao-converter`, are `taolite detectnet`, `classification` ... here.\n"
        "\n| command | what it does |\n|---|---|\n"
    )
    yield "index", head + "".join(rows) + tree(f"docs/commands/{name}" for name in groups)
    for name, group in groups.items():
        yield name, f"# taolite {name}\n" + "".join(helps(group, level=1))


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser by their usual names: of several names for one, the first."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                if all(one is not other for other in found.values()):
                    found[name] = one
    return found


def helps(parser: argparse.ArgumentParser, *, level: int) -> Iterator[str]:
    """The help of a command, then that of the commands below it, each under a heading of its own."""
    if level > 1:
        yield f"\n{'#' * level} {parser.prog}\n"
    yield f"\n```text\n{parser.format_help().strip()}\n```\n"
    for below in subcommands(parser).values():
        yield from helps(below, level=level + 1)


def listing() -> str:
    """A line for each page of the cookbook: its title and, in one sentence, its goal."""
    lines = []
    for page in sorted((ROOT / "docs" / "cookbook").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        title, goal = (
            re.search(r"^# (.+)$", text, re.MULTILINE),
            re.search(r"^Goal: (.+?[.:])\s", text, re.DOTALL | re.M),
        )
        if title is None or goal is None:
            raise SystemExit(f"{page}: needs a title and a sentence that begins with `Goal: `")
        lines.append(f"- [{title[1]}](cookbook/{page.name}): {' '.join(goal[1].split()).rstrip('.:')}.\n")
    return "".join(lines)


def with_listing(text: str) -> str:
    """The start page with the list of the cookbook's pages as they are now."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + listing() + "\n" + END + rest.split(END)[1]


def build(folder: Path) -> int:
    """Make the site below `folder` anew; returns Sphinx's exit code."""
    source, html = folder / "source", folder / "html"
    for old in (source, html):
        shutil.rmtree(old, ignore_errors=True)
    gather(source)
    return sphinx(source, html)


def sphinx(source: Path, html: Path) -> int:
    """Let Sphinx read `source` and write `html`; a warning is an error, and all of them are shown."""
    words = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", html.parent / "doctrees"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = subprocess.run(
        [sys.executable, *map(str, words), "-c", str(Path(__file__).parent), source, html], env=environment
    ).returncode
    if not code:
        (html / "index.html").write_text(REDIRECT.format(start=START), encoding="utf-8")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the site from the pages, the docstrings and the help.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    parser.add_argument("--list", action="store_true", help="only write the list of pages in docs/index.md anew")
    options = parser.parse_args()
    if options.list:
        start = ROOT / f"{START}.md"
        start.write_text(with_listing(start.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    folder = options.folder
    code = build(folder)
    if not code:
        print(f"{folder / 'html' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
