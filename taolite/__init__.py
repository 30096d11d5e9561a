"""taolite: NVIDIA TAO's DetectNet_v2 life cycle, spec files and flags unmodified, on PyTorch.

What scripts and notebooks use is in `__all__`; each name is loaded when it is first used, so `import taolite` is
instant. docs/cookbook/python.md shows it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taolite.quiet import hush

if TYPE_CHECKING:
    from taolite.api.experiments import evaluate, export, prune, read, train
    from taolite.api.model import Model, load
    from taolite.api.result import Detection, Result
    from taolite.errors import TaoliteError

__all__ = [
    "Detection",
    "Model",
    "Result",
    "TaoliteError",
    "__version__",
    "evaluate",
    "export",
    "load",
    "prune",
    "read",
    "train",
]
__version__ = "0.1.0"

_PLACES = {
    "Detection": "taolite.api.result",
    "Model": "taolite.api.model",
    "Result": "taolite.api.result",
    "TaoliteError": "taolite.errors",
    "evaluate": "taolite.api.experiments",
    "export": "taolite.api.experiments",
    "load": "taolite.api.model",
    "prune": "taolite.api.experiments",
    "read": "taolite.api.experiments",
    "train": "taolite.api.experiments",
}

hush()


def __getattr__(name: str) -> Any:
    """The public names, loaded now (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'taolite' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
