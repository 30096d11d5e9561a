"""Imports point to lower levels only, and what should start at once loads no torch. docs/architecture.md draws it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "taolite"
LEVELS = (
    {
        *("errors", "files", "boxes", "sample", "scorecard", "events", "pictures", "preprocessing"),
        *("quiet", "diagnosis", "onnxfile", "extras", "wording", "partials", "cores"),
    },
    {"spec", "formats", "artifacts", "workspace"},
    {"nn", "data", "metrics", "pruning", "quant", "dist", "engines", "media", "sinks", "tracking"},
    {"tasks", "report", "doctor"},
    {"stages"},
    {"web", "api"},
    {"jetson"},
    {"cli", "jetson_modules"},
    {"__main__"},
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
GROUND_FLOOR = LEVELS[0]  # modules rather than packages: they may import each other
TORCH = {"torch", "torchvision", "torch_pruning"}
TORCH_FREE = (
    "taolite",
    *(f"taolite.{name}{tail}" for name in (*LEVELS[0], *LEVELS[1]) for tail in ("", ".*")),
    *(
        f"taolite.{name}{tail}"
        for name in ("engines", "media", "metrics", "quant", "report", "doctor", "tracking", "cli")
        for tail in ("", ".*")
    ),
    *(f"taolite.tasks.{name}" for name in ("base", "found", "registry", "*.spec", "*.decode", "*.use")),
    *(f"taolite.stages.{name}" for name in ("agree", "demo", "described", "parity", "reporting", "signed", "trained")),
    *("taolite.stages.inference", "taolite.stages.inference.*"),
    *("taolite.stages.experiments", "taolite.stages.experiments.*"),
    *("taolite.api", "taolite.api.*", "taolite.jetson", "taolite.jetson.*"),
    *("taolite.web", "taolite.web.*"),
)


@dataclass(frozen=True)
class Import:
    """`importer` names `imported` (a dotted name) in line `line`; `at_once` where it runs when `importer` is loaded."""

    importer: str
    imported: str
    line: int
    at_once: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_for_types_only(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`"""
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_of(module: str) -> Iterator[Import]:
    """Every import of a module, wherever it stands."""

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, alias.name, child.lineno, at_once)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}:{child.lineno}: imports are written in full here"
                for alias in child.names:
                    inner = f"{child.module}.{alias.name}"
                    yield Import(module, inner if inner in MODULES else str(child.module), child.lineno, at_once)
            else:
                later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                yield from walk(child, at_once and not later and not is_for_types_only(child))

    yield from walk(ast.parse(MODULES[module].read_text(encoding="utf-8")), True)


IMPORTS = {module: list(imports_of(module)) for module in MODULES}


def room(module: str) -> str | None:
    """`taolite.nn.resnet` -> `nn`; None for the package itself and for other people's modules."""
    parts = module.split(".")
    return parts[1] if parts[0] == "taolite" and len(parts) > 1 else None


def complaint(found: Import) -> str | None:
    """Why this import runs the wrong way, or None."""
    here, there = room(found.importer), room(found.imported)
    if here is None or there is None or here == there:
        return None
    if here in GROUND_FLOOR and there in GROUND_FLOOR:
        return None
    if LEVEL[there] < LEVEL[here]:
        return None
    direction = "beside" if LEVEL[there] == LEVEL[here] else "above"
    return f"{found.importer}:{found.line} imports {found.imported}, which is {direction} it"


def loaded_by(module: str) -> dict[str, str]:
    """Names of all modules that loading `module` loads, each with the one that names it."""
    found = {module: ""}
    queue = [module]
    while queue:
        current = queue.pop()
        wanted = [entry.imported for entry in IMPORTS.get(current, ()) if entry.at_once]
        for name in wanted:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                parent = ".".join(parts[:end])
                if parent not in found:
                    found[parent] = current
                    queue.append(parent)
    return found


def test_every_room_has_a_level():
    rooms = {room(module) for module in MODULES} - {None}

    assert rooms <= set(LEVEL), f"give these a level here and in docs/architecture.md: {rooms - set(LEVEL)}"


def test_imports_point_to_lower_levels_only():
    complaints = [text for entries in IMPORTS.values() for text in map(complaint, entries) if text]

    assert complaints == []


