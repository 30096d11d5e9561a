"""What edge devices and `--help` load starts without torch and without what only an extra brings."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "matplotlib", "PIL", "cv2", "sklearn", "faster_coco_eval", "pycocotools")
WITHOUT_TORCH = ("taolite.nn.archs", "taolite.data.augment", "taolite.data.crops", "taolite.data.order")


def loaded_by(module: str) -> list[str]:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("module", ["taolite.metrics", "taolite.report", *WITHOUT_TORCH])
def test_these_load_nothing_heavy(module: str):
    assert loaded_by(module) == []


@pytest.mark.parametrize("module", ["taolite.data.examples", "taolite.data.ssd_views"])
def test_what_draws_views_and_targets_loads_without_torch(module: str):
    assert "torch" not in loaded_by(module)


def test_this_test_can_see_torch():
    assert "torch" in loaded_by("taolite.nn.arrays")
