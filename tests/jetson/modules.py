"""The folder of jetson's modules on the path, for the length of a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from taolite.cli.jetson.python import MODULES


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As `taolite jetson python` does it; modules, hooks and finders are taken away afterwards."""
    finders, hook = list(sys.meta_path), sys.excepthook
    monkeypatch.syspath_prepend(str(MODULES))
    yield
    sys.meta_path[:], sys.excepthook = finders, hook
    for name in [name for name in sys.modules if name.lower().partition(".")[0].partition("_")[0] == "jetson"]:
        del sys.modules[name]
