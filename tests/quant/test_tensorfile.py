"""TAO's calibration tensorfile, looked at with h5py."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from taolite.errors import DamagedError, DataError, PathError
from taolite.quant.tensorfile import read_tensorfile, tensorfile_shape, write_tensorfile


def batches(count: int = 3) -> list[np.ndarray]:
    return [np.random.default_rng(index).random((2, 3, 4, 5), dtype=np.float32) for index in range(count)]


def test_the_file_has_taos_groups_datasets_and_attributes(tmp_path):
    path = tmp_path / "new" / "calibration.tensor"

    assert write_tensorfile(path, iter(batches())) == 3

    with h5py.File(path) as file:
        assert (int(file.attrs["count"]), file.attrs["shape"].tolist()) == (3, [2, 3, 4, 5])
        assert set(file) == {f"_tensorfile_array_key__{index}" for index in range(3)}
        dataset = file["_tensorfile_array_key__1"]["_tensorfile_array_key_"]
        assert (dataset.dtype, dataset.compression) == (np.float32, "gzip")
        np.testing.assert_array_equal(dataset[()], batches()[1])
    assert [entry.name for entry in path.parent.iterdir()] == ["calibration.tensor"]


def test_what_was_written_is_read_back_batch_by_batch(tmp_path):
    write_tensorfile(tmp_path / "t", batches())

    assert tensorfile_shape(tmp_path / "t") == (3, (2, 3, 4, 5))
    np.testing.assert_array_equal(list(read_tensorfile(tmp_path / "t")), batches())
    assert len(list(read_tensorfile(tmp_path / "t", batches=2))) == 2


def test_an_older_file_is_kept(tmp_path):
    path = tmp_path / "t"
    path.write_text("older")

    with pytest.raises(PathError) as caught:
        write_tensorfile(path, batches())

    assert str(caught.value) == (
        f"A previously generated tensorfile already exists in the output path. {path}: remove it, or choose another"
    )
    assert path.read_text() == "older"


def test_batches_of_different_shapes_leave_no_file(tmp_path):
    with pytest.raises(DataError) as caught:
        write_tensorfile(tmp_path / "t", [*batches(1), np.zeros((1, 3, 4, 5), np.float32)])
    with pytest.raises(DataError, match="there are no batches to write"):
        write_tensorfile(tmp_path / "t", [])

    assert str(caught.value) == f"{tmp_path / 't'}: batch 1 is (1, 3, 4, 5), and the ones before are (2, 3, 4, 5)"
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_tensorfile_is_told(tmp_path):
    junk, other = tmp_path / "junk", tmp_path / "other.h5"
    junk.write_bytes(b"no HDF5")
    with h5py.File(other, "w") as file:
        file["x"] = 1

    for path in (junk, other):
        with pytest.raises(DamagedError) as caught:
            tensorfile_shape(path)
        assert str(caught.value).startswith(f"{path}: not a whole calibration tensorfile; write it again with ")
    with pytest.raises(PathError, match="missing: no such file; "):
        tensorfile_shape(tmp_path / "missing")


KEY = "_tensorfile_array_key_"


def foreign(path: Path) -> str:
    return f"{path}: not a whole calibration tensorfile; write it again with `detectnet_v2 calibration_tensorfile`"


def test_a_batch_that_claims_terabytes_is_refused_before_memory_is_taken(tmp_path: Path):
    path = tmp_path / "huge.tensor"
    shape = (1, 1, 1 << 14, 1 << 14)  # a GB of nothing: no chunk of it is stored
    with h5py.File(path, "w") as file:
        file.create_group(f"{KEY}_0").create_dataset(KEY, shape=shape, dtype="f4", chunks=(1, 1, 64, 64))
        file.attrs["count"], file.attrs["shape"] = 1, shape

    with pytest.raises(DamagedError) as caught:
        list(read_tensorfile(path))

    assert str(caught.value) == foreign(path)
    assert path.stat().st_size < 10_000


@pytest.mark.parametrize(
    ("count", "shape"),
    [(-1, (1, 3, 2, 2)), (1, (1, 3, 2)), (1, (0, 3, 2, 2)), (1, (1 << 20,) * 4), ("many", (1, 3, 2, 2)), (1, "wide")],
)
def test_numbers_that_cannot_be_are_refused(tmp_path: Path, count: object, shape: object):
    path = tmp_path / "odd.tensor"
    with h5py.File(path, "w") as file:
        file.attrs["count"], file.attrs["shape"] = count, shape

    with pytest.raises(DamagedError) as caught:
        tensorfile_shape(path)

    assert str(caught.value) == foreign(path)


@pytest.mark.parametrize("way", ["link", "soft link", "external", "virtual"])
def test_values_of_another_file_are_not_read(tmp_path: Path, way: str):
    path, other = tmp_path / "linked.tensor", tmp_path / "other.tensor"
    shape = (1, 1, 2, 2)
    write_tensorfile(other, [np.ones(shape, np.float32)])
    with h5py.File(path, "w") as file:
        group = file.create_group(f"{KEY}_0")
        if way == "link":
            group[KEY] = h5py.ExternalLink(str(other), f"/{KEY}_0/{KEY}")
        elif way == "soft link":
            group[KEY] = h5py.SoftLink("/elsewhere")
        elif way == "external":
            group.create_dataset(KEY, shape=shape, dtype="f4", external=[("/etc/passwd", 0, 16)])
        else:
            layout = h5py.VirtualLayout(shape=shape, dtype="f4")
            layout[...] = h5py.VirtualSource(str(other), f"/{KEY}_0/{KEY}", shape=shape)
            group.create_virtual_dataset(KEY, layout)
        file.attrs["count"], file.attrs["shape"] = 1, shape

    with pytest.raises(DamagedError) as caught:
        list(read_tensorfile(path))

    assert str(caught.value) == foreign(path)


def test_a_mutated_tensorfile_is_whole_or_damaged_and_nothing_else(tmp_path: Path):
    path, mutated = tmp_path / "whole.tensor", tmp_path / "mutated.tensor"
    write_tensorfile(path, [np.random.default_rng(0).random((2, 3, 8, 8), np.float32) for _ in range(2)])
    whole = path.read_bytes()
    rng = np.random.default_rng(1)

    for _ in range(300):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for place in rng.integers(max(len(data), 1), size=rng.integers(1, 6)):
            data[place : place + 1] = bytes([rng.integers(256)])
        mutated.write_bytes(data)
        try:
            batches = list(read_tensorfile(mutated))
        except DamagedError:
            continue
        assert all(batch.shape == (2, 3, 8, 8) for batch in batches)
