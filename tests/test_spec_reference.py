"""docs/specs/ is what docs/specs.py makes of the models that read the specs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    found = importlib.util.spec_from_file_location("spec_reference", DOCS / "specs.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_the_models(reference: ModuleType) -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in reference.PAGES.iterdir()}

    assert written == reference.pages(), "docs/specs is not that of the models; run: python docs/specs.py"


@pytest.mark.parametrize(
    ("page", "row"),
    [
        (
            "detectnet",
            "`first_validation_epoch` | whole number (epochs) | needed | more than 0 | The first epoch, from 1, that "
            "ends in a validation.",
        ),
        (
            "detectnet",
            "`early_stopping_patience_steps` | whole number | `0` | 0 or more | *Without effect*: no code of TAO uses "
            "it.",
        ),
        (
            "detectnet",
            "`average_precision_mode` | enum | `SAMPLE` | `SAMPLE`, `INTEGRATE` | 11-point or integrated average "
            "precision.",
        ),
    ],
)
def test_a_row_has_type_default_range_unit_and_meaning(reference: ModuleType, page: str, row: str) -> None:
    assert f"| {row} |" in reference.pages()[f"{page}.md"].splitlines()


def test_every_message_and_field_has_a_meaning(reference: ModuleType) -> None:
    for name, page in reference.pages().items():
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        assert [line for line in rows if line.rpartition(" | ")[2] in ("|", " |")] == [], name
