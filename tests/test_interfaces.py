"""docs/interfaces.md is what docs/interfaces.py makes of the code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.fixture(scope="module")
def interfaces() -> ModuleType:
    found = importlib.util.spec_from_file_location("interfaces", DOCS / "interfaces.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_code(interfaces: ModuleType) -> None:
    is_current = interfaces.PAGE.read_text(encoding="utf-8") == interfaces.page()

    assert is_current, "docs/interfaces.md is not that of the code; run: python docs/interfaces.py"


def test_a_module_is_described_by_its_public_names_alone(interfaces: ModuleType, tmp_path: Path) -> None:
    room = tmp_path / "pack" / "room"
    room.mkdir(parents=True)
    (room / "empty.py").write_text("x = 1\n")
    (room / "things.py").write_text(
        '''"""What things are: the first
paragraph. And more.

Not this one.
"""
__all__ = ["LIMIT", "Box", "Reader", "Shape", "scale"]

LIMIT = 3
_HIDDEN = 4

class Shape(Protocol):
    """Anything with an area."""

    @property
    def area(self) -> float:
        """In pixels."""

    def grow(self, by, /, *more, unit="px", **rest) -> "Shape": ...

@dataclass(frozen=True)
class Box:
    """A box."""

    left: float
    right: float = 0.0

    def _check(self): ...

class Reader:
    def __init__(self, path, *, limit=LIMIT, key) -> None: ...

async def scale(box: Box, factor=2): ...

def hidden(): ...
'''
    )

    text = interfaces.page(tmp_path / "pack")

    assert (
        text.removeprefix(interfaces.HEAD)
        == """
## room

### pack/room/things.py
What things are: the first paragraph

- `LIMIT`
- `class Shape(Protocol)`: Anything with an area
  - `.area -> float`: In pixels
  - `.grow(by, *more, unit=, **rest) -> 'Shape'`
- `Box(left, right=)`: A box
- `Reader(path, *, limit=, key)`
- `scale(box, factor=)`
"""
    )
