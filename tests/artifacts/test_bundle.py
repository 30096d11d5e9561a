"""Bundles and checkpoints: what goes in comes out, old files open forever, and the old file outlives a failure."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import resource
import signal
import struct
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts import (
    Bundle,
    KdfCost,
    Key,
    artifact_hash,
    read_bundle,
    read_checkpoint,
    read_etlt,
    weights_hash,
    write_bundle,
    write_checkpoint,
)
from taolite.artifacts.bundle import DTYPES, count_parameters
from taolite.artifacts.container import seal, unseal
from taolite.errors import (
    ArtifactError,
    DamagedError,
    PathError,
    StorageError,
    TaoliteError,
    TruncatedError,
    UsageError,
)
from taolite.preprocessing import Preprocessing

VECTORS = Path(__file__).parents[1] / "vectors"
KEY = Key("tlt_encode")
CHEAP = KdfCost(memory_kib=64, iterations=1, lanes=1)


def bundle(**changes):
    parts = {
        "task": "detectnet",
        "architecture": {"arch": "resnet", "channels": {"conv1": 7}},
        "classes": ("cat", "犬"),
        "preprocessing": Preprocessing((384, 1248), channels=1, fit="stretch", scale=0.5, offsets=(1.0, 2.0, 3.0)),
        "tensors": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)},
        "spec": 'a: "b"\n',
        "lineage": ({"stage": "train", "map": float("nan")},),
        "decoding": {"top": 1},
        "extra": {"stride": 16},
    }
    return Bundle(**{**parts, **changes})


@pytest.fixture(scope="module")
def vectors():
    """The module that made the golden files."""
    found = importlib.util.spec_from_file_location("vectors_make", VECTORS / "make.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_a_bundle_comes_back_as_it_went_in(tmp_path):
    given = bundle()

    write_bundle(tmp_path / "m.tlt", given, key=KEY, cost=CHEAP)
    got = read_bundle(tmp_path / "m.tlt", key=KEY)

    assert (got.task, got.architecture, got.classes, got.spec) == (
        given.task,
        given.architecture,
        given.classes,
        given.spec,
    )
    assert (got.preprocessing, got.decoding, got.extra) == (given.preprocessing, {"top": 1}, {"stride": 16})
    assert got.lineage[0]["stage"] == "train"
    assert np.isnan(got.lineage[0]["map"])
    np.testing.assert_array_equal(got.tensors["w"], given.tensors["w"])


@pytest.mark.parametrize(
    ("decoding", "stored"), [({"top": 1}, {"decoding": {"top": 1}, "stride": 16}), ({}, {"stride": 16})]
)
def test_decoding_lies_in_the_file_where_0_1_0_reads_it(tmp_path, decoding, stored):
    write_bundle(tmp_path / "m.tlt", bundle(decoding=decoding), key=KEY, cost=CHEAP)

    _, payload = unseal((tmp_path / "m.tlt").read_bytes(), key=KEY, where="m.tlt")

    (length,) = struct.unpack_from("<I", payload)
    assert json.loads(bytes(payload[4 : 4 + length]))["extra"] == stored


def test_decoding_of_a_model_that_0_1_0_wrote_is_read_from_extra(tmp_path):
    record = {"task": "classification", "architecture": {}, "classes": ["cat"], "spec": "", "lineage": []}
    record |= {"preprocessing": Preprocessing((32, 32)).to_json(), "extra": {"decoding": {"top": 1}, "note": "a"}}
    text = json.dumps(record).encode()
    sealed_payload(tmp_path / "old.tlt", struct.pack("<I", len(text)) + text + struct.pack("<Q", 2) + b"{}")

    got = read_bundle(tmp_path / "old.tlt", key=KEY)

    assert (got.decoding, got.extra) == ({"top": 1}, {"note": "a"})


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_shape_comes_back_bit_for_bit(tmp_path, dtype):
    values = np.arange(24).reshape(2, 3, 4)
    tensors = {
        "transposed": values.astype(dtype).T,
        "strided": values.astype(dtype)[:, ::2],
        "scalar": np.array(1).astype(dtype),
        "empty": np.zeros((0, 3), dtype),
        "big endian": values.astype(dtype).astype(np.dtype(dtype).newbyteorder(">")),
    }

    write_checkpoint(tmp_path / "c", tensors, {"epoch": 3, "best": float("inf")}, key=KEY, cost=CHEAP)
    got = read_checkpoint(tmp_path / "c", key=KEY)

    assert got.state == {"epoch": 3, "best": float("inf")}
    assert set(got.tensors) == set(tensors)
    for name, array in tensors.items():
        assert (got.tensors[name].dtype.name, got.tensors[name].shape) == (dtype, array.shape)
        np.testing.assert_array_equal(got.tensors[name], array)


def test_a_dtype_that_not_every_reader_knows_is_our_bug_and_named(tmp_path):
    with pytest.raises(TypeError) as caught:
        write_checkpoint(tmp_path / "c", {"w": np.zeros(2, np.complex64)}, {}, key=KEY, cost=CHEAP)

    assert str(caught.value) == f"tensor 'w' is complex64; an artifact holds {', '.join(DTYPES)}"

    assert list(tmp_path.iterdir()) == []


def test_golden_files_open_forever(vectors):
    got = read_bundle(VECTORS / "v1.tlt", key=vectors.KEY)
    exported = read_etlt(VECTORS / "v1.etlt", key=vectors.KEY)
    checkpoint = read_checkpoint(VECTORS / "v1.checkpoint", key=vectors.KEY)

    assert artifact_hash(VECTORS / "v1.tlt") == "b8f95db82f836809ead974fb60d91a99d24244e7fb58dca554192ca711547ad1"
    for name in ("task", "architecture", "classes", "preprocessing", "spec", "lineage", "decoding", "extra"):
        assert getattr(got, name) == getattr(vectors.BUNDLE, name), name
    assert weights_hash(got.tensors) == weights_hash(vectors.BUNDLE.tensors)
    assert exported == vectors.ETLT
    assert checkpoint.state == vectors.CHECKPOINT_STATE
    np.testing.assert_array_equal(checkpoint.tensors["adam.m"], vectors.CHECKPOINT_TENSORS["adam.m"])


def test_the_same_weights_have_the_same_hash_however_they_lie_in_memory():
    square = np.arange(4, dtype=np.float32).reshape(2, 2)

    same = weights_hash({"a": square, "b": square.T}) == weights_hash({"b": square.T.copy(), "a": square})

    assert same
    assert weights_hash({"a": square}) != weights_hash({"a": square.reshape(4)})
    assert weights_hash({"a": square}) != weights_hash({"a": square + 1})


def test_parameters_are_what_training_learns():
    tensors = {
        "conv.weight": np.zeros((4, 3, 3, 3), np.float32),
        "bn.running_var": np.zeros(4, np.float32),
        "bn.num_batches_tracked": np.zeros((), np.int64),
    }

    assert count_parameters(tensors) == 4 * 27


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")

    assert artifact_hash(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path):
    (tmp_path / "empty.tlt").touch()
    found = {}
    for name in ("none.tlt", "", "empty.tlt"):
        with pytest.raises(TaoliteError) as caught:
            read_bundle(tmp_path / name, key=KEY)
        found[type(caught.value), name] = str(caught.value).removeprefix(str(tmp_path))

    assert found == {
        (PathError, "none.tlt"): "/none.tlt: no such file",
        (PathError, ""): ": this is a folder; a file is needed",
        (TruncatedError, "empty.tlt"): "/empty.tlt: the file is empty; copy it again, or recreate it",
    }


def test_a_checkpoint_is_not_a_model(tmp_path):
    write_checkpoint(tmp_path / "c", {}, {}, key=KEY, cost=CHEAP)

    with pytest.raises(ArtifactError) as caught:
        read_bundle(tmp_path / "c", key=KEY)

    assert str(caught.value) == (
        f"{tmp_path}/c: this is a taolite checkpoint, and a trained model (.tlt) is needed; "
        "it resumes a run of `train`; the finished model is weights/NAME.tlt of that run"
    )


def test_reading_without_a_key_says_how_to_give_one():
    with pytest.raises(UsageError):
        read_bundle(VECTORS / "v1.tlt", key=None)


def sealed_payload(path, payload):
    """A bundle-kind container around bytes that no taolite wrote, with a fitting key: a hostile or buggy writer."""
    with open(path, "wb") as stream:
        seal(stream, payload, kind="bundle", key=KEY, cost=CHEAP)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        struct.pack("<I", 1 << 31) + b"{}",
        struct.pack("<I", 2) + b"[]" + struct.pack("<Q", 2) + b"{}",
        struct.pack("<I", 2) + b"{}" + struct.pack("<Q", 2) + b"{}",
        struct.pack("<I", 2) + b"{}" + struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<I", 3000) + b"[" * 3000,
    ],
)
def test_a_payload_that_no_taolite_wrote_is_damage(tmp_path, payload):
    sealed_payload(tmp_path / "m.tlt", payload)

    with pytest.raises(DamagedError):
        read_bundle(tmp_path / "m.tlt", key=KEY)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("classes", "cat", "task and spec need to be texts, classes a list of texts"),
        ("classes", ["cat", 3], "task and spec need to be texts, classes a list of texts"),
        ("task", None, "task and spec need to be texts, classes a list of texts"),
        ("preprocessing", {"input_hw": [0, 8]}, "preprocessing.input_hw is [0, 8]"),
        ("preprocessing", {"input_hw": [8, 8], "scale": float("nan")}, "preprocessing.scale is nan"),
        ("preprocessing", {"input_hw": [8, 8], "fit": "bend"}, "preprocessing.fit is 'bend'"),
        ("preprocessing", {"input_hw": [8, 8], "zoom": 2}, "preprocessing.zoom is not known"),
        ("preprocessing", {}, "preprocessing.input_hw is missing"),
    ],
)
def test_a_record_of_wrong_types_is_damage_with_the_name_of_the_value(tmp_path, name, value, reason):
    record = {"task": "detectnet", "architecture": {}, "classes": ["cat"], "spec": "", "lineage": [], "extra": {}}
    record |= {"preprocessing": Preprocessing((32, 32)).to_json(), name: value}
    text = json.dumps(record).encode()
    sealed_payload(tmp_path / "m.tlt", struct.pack("<I", len(text)) + text + struct.pack("<Q", 2) + b"{}")

    with pytest.raises(DamagedError) as caught:
        read_bundle(tmp_path / "m.tlt", key=KEY)

    assert str(caught.value) == f"{tmp_path}/m.tlt: opens with this key but holds nothing taolite wrote ({reason})"


def test_a_disk_that_fills_up_keeps_the_old_file(tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(mount)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        write_bundle(mount / "m.tlt", bundle(), key=KEY, cost=CHEAP)
        before = (mount / "m.tlt").read_bytes()

        with pytest.raises(StorageError) as caught:
            write_bundle(mount / "m.tlt", bundle(tensors={"w": np.zeros(1 << 20)}), key=KEY, cost=CHEAP)

        assert str(caught.value) == (
            f"{mount}/m.tlt: the disk is full; nothing was replaced. Free some space and run it again"
        )
        assert (mount / "m.tlt").read_bytes() == before
        assert [path.name for path in mount.iterdir()] == ["m.tlt"]
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_write_that_is_cut_off_keeps_the_old_file(tmp_path):
    write_bundle(tmp_path / "m.tlt", bundle(), key=KEY, cost=CHEAP)
    before = (tmp_path / "m.tlt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1000, hard))
        with pytest.raises(StorageError) as caught:
            write_bundle(tmp_path / "m.tlt", bundle(tensors={"w": np.zeros(1 << 15)}), key=KEY, cost=CHEAP)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)

    assert str(caught.value) == f"{tmp_path}/m.tlt: File too large; nothing was replaced"
    assert (tmp_path / "m.tlt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.tlt"]


def test_reading_a_model_takes_at_most_three_times_its_size(tmp_path):
    size = 32 << 20
    path = tmp_path / "m.tlt"
    write_bundle(path, bundle(tensors={"w": np.zeros(size // 4, np.float32)}), key=KEY, cost=CHEAP)
    tracemalloc.start()

    read_bundle(path, key=KEY)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * size  # docs/FORMAT.md 1, Bounds
