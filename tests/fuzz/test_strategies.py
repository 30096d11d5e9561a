"""Documents that Hypothesis invents: each is read, or refused in our words; and what is written comes back."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taolite.artifacts.container import KdfCost, seal, unseal
from taolite.artifacts.keys import Key
from taolite.errors import DamagedError, TaoliteError

from . import strategies
from .child import outcome
from .targets import TARGETS

twice = pytest.mark.parametrize("examples", [40, pytest.param(4000, marks=pytest.mark.slow)])
CHEAP = KdfCost(memory_kib=8, iterations=1, lanes=1)


def for_all(strategy: st.SearchStrategy[Any], examples: int, check: Callable[[Any], None]) -> None:
    """Run `check` for that many examples, the same ones every time."""
    settings(
        max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )(given(strategy)(check))()


def reads_or_refuses(folder: Path, target: str, strategy: st.SearchStrategy[bytes], examples: int) -> set[str]:
    """Read examples as the target does; how they ended."""
    reader, ends = TARGETS[target].make(folder), set[str]()

    def check(data: bytes) -> None:
        end, fault = outcome(reader, data)
        assert fault == "", data
        ends.add(end)

    for_all(strategy, examples, check)
    return ends


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@twice
def test_a_text_of_a_spec_s_fields_is_a_spec_or_all_its_problems(tmp_path: Path, examples: int):
    text = strategies.spec_text().map(str.encode)

    assert "SpecError" in reads_or_refuses(tmp_path, "spec", text, examples)


@twice
@pytest.mark.parametrize(
    ("format", "separator", "columns"), [("kitti", " ", 15), ("yolo", " ", 5), ("kitti", "\t", 16)]
)
def test_lines_of_labels_are_labels_or_findings(
    tmp_path: Path, format: str, separator: str, columns: int, examples: int
):
    text = strategies.labels_text(separator, columns).map(str.encode)

    assert len(reads_or_refuses(tmp_path, format, text, examples)) > 1


DOCUMENTS = {
    "labelme": ("shapes", "points", "label", "shape_type", "imagePath", "imageHeight", "imageWidth", "flags"),
    "coco": (
        "images",
        "annotations",
        "categories",
        "id",
        "image_id",
        "category_id",
        "bbox",
        "file_name",
        "segmentation",
    ),
    "mounts": ("Mounts", "Envs", "source", "destination", "variable", "value"),
    "sidecar": ("version", "engine_sha256", "batch", "classes", "gpus", "preprocessing", "meta", "backend"),
    "manifest": ("run", "task", "spec", "classes", "data_hash", "parent", "teacher", "metrics", "batch_size"),
    "classmap": ("cat", "dog"),
    "tensor scales": ("tensor_scales",),
    "int8 record": ("method", "weights_sha256"),
    "onnx metadata": ("version", "task", "classes", "preprocessing", "decoding", "precision"),
}


@twice
@pytest.mark.parametrize("target", DOCUMENTS)
def test_any_json_is_a_document_or_refused(tmp_path: Path, target: str, examples: int):
    assert reads_or_refuses(tmp_path, target, strategies.json_values(DOCUMENTS[target]).map(as_json), examples)


@twice
def test_what_is_sealed_comes_back_and_one_changed_bit_is_damage(examples: int):
    key, chunk = Key("k"), 1024

    def check(case: tuple[int, int, int]) -> None:
        size, place, bit = case
        payload, stream = bytes(range(256)) * (size // 256 + 1), io.BytesIO()
        seal(stream, payload[:size], kind="bundle", key=key, cost=CHEAP, chunk_size=chunk)
        data = bytearray(stream.getvalue())
        assert unseal(bytes(data), key=key, where="m.tlt")[1] == payload[:size]
        data[place % len(data)] ^= 1 << bit
        with pytest.raises(DamagedError):
            unseal(bytes(data), key=key, where="m.tlt")

    sizes = st.one_of(st.integers(0, 5000), st.sampled_from((1023, 1024, 1025, 2048)))
    for_all(st.tuples(sizes, st.integers(0, 10**6), st.integers(0, 7)), examples, check)


@twice
def test_records_come_back_as_they_were_written(tmp_path: Path, examples: int):
    from taolite.formats.tfrecord import Record, read_records, write_records
    from taolite.sample import Label

    def check(pictures: list[tuple[str, tuple[int, int], list[tuple[str, Any]]]]) -> None:
        written = [Record(name, hw, tuple(Label(kind, box) for kind, box in labels)) for name, hw, labels in pictures]
        write_records(tmp_path / "records", written)
        found = [(one.frame_id, one.size_hw, [(label.name, label.box) for label in one.labels])
                 for one in read_records(tmp_path / "records")]  # fmt: skip
        assert found == [(name, hw, [(kind, box) for kind, box in labels]) for name, hw, labels in pictures]

    for_all(strategies.records(), examples, check)


@twice
def test_a_tar_has_the_files_that_tarfile_lists(tmp_path: Path, examples: int):
    from taolite.formats.index_file import index_path
    from taolite.formats.tar_listing import list_tar

    path = tmp_path / "a.tar"

    def check(members: list[tuple[str, int]]) -> None:
        with tarfile.open(path, "w") as tar:
            for name, size in members:
                member = tarfile.TarInfo(name)
                member.size = size
                tar.addfile(member, io.BytesIO(bytes(size)))
        with tarfile.open(path) as tar:
            expected = [(one.name, one.offset_data, one.size) for one in tar]
        index_path(str(path)).unlink(missing_ok=True)
        found = list_tar(str(path))
        rows = zip(found.offsets_m.tolist(), found.sizes_m.tolist(), strict=True)
        assert [(found.names[at], *row) for at, row in enumerate(rows)] == expected

    for_all(strategies.tar_members(), examples, check)


def test_an_error_of_another_class_would_be_noticed(tmp_path: Path):
    from .target import Reader

    def reader(error: BaseException) -> Reader:
        def read(data: bytes) -> None:
            raise error

        return Reader(lambda rng: b"", read, (), where="m.tlt", secret="s3cret")

    assert outcome(reader(TaoliteError("m.tlt: no")), b"") == ("TaoliteError", "")
    assert outcome(reader(KeyError("x")), b"")[1].endswith("KeyError: 'x'\n")
    assert outcome(reader(TaoliteError("no")), b"")[1] == "the message does not say which file: no"
    assert outcome(reader(TaoliteError("m.tlt: s3cret")), b"")[1] == "the message holds the key"
    hidden = TaoliteError("m.tlt: no")
    hidden.__cause__ = MemoryError()
    assert outcome(reader(hidden), b"")[1].startswith("a size of the file was believed, and memory ran out:\n")
