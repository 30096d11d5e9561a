"""`.etlt`: TAO's outer layout, our sealed payload, and every byte of the front accounted for."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest

from taolite.artifacts import Etlt, KdfCost, Key, read_etlt, read_model, write_etlt
from taolite.errors import ArtifactError, DamagedError, ForeignError, TruncatedError, UsageError, WrongKeyError

KEY = Key("tlt_encode")
CHEAP = KdfCost(memory_kib=64, iterations=1, lanes=1)
GIVEN = Etlt(onnx=bytes(range(256)) * 8, input_name="input_1", meta={"classes": ["cat", "犬"]})


@pytest.fixture
def path(tmp_path):
    write_etlt(tmp_path / "m.etlt", GIVEN, key=KEY, cost=CHEAP)
    return tmp_path / "m.etlt"


def test_what_was_sealed_comes_back_by_either_door(path):
    assert read_etlt(path, key=KEY) == GIVEN
    assert read_model(path, key=KEY) == GIVEN


def test_the_front_is_laid_out_as_tao_readers_walk_it(path):
    data = path.read_bytes()

    (length,) = struct.unpack("<i", data[:4])

    assert (length, data[4 : 4 + length]) == (7, b"input_1")
    assert GIVEN.onnx[:64] not in data


def test_the_model_does_not_show_in_repr():
    assert repr(GIVEN) == "Etlt(input_name='input_1', meta={'classes': ['cat', '犬']})"


def test_every_changed_byte_up_to_the_payload_is_damage(path):
    data = path.read_bytes()

    for position in range(4 + 7 + 20):
        for flip in (0x01, 0x0F, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            with pytest.raises(DamagedError):
                read_etlt(path, key=KEY)


def test_every_changed_byte_of_the_payload_is_damage(path):
    data = path.read_bytes()

    for position in range(31, len(data), 13):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            read_etlt(path, key=KEY)


def test_wherever_it_ends_early_it_is_truncated(path):
    data = path.read_bytes()

    for cut in [*range(400), len(data) - 1]:
        path.write_bytes(data[:cut])
        with pytest.raises(TruncatedError):
            read_etlt(path, key=KEY)


def test_a_changed_file_is_one_of_our_errors(path, mutations):
    for changed in mutations(path.read_bytes(), 500):
        path.write_bytes(changed)
        with suppress(ArtifactError):
            assert read_model(path, key=KEY) == GIVEN


def test_another_key_and_no_key_are_told(path):
    with pytest.raises(WrongKeyError):
        read_etlt(path, key=Key("nvidia_tlt"))
    with pytest.raises(UsageError):
        read_etlt(path, key=None)


def test_a_sealed_payload_behind_another_name_is_damage(path):
    data = path.read_bytes()
    path.write_bytes(struct.pack("<i", 5) + b"image" + data[11:])

    with pytest.raises(DamagedError) as caught:
        read_etlt(path, key=KEY)

    assert str(caught.value) == f"{path}: its header was changed after it was written; restore the file from a backup"


@pytest.mark.parametrize("name", ["", "with space", "x" * 256])
def test_a_name_that_cannot_stand_in_the_front_is_our_bug(tmp_path, name):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (compared whole below)
        write_etlt(tmp_path / "m", Etlt(onnx=b"", input_name=name), key=KEY, cost=CHEAP)

    assert str(caught.value) == f"input name {name!r} cannot stand in an .etlt"


def test_plain_onnx_needs_no_key(tmp_path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["x2"])
    out = onnx.helper.make_tensor_value_info("x2", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out]))
    data = model.SerializeToString()
    (tmp_path / "m.etlt").write_bytes(data)

    assert read_model(tmp_path / "m.etlt") == Etlt(onnx=data, input_name="", meta={})
    with pytest.raises(ForeignError) as caught:
        read_etlt(tmp_path / "m.etlt", key=KEY)

    assert str(caught.value) == (
        f"{tmp_path}/m.etlt: this is an ONNX model, and an exported model (.etlt) is needed; "
        "an exported model cannot be trained further; engines and inference take it as it is"
    )
