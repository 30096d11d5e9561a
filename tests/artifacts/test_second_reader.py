"""taolite and a reader that was written from docs/FORMAT.md alone agree on every file, and on how its reading ends."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import random
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts import (
    Bundle,
    Etlt,
    KdfCost,
    Key,
    read_bundle,
    read_checkpoint,
    read_etlt,
    write_bundle,
    write_checkpoint,
    write_etlt,
)
from taolite.artifacts.sniff import Kind, sniff
from taolite.errors import ArtifactError, DamagedError, ForeignError, TruncatedError, WrongKeyError
from taolite.preprocessing import Preprocessing

TESTS = Path(__file__).parents[1]
VECTORS = TESTS / "vectors"
READER = TESTS / "second_reader.py"
OUTCOMES = json.loads((VECTORS / "outcomes" / "outcomes.json").read_text())
CHEAP = KdfCost(memory_kib=64, iterations=1)
_NAMES = {WrongKeyError: "wrong key", TruncatedError: "truncated", DamagedError: "damaged", ForeignError: "foreign"}

specification = importlib.util.spec_from_file_location("second_reader", READER)
assert specification is not None
assert specification.loader is not None
second = importlib.util.module_from_spec(specification)
specification.loader.exec_module(second)


def ours(path: Path, key: str) -> str:
    """How taolite's reading of the file ends, in FORMAT.md's words."""
    try:
        kind = sniff(path)
        readers = {Kind.ETLT: read_etlt, Kind.CHECKPOINT: read_checkpoint}
        readers.get(kind, read_bundle)(path, key=Key(key))
    except ArtifactError as error:
        if type(error) is ArtifactError:
            return "newer version" if "upgrade taolite" in str(error) else str(error)
        return _NAMES[type(error)]
    return "ok"


def theirs(data: bytes, key: str) -> str:
    """How the second reader's ends."""
    try:
        second.contents(data, key.encode())
    except second.Failure as failure:
        return str(failure)
    return "ok"


def test_the_second_reader_uses_nothing_of_taolite():
    tree = ast.parse(READER.read_text())
    modules = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
    }

    assert modules - set(sys.stdlib_module_names) == {"cryptography"}


@pytest.mark.parametrize("name", OUTCOMES)
def test_both_readers_end_as_recorded(name):
    row, path = OUTCOMES[name], VECTORS / "outcomes" / name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"], "vectors are never made again"

    assert ours(path, row["key"]) == row["outcome"]
    expected = "ok" if name == "no-tensors.ckpt" else row["outcome"]  # what is behind the record is safetensors' own
    assert theirs(path.read_bytes(), row["key"]) == expected


def test_there_is_a_vector_for_every_outcome_of_the_format_page():
    page = (TESTS.parent / "docs" / "FORMAT.md").read_text()
    table = page.partition("| Step | Failure |")[2].partition("\n\n")[0]
    named = set(re.findall(r"foreign|truncated|damaged|newer version|wrong key", table))

    assert {row["outcome"] for row in OUTCOMES.values()} == named | {"ok"}


@pytest.mark.parametrize("name", ["v1.tlt", "v1.etlt", "v1.checkpoint"])
def test_both_readers_open_the_first_vectors_and_refuse_another_key(name):
    path = VECTORS / name

    for key, outcome in (("tlt_encode", "ok"), ("tlt_encodf", "wrong key"), ("鍵", "wrong key")):
        assert (ours(path, key), theirs(path.read_bytes(), key)) == (outcome, outcome)


def test_the_second_reader_finds_in_a_fresh_file_what_was_written(tmp_path):
    weights = np.arange(300_000, dtype=np.float32)  # more than one chunk
    bundle = Bundle("detectnet", {"arch": "x"}, ("cat", "犬"), Preprocessing((64, 96)), {"w": weights}, spec="seed: 1")
    write_bundle(tmp_path / "m.tlt", bundle, key=Key("鍵 with spaces"))
    write_etlt(tmp_path / "m.etlt", Etlt(b"onnx", "input_1", {"task": "ssd"}), key=Key("k"), cost=CHEAP)
    write_checkpoint(tmp_path / "c", {}, {"epoch": 3}, key=Key("k"), cost=CHEAP)

    kind, record, tensors = second.contents((tmp_path / "m.tlt").read_bytes(), "鍵 with spaces".encode())

    assert (kind, record["task"], record["classes"], record["spec"]) == (
        "bundle",
        "detectnet",
        ["cat", "犬"],
        "seed: 1",
    )
    assert tensors.endswith(weights.tobytes())
    assert second.contents((tmp_path / "m.etlt").read_bytes(), b"k") == ("etlt", {"task": "ssd"}, b"onnx")
    assert second.contents((tmp_path / "c").read_bytes(), b"k")[:2] == ("checkpoint", {"epoch": 3})


def test_it_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, str(READER), str(VECTORS / "v1.etlt"), "tlt_encode"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "ok etlt record ['classes', 'task'], 26 bytes behind it\n")


def changed(good: bytes, count: int, begin: int) -> Iterator[bytes]:
    """Changed copies of a file whose container begins at `begin`: bits, cuts, additions, and headers whose checksums
    were made to fit again."""
    rng = random.Random(17)
    (length,) = struct.unpack_from("<I", good, begin + 12)
    for number in range(count):
        data = bytearray(good)
        way = number % 4
        if way == 0:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif way == 1:
            del data[rng.randrange(len(data)) :]
        elif way == 2:
            at = rng.randrange(len(data) + 1)
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
        else:
            at = begin + 20 + rng.randrange(length)
            data[at] = rng.choice(b'0123456789{}[]",:ax')
            front = begin + 52 + length
            data[begin + 16 : begin + 20] = struct.pack("<I", zlib.crc32(data[begin : begin + 16]))
            data[front : front + 32] = hashlib.sha256(data[begin:front]).digest()
        yield bytes(data)


@pytest.mark.parametrize(("name", "begin"), [("v1.tlt", 0), ("v1.etlt", 11), ("v1.checkpoint", 0)])
def test_both_readers_agree_on_changed_files(name, begin, tmp_path):
    path, seen = tmp_path / "f", set()

    for data in changed((VECTORS / name).read_bytes(), 800, begin):
        path.write_bytes(data)
        outcome = ours(path, "tlt_encode")
        assert theirs(data, "tlt_encode") == outcome, data
        seen.add(outcome)

    assert seen >= {"truncated", "damaged", "wrong key"}
