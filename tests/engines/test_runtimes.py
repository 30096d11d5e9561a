"""The table of runtimes: one row a runtime, which opening, building and flags follow."""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pytest

from taolite.cli.main import main
from taolite.engines import build, runtimes
from taolite.engines.build import build_engine, choose_backend
from taolite.engines.opening import open_engine, sniff
from taolite.engines.runtimes import Runtime
from taolite.errors import EngineError, UsageError
from taolite.extras import install_command

ABACUS = '''
"""A runtime that answers zeros."""

import numpy as np

from taolite.engines import onnx_graph
from taolite.engines.base import Built, checked_feeds


class Abacus:
    name, version, device, precision, calls = "abacus", "1.2", "beads", "as built", 1

    def __init__(self, data):
        signature = onnx_graph.signature(data.removeprefix(b"abac"))
        self.inputs, self.outputs = signature.inputs, signature.outputs

    def infer(self, feeds):
        (array,) = checked_feeds(self.inputs, feeds).values()
        return {name: np.zeros((len(array), *shape[1:]), np.float32) for name, shape in self.outputs.items()}

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Adapter:
    def version(self):
        return "1.2"

    def open(self, data, options):
        return Abacus(data)

    def build(self, onnx, order):
        return Built(b"abac" + onnx)


ADAPTER = Adapter()
'''


@pytest.fixture
def abacus(tmp_path, monkeypatch):
    """A runtime in a module outside the package, and its row."""
    (tmp_path / "abacus_runtime.py").write_text(ABACUS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    row = Runtime(
        name="abacus",
        title="Abacus",
        package="abacus_runtime",
        install=lambda: "carve one",
        adapter="abacus_runtime:ADAPTER",
        magics=(b"abac",),
        runs_onnx=True,
        builds=True,
    )
    monkeypatch.setattr(runtimes, "RUNTIMES", [*runtimes.RUNTIMES, row])
    yield row
    sys.modules.pop("abacus_runtime", None)


def test_a_runtime_is_added_by_its_module_and_a_row(abacus, two_heads, photos):
    built = build_engine(two_heads.onnx, backend="abacus")

    assert (built.backend, built.version, built.gpus, built.profiles) == ("abacus", "1.2", (), {})
    assert sniff(built.data) == "abacus"
    for data, asked in ((built.data, None), (two_heads.onnx, "abacus")):
        with open_engine(data, runtime=asked) as engine:
            answer = engine.infer({"input_1": photos(2)})
        assert {name: array.shape for name, array in answer.items()} == {
            "output_cov/Sigmoid": (2, 2, 8, 16),
            "output_bbox/BiasAdd": (2, 8, 8, 16),
        }
        assert not np.any(answer["output_cov/Sigmoid"])


def test_flags_offer_the_runtimes_of_the_table(abacus, capsys):
    with pytest.raises(SystemExit):
        main(["detectnet", "evaluate", "--help"])
    with pytest.raises(SystemExit):
        main(["convert", "--help"])

    shown = " ".join(capsys.readouterr().out.split())
    assert "onnxruntime or openvino or abacus (default: onnxruntime)" in shown
    assert "openvino, tensorrt, tensorrt_rtx, abacus" in shown


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "detectnet evaluate -e s -m m --runtime onnxruntim",
            "runtime 'onnxruntim' is not one of onnxruntime, openvino; did you mean `onnxruntime`?",
        ),
        ("detectnet evaluate -e s -m m --runtime tensorrt", "runtime 'tensorrt' is not one of onnxruntime, openvino"),
        ("ssd inference -e s -m m -i i -r r --runtime x", "runtime 'x' is not one of onnxruntime, openvino"),
        (
            "convert m.etlt --backend tensorrt-rtx",
            "backend 'tensorrt-rtx' is not one of openvino, tensorrt, tensorrt_rtx; did you mean `tensorrt_rtx`?",
        ),
        ("detectnet export -m m --backend onnxruntime", "backend 'onnxruntime' is not one of openvino, tensorrt, "
         "tensorrt_rtx"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(command, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())

    flag = next(word for word in command.split() if word in ("--runtime", "--backend"))
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip().split("; or, without a spec file")[0]
    assert said.endswith(f": error: argument {flag}: {message}")


def test_a_runtime_that_builds_nothing_is_refused_where_an_engine_is_built(two_heads):
    with pytest.raises(UsageError) as caught:
        build_engine(two_heads.onnx, backend="onnxruntime")

    assert str(caught.value) == "backend 'onnxruntime' is not one of openvino, tensorrt, tensorrt_rtx"


def test_every_row_names_an_adapter_that_tells_its_version_or_how_to_get_it():
    for row in runtimes.RUNTIMES:
        adapter = row.load()
        if row.is_installed():
            assert adapter.version()[0].isdigit()
        else:
            with pytest.raises(EngineError, match=re.escape(row.install())):
                adapter.version()


@pytest.mark.parametrize(
    ("gpu", "targets", "runs_here", "missing", "chosen"),
    [
        (True, (), False, (), "tensorrt"),
        (True, (), False, ("tensorrt",), "tensorrt_rtx"),
        (False, (), False, (), "tensorrt_rtx"),
        (False, (), False, ("tensorrt_rtx",), "openvino"),
        (False, (), False, ("tensorrt_rtx", "openvino"), "tensorrt"),
        (False, (), True, (), "openvino"),
        (False, (), True, ("openvino",), "tensorrt_rtx"),
        (True, (), True, (), "tensorrt"),
        (True, ("8.6",), False, (), "tensorrt_rtx"),
        (False, ("8.6",), False, ("tensorrt_rtx",), "tensorrt"),
    ],
)
def test_without_a_name_an_engine_is_built_for_nvidia_cards_unless_it_is_to_run_on_a_machine_without_one(
    monkeypatch, gpu, targets, runs_here, missing, chosen
):
    monkeypatch.setattr(build, "gpu_is_here", lambda: gpu)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in missing else object())

    assert choose_backend(targets, runs_here=runs_here) == chosen


def test_a_machine_on_which_nothing_builds_engines_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(EngineError) as caught:
        choose_backend()

    assert str(caught.value) == (
        f"nothing that builds engines is installed here: run `{install_command('openvino')}` for this processor, or "
        f"`{install_command('tensorrt')}` (Linux, x86-64; it needs no GPU to build) for NVIDIA cards"
    )