@pytest.mark.parametrize(
    ("importer", "imported", "wrong"),
    [
        ("taolite.nn.resnet", "taolite.stages.training.train", "above"),
        ("taolite.nn.resnet", "taolite.data.order", "beside"),
        ("taolite.errors", "taolite.spec.load", "above"),
        ("taolite.stages.training.train", "taolite.report.plots", None),
        ("taolite.report.plots", "taolite.stages.training.train", "above"),
        ("taolite.cli.main", "taolite.errors", None),
        ("taolite.files", "taolite.errors", None),
    ],
)
def test_this_test_can_tell_which_way_is_down(importer, imported, wrong):
    text = complaint(Import(importer, imported, 7, True))

    assert text == (f"{importer}:7 imports {imported}, which is {wrong} it" if wrong else None)


def torch_free_modules() -> list[str]:
    return [module for module in MODULES if any(fnmatch(module, pattern) for pattern in TORCH_FREE)]


@pytest.mark.parametrize("module", torch_free_modules())
def test_what_must_load_without_torch_does(module):
    found = loaded_by(module)

    heavy = {name: found[name] for name in TORCH & set(found)}
    assert heavy == {}, f"loading {module} loads torch, named at module level by {heavy}"


@pytest.mark.parametrize("module", ["taolite.stages.inference.infer", "taolite.tasks.detectnet.use"])
@pytest.mark.parametrize("slow", ["pydantic", "urllib.request"])
def test_a_model_runs_without_what_reads_specs_and_addresses(module, slow):
    found = loaded_by(module)

    assert slow not in found, f"loading {module} loads {slow}, which {found[slow]} imports"


FOREIGN = ({"tao", "jetson"}, {"tao", "own"}, {"jetson", "own"})


def dialect(module: str) -> str | None:
    """`taolite.cli.tao.flags` -> `tao`; None for what the dialects share."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["taolite", "cli"] and parts[2:3] in (["tao"], ["jetson"], ["own"]) else None


def test_dialects_of_the_command_line_do_not_import_each_other():
    wrong = [
        f"{found.importer}:{found.line} imports {found.imported}"
        for entries in IMPORTS.values()
        for found in entries
        if {dialect(found.importer), dialect(found.imported)} in FOREIGN
    ]

    assert wrong == []
    assert {dialect(module) for module in MODULES} >= {"tao", "jetson", "own"}


def test_this_test_can_see_torch():
    assert loaded_by("taolite.nn.resnet")["torch"] in MODULES


HEAVY = (
    "numpy",
    "pydantic",
    "torch",
    "torchvision",
    "cv2",
    "onnx",
    "onnxruntime",
    "matplotlib",
    "PIL",
    "tensorboard",
    "safetensors.torch",
)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--help"],
        ["--version"],
        ["detectnet", "--help"],
        ["ssd", "train", "--help"],
        ["show", "--help"],
        ["capture", "--help"],
        ["board", "--help"],
        ["jetson", "camera-capture", "--help"],
        ["jetson", "train.py", "--help"],
        ["jetson", "detectnet", "--help"],
        ["run", "--help"],
        ["doctor", "--help"],
        ["report", "--help"],
    ],
)
def test_help_answers_without_loading_anything_heavy(arguments):
    code = (
        "import sys, taolite.cli.main as front\n"
        "try:\n    front.main(sys.argv[1:]) if sys.argv[1:] else None\n"
        "except SystemExit as end:\n    assert not end.code\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    environ = {**os.environ, "COLUMNS": "100"}

    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_a_spec_is_checked_without_other_tasks_and_without_numpy():
    code = (
        "import sys, taolite.cli.main as front\n"
        "front.main(['spec', 'check', sys.argv[1]])\n"
        "unwanted = {'numpy', 'torch', 'taolite.events', 'taolite.tasks.ssd', 'taolite.tasks.classification'}\n"
        "print('LOADED', sorted(unwanted & set(sys.modules)))"
    )
    spec = PACKAGE.parent / "specs" / "demo" / "train.txt"

    done = subprocess.run([sys.executable, "-c", code, str(spec)], capture_output=True, text=True)

    assert done.stdout.splitlines() == [f"{spec}: good, a DetectNet_v2 experiment spec", "LOADED []"], done.stderr
