"""Where the specs of runs differ, field by field."""

from __future__ import annotations

import json
from pathlib import Path

from taolite.web.compare import compared
from taolite.workspace.catalog import RunRecord, read_run
from tests.stages.conftest import SPEC

from .workspaces import make_run


def run(folder: Path, spec: str, *, task: str = "detectnet") -> RunRecord:
    path = make_run(folder, task=task) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["run"]["spec"] = spec
    path.write_text(json.dumps(manifest))
    return read_run(folder)


def test_fields_differ_by_value_and_not_by_layout_order_or_a_default_that_is_written(tmp_path: Path):
    text = SPEC.format(root="/data", epochs=5, model="")
    other = text.replace("num_epochs: 5", "# more\n  enable_qat: false\n  num_epochs: 7").replace(" }", "\n}")
    first, second = run(tmp_path / "a", text), run(tmp_path / "b", other)

    assert other.count("\n") > text.count("\n") + 10
    assert compared([first, second])["spec"] == [{"path": "training_config.num_epochs", "values": ["5", "7"]}]


def test_a_spec_that_is_not_read_here_is_compared_as_it_is_written(tmp_path: Path):
    first = run(tmp_path / "a", "new {\n  x: 1\n}\n")
    second = run(tmp_path / "b", "new {\n  x: 2\n  y: true\n}\n")
    other = run(tmp_path / "c", "}} \0 ]", task="painting")

    assert compared([first, second])["spec"] == [
        {"path": "new.x", "values": ["1", "2"]},
        {"path": "new.y", "values": [None, "true"]},
    ]
    assert {"path": "new.x", "values": ["1", None]} in compared([first, other])["spec"]
