"""Runtimes send nothing and leave no files at home, whichever way taolite comes to them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

BUILD_AND_RUN = """
import sys
from pathlib import Path
import numpy as np
from taolite.engines import onnx_graph, runtimes
from taolite.engines.build import build_engine
from taolite.engines.opening import open_engine
from taolite.errors import EngineError

onnx = Path({path!r}).read_bytes()
feeds = {{"input_1": np.zeros((1, 3, 16, 32), np.float32)}}
for data in (onnx, onnx_graph.to_fp16(onnx_graph.tidy(onnx))):
    for name in runtimes.onnx_runners():
        if runtimes.find(name).is_installed():
            with open_engine(data, runtime=name) as engine:
                engine.infer(feeds)
for name in runtimes.builders():
    if runtimes.find(name).is_installed():
        built = build_engine(onnx, backend=name)
        if runtimes.find(name).is_here():
            with open_engine(built.data) as engine:
                engine.infer(feeds)
for name in runtimes.onnx_runners():  # errors are what a runtime likes to report
    if runtimes.find(name).is_installed():
        try:
            open_engine(onnx[:200], runtime=name)
        except EngineError:
            continue
        sys.exit("half a model was opened")
"""


def test_building_and_running_engines_looks_nothing_up_and_leaves_no_file(two_heads, tmp_path, without_network):
    path = tmp_path / "model.onnx"
    path.write_bytes(two_heads.onnx)

    assert without_network(BUILD_AND_RUN.format(path=str(path))) == []


CALIBRATE = """
from pathlib import Path
import numpy as np
from taolite.quant.calibrate import session
session(Path({path!r}).read_bytes()).run(None, {{"input_1": np.zeros((1, 3, 16, 32), np.float32)}})
"""


def test_calibration_looks_nothing_up_and_leaves_no_file(two_heads, tmp_path, without_network):
    path = tmp_path / "model.onnx"
    path.write_bytes(two_heads.onnx)

    assert without_network(CALIBRATE.format(path=str(path))) == []


def test_a_plot_leaves_its_list_of_fonts_in_our_own_cache(tmp_path, without_network):
    left = without_network("import taolite.report.plots\nfrom matplotlib.font_manager import fontManager")

    assert {name.rsplit("/", 1)[0] for name in left} == {".cache/taolite/matplotlib"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "it ended with -31"),
        ("import socket; socket.getaddrinfo('example.org', 80)", "it ended with -31"),
    ],
)
def test_this_test_can_see_a_look_up(without_network, code, said):
    with pytest.raises(AssertionError, match=said):
        without_network(code)


def test_what_the_user_has_set_stays():
    environ = {**os.environ, "ORT_DISABLE_TELEMETRY": "0", "MPLCONFIGDIR": "/mine"}
    code = "import taolite, os; print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['MPLCONFIGDIR'])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)

    assert done.stdout == "0 /mine\n"
