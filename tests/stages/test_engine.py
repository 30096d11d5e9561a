"""From an exported model to an engine with a sidecar, and back into use after a check."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from taolite.artifacts.container import KdfCost
from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar
from taolite.engines import onnx_graph
from taolite.engines.build import Profile
from taolite.engines.onnx_graph import OnnxMeta
from taolite.errors import EngineError, UsageError, WrongKeyError
from taolite.preprocessing import Preprocessing
from taolite.stages.exporting import engine
from taolite.stages.inference.built import open_built

KEY = Key("tlt_encode")
CHEAP = KdfCost(iterations=1, lanes=1, memory_kib=8)
META = OnnxMeta("detectnet", ("cat", "犬"), Preprocessing(input_hw=(16, 32), fit="stretch"), {"scale": 35.0})
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[{batch},3,16,32] input_1) => (float[{batch},1,16,32] cov, float[{batch},1,16,32] bbox)
<float[1,3,1,1] w = {{0.5, 0.25, {third}}}> {{
   bbox = Conv(input_1, w)
   cov = Sigmoid(bbox)
}}
"""


def model(*, third: float = -1.0, batch: str = "N", meta: OnnxMeta | None = META) -> bytes:
    """bbox = 0.5 R + 0.25 G + third B, cov its sigmoid."""
    data = onnx.parser.parse_model(TEXT.format(third=third, batch=batch)).SerializeToString()
    return data if meta is None else onnx_graph.write_meta(data, meta)


@pytest.fixture
def etlt(tmp_path):
    path = tmp_path / "model.etlt"
    write_etlt(path, Etlt(onnx=model()), key=KEY, cost=CHEAP)
    return path


@pytest.fixture
def openvino():
    return pytest.importorskip("openvino", reason="the openvino extra is not installed")


def test_a_sealed_model_becomes_an_engine_that_runs(etlt, tmp_path, openvino):
    path = tmp_path / "built" / "model.engine"

    report = engine.build(etlt, key=KEY, engine=path, backend="openvino", batch=(1, 2, 4))
    opened, sidecar = open_built(path, model=etlt, key=KEY, threads=1)

    with opened:
        photos = np.random.default_rng(0).random((3, 3, 16, 32), dtype=np.float32)
        bbox = opened.infer({"input_1": photos})["bbox"]
    np.testing.assert_allclose(bbox[:, 0], 0.5 * photos[:, 0] + 0.25 * photos[:, 1] - photos[:, 2], atol=1e-6)
    assert (sidecar.classes, sidecar.preprocessing, sidecar.task) == (META.classes, META.preprocessing, "detectnet")
    assert sidecar.meta == {"decoding": {"scale": 35.0}}
    assert sidecar.onnx_sha256 == onnx_graph.sha256(model())
    assert (report.engine, report.sidecar) == (path, path.with_name("model.engine.json"))
    assert (report.batch, report.gpus, report.precision) == ((1, 2, 4), (), "fp32")


def test_a_tensorrt_engine_is_built_without_a_gpu_and_nothing_else_is_left_behind(etlt, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")
    path = tmp_path / "model.engine"

    report = engine.build(
        etlt, key=KEY, engine=path, backend="tensorrt_rtx", precision="fp16", compute_capabilities=("8.6", "8.9")
    )

    sidecar = read_sidecar(path)
    assert path.read_bytes()[:4] == b"vtrt"
    assert (sidecar.backend, sidecar.backend_version) == ("tensorrt_rtx", report.version)
    assert (sidecar.precision, sidecar.batch, sidecar.gpus) == ("fp16", (1, 1, 16), ("8.6", "8.9"))
    assert {entry.name for entry in tmp_path.iterdir()} == {"model.etlt", "model.engine", "model.engine.json"}
    assert "tlt_encode" not in path.with_name("model.engine.json").read_text()


def test_a_fixed_batch_is_built_as_it_is(tmp_path, openvino):
    plain = tmp_path / "model.onnx"
    plain.write_bytes(model(batch="2"))

    report = engine.build(plain, key=None, engine=tmp_path / "e", backend="openvino")

    assert report.batch == (2, 2, 2)


def test_shapes_given_by_name_become_the_batch_of_the_sidecar(etlt, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="the tensorrt extra is not installed")
    shapes = {"input_1": Profile((2, 3, 16, 32), (4, 3, 16, 32), (8, 3, 16, 32))}

    report = engine.build(etlt, key=KEY, engine=tmp_path / "e", backend="tensorrt_rtx", profiles=shapes)

    assert report.batch == (2, 4, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"input_chw": (3, 384, 1248)},
            "{}: its input is 3,16,32 (C,H,W), and -d says 3,384,1248; write -d 3,16,32, or leave it out",
        ),
        ({"output_names": ("NMS",)}, "{}: NMS is no output of this model; it has cov, bbox"),
    ],
)
def test_what_the_caller_takes_the_model_for_is_checked(etlt, tmp_path, options, message):
    with pytest.raises(UsageError) as caught:
        engine.build(etlt, key=KEY, engine=tmp_path / "e", backend="openvino", **options)

    assert str(caught.value) == message.format(etlt)
    assert not (tmp_path / "e").exists()


def test_another_key_builds_nothing(etlt, tmp_path):
    with pytest.raises(WrongKeyError):
        engine.build(etlt, key=Key("other"), engine=tmp_path / "e", backend="openvino")

    assert {entry.name for entry in tmp_path.iterdir()} == {"model.etlt"}


def test_an_onnx_that_does_not_say_what_it_is_for_is_refused(tmp_path):
    plain = tmp_path / "model.onnx"
    plain.write_bytes(model(meta=None))

    with pytest.raises(EngineError) as caught:
        engine.build(plain, key=None, engine=tmp_path / "e", backend="openvino")

    assert str(caught.value) == (
        f"{plain}: this ONNX does not say which classes and preprocessing it was made for, and an engine of it could "
        "not be used; export it with taolite, from its .tlt"
    )


def test_an_engine_of_another_model_is_stale(etlt, tmp_path, openvino):
    path, newer = tmp_path / "e", tmp_path / "newer.onnx"
    engine.build(etlt, key=KEY, engine=path, backend="openvino")
    newer.write_bytes(model(third=0.5))

    with pytest.raises(EngineError) as caught:
        open_built(path, model=newer)

    old, new = onnx_graph.sha256(model())[:12], onnx_graph.sha256(model(third=0.5))[:12]
    assert str(caught.value) == (
        f"{path}: stale, it was built from another model (ONNX {old}, at hand {new}); build it again"
    )


def test_an_engine_of_another_version_is_refused(etlt, tmp_path, openvino):
    path = tmp_path / "e"
    version = engine.build(etlt, key=KEY, engine=path, backend="openvino").version
    sidecar = tmp_path / "e.json"
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "backend_version": "2020.1"}))

    with pytest.raises(EngineError) as caught:
        open_built(path)

    assert str(caught.value) == (
        f"{path}: built by openvino 2020.1, and {version} is installed; "
        "engines run only with the version that built them, so build it again"
    )
