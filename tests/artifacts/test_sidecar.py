"""Engines and their sidecars: a stale, foreign or unexplained engine is refused with the reason."""

from __future__ import annotations

import hashlib
import json

import pytest

from taolite.artifacts import Sidecar, check_engine, read_sidecar, write_sidecar
from taolite.errors import EngineError, PathError
from taolite.preprocessing import Preprocessing

GIVEN = Sidecar(
    onnx_sha256="a" * 64,
    backend="tensorrt_rtx",
    backend_version="1.7.1",
    precision="fp16",
    batch=(1, 8, 16),
    classes=("cat", "犬"),
    preprocessing=Preprocessing((384, 1248)),
    gpus=("8.6", "8.9"),
    meta={"stride": 16},
)


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "m.engine"
    path.write_bytes(b"vtrt engine")
    write_sidecar(path, GIVEN)
    return path


def complaint(engine, **checks):
    with pytest.raises(EngineError) as caught:
        check_engine(engine, **checks)
    return str(caught.value).removeprefix(str(engine.parent))


def test_a_sidecar_comes_back_with_the_engines_own_hash(engine):
    got = read_sidecar(engine)

    assert got.engine_sha256 == hashlib.sha256(b"vtrt engine").hexdigest()
    assert got == Sidecar(**{**vars(GIVEN), "engine_sha256": got.engine_sha256})


def test_an_engine_that_fits_is_let_through(engine):
    assert check_engine(engine, onnx_sha256="a" * 64, backend_version="1.7.1", gpu="8.9").batch == (1, 8, 16)


def test_an_engine_of_another_model_is_stale(engine):
    assert complaint(engine, onnx_sha256="b" * 64) == (
        "/m.engine: stale, it was built from another model (ONNX aaaaaaaaaaaa, at hand bbbbbbbbbbbb); build it again"
    )


def test_an_engine_that_was_replaced_is_not_the_one_described(engine):
    engine.write_bytes(b"vtrt other")
    there, recorded = (hashlib.sha256(data).hexdigest()[:12] for data in (b"vtrt other", b"vtrt engine"))

    assert complaint(engine) == (
        f"/m.engine: not the file that m.engine.json describes (hash {there}, recorded {recorded}); build it again"
    )


def test_an_engine_of_another_version_or_gpu_is_refused(engine):
    assert complaint(engine, backend_version="1.8") == (
        "/m.engine: built by tensorrt_rtx 1.7.1, and 1.8 is installed; "
        "engines run only with the version that built them, so build it again"
    )
    assert complaint(engine, gpu="7.5") == (
        "/m.engine: built for compute capability 8.6, 8.9, and this GPU is 7.5; "
        "build it again with --compute-capability 7.5"
    )


def test_an_engine_without_a_sidecar_is_refused(engine):
    (engine.parent / "m.engine.json").unlink()

    assert complaint(engine) == (
        "/m.engine: there is no m.engine.json beside it, so it is not known what this engine was built from; "
        "build it again with `taolite convert`"
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("engine_sha256", 5, "engine_sha256 is 5"),
        ("gpus", ["8.6", 8], "gpus is ['8.6', 8]"),
        ("classes", "cat", "classes is 'cat'"),
        ("batch", [1, 8], "batch needs three numbers"),
        ("batch", [1, True, 8], "batch is [1, True, 8]"),
        ("meta", [], "meta is []"),
        ("preprocessing", None, "preprocessing is no object"),
        ("version", [], "version []"),
    ],
)
def test_a_sidecar_of_wrong_types_is_refused_by_the_name_of_the_value(engine, name, value, reason):
    path = engine.parent / "m.engine.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))

    assert complaint(engine) == (
        f"/m.engine.json: not a sidecar that this taolite reads ({reason}); build the engine again"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1}', "null", "9" * 5000])
def test_a_sidecar_that_is_none_is_refused(engine, text):
    (engine.parent / "m.engine.json").write_text(text)

    assert complaint(engine).startswith("/m.engine.json: not a sidecar that this taolite reads (")


def test_a_missing_engine_is_a_missing_file(tmp_path):
    with pytest.raises(PathError):
        check_engine(tmp_path / "none.engine")
