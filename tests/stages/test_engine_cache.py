"""Engines that are kept beside their models are used again while nothing they depend on has changed, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from taolite.artifacts.container import KdfCost
from taolite.artifacts.etlt import Etlt, write_etlt
from taolite.artifacts.keys import Key
from taolite.artifacts.sidecar import read_sidecar, sidecar_path
from taolite.engines import onnx_graph, runtimes
from taolite.engines.base import BuildOrder, Built, Engine, OpenOptions
from taolite.engines.onnx_graph import OnnxMeta
from taolite.engines.opening import open_engine
from taolite.errors import EngineError, StorageError, UsageError
from taolite.events import EngineBuilt, EngineNeeded, EngineReused, EngineUnkept, Event
from taolite.preprocessing import Preprocessing
from taolite.stages.inference import engine_cache
from taolite.stages.inference.engine_cache import KeptEngines, open_cached
from taolite.stages.inference.models import open_model

KEY = Key("tlt_encode")
CHEAP = KdfCost(iterations=1, lanes=1, memory_kib=8)
META = OnnxMeta("detectnet", ("cat",), Preprocessing(input_hw=(16, 32), fit="stretch"), {"scale": 35.0})
TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N,3,16,32] input_1) => (float[N,1,16,32] cov, float[N,1,16,32] bbox)
<float[1,3,1,1] w = {{0.5, 0.25, {third}}}> {{
   bbox = Conv(input_1, w)
   cov = Sigmoid(bbox)
}}
"""


def model(third: float = -1.0) -> bytes:
    """bbox = 0.5 R + 0.25 G + third B, cov its sigmoid. Models of different `third` have the same size."""
    return onnx_graph.write_meta(onnx.parser.parse_model(TEXT.format(third=third)).SerializeToString(), META)


class Toy:
    """A runtime whose engine files are `toy:` and the ONNX; it counts what it built."""

    def __init__(self) -> None:
        self.built: list[BuildOrder] = []
        self.installed = "1.0"

    def version(self) -> str:
        return self.installed

    def build(self, onnx: bytes, order: BuildOrder) -> Built:
        self.built.append(order)
        return Built((b"toygpu:" if order.capabilities else b"toy:") + onnx)

    def open(self, data: bytes, options: OpenOptions) -> Any:
        if data == b"toy:refused":
            raise EngineError("refused")
        return runtimes.find("onnxruntime").load().open(data.partition(b":")[2], options)


TOY = Toy()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    def row(name: str, **more: Any) -> runtimes.Runtime:
        return runtimes.Runtime(name, name, "json", str, "", magics=(name.encode() + b":",), builds=True, **more)

    rows = [*runtimes.RUNTIMES, row("toy"), row("toygpu", device="GPU", builds_elsewhere=True)]
    load = runtimes.Runtime.load
    monkeypatch.setattr(runtimes, "RUNTIMES", rows)
    monkeypatch.setattr(runtimes.Runtime, "load", lambda row: TOY if row in rows[-2:] else load(row))
    TOY.built.clear()
    TOY.installed = "1.0"
    return TOY


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(model())
    return path


def used(path: Path, *, runtime: str = "toy", **keep: Any) -> tuple[list[Event], float]:
    """What is said when the model is opened and run once, and `third`, by which models differ."""
    said: list[Event] = []
    engine, _ = open_cached(
        path.read_bytes(), beside=path, runtime=runtime, keep=KeptEngines(**keep), listener=said.append
    )
    with engine:
        blue = np.zeros((1, 3, 16, 32), np.float32)
        blue[:, 2] = 1
        return said, float(engine.infer({"input_1": blue})["bbox"][0, 0, 0, 0])


def test_an_engine_is_built_once_and_used_again(toy, plain):
    kept = plain.with_name("net.onnx.toy.engine")

    first, second = used(plain), used(plain)

    assert first == ([EngineNeeded(plain, "toy", "new"), EngineBuilt(kept)], -1)
    assert second == ([EngineReused(plain, kept)], -1)
    assert len(toy.built) == 1
    assert read_sidecar(kept).classes == ("cat",)


