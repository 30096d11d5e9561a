"""No document names what is not there: extras, files, links, commands and their flags.

Documents are the pages in Markdown, the comments at the top of scripts and of docker/Dockerfile, and those in specs.
CHANGELOG.md is left out: it tells of earlier versions too.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "workspace" / "README.md")
    if path.name != "CHANGELOG.md"
)
SCRIPTS = [
    ROOT / "container-login.sh",
    *sorted(path for folder in ("commands", "benchmarks") for path in (ROOT / folder).rglob("*") if path.is_file()),
]
FOLDERS = ("docs", "specs", "commands", "tests", "taolite", "benchmarks", "docker", r"\.ci")
MADE = ("specs/tfrecords",)
"""What a command makes there."""
HIDDEN = {"--input-blob", "--output-blob", "--output-cvg", "--output-bbox"}
"""jetson-inference's names of inputs and outputs: taken without effect, and not in the help."""
SHELLS = ("sh", "bash", "console")
"""Languages of the blocks that hold command lines; in `console` those behind a `$`."""
OF_OTHERS = ROOT / "docs" / "reference"
"""These pages tell of TAO's commands and not of ours."""
DOCUMENTS = [
    *PAGES,
    ROOT / "docker" / "Dockerfile",
    *sorted((ROOT / "specs").rglob("*.txt")),
    *(path for path in SCRIPTS if path.suffix == ".sh" or path.read_bytes().startswith(b"#!")),
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@dataclass(frozen=True)
class Said:
    """A piece of a document: its prose, a `span` of code in it, or a block of code with its language."""

    kind: str
    text: str
    line: int


def pieces(path: Path) -> Iterator[Said]:
    """What a document says: a page as it is, of a spec its comments, of other files the comment at their top."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".txt":
        for number, line in enumerate(text.splitlines(), 1):
            comment = line.partition("#")[2]
            yield Said("prose", comment, number)
            yield from (Said("span", span, number) for span in re.findall(r"`([^`]+)`", comment))
        return
    if path.suffix != ".md":
        lines = text.splitlines()[1:] if text.startswith("#!") else text.splitlines()
        end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        for number, line in enumerate(lines[:end], 2):
            indented = line.startswith("#   ")
            yield Said("comment" if indented else "prose", line.lstrip("# "), number)
        return
    at = 0
    for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from _prose(text, at, found.start())
        yield Said(found[1] or "text", found[2], text.count("\n", 0, found.start()) + 2)
        at = found.end()
    yield from _prose(text, at, len(text))


def _prose(text: str, begin: int, end: int) -> Iterator[Said]:
    yield Said("prose", text[begin:end], text.count("\n", 0, begin) + 1)
    for span in re.finditer(r"`([^`]+)`", text[begin:end]):
        yield Said("span", " ".join(span[1].split()), text.count("\n", 0, begin + span.start()) + 1)


# Files


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    missing = [
        f"{name_of(path)}:{said.line + said.text.count(chr(10), 0, at)}: {name}"
        for said in pieces(path)
        if said.kind != "span"
        for name, at in files_in(said.text)
        if not is_there(name)
    ]

    assert missing == []


def files_in(text: str) -> Iterator[tuple[str, int]]:
    """Names below the repository's folders and of modules below taolite/ and tests/, and where they stand; NAME is
    one that the reader chooses."""
    for found in re.finditer(rf"(?<![\w/.:}}-])((?:\./)?(?:{'|'.join(FOLDERS)})/[\w./*{{}},-]*)", text):
        if "/NAME" not in found[1]:
            yield found[1].rstrip(".,"), found.start()
    for found in re.finditer(r"(?<![\w/.-])([a-z_]\w*(?:/\w+)+\.py)\b", text):
        room = found[1].split("/")[0]
        if room not in FOLDERS and any((ROOT / folder / room).is_dir() for folder in ("taolite", "tests")):
            yield found[1], found.start()


def is_there(name: str) -> bool:
    choices = re.search(r"\{([\w,]+)\}", name)
    if choices:
        return all(is_there(name.replace(choices[0], one)) for one in choices[1].split(","))
    name = name.removeprefix("./").rstrip("/")
    if re.fullmatch(r"docs/decisions/\d{4}", name):  # a decision is cited by its number
        name += "-*"
    return name in MADE or any(next(folder.glob(name), None) for folder in (ROOT, ROOT / "taolite", ROOT / "tests"))


def test_this_test_can_tell_what_is_there() -> None:
    text = (
        "see docs/FORMAT.md, `formats/nowhere.py`, specs/{bccd,demo}/train.txt, commands/*.sh and http://host/docs/x."
    )

    names = [name for name, _ in files_in(text)]
    assert names == ["docs/FORMAT.md", "specs/{bccd,demo}/train.txt", "commands/*.sh", "formats/nowhere.py"]
    assert [is_there(name) for name in names] == [True, True, True, False]
    assert not is_there("specs/{bccd,nowhere}/train.txt")


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(path: Path) -> None:
    prose = "".join(said.text for said in pieces(path) if said.kind == "prose")
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)

    assert [target for target in targets if not leads_somewhere(target, path)] == []


def leads_somewhere(target: str, page: Path) -> bool:
    if re.match(r"(https?|mailto):", target):
        return True
    name, _, anchor = target.partition("#")
    there = page.parent / name if name else page
    return there.exists() and (not anchor or anchor in anchors(there))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Extras


def declared_extras() -> set[str]:
    block = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w[\w-]*) = \[", block, re.MULTILINE))


@pytest.mark.parametrize(
    "path", [*DOCUMENTS, *sorted((ROOT / "taolite").rglob("*.py")), ROOT / "pyproject.toml"], ids=name_of
)
def test_every_extra_that_is_named_can_be_installed(path: Path) -> None:
    named = re.findall(r"(?:taolite|['\" ]\.)\[([a-z][\w,-]*)\]", path.read_text(encoding="utf-8"))

    assert {extra for group in named for extra in group.split(",")} - declared_extras() == set()


def test_the_readme_lists_every_extra_there_is() -> None:
    table = (ROOT / "README.md").read_text().split("| extra |")[1].split("\n\n")[0]
    listed = {extra for row in table.splitlines()[2:] for extra in re.findall(r"`([^`]+)`", row.split("|")[1])}

    assert listed == declared_extras()


# Commands and flags


def programs() -> dict[str, tuple[str, ...]]:
    """The console names that pip installs, `tao`, which the image has, and the command line that each stands for."""
    block = (ROOT / "pyproject.toml").read_text().split("[project.scripts]")[1].split("\n[")[0]
    installed = {name: (name,) for name in re.findall(r"^([\w-]+) = ", block, re.MULTILINE)}
    return {**installed, "tao": ("taolite", "tao")}


PROGRAMS = programs()
START = re.compile(rf"(?:^|(?<=[\s'\"(;&|]))({'|'.join(sorted(PROGRAMS, key=len, reverse=True))})(?= )")


@functools.cache
def help_of(words: tuple[str, ...]) -> str | None:
    """What `WORDS --help` prints; None where there is no such command."""
    block = (ROOT / "pyproject.toml").read_text()
    target = re.search(rf'^{words[0]} = "([\w.]+):(\w+)"', block, re.MULTILINE)
    assert target is not None
    said, before = io.StringIO(), sys.argv
    sys.argv = [*words, "--help"]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            getattr(importlib.import_module(target[1]), target[2])()
    except SystemExit as end:
        return said.getvalue() if not end.code else None
    finally:
        sys.argv = before
    return said.getvalue()


def command_lines(said: Said) -> Iterator[str]:
    """The command lines of ours in a piece of a document, each from its program's name on."""
    if said.kind == "span":
        if re.match(START, said.text):
            yield from alternatives(said.text)
    elif said.kind == "yaml":
        for listed in re.findall(r"command: \[(.*?)\]", said.text, re.DOTALL):
            yield " ".join(re.split(r",\s*", listed))
    elif said.kind == "comment":
        line = re.sub(r"^docker run (?:-\S+ )*taolite ", "", said.text)
        if START.match(line):
            yield line
    elif said.kind in SHELLS:
        text = re.sub(r"\\\n\s*", " ", said.text)
        lines = text.splitlines()
        if said.kind == "console":
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            found = START.search(line)
            if found and not line.lstrip().startswith(("#", "pip ", "docker build")):
                yield re.split(r"\s(?:#|\||>|2>|&&)|;", line[found.start() :])[0]


def alternatives(span: str) -> Iterator[str]:
    """`taolite dataset check | stats DATA` -> `taolite dataset check`, `taolite dataset stats DATA`."""
    first, *others = re.split(r" ?\| ?", span)
    yield first
    stem = first.split()
    words = next((i for i, word in enumerate(stem) if word.startswith("-")), len(stem))
    for other in others:
        yield " ".join([*stem[: words - 1], other])


def complaint(line: str) -> str | None:
    """What is wrong with a command line: no such command, or a flag that it does not have."""
    try:
        program, *words = shlex.split(line.rstrip("'\"`"))
    except ValueError:
        program, *words = line.split()
    words = [word for word in words if word not in ("...", "…")]
    command = list(PROGRAMS[program])
    for word in words:
        if word.startswith("-") or not re.fullmatch(r"[a-z]\w*|[a-z][\w./]*\.py", word):
            break
        command.append(word)
    if len(command) < 2 and any(re.fullmatch(r"[A-Z]+|<.*>", word) for word in words[:1]):
        return None  # `taolite COMMAND --help`
    text = help_of(tuple(command))
    if text is None:
        return f"there is no `{' '.join(command)}`"
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text)) | {"--help", "-h"} | HIDDEN
    for word in words:
        flag = re.match(r"--?[A-Za-z][\w-]*", word)
        if flag and flag[0] not in known:
            return f"`{' '.join(command)}` has no flag {flag[0]}"
    return None


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if OF_OTHERS not in path.parents], ids=name_of)
def test_every_command_line_in_a_document_can_be_typed(path: Path) -> None:
    wrong = [
        f"{name_of(path)}:{said.line}: {text}: {line}"
        for said in pieces(path)
        for line in command_lines(said)
        if (text := complaint(line))
    ]

    assert wrong == []


