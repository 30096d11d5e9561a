"""Weights of other tools, trained models inside their seal, and ONNX."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from .mutators import changed_bytes, changed_json, changed_value
from .target import Reader

__all__ = ["KINDS", "TASKS", "network", "onnx_meta", "onnx_model", "ranges", "tensorfile", "weights"]

KINDS = ("zip", "legacy", "pickle", "safetensors", "hdf5")
TASKS = ("detectnet", "classification", "ssd")
VECTORS = Path(__file__).parents[1] / "vectors/0.1.0"
PASSPHRASE = "tlt_encode"


def _states() -> dict[str, object]:
    import argparse

    import torch

    numbers = torch.Generator().manual_seed(0)
    shapes = {"conv1.weight": (4, 3, 3, 3), "layer1.0.conv1.weight": (4, 4, 3, 3), "bn1.bias": (4,)}
    state = {name: torch.rand(shape, generator=numbers) for name, shape in shapes.items()}
    odd = {"a": torch.zeros(2, dtype=torch.bfloat16), "b": state["bn1.bias"][::2], "c": torch.tensor(3)}
    return {"plain": state, "checkpoint": {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.1)}, "odd": odd}


def _saved(value: object, **options: object) -> bytes:
    import torch

    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def changed_zip(data: bytes, rng: Random) -> bytes:
    """A zip one of whose members is changed, dropped, doubled or compressed; its checksums fit."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    place = rng.randrange(len(members))
    name, body = members[place]
    way = rng.randrange(8)
    if way == 0:
        del members[place]
    elif way == 1:
        members.append((rng.choice(("../../x", "/etc/passwd", "code/a.py", "archive/constants.pkl", "x" * 300)), body))
    elif way == 2:
        members.append((name, changed_bytes(body, rng)))
    else:
        pickled = [at for at, (name, _) in enumerate(members) if name.endswith("data.pkl")]
        place = rng.choice(pickled or [place])
        members[place] = (members[place][0], changed_bytes(members[place][1], rng))
    stream = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w", packing) as archive:
        warnings.simplefilter("ignore")  # of two members with one name
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name), body, packing)
    return stream.getvalue()


def changed_safetensors(data: bytes, rng: Random) -> bytes:
    """Values of the header changed; its length fits."""
    (length,) = struct.unpack_from("<Q", data)
    text = changed_json(data[8 : 8 + length], rng)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _keras(folder: Path) -> bytes:
    """A Keras file of two convolutions and a batch norm, some of it in chunks and compressed."""
    import h5py
    import numpy as np

    path = folder / "seed.hdf5"
    with h5py.File(path, "w", libver="earliest") as file:
        for name in ("conv1", "block_1a_conv_1"):
            values = np.ones((3, 3, 3, 4) if name == "conv1" else (3, 3, 4, 4), np.float32)
            file.create_dataset(f"model_weights/{name}/{name}/kernel:0", data=values, track_times=False)
            file.create_dataset(f"model_weights/{name}/{name}/bias:0", data=values[0, 0, 0], compression="gzip",
                                track_times=False)  # fmt: skip
        for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
            file.create_dataset(
                f"model_weights/bn_conv1/bn_conv1/{kind}:0", data=np.ones(4, np.float32), track_times=False
            )
        file.create_group("model_weights/activation_1")
        file.attrs["model_config"] = json.dumps({"class_name": "Model"})
    return path.read_bytes()


def weights(kind: str) -> Callable[[Path], Reader]:
    """A file of weights: `zip` and `legacy` of torch, a bare `pickle`, `safetensors`, Keras's `hdf5`."""

    def make(folder: Path) -> Reader:
        import pickle

        from safetensors.torch import save

        from taolite.nn.keras import read_keras
        from taolite.nn.weights import holds_state_dict, read_state_dict, read_weights

        states, path = _states(), folder / "w"
        structured: Callable[[bytes, Random], bytes] = changed_bytes
        if kind == "zip":
            seeds, structured = tuple(_saved(state) for state in states.values()), changed_zip
        elif kind == "legacy":
            seeds = tuple(_saved(state, _use_new_zipfile_serialization=False) for state in states.values())
        elif kind == "pickle":
            seeds = tuple(pickle.dumps({"a": [1, 2.5, "b"], "c": {"d": (1, 2)}}, protocol=number) for number in (2, 4))
        elif kind == "safetensors":
            seeds, structured = (save(states["plain"], {"padding": "TensorFlow SAME"}),), changed_safetensors
        else:
            seeds = (_keras(folder),)

        def mutate(rng: Random) -> bytes:
            return (changed_bytes if rng.random() < 0.4 else structured)(rng.choice(seeds), rng)

        def read(data: bytes) -> object:
            path.write_bytes(data)
            if kind == "hdf5":
                read_keras(path)
            else:
                holds_state_dict(path)
                read_state_dict(path)
            return read_weights(path)

        return Reader(mutate, read, seeds, str(path))

    return make


def tensorfile(folder: Path) -> Reader:
    """A calibration tensorfile."""
    import numpy as np

    from taolite.quant.tensorfile import read_tensorfile, write_tensorfile

    path = folder / "calibration.tensor"
    write_tensorfile(path, [np.ones((2, 3, 4, 5), np.float32)] * 2)
    whole = path.read_bytes()

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return list(read_tensorfile(path))

    return Reader(lambda rng: changed_bytes(whole, rng), read, (whole,), str(path))


