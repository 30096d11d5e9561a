"""Engines are found by the JSON files beside them, and a file that has not changed is not read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from taolite.workspace.sidecars import EngineFiles

FACTS = {"onnx_sha256": "9" * 64, "engine_sha256": "e" * 64, "backend": "openvino", "backend_version": "2026.1"}


def write(path: Path, text: str = json.dumps(FACTS)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_engines_are_found_but_not_in_dot_folders_links_and_files_of_another_kind(tmp_path: Path):
    root = tmp_path / "root"
    for name in ("b/model.engine", "a.onnx", ".trash/c", ".d", "run/weights/finds"):
        write(root / f"{name}.json")
    write(tmp_path / "outside" / "e.json")
    (root / "linked").symlink_to(tmp_path / "outside")
    (root / "f.json").symlink_to(tmp_path / "outside" / "e.json")
    os.mkfifo(root / "pipe.json")
    write(root / "list.json", '["onnx_sha256", "engine_sha256", "backend"]')
    write(root / "deep.json", '["onnx_sha256", "engine_sha256", "backend"' + 100_000 * "[")
    write(root / "cut.json", json.dumps(FACTS)[:-1])
    write(root / "large.json", json.dumps({**FACTS, "meta": "x" * (1 << 20)}))

    found = EngineFiles(root).found()

    assert [one.path.relative_to(root).as_posix() for one in found] == ["a.onnx", "b/model.engine", "run/weights/finds"]
    assert found[0].sha256 == "e" * 64
    assert found[0].facts == {
        "backend": "openvino",
        "backend_version": "2026.1",
        "precision": None,
        "onnx_sha256": "9" * 64,
    }


def test_the_files_that_a_training_writes_are_not_read(tmp_path: Path):
    write(tmp_path / "run" / "manifest.json", "{}")
    write(tmp_path / "run" / "finds.json")
    write(tmp_path / "run" / "small.json")

    assert [one.path.name for one in EngineFiles(tmp_path).found()] == ["small"]


def test_a_file_is_read_again_only_where_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.json")
    read: list[str] = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), whole(path))[1])
    engines = EngineFiles(tmp_path)

    engines.found()
    write(tmp_path / "b.json", json.dumps({**FACTS, "backend": "tensorrt"}))
    found = engines.found()
    (tmp_path / "a.json").unlink()

    assert sorted(read) == ["a.json", "b.json", "b.json"]
    assert [one.facts["backend"] for one in found] == ["openvino", "tensorrt"]
    assert [one.path.name for one in engines.found()] == ["b"]
