"""`.ci/release` says all that is missing at once, before it builds anything; `.ci/run` records what has passed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from taolite import __version__

ROOT = Path(__file__).resolve().parents[1]
AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org")
RELEASED = "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2026-12-01)\n\n### Added\n\n- A thing.\n"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(repository: Path, *words: str) -> str:
    command = ["git", "-C", str(repository), *AUTHOR, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def commit(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "all")


def record(repository: Path) -> Path:
    return repository.parent / "cache" / "taolite" / "passed"


def pass_ci(repository: Path) -> None:
    record(repository).parent.mkdir(parents=True, exist_ok=True)
    record(repository).write_text(git(repository, "rev-parse", "HEAD^{tree}") + "\n")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose release 1.2.3 has everything that it needs."""
    made = tmp_path / "repository"
    (made / ".ci").mkdir(parents=True)
    (made / "taolite").mkdir()
    shutil.copy(ROOT / ".ci" / "release", made / ".ci")
    (made / "taolite" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (made / "CHANGELOG.md").write_text(RELEASED)
    (made / ".gitignore").write_text("/dist/\n")
    git(made.parent, "init", "--quiet", str(made))
    commit(made)
    pass_ci(made)
    return made


@pytest.fixture
def without_python(tmp_path: Path) -> Path:
    """A folder whose python3 writes a file and fails: the first program that a build needs."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python3"
    python.write_text(f"#!/bin/sh\n: >'{tmp_path}/building'\nexit 9\n")
    python.chmod(0o755)
    return python.parent


def release(repository: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(repository.parent / "cache"),
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}" if path else os.environ["PATH"],
    }
    return subprocess.run([repository / ".ci" / "release", *words], env=environment, capture_output=True, text=True)


def refusal(repository: Path, path: Path) -> list[str]:
    """What .ci/release says where it builds nothing."""
    done = release(repository, path=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert not (repository.parent / "building").exists()
    return done.stderr.splitlines()


def test_a_release_with_everything_begins_to_build(repository: Path, without_python: Path):
    done = release(repository, path=without_python)

    assert (done.returncode, done.stderr) == (9, "the tools of a release, in an environment of their own\n")
    assert (repository.parent / "building").exists()


def unclean(repository: Path) -> str:
    (repository / "new.py").write_text("")
    return "the work tree has changes; commit or remove them (git status)"


def tagged(repository: Path) -> str:
    git(repository, "tag", "v1.2.3")
    return "the tag v1.2.3 exists; set the next version in taolite/__init__.py"


def other_files(repository: Path) -> str:
    (repository / "new.py").write_text("")
    commit(repository)
    return "no .ci/run has passed for this commit's files on this machine; run it"


def built_before(repository: Path) -> str:
    (repository / "dist").mkdir()
    (repository / "dist" / "old.whl").write_text("")
    return "dist/ is not empty; move what is there"


def changelog(text: str, said: str) -> Callable[[Path], str]:
    def write(repository: Path) -> str:
        (repository / "CHANGELOG.md").write_text(text)
        commit(repository)
        pass_ci(repository)
        return f"CHANGELOG.md: {said}"

    return write


UNDATED = 'no line "## 1.2.3 (YYYY-MM-DD)"; rename Unreleased, and begin a new one above'


@pytest.mark.parametrize(
    "spoil",
    [
        *(unclean, tagged, other_files, built_before),
        changelog(RELEASED.replace(" (2026-12-01)", ""), UNDATED),
        changelog(RELEASED.replace("## 1.2.3", "## 1.2.30"), UNDATED),
        changelog(RELEASED.replace("- A thing.\n", ""), "the section of 1.2.3 has no line"),
        changelog(
            RELEASED.replace("## 1.2.3", "- Later.\n\n## 1.2.3"),
            "Unreleased has lines; move them to the section of 1.2.3",
        ),
    ],
)
def test_a_release_that_lacks_one_thing_says_which(
    spoil: Callable[[Path], str], repository: Path, without_python: Path
):
    said = spoil(repository)

    assert refusal(repository, without_python) == ["error: 1.2.3 cannot be released:", f"  {said}"]


def test_a_release_that_lacks_much_says_all_of_it_at_once(repository: Path, without_python: Path):
    (repository / "taolite" / "__init__.py").write_text('__version__ = "1.3.dev0"\n')
    (repository / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- Something.\n")

    assert refusal(repository, without_python) == [
        "error: 1.3.dev0 cannot be released:",
        "  the work tree has changes; commit or remove them (git status)",
        '  taolite/__init__.py: __version__ is "1.3.dev0"; it needs to be three numbers, X.Y.Z',
        '  CHANGELOG.md: no line "## 1.3.dev0 (YYYY-MM-DD)"; rename Unreleased, and begin a new one above',
        "  CHANGELOG.md: Unreleased has lines; move them to the section of 1.3.dev0",
    ]


def test_an_unknown_word_is_answered_with_the_help(repository: Path):
    done = release(repository, "--push")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Build a release of this commit and check it. Nothing is tagged, pushed or uploaded")


def test_the_script_tags_pushes_and_uploads_nothing():
    """Such words stand in its messages alone, which are indented text behind `say`."""
    commands, _, printed = (ROOT / ".ci" / "release").read_text(encoding="utf-8").rpartition("\nsay ")

    for word in ("git tag", "git push", "twine upload"):
        assert word in printed
        assert word not in commands


@pytest.mark.parametrize("passes", [True, False])
def test_ci_records_the_files_that_passed_and_only_those(passes: bool, repository: Path, tmp_path: Path):
    shutil.copy(ROOT / ".ci" / "run", repository / ".ci")
    (repository / "commands").mkdir()
    (repository / "pyproject.toml").write_text("")
    for script, code in (("commands/test.sh", 0), (".ci/lint", 0 if passes else 1), (".ci/site", 0)):
        (repository / script).write_text(f"#!/bin/sh\nexit {code}\n")
        (repository / script).chmod(0o755)
    commit(repository)
    record(repository).unlink()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("chromium", "chromedriver", "Xvfb", "xdotool", "ffmpeg"):  # so that none is installed
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    done = subprocess.run([repository / ".ci" / "run"], env=environment, capture_output=True, text=True)

    assert done.returncode == (0 if passes else 1), done.stderr
    tree = git(repository, "rev-parse", "HEAD^{tree}")
    assert (record(repository).read_text() if record(repository).exists() else None) == (
        f"{tree}\n" if passes else None
    )


@pytest.mark.install
def test_a_release_leaves_a_checked_wheel_and_source_archive_in_dist_and_says_what_is_next(tmp_path: Path):
    repository = tmp_path / "repository"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(repository))
    shutil.copy(ROOT / ".ci" / "release", repository / ".ci")
    (repository / "CHANGELOG.md").write_text(RELEASED.replace("1.2.3", __version__))
    if git(repository, "tag", "--list", f"v{__version__}"):
        git(repository, "tag", "--delete", f"v{__version__}")
    commit(repository)
    pass_ci(repository)

    done = release(repository, "--quick")

    assert done.returncode == 0, done.stdout + done.stderr
    names = [f"taolite-{__version__}-py3-none-any.whl", f"taolite-{__version__}.tar.gz"]
    assert sorted(path.name for path in (repository / "dist").iterdir()) == names
    sums = [f"{hashlib.sha256((repository / 'dist' / name).read_bytes()).hexdigest()}  {name}" for name in names]
    assert done.stdout.splitlines()[-2:] == sums
    assert done.stderr.splitlines()[-4:] == [
        f"{__version__} is in dist/. Next:",
        f"  git tag --annotate v{__version__} --message 'taolite {__version__}'",
        f"  git push YOUR_REMOTE v{__version__}",
        "  .ci/release without --quick, once; then twine upload dist/*, where the package index is yours",
    ]
    assert f"v{__version__}" not in git(repository, "tag", "--list").split()
