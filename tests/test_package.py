"""The wheel and the source archive: what is in them, what they say of themselves, and that a commit has one of each."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from taolite import __version__

pytest.importorskip("build", reason="the package is built with pypa's build; pip install build hatchling")
pytest.importorskip("hatchling", reason="the package is built with hatchling; pip install build hatchling")
yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[1]
WHEEL, SOURCES = f"taolite-{__version__}-py3-none-any.whl", f"taolite-{__version__}.tar.gz"


def build(source: Path, output: Path, *kinds: str, umask: int = 0o022) -> None:
    """Build in this environment, without a package index."""
    command = [sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", str(output), str(source)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "PYTHONPATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, umask=umask)
    assert done.returncode == 0, done.stdout + done.stderr


def tracked() -> list[str]:
    """The files of the checkout but for those that git ignores."""
    command = ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive of this checkout."""
    folder = tmp_path_factory.mktemp("built")
    build(ROOT, folder, "--sdist", "--wheel")
    return folder


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(built: Path):
    with zipfile.ZipFile(built / WHEEL) as wheel:
        names = wheel.namelist()

    package = [name for name in names if ".dist-info/" not in name]
    assert sorted(package) == sorted(name for name in tracked() if name.startswith("taolite/"))
    assert {"taolite/py.typed", "taolite/web/static/capture.html", "taolite/tasks/detectnet/default_spec.txt"} < set(
        names
    )


def test_the_source_archive_has_every_file_of_the_repository(built: Path):
    with tarfile.open(built / SOURCES) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
        links = {member.name.split("/", 1)[1]: member.linkname for member in archive if member.issym()}

    assert names == {*tracked(), "PKG-INFO"}
    assert links["commands/prune"] == "prune.sh"


def test_the_same_files_give_the_same_bytes_whoever_builds_them(built: Path, tmp_path: Path):
    with tarfile.open(built / SOURCES) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / SOURCES.removesuffix(".tar.gz")
    for path in source.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o700)
    (source / "PKG-INFO").unlink()

    build(source, tmp_path / "again", "--sdist", "--wheel", umask=0o077)

    for name in (WHEEL, SOURCES):
        assert (tmp_path / "again" / name).read_bytes() == (built / name).read_bytes(), name


def test_the_package_says_what_it_is_and_names_no_host(built: Path):
    with zipfile.ZipFile(built / WHEEL) as wheel:
        about = email.message_from_bytes(wheel.read(f"taolite-{__version__}.dist-info/METADATA"))
        scripts = wheel.read(f"taolite-{__version__}.dist-info/entry_points.txt").decode()
        licence = wheel.read(f"taolite-{__version__}.dist-info/licenses/LICENSE")

    assert (about["Name"], about["Version"], about["License-Expression"]) == ("taolite", __version__, "Apache-2.0")
    assert (about["Requires-Python"], about["License-File"]) == (">=3.10", "LICENSE")
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert (about.get_all("Project-URL"), about["Home-page"]) == (None, None)
    assert re.findall(r"^([\w-]+) = taolite\.cli\.main:\w+$", scripts, re.MULTILINE) == [
        *("classification_tf1", "detectnet_v2", "ssd", "tao-converter", "taolite"),
    ]


def test_the_version_has_one_place(built: Path):
    places = [
        path
        for path in ("pyproject.toml", "CITATION.cff", "docker/Dockerfile", "docker/Dockerfile.edge", "README.md")
        if __version__ in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert places == []


def test_the_citation_has_what_its_format_asks_for_and_agrees_with_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    # https://citation-file-format.github.io: the required keys of 1.2.0; .ci/release checks the file against the schema
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["cff-version"], citation["type"], citation["title"]) == ("1.2.0", "software", "taolite")
    assert [set(author) for author in citation["authors"]] == [{"name"}]
    assert f'license = "{citation["license"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
