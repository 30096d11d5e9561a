"""Weights are what their bytes say, whatever they are called; whatever bytes there are, the error is ours."""

from __future__ import annotations

import argparse
import io
import pickle
import random
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from taolite.errors import DamagedError, ForeignError, PathError, TaoliteError, TruncatedError
from taolite.nn.keras import MAX_NUMBERS
from taolite.nn.weights import holds_state_dict, read_weights

torch.set_num_threads(1)


def resnet(prefix=""):
    """As much of a ResNet as tells what it is."""
    rng = np.random.default_rng(0)
    shapes = {"conv1.weight": (4, 3, 3, 3), "layer1.0.conv1.weight": (4, 4, 3, 3), "bn1.bias": (4,)}
    return {prefix + name: torch.from_numpy(rng.random(shape, np.float32)) for name, shape in shapes.items()}


TAO = {"conv1.weight": "conv1.weight", "layer1.0.conv1.weight": "block_1a_conv_1.weight", "bn1.bias": "bn_conv1.bias"}


def expected():
    return {TAO[name]: tensor for name, tensor in resnet().items()}


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


def message(path, error, read=read_weights):
    with pytest.raises(error) as caught:
        read(path)
    assert type(caught.value) is error
    return str(caught.value)


def torch_bytes(value, **options):
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["resnet18_peoplenet.tlt", "weights.hdf5", "weights", "weights.safetensors", "w.pth"])
@pytest.mark.parametrize("kind", ["torch", "torch before 1.6", "safetensors"])
def test_weights_are_read_as_what_they_are_whatever_they_are_called(tmp_path, name, kind):
    path = tmp_path / name
    if kind == "safetensors":
        save_file(resnet(), path)
    else:
        path.write_bytes(torch_bytes(resnet(), _use_new_zipfile_serialization=kind == "torch"))

    weights = read_weights(path)

    assert_same(weights.tensors, expected())
    assert (weights.arch, weights.graph) == ("resnet", "torchvision")
    assert holds_state_dict(path)


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"model": resnet(), "epoch": 3},
        {"model": resnet(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "args": argparse.Namespace(lr=0.1)},
        {"state_dict": resnet("model."), "pytorch-lightning_version": "2.4", "hyper_parameters": {"lr": 0.1}},
        {"state_dict": {"loss.weight": torch.ones(3), **resnet("net.encoder.")}},
        {"model_state_dict": resnet("module.")},
        {"state_dict_ema": resnet("_orig_mod.")},
        {"ema": {"conv1.weight": torch.ones(1)}, "state_dict": resnet()},
    ],
    ids=["model", "reference script", "Lightning", "Lightning with a loss", "tutorial", "compiled", "two"],
)
def test_a_checkpoint_gives_the_state_dict_it_holds(tmp_path, checkpoint):
    torch.save(checkpoint, tmp_path / "last.ckpt")

    assert_same(read_weights(tmp_path / "last.ckpt").tensors, expected())


def test_parameters_and_half_precision_become_numbers_that_a_fingerprint_can_be_taken_of(tmp_path):
    state = {**resnet(), "conv1.weight": nn.Parameter(torch.full((4, 3, 3, 3), 1.5))}
    state["bn1.bias"] = torch.full((4,), 0.5, dtype=torch.bfloat16)
    torch.save(state, tmp_path / "w.pth")

    tensors = read_weights(tmp_path / "w.pth").tensors

    assert tensors["conv1.weight"].numpy().max() == 1.5
    assert (tensors["bn_conv1.bias"].numpy() == np.float32(0.5)).all()


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"", TruncatedError, "the file is empty (0 bytes); copy or download it again"),
        (
            b"\xef\xbb\xbf\r\n<!DOCTYPE html><html><body>",
            ForeignError,
            "this is a web page, not weights; download the file itself (on GitHub the link is called `raw`)",
        ),
        (
            "\ufeff<html>".encode("utf-16-le"),
            ForeignError,
            "this is a web page, not weights; download the file itself (on GitHub the link is called `raw`)",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            ForeignError,
            "this is a pointer of Git LFS, not weights; run `git lfs pull` in its repository",
        ),
        (
            b"/annex/objects/SHA256E-s9--00.pth\n",
            ForeignError,
            "this is a pointer of git-annex, not weights; run `git annex get` in its repository",
        ),
        (
            b"\x1f\x8b\x08\x00" + bytes(40),
            ForeignError,
            "this is a gzip archive; unpack it and name the file inside that holds weights",
        ),
        (
            "404: Nicht gefunden, größer\n".encode(),
            ForeignError,
            "this is text, not weights (it begins `404: Nicht gefunden, größer`); check the path, or download again",
        ),
        (
            b'{"message": "Not Found", "documentation": "..."}',
            ForeignError,
            'this is text, not weights (it begins `{"message": "Not Found", "documentati...`); check the path, or '
            "download again",
        ),
    ],
    ids=["empty", "page", "page in UTF-16", "LFS", "annex", "gzip", "text", "JSON"],
)
@pytest.mark.parametrize("name", ["model.pth", "model.hdf5", "model.tlt"])
def test_what_a_failed_download_leaves_is_named_with_the_way_out(tmp_path, name, content, error, text):
    path = tmp_path / name
    path.write_bytes(content)

    assert message(path, error) == f"{path}: {text}"
    assert message(path, error, holds_state_dict) == f"{path}: {text}"