def test_a_model_that_was_exported_again_under_its_name_is_noticed_whatever_its_date(toy, plain):
    used(plain)
    date = plain.stat().st_mtime_ns
    plain.write_bytes(model(0.5))
    os.utime(plain, ns=(date, date))

    said, third = used(plain)

    assert (said[0], third) == (EngineNeeded(plain, "toy", "model"), 0.5)
    assert used(plain) == ([EngineReused(plain, plain.with_name("net.onnx.toy.engine"))], 0.5)
    assert len(list(plain.parent.iterdir())) == 3, "the stale engine was replaced"


def test_another_version_of_the_runtime_is_noticed(toy, plain):
    used(plain)
    toy.installed = "1.1"

    said, _ = used(plain)

    assert said[0] == EngineNeeded(plain, "toy", "version", "toy 1.0", "toy 1.1")


def test_another_device_is_noticed(toy, plain, monkeypatch):
    monkeypatch.setattr(engine_cache, "_device", lambda row, index: ("Orin", None))
    used(plain)
    monkeypatch.setattr(engine_cache, "_device", lambda row, index: ("Xavier", None))

    said, _ = used(plain)

    assert said[0] == EngineNeeded(plain, "toy", "device", "Orin", "Xavier")


@pytest.mark.parametrize("what", ["engine", "sidecar"])
def test_any_damage_of_the_kept_files_leads_to_a_new_engine(toy, plain, mutations, what):
    used(plain)
    engine = plain.with_name("net.onnx.toy.engine")
    path = engine if what == "engine" else sidecar_path(engine)
    good = path.read_bytes()

    for damaged in mutations(good, 60):
        path.write_bytes(damaged)
        said, third = used(plain)
        assert third == -1
        assert what == "sidecar" or damaged == good or said[0] == EngineNeeded(plain, "toy", "damaged")


@pytest.mark.parametrize("missing", [0, 1])
def test_an_engine_or_a_sidecar_alone_is_damage(toy, plain, missing):
    used(plain)
    engine = plain.with_name("net.onnx.toy.engine")
    (engine, sidecar_path(engine))[missing].unlink()

    said, _ = used(plain)

    assert said[0] == EngineNeeded(plain, "toy", "damaged")


def test_an_engine_that_the_runtime_refuses_is_built_again(toy, plain):
    used(plain)
    engine = plain.with_name("net.onnx.toy.engine")
    engine.write_bytes(b"toy:refused")
    record = json.loads(sidecar_path(engine).read_text())
    record["engine_sha256"] = onnx_graph.sha256(b"toy:refused")
    sidecar_path(engine).write_text(json.dumps(record))

    said, _ = used(plain)

    assert said[0] == EngineNeeded(plain, "toy", "damaged")


def test_rebuild_builds_whatever_is_kept(toy, plain):
    used(plain)

    said, _ = used(plain, rebuild=True)

    assert said[0] == EngineNeeded(plain, "toy", "asked")
    assert len(toy.built) == 2


def test_each_precision_and_batch_has_its_own_engine(toy, plain):
    for keep in ({}, {"precision": "fp32"}, {"batch": (1, 2, 4)}, {"precision": "fp32", "batch": (1, 2, 4)}):
        used(plain, **keep)
        assert isinstance(used(plain, **keep)[0][0], EngineReused)

    assert sorted(path.name for path in plain.parent.glob("*.engine")) == [
        "net.onnx.toy.1x2x4.engine",
        "net.onnx.toy.engine",
        "net.onnx.toy.fp32.1x2x4.engine",
        "net.onnx.toy.fp32.engine",
    ]


