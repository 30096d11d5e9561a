"""A library that is not installed is told of with the extra that brings it."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from taolite import extras

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


class Installed:
    def __init__(self, direct_url: str | None) -> None:
        self._direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._direct_url


def test_a_checkout_is_named_where_taolite_came_from_one(monkeypatch: pytest.MonkeyPatch):
    url = '{"url": "file:///home/me/my%20taolite", "dir_info": {"editable": true}}'
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(url))

    assert extras.install_command("train") == "pip install '/home/me/my taolite[train]'"


@pytest.mark.parametrize("direct_url", [None, '{"url": "https://example.org/taolite.whl"}'])
def test_the_package_is_named_where_it_came_from_elsewhere(monkeypatch: pytest.MonkeyPatch, direct_url: str | None):
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(direct_url))

    assert extras.install_command("train") == "pip install 'taolite[train]'"


def test_a_missing_library_of_an_extra_is_told_and_another_module_is_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(None))
    torch = ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    ours = ModuleNotFoundError("No module named 'taolite.nope'", name="taolite.nope")

    assert (
        extras.missing(torch, "taolite detectnet train")
        == "taolite detectnet train needs torch, which is not installed; run pip install 'taolite[train]'"
    )
    assert extras.missing(ours, "taolite detectnet train") is None


def test_every_extra_that_is_named_is_declared():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]

    assert set(extras.EXTRA_OF.values()) <= set(declared)
