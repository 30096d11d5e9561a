"""The locks of docker/, which the images install: pinned by hash, within the bounds of pyproject.toml, and from no
particular package index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).parents[1]
LOCKS = {
    name: (ROOT / "docker" / name).read_text(encoding="utf-8")
    for name in ("requirements.lock", "requirements-edge.lock")
}
IMAGE = ("train", "tensorrt", "openvino", "demo")
EXTRAS = {"requirements.lock": IMAGE, "requirements-edge.lock": ()}
LINUX = {
    **default_environment(),
    **{"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"},
    **{"python_version": "3.11", "python_full_version": "3.11.9", "implementation_name": "cpython"},
    "platform_python_implementation": "CPython",
}


def locked(lock: str) -> dict[str, Requirement]:
    """The lines of a lock by package, without their hashes."""
    lines = [line.removesuffix(" \\") for line in LOCKS[lock].splitlines() if line and not line.startswith((" ", "#"))]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def asked(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for: the base and the extras of the image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return [Requirement(words) for name in ("", *EXTRAS[lock]) for words in lists[name]]


@pytest.mark.parametrize("lock", LOCKS)
def test_what_an_image_needs_is_locked_within_its_bounds(lock: str):
    wanted, found = asked(lock), locked(lock)

    named = {one.name for one in wanted}
    assert {"numpy", "onnxruntime"} <= named
    assert ({"torch", "openvino", "tensorrt-rtx-cu13", "scikit-image"} <= named) == (lock == "requirements.lock")
    for one in wanted:
        line = found[canonicalize_name(one.name)]
        (pin,) = line.specifier
        assert pin.operator == "=="
        assert one.specifier.contains(pin.version), f"{one} is {pin} in docker/{lock}; run .ci/lock"
        assert line.marker is None or line.marker.evaluate(LINUX)


@pytest.mark.parametrize(("lock", "least"), [("requirements.lock", 50), ("requirements-edge.lock", 20)])
def test_every_package_of_a_lock_has_hashes_and_none_an_address(lock: str, least: int):
    lines = LOCKS[lock].splitlines()
    packages = re.split(r"\n(?=\S)", "\n".join(line for line in lines if not line.startswith("#")))

    assert len(packages) == len(locked(lock)) > least
    for package in packages:
        assert re.fullmatch(
            r"[\w.-]+==[\w.+]+(?: ; [^\\]+)? \\(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+\n?", package
        )
    assert not re.search(r"https?:|file:|--(?:extra-)?index-url|--find-links|--trusted-host|@", LOCKS[lock])


def test_the_image_and_the_lock_have_the_same_extras():
    script = (ROOT / ".ci" / "lock").read_text(encoding="utf-8")
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")

    assert tuple(re.findall(r"--extra (\w+)", script)) == IMAGE
    assert "for the extras train, tensorrt, openvino and demo" in dockerfile
    assert "--require-hashes --requirement requirements.lock" in dockerfile
    assert f"FROM python:{re.findall(r'--python-version ([0-9.]+)', script)[0]}-slim" in dockerfile
