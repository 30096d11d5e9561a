"""What the base and training install is free of strong copyleft, and docs/licences.md names all of it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("tomllib", reason="needs Python 3.11")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    found = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_no_package_of_the_base_or_of_training_has_a_strong_copyleft(licences: ModuleType):
    wanted = licences.asked()
    names = licences.needed_by([*wanted[""], *wanted["train"]])

    assert {"numpy", "cryptography", "onnxruntime", "torch", "sympy"} <= names  # sympy: torch's
    assert {name: licences.licence_of(name) for name in names if not licences.licence_of(name)} == {}
    assert {name for name in names if licences.is_strong(licences.licence_of(name))} == set()


@pytest.mark.parametrize(
    ("licence", "strong"),
    [
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("LGPL-2.1-or-later", False),
        ("MIT OR GPL-2.0-only", False),
        ("BSD-3-Clause AND GPL-3.0-or-later", True),
        ("BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("Apache Software License", False),
        ("", False),
    ],
)
def test_a_strong_copyleft_is_told_from_the_others(licences: ModuleType, licence: str, strong: bool):
    assert licences.is_strong(licence) is strong


def test_the_page_has_every_package_of_the_image_and_none_of_its_base_is_of_unknown_licence(licences: ModuleType):
    page = licences.written(licences.PAGE.read_text(encoding="utf-8"))
    lock = (ROOT / "docker" / "requirements.lock").read_text(encoding="utf-8")
    locked = {name.lower().replace("_", "-") for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}

    missing = locked - set(page)
    assert missing == set(), "run python docs/licences.py where these are installed"
    assert {name for name, (licence, _) in page.items() if not licence} == set()
    base = {name for name, (_, where) in page.items() if where == "base" or "`train`" in where}
    assert {name for name in base if licences.is_strong(page[name][0])} == set()
