"""Lineage: data -> run -> pruned model -> run -> export, from manifests that may say anything."""

from __future__ import annotations

import json
from pathlib import Path

from taolite.web.lineage import graph
from taolite.web.shelf import Shelf

from .workspaces import make_run


def drawn(root: Path) -> tuple[dict[str, tuple[str, str]], set[tuple[str, str]]]:
    """Kind and line by title, and edges between titles."""
    made = graph(Shelf(root).lineage(), {})
    titles = {node["id"]: node["title"] for node in made["nodes"]}
    nodes = {node["title"]: (node["kind"], node["line"]) for node in made["nodes"]}
    return nodes, {(titles[first], titles[second]) for first, second in made["edges"]}


def test_a_model_is_followed_from_its_data_to_its_export(tmp_path: Path):
    pruned = {
        "pruned.tlt": {"weights_sha256": "b" * 64, "parent_weights": "c" * 64, "parameters": 12345},
        "again.tlt": {"weights_sha256": "f" * 64, "parent_weights": "b" * 64, "parameters": 1234},
    }
    small = {"small.etlt": {"precision": "fp16", "parent_weights": "f" * 64}}
    make_run(tmp_path / "first", parent="a" * 64, weights_sha256="c" * 64, pruned=pruned, exports=small)
    exports = {"m.etlt": {"precision": "int8"}}
    make_run(tmp_path / "second", parent="b" * 64, weights_sha256="e" * 64, exports=exports)

    nodes, edges = drawn(tmp_path)

    assert nodes == {
        "data dddddddd": ("data", ""),
        "weights aaaaaaaa": ("weights", ""),
        "first": ("run", "mAP 0.7500"),
        "pruned.tlt": ("pruned", "12,345 parameters"),
        "again.tlt": ("pruned", "1,234 parameters"),
        "small.etlt": ("export", "fp16"),
        "second": ("run", "mAP 0.7500"),
        "m.etlt": ("export", "int8"),
    }
    assert edges == {
        ("data dddddddd", "first"),
        ("weights aaaaaaaa", "first"),
        ("first", "pruned.tlt"),
        ("pruned.tlt", "again.tlt"),
        ("again.tlt", "small.etlt"),
        ("pruned.tlt", "second"),
        ("data dddddddd", "second"),
        ("second", "m.etlt"),
    }


def test_a_run_that_claims_to_come_from_itself_and_odd_facts_do_no_harm(tmp_path: Path):
    make_run(tmp_path / "a", parent="a" * 64, weights_sha256="a" * 64, data="", pruned=[1], exports={"x": 5})

    nodes, edges = drawn(tmp_path)

    assert (set(nodes), edges) == ({"a"}, set())


def test_engines_and_teachers_are_shown_and_a_changed_engine_is_read_again(tmp_path: Path):
    exports = {"m.etlt": {"onnx_sha256": "9" * 64}}
    make_run(tmp_path / "large", weights_sha256="a" * 64, data="")
    make_run(tmp_path / "small", teacher="a" * 64, exports=exports, data="")
    make_run(tmp_path / "other", teacher="b" * 64, data="")
    shelf = Shelf(tmp_path)

    def engine(precision: str) -> str:
        facts = {"onnx_sha256": "9" * 64, "engine_sha256": "e" * 64, "backend": "tensorrt", "backend_version": "10.3"}
        (tmp_path / "m.engine.json").write_text(json.dumps({**facts, "precision": precision}))
        boxes = {node["title"]: node["line"] for node in graph(shelf.lineage(), {})["nodes"]}
        return boxes["m.engine"]

    assert engine("fp16") == "tensorrt, 10.3, fp16, the file is gone"
    (tmp_path / "m.engine").write_bytes(b"x")
    assert engine("int8 ") == "tensorrt, 10.3, int8 "
    assert drawn(tmp_path)[1] == {
        ("large", "small"),
        ("small", "m.etlt"),
        ("m.etlt", "m.engine"),
        ("weights bbbbbbbb", "other"),
    }


def test_data_and_weights_of_no_run_are_shown_where_the_spec_has_them(tmp_path: Path):
    folder = make_run(tmp_path / "a", parent="a" * 64)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["run"]["spec"] = 'a {\n  tfrecords_path: "/data/t-*"\n  pretrained_model_file: "/models/resnet18.tlt"\n}\n'
    (folder / "manifest.json").write_text(json.dumps(manifest))

    nodes, _ = drawn(tmp_path)

    assert (nodes["data dddddddd"], nodes["weights aaaaaaaa"]) == (
        ("data", "/data/t-*"),
        ("weights", "/models/resnet18.tlt"),
    )
