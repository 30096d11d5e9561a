"""Opening and running a network on the CPU runtimes, and what is said when that cannot be."""

from __future__ import annotations

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from taolite.engines import onnx_graph, opening
from taolite.engines.opening import open_engine
from taolite.engines.openvino import compile_openvino
from taolite.errors import EngineError, PathError, UsageError
from taolite.extras import install_command

COV, BBOX = "output_cov/Sigmoid", "output_bbox/BiasAdd"
RUNTIMES = ["onnxruntime", "openvino"]


@pytest.fixture(autouse=True)
def _needs_openvino(request):
    if "openvino" in request.node.name:
        pytest.importorskip("openvino", reason="the openvino extra is not installed")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_runtime_answers_what_the_loops_answer(two_heads, photos, runtime, batch):
    with open_engine(two_heads.onnx, runtime=runtime, threads=1) as engine:
        answer = engine.infer({"input_1": photos(batch)})

    expected = two_heads.expect(photos(batch))
    assert set(answer) == {COV, BBOX}
    np.testing.assert_allclose(answer[COV], expected[COV], atol=2e-6)
    np.testing.assert_allclose(answer[BBOX], expected[BBOX], atol=1e-5)
    assert {array.dtype for array in answer.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_says_what_it_is_and_what_it_takes(two_heads, runtime):
    with open_engine(two_heads.onnx, runtime=runtime, threads=1) as engine:
        assert (engine.name, engine.device) == (runtime, "CPU")
        assert engine.inputs == {"input_1": (-1, 3, 16, 32)}
        assert engine.outputs == {COV: (-1, 2, 8, 16), BBOX: (-1, 8, 8, 16)}
        assert engine.version[0].isdigit()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_engine_for_many_frames_gives_the_same_bits_to_calls_side_by_side(two_heads, photos, runtime):
    frames = [np.roll(photos(1), shift, axis=3) for shift in range(12)]
    with open_engine(two_heads.onnx, runtime=runtime) as engine:
        assert engine.calls == 1
        expected = [engine.infer({"input_1": frame}) for frame in frames]

    with open_engine(two_heads.onnx, runtime=runtime, many=True) as engine, ThreadPoolExecutor(4) as pool:
        assert engine.calls >= 1
        answers = list(pool.map(lambda frame: engine.infer({"input_1": frame}), frames))

    for answer, right in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(answer[COV], right[COV])
        np.testing.assert_array_equal(answer[BBOX], right[BBOX])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_onnx_runtime_takes_as_many_calls_as_there_are_cores(two_heads):
    with open_engine(two_heads.onnx, runtime="onnxruntime", many=True) as engine:
        assert engine.calls == min(len(os.sched_getaffinity(0)), 8)
    with open_engine(two_heads.onnx, runtime="onnxruntime", many=True, threads=3) as engine:
        assert engine.calls == 3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_answers_belong_to_the_caller(two_heads, photos, runtime):
    with open_engine(two_heads.onnx, runtime=runtime, threads=1) as engine:
        first = engine.infer({"input_1": photos(1)})
        kept = first[BBOX].copy()
        engine.infer({"input_1": np.zeros_like(photos(1))})

        np.testing.assert_array_equal(first[BBOX], kept)


def test_openvino_computes_in_float32_unless_asked_for_bfloat16(two_heads, photos):
    with open_engine(two_heads.onnx, runtime="openvino", threads=1) as engine:
        hint = engine._compiled.get_property("INFERENCE_PRECISION_HINT")

    assert (engine.precision, hint.to_string()) == ("fp32", "f32")


def test_openvino_knows_the_outputs_of_a_float16_model_by_their_own_names(two_heads, photos):
    half = onnx_graph.to_fp16(two_heads.onnx)  # its outputs stand behind casts

    with open_engine(half, runtime="openvino") as engine:
        assert list(engine.outputs) == [COV, BBOX]
        assert list(engine.infer({"input_1": photos(1)})) == [COV, BBOX]


def test_a_compiled_openvino_blob_opens_by_itself_and_answers_the_same(two_heads, photos, tmp_path):
    path = tmp_path / "model.engine"
    path.write_bytes(compile_openvino(two_heads.onnx))

    with open_engine(path, threads=1) as engine:
        answer = engine.infer({"input_1": photos(2)})

    assert engine.name == "openvino"
    np.testing.assert_allclose(answer[BBOX], two_heads.expect(photos(2))[BBOX], atol=1e-5)


def test_a_damaged_openvino_blob_is_refused(two_heads):
    blob = compile_openvino(two_heads.onnx)
    begin = blob.index(b"\n") + 1

    for damaged in (blob[:begin], blob[: begin + 50], blob[:begin] + b"\x94" * 500 + blob[begin + 500 :]):
        with pytest.raises(EngineError, match=r"^this model cannot be opened by openvino "):
            open_engine(damaged)


def test_openvino_of_before_2026_takes_blobs_from_streams_only(two_heads, photos, monkeypatch):
    openvino = pytest.importorskip("openvino", reason="the openvino extra is not installed")
    new = openvino.Core.import_model

    def old(core, model, device, config):
        if not isinstance(model, io.BytesIO):
            raise TypeError("`model_stream` must be an io.BytesIO object or bytes")  # as 2025.0 and 2025.3 say
        return new(core, model, device, config)

    monkeypatch.setattr(openvino.Core, "import_model", old)

    with open_engine(compile_openvino(two_heads.onnx), threads=1) as engine:
        answer = engine.infer({"input_1": photos(1)})

    np.testing.assert_allclose(answer[BBOX], two_heads.expect(photos(1))[BBOX], atol=1e-5)


def test_an_onnx_file_opens_in_onnxruntime_when_no_runtime_is_named(two_heads, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(two_heads.onnx)

    with open_engine(path) as engine:
        assert engine.name == "onnxruntime"


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({}, "this network's inputs are input_1; it was given none"),
        ({"images": np.zeros(1)}, "this network's inputs are input_1; it was given images"),
        ({"input_1": np.zeros((1, 3, 16, 31))}, "input input_1 takes Nx3x16x32 and was given 1x3x16x31"),
        ({"input_1": np.zeros((3, 16, 32))}, "input input_1 takes Nx3x16x32 and was given 3x16x32"),
        ({"input_1": np.zeros((0, 3, 16, 32))}, "input input_1 takes Nx3x16x32 and was given 0x3x16x32"),
    ],
)
def test_feeds_that_do_not_fit_are_refused(two_heads, runtime, feeds, message):
    with open_engine(two_heads.onnx, runtime=runtime, threads=1) as engine, pytest.raises(EngineError) as caught:
        engine.infer(feeds)

    assert str(caught.value) == message


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_closed_engine_says_so(two_heads, photos, runtime):
    engine = open_engine(two_heads.onnx, runtime=runtime, threads=1)
    engine.close()
    engine.close()

    with pytest.raises(EngineError) as caught:
        engine.infer({"input_1": photos(1)})

    assert str(caught.value) == "this engine is closed; open it again"