def test_a_program_an_archive_a_whole_model_and_a_list_are_named(tmp_path):
    path = tmp_path / "model.pth"
    # what torch.jit.save writes, as far as its names tell (torch.jit.script is deprecated)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("m/data.pkl", "m/code/__torch__/net.py", "m/constants.pkl", "m/version"):
            archive.writestr(name, "")
    assert message(path, ForeignError) == (
        f"{path}: this is a TorchScript program (torch.jit.save), and no code of a file is run; save its weights "
        "alone: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "model.weights.h5", "metadata\x1b[31m.json", "more"):
            archive.writestr(name, "")
    assert message(path, ForeignError) == (
        f"{path}: this is a zip archive that torch.save did not write (it holds config.json, model.weights.h5, "
        "metadata\\x1b[31m.json, ...); unpack it and name the file inside that holds weights"
    )
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("a.pth"))
    assert message(path, ForeignError) == (
        f"{path}: this is a tar archive; unpack it and name the file inside that holds weights"
    )
    torch.save(nn.Conv2d(1, 1, 1), path)
    assert message(path, ForeignError) == (
        f"{path}: this file holds more than tensors and plain values (torch.nn.modules.conv.Conv2d); "
        "loading it could run code hidden in it, so it is refused. Where you trust it, save its weights alone "
        "in the program that made it: torch.save(model.state_dict(), 'weights.pth')"
    )
    torch.save({"epoch": 3, "best": 0.5}, path)
    assert message(path, ForeignError) == (
        f"{path}: this holds no tensors (it holds epoch, best); a state dict (names to tensors) is needed"
    )
    assert message(tmp_path, PathError) == f"{tmp_path}: this is a folder; name the file of weights in it"


def test_a_real_torchscript_program_is_known_by_its_names(tmp_path):
    # in a process of its own, for torch warns of the deprecated call
    code = "import sys, torch; torch.jit.script(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))).save(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "script.pt")], check=True)

    assert "this is a TorchScript program" in message(tmp_path / "script.pt", ForeignError)


def test_a_tensor_that_is_more_than_what_is_stored_for_it_is_refused_before_anything_copies_it(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({**resnet(), "conv1.weight": torch.zeros(1).expand(1 << 20, 1 << 20)}, path)
    assert message(path, DamagedError) == (
        f"{path}: tensor conv1.weight is larger than the numbers stored for it; copy or download the file again"
    )
    torch.save({**resnet(), "conv1.weight": torch.ones(3, 3).to_sparse()}, path)
    assert message(path, ForeignError) == (
        f"{path}: tensor conv1.weight is sparse; save the network's weights as ordinary float tensors"
    )
    torch.save({**resnet(), "conv1.weight": torch.empty(3, 3, device="meta")}, path)
    assert message(path, ForeignError) == (
        f"{path}: tensor conv1.weight is without values; save the network's weights as ordinary float tensors"
    )


def test_a_file_that_unpacks_to_many_times_its_size_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "w.pth"
    path.write_bytes(torch_bytes(resnet()))
    claimed = (3 << 30).to_bytes(4, "little")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")  # the first entry of the list of files: its size unpacked stands at 24
    data[at + 24 : at + 28] = claimed
    path.write_bytes(data)

    text = message(path, ForeignError)

    with zipfile.ZipFile(path) as archive:
        total = sum(entry.file_size for entry in archive.infolist())
    assert total > 3 << 30
    assert text == (
        f"{path}: this file unpacks to {total} bytes, many times its size, and torch.save does not compress; check "
        "where the file comes from"
    )


def hdf5(path, fill):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        fill(h5py, file)
    return path


def test_an_hdf5_file_that_claims_more_numbers_than_any_backbone_has_is_refused_before_it_is_read(tmp_path):
    def fill(h5py, file):  # 4 TB by its own words, a few kilobytes on the disk
        file.create_dataset(
            "model_weights/conv1/conv1/kernel:0", (1000, 1000, 1000, 1000), np.float32, chunks=(1, 1, 10, 10)
        )

    path = hdf5(tmp_path / "m.hdf5", fill)

    assert message(path, ForeignError) == (
        f"{path}: with conv1/conv1/kernel:0 (1000x1000x1000x1000) the file claims more than {MAX_NUMBERS} numbers, and "
        "no backbone of TAO's has that many; check where the file comes from"
    )


def test_an_hdf5_file_whose_numbers_are_in_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(400))

    def external(h5py, file):
        shape = (5, 5, 2, 2)
        file.create_dataset(
            "model_weights/conv1/conv1/kernel:0", shape, np.float32, external=[(tmp_path / "secret", 0, 400)]
        )

    def linked(h5py, file):
        file.create_group("model_weights")["conv1"] = h5py.ExternalLink("other.hdf5", "/model_weights/conv1")

    def virtual(h5py, file):
        layout = h5py.VirtualLayout((5, 5, 2, 2), np.float32)
        layout[:] = h5py.VirtualSource("other.hdf5", "k", (5, 5, 2, 2))
        file.create_virtual_dataset("model_weights/conv1/conv1/kernel:0", layout)

    where = {external: "conv1/conv1/kernel:0", linked: "conv1", virtual: "conv1/conv1/kernel:0"}
    for fill, name in where.items():
        path = hdf5(tmp_path / f"{fill.__name__}.hdf5", fill)
        assert message(path, ForeignError) == (
            f"{path}: {name} is in another file, which is not opened; save all in one"
        )


def samples(tmp_path, write_keras):
    save_file(resnet(), tmp_path / "s.safetensors")
    tao = {"conv1.weight": torch.ones(2, 3, 3, 3), "block_1a_conv_1.weight": torch.ones(2, 2, 3, 3)}
    write_keras(tmp_path / "k.hdf5", tao)
    checkpoint = {"model": resnet(), "epoch": 3, "args": argparse.Namespace(lr=0.1)}
    return {
        "zip": torch_bytes(checkpoint),
        "legacy": torch_bytes(checkpoint, _use_new_zipfile_serialization=False),
        "pickle": pickle.dumps({"a": [1, 2.5, "b"], "c": argparse.Namespace(lr=0.1)}, protocol=2),
        "safetensors": (tmp_path / "s.safetensors").read_bytes(),
        "hdf5": (tmp_path / "k.hdf5").read_bytes(),
    }


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_weights_cut_short_anywhere_are_refused(tmp_path, write_keras, kind):
    data, path = samples(tmp_path, write_keras)[kind], tmp_path / "cut"
    for length in range(0, len(data), 1 + len(data) // 200):
        path.write_bytes(data[:length])
        with pytest.raises(TaoliteError):
            read_weights(path)


def test_a_zip_directory_of_changed_bytes_is_refused_or_read(tmp_path):
    data, rng, path = torch_bytes(resnet()), random.Random(7), tmp_path / "w.pth"
    start = data.index(b"PK\x01\x02")
    kinds = set()
    for _ in range(300):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 4, 20))):
            changed[rng.randrange(start, len(data))] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            read_weights(path)
        except TaoliteError as error:
            kinds.add(type(error))

    assert kinds >= {DamagedError, TruncatedError}
