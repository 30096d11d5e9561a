"""TAO's calibration tensorfile, looked at with h5py."""

from __future__ import annotations

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
    with pytest.raises(PathError, match="there is no such tensorfile"):
        tensorfile_shape(tmp_path / "missing")
