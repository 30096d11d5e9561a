"""Write docs/licences.md: the licences of every package that taolite installs, as the packages themselves state them.

    python docs/licences.py

Run it where all extras are installed; a package that is not there keeps its line. tests/test_licences.py fails where a
package of the base or of training has no licence or a strong copyleft (GPL, AGPL), or is not on the page.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
HEAD = """# Licences

Every package that taolite installs, with the licence that the package states, and the part of taolite that brings it
(`pip install 'taolite[train]'`). `python docs/licences.py` writes this page; do not edit it. The base and `train` have
no package under the GPL or AGPL; tests/test_licences.py checks it. Three extras have, and nothing else needs them:

- `video`: PyAV itself is BSD, and its wheels carry x264 and x265, which are GPL.
- `annotate`: labelme is GPL, and so is the PyQt that it brings. `commands/annotate.sh` starts it as a program of its
  own, and taolite imports nothing of it.
- `docs`: docutils is in the public domain and under BSD, but for its mode for Emacs, which is GPL. Only the site of the
  documents is built with it.

pycuda (`jetson`) is built on the device and is not listed. NVIDIA's packages (CUDA for PyTorch, TensorRT) have NVIDIA's
own licence: read it before you ship them with a product.

| package | licence | brought by |
|---|---|---|
"""
STATED_ELSEWHERE = {"cuda-toolkit": "NVIDIA's; a package without files, which names others"}
STRONG = re.compile(r"\bA?GPL|GNU (?:Affero )?General Public", re.IGNORECASE)
EXCEPTED = re.compile(r"A?GPL[\w.+-]* WITH GCC-exception-[\d.]+", re.IGNORECASE)  # the runtime library of a compiler


def asked() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for by extra, "" for the base; `dev` is left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {name: [Requirement(words) for words in lines] for name, lines in lists.items() if name != "dev"}


def needed_by(wanted: list[Requirement]) -> set[str]:
    """Names of all packages here that `wanted` needs, directly or not."""
    found: set[str] = set()
    queue = [(one, "") for one in wanted]
    while queue:
        one, extra = queue.pop()
        name = canonicalize_name(one.name)
        if (one.marker is not None and not one.marker.evaluate({"extra": extra})) or not _is_here(name):
            continue
        if name in found and not one.extras:
            continue
        found.add(name)
        for words in metadata.requires(name) or ():
            queue += [(Requirement(words), each) for each in ("", *sorted(one.extras))]
    return found


def _is_here(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def licence_of(name: str) -> str:
    """The licence that a package states: its SPDX expression, its classifiers, the first line of the field, or that of
    the file."""
    about = metadata.metadata(name)
    if expression := about.get("License-Expression"):
        return str(expression)
    classes = [
        line.rpartition(" :: ")[2] for line in about.get_all("Classifier") or () if line.startswith("License ::")
    ]
    said = [", ".join(one for one in classes if one != "OSI Approved"), about.get("License") or ""]
    said += [file.read_text() for file in metadata.files(name) or () if "LICENSE" in file.name.upper()]
    lines = [text.strip().splitlines()[0].strip() for text in said if text.strip()]
    return lines[0] if lines else STATED_ELSEWHERE.get(name, "")


def is_strong(licence: str) -> bool:
    """Whether a licence is the GPL or AGPL, alone; not the LGPL, a choice of two, or a compiler's exception."""
    parts = re.split(r"\s+OR\s+|/", EXCEPTED.sub("", licence))
    return all(STRONG.search(part) is not None for part in parts)


def rows() -> dict[str, tuple[str, str]]:
    """(licence, what brings it) of every package that is here, by name."""
    brought: dict[str, list[str]] = {}
    for extra, wanted in asked().items():
        for name in needed_by(wanted):
            brought.setdefault(name, []).append(extra)
    return {name: (licence_of(name), _where(extras)) for name, extras in brought.items()}


def _where(extras: list[str]) -> str:
    return "base" if "" in extras else ", ".join(f"`{extra}`" for extra in extras)


def written(page: str) -> dict[str, tuple[str, str]]:
    """The rows of a page."""
    found = re.findall(r"^\| ([\w.-]+) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    return {name: (licence, where) for name, licence, where in found if name != "package"}


def main() -> None:
    before = written(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    lines = [f"| {name} | {licence} | {where} |\n" for name, (licence, where) in sorted({**before, **rows()}.items())]
    PAGE.write_text(HEAD + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
