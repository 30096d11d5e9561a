"""`taolite convert`: tao-converter's letters, what they do, what they do not, and what is printed."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from taolite.artifacts.container import KdfCost
from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.engines import onnx_graph
from taolite.engines.onnx_graph import OnnxMeta
from taolite.preprocessing import Preprocessing
from taolite.stages.inference.built import open_built

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,16,32] input_1) => (float[N,1,16,32] cov, float[N,1,16,32] bbox)
<float[1,3,1,1] w = {0.5, 0.25, -1}> {
   bbox = Conv(input_1, w)
   cov = Sigmoid(bbox)
}
"""


@pytest.fixture(autouse=True)
def _rtx(monkeypatch):
    """As on a machine with a GPU and TensorRT-RTX; building asks nothing else of it."""
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")
    for place in ("engines.build", "stages.exporting.engine"):
        monkeypatch.setattr(f"taolite.{place}.gpu_is_here", lambda: True)


@pytest.fixture
def etlt(tmp_path, monkeypatch):
    meta = OnnxMeta("detectnet", ("cat",), Preprocessing(input_hw=(16, 32)))
    data = onnx_graph.write_meta(onnx.parser.parse_model(TEXT).SerializeToString(), meta)
    path = tmp_path / "model.etlt"
    write_etlt(path, Etlt(onnx=data), key=Key("tlt_encode"), cost=KdfCost(memory_kib=8, iterations=1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAOLITE_KEY", raising=False)
    return path


def convert(*words: object) -> int:
    return main(["convert", *(str(word) for word in words)])


def test_the_tutorials_call_builds_an_engine_and_says_what_it_built(etlt, capsys):
    code = convert(
        etlt, "-k", "tlt_encode", "-d", "3,16,32", "-o", "cov,bbox:0", "-e", "out.trt", "-m", 8, "-i", "nchw"
    )

    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert re.sub(r"RTX|\d+\.\d+ (MB|s)|rtx [\d.]+", r"#\1", out) == (
        "out.trt  #MB, with out.trt.json beside it\n"
        "  built by   tensorrt_# in #s\n"
        "  precision  fp32\n"
        "  batch      1 to 8, fastest at 8\n"
        "  runs on    compute capability 7.5, 8.0, 8.6, 8.9, 12.0, 12.1\n"
    )
    assert (etlt.parent / "out.trt").read_bytes()[:4] == b"vtrt"


def test_on_a_machine_without_a_gpu_the_same_call_builds_for_nvidia_cards_and_says_so(etlt, capsys, monkeypatch):
    for place in ("engines.build", "stages.exporting.engine"):
        monkeypatch.setattr(f"taolite.{place}.gpu_is_here", lambda: False)

    assert convert(etlt, "-k", "tlt_encode", "-d", "3,16,32", "-t", "fp16", "-e", "x.engine") == 0

    said = capsys.readouterr()
    assert "built by   tensorrt_rtx" in said.out
    assert said.err.strip() == (
        "warning: no NVIDIA GPU is here: the engine is for NVIDIA cards of other PCs (tensorrt_rtx); --backend "
        "openvino builds for this processor, and a Jetson builds its own from the exported model"
    )
    assert Path("x.engine").read_bytes()[:4] == b"vtrt"


def test_on_a_machine_without_a_gpu_and_without_tensorrt_the_engine_is_for_the_processor(etlt, capsys, monkeypatch):
    pytest.importorskip("openvino")
    there = importlib.util.find_spec
    for place in ("engines.build", "stages.exporting.engine"):
        monkeypatch.setattr(f"taolite.{place}.gpu_is_here", lambda: False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "tensorrt" in name else there(name))

    assert convert(etlt, "-k", "tlt_encode", "-d", "3,16,32", "-t", "fp16", "-e", "out.trt") == 0

    said = capsys.readouterr()
    assert "built by   openvino" in said.out
    assert "no NVIDIA GPU is here: the engine is for this processor" in said.err
    engine, _ = open_built(Path("out.trt"), threads=1)
    with engine:
        (cov, _) = engine.infer({"input_1": np.ones((2, 3, 16, 32), np.float32)}).values()
    assert cov == pytest.approx(1 / (1 + math.exp(0.25)), abs=1e-3)  # the sum of the weights is -0.25


def test_without_names_it_is_saved_engine_for_up_to_16_pictures(etlt, capsys):
    code = convert(etlt, "-k", "tlt_encode", "--json")

    facts = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (facts["engine"], facts["batch"], facts["precision"]) == ("saved.engine", [1, 1, 16], "fp32")


def test_profiles_precision_and_gpus_are_taken(etlt, capsys):
    shapes = "input_1,1x3x16x32,4x3x16x32,8x3x16x32"

    code = convert(
        etlt, "-k", "tlt_encode", "-t", "fp16", "-p", shapes, "-w", 1 << 28, "--compute-capability", "75, 8.6", "--json"
    )

    facts = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (facts["precision"], facts["batch"], facts["compute_capabilities"]) == ("fp16", [1, 4, 8], ["7.5", "8.6"])


def test_flags_without_effect_are_each_named(etlt, capsys):
    shapes = "input_1,1x3x16x32,1x3x16x32,1x3x16x32"

    convert(
        etlt, "-k", "tlt_encode", "-i", "nhwc", "-s", "-b", 4, "-c", "cal.bin", "-u", 1, "-m", 2, "-p", shapes
    )  # fmt: skip

    assert capsys.readouterr().err.splitlines() == [
        "warning: -i nhwc has no effect: this model's layout is NCHW",
        "warning: -s has no effect: engines are built in exactly the types of the model",
        "warning: -b has no effect: nothing is calibrated here",
        "warning: -u has no effect: tensorrt_rtx has no DLA",
        "warning: -m has no effect beside -p, which gives the batch",
        "warning: the calibration cache cal.bin is not used: it is for int8 only",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("-d", "3,384,1248"),
            "model.etlt: its input is 3,16,32 (C,H,W), and -d says 3,384,1248; write -d 3,16,32, or leave it out",
        ),
        (("-d", "3x16x32"), "-d 3x16x32: needs three numbers C,H,W, e.g. -d 3,544,960"),
        (("-o", "NMS"), "model.etlt: NMS is no output of this model; it has cov, bbox"),
        (
            ("-t", "int8"),
            "int8 needs a model with calibrated Q/DQ nodes, and this one has none; "
            "export it with --data_type int8, give a calibration cache, or build fp32 or fp16",
        ),
        (("-m", "0"), "-m 0: needs to be 1 or more"),
        (("-w", "0"), "-w 0: needs to be 1 or more"),
        (
            ("-p", "input_1,1x3x16x32"),
            "-p input_1,1x3x16x32: needs a name and three shapes, e.g. -p input_1,1x3x544x960,4x3x544x960,8x3x544x960",
        ),
        (
            ("--backend", "tensorrt"),
            "TensorRT is not installed; it comes with JetPack and NVIDIA's TensorRT containers; "
            "on a PC use the backend tensorrt_rtx",
        ),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_leaves_no_engine(etlt, capsys, monkeypatch, words, message):
    monkeypatch.setitem(sys.modules, "tensorrt", None)

    code = convert("model.etlt", "-k", "tlt_encode", *words)

    assert (code, capsys.readouterr().err) == (1, f"error: {message}\n")
    assert [path.name for path in etlt.parent.iterdir()] == ["model.etlt"]


@pytest.mark.parametrize("words", [(), ("-k", "other")])
def test_no_key_and_another_key_are_refused_without_showing_it(etlt, capsys, words):
    code = convert("model.etlt", *words)

    err = capsys.readouterr().err
    assert code == 1
    assert err.startswith("error: model.etlt: ")
    assert "other" not in err.replace("another", "")


def test_help_loads_no_runtime(capsys):
    import subprocess

    code = (
        "import sys\nfrom taolite.cli.main import main\n"
        "try: main(['convert', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'tensorrt_rtx', 'openvino', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
