"""The packages of jetson's names: their spellings, what they do not have, and that they stay out of the way."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from taolite.cli.jetson.python import MODULES
from taolite.errors import PathError
from taolite.jetson.log import Log

from .modules import on_the_path  # noqa: F401


@pytest.mark.parametrize("name", ["jetson_inference", "jetson.inference", "Jetson.inference", "Jetson.Inference"])
def test_every_spelling_of_the_inference_module(name: str):
    module = importlib.import_module(name)

    assert module.imageNet is importlib.import_module("jetson_inference").imageNet
    assert module.detectNet.Detection(ClassID=3).ClassID == 3


@pytest.mark.parametrize("name", ["jetson_utils", "jetson.utils", "Jetson.utils", "Jetson.Utils"])
def test_every_spelling_of_the_utils_module(name: str):
    module = importlib.import_module(name)

    assert module.loadImage is importlib.import_module("jetson_utils").loadImage
    assert all(hasattr(module, public) for public in importlib.import_module("jetson_utils").__all__)


def test_other_packages_below_jetson_stay_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for package in ("jetson", "Jetson"):
        (tmp_path / package / "GPIO").mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "GPIO" / "__init__.py").write_text(f"PLACE = '{package}'\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    assert importlib.import_module("Jetson.GPIO").PLACE == "Jetson"
    assert importlib.import_module("jetson.GPIO").PLACE == "jetson"
    assert importlib.import_module("jetson.utils").__file__.startswith(str(MODULES))


def test_what_is_not_there_says_why():
    module = importlib.import_module("jetson.inference")
    said = "jetson_inference.segNet is not there: taolite runs classifiers and detectors, not segmentation"

    with pytest.warns(RuntimeWarning) as warned, pytest.raises(AttributeError) as caught:
        module.segNet  # noqa: B018
    with pytest.raises(AttributeError) as unknown:
        module.fooNet  # noqa: B018

    assert (str(caught.value), str(warned[0].message)) == (said, said)
    assert str(unknown.value) == "module 'jetson_inference' of taolite has no attribute 'fooNet'"
    assert not hasattr(module, "barNet")


def test_the_folder_holds_nothing_else():
    shown = sorted(path.name for path in MODULES.iterdir() if not path.name.startswith((".", "__")))

    assert shown == ["Jetson.py", "jetson", "jetson_inference", "jetson_utils"]
    assert str(MODULES.parent) not in sys.path


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path):
    Log.SetFilename(str(tmp_path))
    try:
        with pytest.raises(PathError) as caught:
            Log.Error("x")
    finally:
        Log.SetFilename("stderr")

    assert str(caught.value) == (
        f"{tmp_path}: a file is where a folder should be, or the reverse; move it or choose another path"
    )