def test_this_test_can_tell_commands_and_flags() -> None:
    block = Said("sh", "commands/x.sh\nexec taolite detectnet train -e spec.txt \\\n   --results_dir r  # go\n", 1)
    console = Said("console", "$ tao-converter m.etlt -k KEY\ntaolite said this\n", 1)

    assert list(command_lines(block)) == ["taolite detectnet train -e spec.txt  --results_dir r "]
    assert list(command_lines(console)) == ["tao-converter m.etlt -k KEY"]
    assert list(command_lines(Said("span", "taolite dataset check | stats DATA", 1))) == [
        "taolite dataset check",
        "taolite dataset stats DATA",
    ]
    assert complaint("taolite detectnet train -e spec.txt --results_dir r") is None
    assert complaint("detectnet_v2 train -e spec.txt --colour r") == "`detectnet_v2 train` has no flag --colour"
    assert complaint("taolite dataset chekc --from voc") == "there is no `taolite dataset chekc`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_flag_of_a_script_that_a_document_gives_is_one_it_knows(path: Path) -> None:
    wrong = []
    for said in pieces(path):
        if said.kind not in (*SHELLS, "span", "comment"):
            continue
        for line in re.sub(r"\\\n\s*", " ", said.text).splitlines():
            found = re.search(r"(?:^|\s)((?:\./)?(?:commands|benchmarks)/[\w/]+\.\w+|\./container-login\.sh)(.*)", line)
            if not found or not (ROOT / found[1]).is_file():
                continue
            known = (ROOT / found[1]).read_text() + (ROOT / "commands" / "common.sh").read_text()
            flags = re.findall(r"(?<=\s)--[a-z][\w-]+", found[2].split(" #")[0])
            wrong += [f"{name_of(path)}:{said.line}: {found[1]} {flag}" for flag in flags if flag not in known]

    assert wrong == []