def network(task: str) -> Callable[[Path], Reader]:
    """A trained model whose record or tensors are changed by someone who has the key: from the file to the network, as
    `prune`, `export` and `inference` go."""

    def make(folder: Path) -> Reader:
        from taolite.artifacts.container import KdfCost, seal, unseal
        from taolite.artifacts.keys import Key
        from taolite.stages.trained import open_trained
        from taolite.tasks.registry import find

        whole = (VECTORS / task / "model.tlt").read_bytes()
        key, path = Key(PASSPHRASE), folder / "m.tlt"
        payload = bytes(unseal(whole, key=key, where=task)[1])
        (length,) = struct.unpack_from("<I", payload)
        record, tensors = json.loads(payload[4 : 4 + length]), payload[4 + length :]
        one = find(task)
        cost = KdfCost(memory_kib=8, iterations=1, lanes=1)

        def mutate(rng: Random) -> bytes:
            changed, rest = json.loads(json.dumps(record)), tensors
            way = rng.randrange(8)
            if way < 4:
                changed["architecture"] = changed_value(changed["architecture"], rng)
            elif way < 6:
                changed = changed_value(changed, rng)
            elif way == 6:
                changed["preprocessing"] = changed_value(changed["preprocessing"], rng)
            else:
                rest = changed_safetensors(tensors, rng)
            text = json.dumps(changed).encode()
            return struct.pack("<I", len(text)) + text + rest

        def read(data: bytes) -> object:
            with open(path, "wb") as stream:
                seal(stream, data, kind="bundle", key=key, public={"task": task}, cost=cost)
            trained = open_trained(path, key=key, of=task)
            return one.network(trained.bundle)

        return Reader(mutate, read, (payload,), "")

    return make


def _onnx(task: str) -> bytes:
    from taolite.artifacts.etlt import read_etlt
    from taolite.artifacts.keys import Key

    return read_etlt(VECTORS / task / "model.etlt", key=Key(PASSPHRASE)).onnx


def _changed_onnx(data: bytes, rng: Random) -> bytes:
    """An ONNX with bytes changed, or with fields of its nodes, tensors and shapes."""
    if rng.random() < 0.3:
        return changed_bytes(data, rng)
    import onnx

    model = onnx.load_model_from_string(data)
    graph = model.graph
    for _ in range(rng.choice((1, 1, 2))):
        way = rng.randrange(10)
        node = rng.choice(graph.node)
        tensor = rng.choice(graph.initializer)
        if way == 0:
            graph.node.remove(node)
        elif way == 1 and node.input:
            node.input[rng.randrange(len(node.input))] = rng.choice([*node.output, graph.input[0].name, "", "none"])
        elif way == 2:
            node.op_type = rng.choice(("Loop", "If", "Conv", "Reshape", "Tile", "Expand", "ConstantOfShape", "Nothing"))
        elif way == 3 and node.attribute:
            attribute = rng.choice(node.attribute)
            attribute.i = rng.choice((-1, 0, 1 << 31, (1 << 63) - 1))
            attribute.ints[:] = [rng.choice((-1, 0, 1, 7, 1 << 40)) for _ in attribute.ints]
        elif way == 4:
            tensor.dims[:] = [rng.choice((-1, 0, 1, dim, 1 << 40)) for dim in tensor.dims]
        elif way == 5:
            tensor.data_type = rng.randrange(25)
        elif way == 6:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            entry = tensor.external_data.add()
            entry.key, entry.value = "location", rng.choice(("/etc/passwd", "../x", "/dev/zero"))
        elif way == 7:
            value = rng.choice([*graph.input, *graph.output])
            for dim in value.type.tensor_type.shape.dim:
                if rng.random() < 0.4:
                    dim.dim_value = rng.choice((-1, 0, 1, 1 << 31, (1 << 62)))
        elif way == 8:
            graph.node.append(rng.choice(graph.node))
        else:
            model.opset_import[0].version = rng.choice((-1, 0, 1, 17, 10**6))
    return bytes(model.SerializeToString())


def onnx_model(folder: Path) -> Reader:
    """An ONNX that somebody gives: described, recognised as another tool's, and opened in ONNX Runtime."""
    from taolite.artifacts.etlt import read_model
    from taolite.engines import foreign, onnx_graph
    from taolite.engines.opening import open_engine

    seeds = tuple(_onnx(task) for task in TASKS)
    path = folder / "m.onnx"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        onnx = read_model(path).onnx
        foreign.recognise(onnx)
        onnx_graph.describe(onnx)
        onnx_graph.operators(onnx)
        onnx_graph.element_types(onnx)
        with open_engine(path, runtime="onnxruntime", threads=1) as engine:
            return dict(engine.outputs)

    return Reader(lambda rng: _changed_onnx(rng.choice(seeds), rng), read, seeds, "")


def ranges(folder: Path) -> Reader:
    """The record beside a calibration cache."""
    from taolite.quant import quantised_tensors
    from taolite.stages.exporting.ranges import Calibration, read_ranges, write_ranges

    onnx, cache = _onnx("detectnet"), folder / "cal.bin"
    found = dict.fromkeys(quantised_tensors(onnx), 1.5)
    write_ranges(cache, Calibration(found, {"method": "entropy", "images": 4}), onnx)
    path = folder / "cal.bin.json"
    whole = path.read_bytes()

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return read_ranges(cache, onnx)

    return Reader(lambda rng: changed_json(whole, rng), read, (whole,), str(cache))


def onnx_meta(folder: Path) -> Reader:
    """The metadata inside an ONNX: values of its JSON changed."""
    import onnx

    from taolite.engines import foreign

    seed = _onnx("detectnet")
    model = onnx.load_model_from_string(seed)
    text = next(prop.value for prop in model.metadata_props if prop.key == "taolite").encode()

    def read(data: bytes) -> object:
        onnx.helper.set_model_props(model, {"taolite": data.decode("utf-8", "replace")})
        return foreign.described(model.SerializeToString(), None)

    return Reader(lambda rng: changed_json(text, rng), read, (text,), "")
