"""The capitalised spelling of `jetson`: Jetson.inference, Jetson.Inference and so on, each loaded when it is imported.

A module and not a folder, whose name some file systems do not tell from `jetson`. `Jetson.GPIO`, where it is installed,
stays importable.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pkgutil import extend_path
from types import ModuleType

__path__: list[str] = list(extend_path([], __name__))

_OURS = ("inference", "utils")


class _Other(MetaPathFinder, Loader):
    """Finds `Jetson.Inference` as `jetson.inference`."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == __name__ and name.lower() in _OURS else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return import_module(spec.name.lower())

    def exec_module(self, module: ModuleType) -> None:
        pass


sys.meta_path.insert(0, _Other())