def test_a_static_batch_refuses_another(make_two_heads, photos):
    with (
        open_engine(make_two_heads(batch=2).onnx, threads=1) as engine,
        pytest.raises(EngineError) as caught,
    ):
        engine.infer({"input_1": photos(1)})

    assert str(caught.value) == "input input_1 takes 2x3x16x32 and was given 1x3x16x32"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", {}, "this model is empty; export the model again"),
        (
            b"\x07\x00\x00\x00input_1",
            {},
            "this model is neither ONNX nor an engine; a sealed .etlt needs its key "
            "(`taolite convert FILE.etlt -k KEY`), anything else needs an export",
        ),
        (
            b"vtrt....",
            {"runtime": "onnxruntime"},
            "this model is an engine of tensorrt_rtx and cannot run on onnxruntime; leave the runtime open",
        ),
        (b"\x08\x08", {"runtime": "tensorrt"}, "this model is ONNX, and tensorrt runs engines: build one with "
         "`taolite convert`"),
        (
            b"\x08\x08",
            {"precision": "bf16"},
            "onnxruntime computes in the model's own types; precision bf16 needs openvino",
        ),
    ],
)  # fmt: skip
def test_bytes_that_cannot_be_run_say_why(data, options, message):
    with pytest.raises(EngineError) as caught:
        open_engine(data, **options)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "tflite"}, "runtime 'tflite' is not one of onnxruntime, openvino, tensorrt, tensorrt_rtx"),
        ({"precision": "fp8"}, "precision 'fp8' is not one of fp32, bf16"),
        ({"threads": 0}, "threads is 0; it needs to be 1 or more"),
    ],
)
def test_options_that_do_not_exist_are_named(two_heads, options, message):
    with pytest.raises(UsageError) as caught:
        open_engine(two_heads.onnx, **options)

    assert str(caught.value) == message


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.onnx"

    with pytest.raises(PathError) as caught:
        open_engine(path)

    assert str(caught.value) == f"{path}: no such model or engine; check the path"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()

    with pytest.raises(PathError) as caught:
        open_engine(path)

    assert str(caught.value) == f"{path}: this is not a file; give the path of a model or engine"


def test_an_absent_runtime_says_how_to_get_it(two_heads, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)

    with pytest.raises(EngineError) as caught:
        open_engine(two_heads.onnx, runtime="openvino")

    assert str(caught.value) == f"openvino is not installed; run `{install_command('openvino')}`"


def test_the_engine_room_loads_without_torch():
    import subprocess

    code = (
        "import sys, taolite.engines.base, taolite.engines.onnx_graph, taolite.engines.onnxruntime, "
        "taolite.engines.openvino; "
        "heavy = {'torch', 'onnx', 'onnxruntime', 'openvino'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_every_kind_of_file_is_told_by_its_first_bytes():
    kinds = [
        opening.sniff(head + b"rest") for head in (b"\x08\x08", b"vtrt", b"ftrt", b"ptrt", b"taolite-openvino fp32\n")
    ]

    assert kinds == ["onnx", "tensorrt_rtx", "tensorrt", "tensorrt", "openvino"]