def test_a_folder_that_cannot_be_written_to_makes_way_for_the_cache_folder(toy, plain, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _refuse(monkeypatch, plain.parent)
    other = tmp_path / "other" / "net.onnx"
    other.parent.mkdir()
    other.write_bytes(model(0.5))
    _refuse(monkeypatch, other.parent)

    said = [used(path) for path in (plain, other, plain, other)]

    assert [third for _, third in said] == [-1, 0.5, -1, 0.5]
    assert [type(events[0]) for events, _ in said] == [EngineNeeded, EngineNeeded, EngineReused, EngineReused]
    assert [path.parent for path in (tmp_path / "cache").rglob("*.engine")] == [tmp_path / "cache/taolite/engines"] * 2


def test_an_engine_that_can_be_written_nowhere_runs_and_that_is_said(toy, plain, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    _refuse(monkeypatch, tmp_path)

    said, third = used(plain)

    assert third == -1
    assert said[1:] == [EngineUnkept(plain, "the disk is full")]


def test_a_name_that_is_too_long_for_an_engine_of_its_own_is_no_harm(toy, tmp_path):
    path = tmp_path / ("n" * 245 + ".onnx")
    path.write_bytes(model())

    said, third = used(path)

    assert third == -1
    assert [type(event) for event in said] == [EngineNeeded, EngineUnkept]


def _refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Below `folder` nothing can be written: permissions say nothing to the superuser, as which CI may run."""
    real = engine_cache.write_engine

    def refused(path: Path, *given: Any) -> Any:
        if path.is_relative_to(folder):
            raise StorageError("the disk is full")
        return real(path, *given)

    monkeypatch.setattr(engine_cache, "write_engine", refused)


def test_the_engine_of_a_sealed_model_is_kept_only_where_that_is_asked_for(toy, tmp_path):
    path = tmp_path / "net.etlt"
    write_etlt(path, Etlt(onnx=model()), key=KEY, cost=CHEAP)
    weights = np.float32([0.5, 0.25, -1]).tobytes()

    def opened(keep: KeptEngines) -> list[Event]:
        said: list[Event] = []
        open_model(path, key=KEY, runtime="toy", engines=keep, listener=said.append).close()
        return said

    assert opened(KeptEngines()) == [EngineNeeded(path, "toy", "new"), EngineUnkept(path, None)]
    assert [entry.name for entry in tmp_path.rglob("*") if weights in _content(entry)] == []
    assert opened(KeptEngines(sealed=True))[1] == EngineBuilt(tmp_path / "net.etlt.toy.engine")
    assert opened(KeptEngines(sealed=True)) == [EngineReused(path, tmp_path / "net.etlt.toy.engine")]


def _content(entry: Path) -> bytes:
    return entry.read_bytes() if entry.is_file() else b""


def test_on_a_gpu_the_engine_is_built_for_that_gpu(toy, plain, monkeypatch):
    class Gpu:
        name, compute_capability = "Orin", "8.7"

        def close(self) -> None: ...

    asked: list[int] = []
    monkeypatch.setattr(engine_cache, "open_gpu", lambda index: asked.append(index) or Gpu())

    open_cached(model(), beside=plain, runtime="toygpu", device=1)[0].close()

    assert (asked, toy.built[0].capabilities) == ([1], ("8.7",))
    assert read_sidecar(plain.with_name("net.onnx.toygpu.engine")).meta["device"] == "Orin (8.7)"


def test_without_its_gpu_a_runtime_is_refused_and_nothing_is_built(toy, plain, monkeypatch):
    def no_gpu(index: int) -> Any:
        raise EngineError("no GPU here")

    monkeypatch.setattr(engine_cache, "open_gpu", no_gpu)

    with pytest.raises(EngineError, match=r"^no GPU here$"):
        open_cached(model(), beside=plain, runtime="toygpu")

    assert toy.built == []


def test_the_processor_is_told_apart_by_what_it_can_do(monkeypatch):
    row = runtimes.find("openvino")
    here = engine_cache._device(row, 0)
    monkeypatch.setattr(Path, "read_text", lambda self, **how: "model name : EPYC\nflags : sse avx\n")
    old = engine_cache._device(row, 0)
    monkeypatch.setattr(Path, "read_text", lambda self, **how: "model name : EPYC\nflags : sse avx avx512\n")

    assert here[1] is None
    assert old[0].startswith("EPYC (")
    assert engine_cache._device(row, 0) != old


def test_a_runtime_without_engines_is_refused(plain):
    with pytest.raises(UsageError) as caught:
        open_cached(model(), beside=plain, runtime="onnxruntime")

    assert str(caught.value) == "backend 'onnxruntime' is not one of openvino, tensorrt, tensorrt_rtx"


def test_two_processes_at_once_leave_one_engine_that_fits(plain):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    code = (
        "import sys; from pathlib import Path\n"
        "from taolite.stages.inference.engine_cache import KeptEngines, open_cached\n"
        "path = Path(sys.argv[1]); said = []\n"
        "for turn in range(5):\n"
        "    keep = KeptEngines(rebuild=turn < 4)\n"
        "    open_cached(path.read_bytes(), beside=path, runtime='openvino', keep=keep)[0].close()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(plain)]) for _ in range(2)]

    assert [one.wait(60) for one in running] == [0, 0]
    said, third = used(plain, runtime="openvino")
    assert third == pytest.approx(-1, abs=1e-6)
    assert isinstance(said[0], EngineReused) or said[0] == EngineNeeded(plain, "openvino", "damaged")
    assert len(list(plain.parent.iterdir())) == 3


def test_a_model_opened_with_openvino_keeps_its_engine_and_answers_the_same(plain):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    said: list[Event] = []
    pixels = np.random.default_rng(0).random((20, 3, 16, 32), dtype=np.float32)

    answers = []
    for engines in (None, KeptEngines(), KeptEngines()):
        with open_model(plain, key=None, runtime="openvino", engines=engines, listener=said.append) as opened:
            answers.append(opened.predict(pixels))

    assert [type(event) for event in said] == [EngineNeeded, EngineBuilt, EngineReused]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_without_engines_no_file_appears(plain):
    pytest.importorskip("openvino", reason="the openvino extra is not installed")

    open_model(plain, key=None, runtime="openvino").close()
    open_model(plain, key=None, engines=KeptEngines()).close()

    assert list(plain.parent.iterdir()) == [plain]


@pytest.mark.bench
@pytest.mark.parametrize(("name", "most"), [("resnet18", 1.2), ("efficientnet_b0", 0.8), ("densenet121", 0.8)])
def test_a_network_of_many_layers_opens_faster_from_its_kept_engine(tmp_path, one_thread, name, most):
    """A ResNet-18 of few, large layers gains little: its 47 MB are read and hashed twice."""
    pytest.importorskip("openvino", reason="the openvino extra is not installed")
    torch = pytest.importorskip("torch", reason="the train extra is not installed")
    torchvision = pytest.importorskip("torchvision", reason="the train extra is not installed")
    path = tmp_path / "model.onnx"
    network, photo = torchvision.models.get_model(name).eval(), torch.zeros(1, 3, 224, 224)
    torch.onnx.export(network, photo, path, opset_version=17, dynamo=False)
    meta = OnnxMeta("classification", tuple(map(str, range(1000))), Preprocessing((224, 224)), {})
    data = onnx_graph.write_meta(path.read_bytes(), meta)

    def best(opens: Callable[[], Engine]) -> float:
        def once() -> float:
            began = time.process_time()
            opens().close()
            return time.process_time() - began

        return min(once() for _ in range(10))

    compiled = best(lambda: open_engine(data, runtime="openvino"))
    kept = best(lambda: open_cached(data, beside=path, runtime="openvino")[0])

    print(f"\n{name} in OpenVINO: compiled {compiled:.3f} s, kept {kept:.3f} s of processor time")
    assert kept < most * compiled
