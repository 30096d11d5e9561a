"""What a file is, by its content: names lie."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from taolite.artifacts import (
    Bundle,
    Etlt,
    KdfCost,
    Key,
    artifact_hash,
    read_bundle,
    read_checkpoint,
    read_etlt,
    read_model,
    write_bundle,
    write_checkpoint,
)
from taolite.artifacts import write_etlt as seal_etlt
from taolite.artifacts.container import seal
from taolite.artifacts.describe import describe
from taolite.artifacts.sniff import Kind, sniff
from taolite.errors import ArtifactError, DamagedError, ForeignError, PathError
from taolite.preprocessing import Preprocessing

KEY = Key("k")
CHEAP = KdfCost(memory_kib=64, iterations=1, lanes=1)


def noise(size: int) -> bytes:
    """What AES-CTR gives: no byte is likelier than another. Fixed, so that the test is."""
    return b"".join(hashlib.sha256(struct.pack("<I", n)).digest() for n in range(-(-size // 32)))[:size]


def torch_zip() -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, stream)
    return stream.getvalue()


def plain_zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return stream.getvalue()


def onnx_model() -> bytes:
    import onnx

    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [out])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"taolite": "{}"})
    return model.SerializeToString()


FOREIGN = {
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(500), Kind.HDF5),
    "torch zip": (torch_zip, Kind.TORCH),
    "old torch file": (lambda: pickle.dumps({"w": 1}, protocol=2), Kind.TORCH),
    "safetensors": (lambda: save({"w": np.zeros(3, np.float32)}), Kind.SAFETENSORS),
    "ONNX": (onnx_model, Kind.ONNX),
    "TensorRT": (lambda: b"ptrt" + bytes(100), Kind.TENSORRT),
    "TensorRT-RTX": (lambda: b"vtrt" + bytes(100), Kind.TENSORRT_RTX),
    "encrypted .tlt": (lambda: noise(40_000), Kind.NVIDIA_TLT),
    "small encrypted .tlt": (lambda: noise(1500), Kind.NVIDIA_TLT),
    "encrypted UFF .etlt": (lambda: b"\7\0\0\0input_1" + noise(40_000), Kind.NVIDIA_ETLT),
    "encrypted ONNX .etlt": (lambda: b"\0\0\0\0" + noise(40_000), Kind.NVIDIA_ETLT),
    "another zip": (plain_zip, Kind.UNKNOWN),
    "gzip": (lambda: gzip.compress(b"abc" * 5000), Kind.UNKNOWN),
    "text": (lambda: b"model_config { }\n" * 200, Kind.UNKNOWN),
    "zeros": (lambda: bytes(5000), Kind.UNKNOWN),
    "four letters": (lambda: b"xxxx", Kind.UNKNOWN),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_programs_are_recognised_under_any_name(tmp_path, name):
    make, kind = FOREIGN[name]
    (tmp_path / "model.tlt").write_bytes(make())

    assert sniff(tmp_path / "model.tlt") is kind
    with pytest.raises(ForeignError):
        read_bundle(tmp_path / "model.tlt", key=KEY)


def test_our_own_files_are_recognised_under_any_name(tmp_path):
    write_bundle(tmp_path / "a.onnx", Bundle("detectnet", {}, (), Preprocessing((16, 16)), {}), key=KEY, cost=CHEAP)
    write_checkpoint(tmp_path / "b.onnx", {}, {}, key=KEY, cost=CHEAP)
    seal_etlt(tmp_path / "c.onnx", Etlt(onnx=b"x"), key=KEY, cost=CHEAP)

    kinds = [sniff(tmp_path / f"{name}.onnx") for name in "abc"]

    assert kinds == [Kind.BUNDLE, Kind.CHECKPOINT, Kind.ETLT]


def test_a_file_of_nvidias_codec_gets_the_message_that_says_so_and_what_to_do(tmp_path):
    path = tmp_path / "resnet18_peoplenet.tlt"
    path.write_bytes(noise(40_000))

    with pytest.raises(ForeignError) as caught:
        read_bundle(path, key=Key("tlt_encode"))

    assert str(caught.value) == (
        f"{path}: this is a file without any header, as NVIDIA's encrypted .tlt is, and a trained model (.tlt) is "
        "needed; NVIDIA's codec is closed, and only their containers can open it. In a TAO 5 container turn it into "
        "plain .hdf5 (to train from) or plain .onnx (to run); or start from ImageNet weights: "
        'pretrained_model_file: "torchvision://resnet18"'
    )


def test_a_model_that_was_exported_cannot_be_taken_for_one_that_was_trained(tmp_path):
    seal_etlt(tmp_path / "m.tlt", Etlt(onnx=b"x"), key=KEY, cost=CHEAP)

    with pytest.raises(ArtifactError) as caught:
        read_bundle(tmp_path / "m.tlt", key=KEY)

    assert str(caught.value) == (
        f"{tmp_path}/m.tlt: this is a taolite exported model (.etlt), and a trained model (.tlt) is needed; "
        "an exported model cannot be trained further; take the .tlt it was exported from"
    )


def sparse(path: Path, size: int, *, front: bytes = b"", back: bytes = b"") -> Path:
    """A file of `size` bytes that takes no room on the disk."""
    with open(path, "wb") as stream:
        stream.write(front)
        stream.truncate(size - len(back))
        stream.seek(0, os.SEEK_END)
        stream.write(back)
    return path


END_OF_ZIP = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, 1 << 31, 1 << 31, 0)  # a list of files of 2 GiB
VAST = {
    "zeros": (b"", b""),
    "a pickle": (b"\x80\x02", b"."),
    "a zip": (b"PK\3\4", END_OF_ZIP),
    "safetensors": (struct.pack("<Q", 1 << 32) + b"{", b""),
    "ONNX": (b"\x08\x08" * 30_000, b""),
    "noise": (noise(1 << 20), b""),
}


@pytest.mark.parametrize("name", VAST)
def test_a_file_of_8_gib_is_told_at_once_and_without_reading_it(tmp_path, name):
    front, back = VAST[name]
    path = sparse(tmp_path / "m.tlt", 8 << 30, front=front, back=back)
    started = time.process_time()
    tracemalloc.start()

    sniff(path)
    for read in (read_bundle, read_checkpoint, read_etlt, read_model):
        with pytest.raises(ForeignError):
            read(path, key=KEY)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    assert time.process_time() - started < 5


def test_a_vast_file_that_begins_as_ours_is_judged_from_its_front(tmp_path):
    write_checkpoint(tmp_path / "m.tlt", {}, {}, key=KEY, cost=CHEAP)
    with open(tmp_path / "m.tlt", "rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.truncate(8 << 30)

    with pytest.raises(DamagedError) as caught:
        read_checkpoint(tmp_path / "m.tlt", key=KEY)

    assert str(caught.value) == (
        f"{tmp_path}/m.tlt: {(8 << 30) - size} extra bytes follow the end; restore the file from a backup"
    )


def test_a_pipe_and_an_endless_device_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    said = {}
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (sniff, artifact_hash, *(partial(one, key=None) for one in (read_bundle, read_model, describe))):
            with pytest.raises(PathError) as caught:
                read(path)
            said[str(caught.value)] = path

    assert said == {
        f"{tmp_path}/pipe: this is a pipe; a file is needed": tmp_path / "pipe",
        "/dev/zero: this is a device; a file is needed": Path("/dev/zero"),
    }


def test_a_vast_file_of_no_known_kind_is_described_without_its_hash(tmp_path):
    path = sparse(tmp_path / "disk.img", 8 << 30)

    assert describe(path, key=None) == {
        "path": str(path),
        "kind": "unknown",
        "what": "a file of no kind that taolite knows",
        "bytes": 8 << 30,
        "sealed": False,
        "advice": "check the path",
    }


def test_what_a_front_claims_cannot_take_the_place_of_what_was_found(tmp_path):
    claims = {"kind": "onnx", "sealed": False, "path": "/etc", "task": "detectnet", "writer": ["x"], "input_name": "a"}
    with open(tmp_path / "m.tlt", "wb") as stream:
        seal(stream, b"", kind="bundle", key=KEY, public=claims, cost=CHEAP)

    facts = describe(tmp_path / "m.tlt", key=None)

    assert (facts["path"], facts["kind"], facts["sealed"]) == (str(tmp_path / "m.tlt"), "bundle", True)
    assert (facts["task"], facts["input_name"], facts.get("writer")) == ("detectnet", "a", None)


@pytest.mark.parametrize("name", ["torch zip", "safetensors", "ONNX", "encrypted UFF .etlt", "old torch file"])
def test_a_changed_file_of_another_program_is_some_kind_or_damaged(tmp_path, name, mutations):
    path = tmp_path / "m.tlt"

    for changed in mutations(FOREIGN[name][0](), 300):
        path.write_bytes(changed)
        with suppress(ArtifactError):
            assert sniff(path) in Kind
            describe(path, key=None)


def test_a_zip_whose_list_of_files_was_changed_is_some_kind(tmp_path, mutations):
    data = torch_zip()
    start = data.index(b"PK\1\2")

    for changed in mutations(data[start:], 500):
        (tmp_path / "m.pth").write_bytes(data[:start] + changed)
        assert sniff(tmp_path / "m.pth") in (Kind.TORCH, Kind.UNKNOWN, Kind.NVIDIA_TLT)


def test_real_weights_are_recognised(shared_data):
    assert sniff(shared_data / "pretrained" / "resnet18.safetensors") is Kind.SAFETENSORS


def test_photographs_are_not_taken_for_encrypted_models(shared_data):
    photos = sorted((shared_data / "cat_dog_200").rglob("*.jpg"))[:20]

    assert photos
    assert {sniff(photo) for photo in photos} == {Kind.UNKNOWN}
