"""Another key for a sealed file: the same content, all at once or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from taolite.artifacts import KdfCost, Key, read_bundle, read_checkpoint, read_etlt, weights_hash
from taolite.artifacts.container import unseal
from taolite.artifacts.rekey import reseal
from taolite.cli.main import main
from taolite.errors import DamagedError, ForeignError, WrongKeyError

VECTORS = Path(__file__).parents[1] / "vectors"
OLD, NEW, CHEAP = Key("tlt_encode"), Key("another key"), KdfCost(memory_kib=64, iterations=1)


@pytest.fixture
def copied(tmp_path):
    """copied(name): that vector, in a folder of its own."""

    def copy(name: str) -> Path:
        return Path(shutil.copy(VECTORS / name, tmp_path / name))

    return copy


def test_a_model_opens_with_the_new_key_alone_and_has_the_same_content(copied):
    path = copied("v1.tlt")
    before = read_bundle(path, key=OLD)

    assert reseal(path, old=OLD, new=NEW, cost=CHEAP) == path

    after = read_bundle(path, key=NEW)
    assert weights_hash(after.tensors) == weights_hash(before.tensors)
    assert (after.spec, after.lineage, after.classes) == (before.spec, before.lineage, before.classes)
    with pytest.raises(WrongKeyError):
        read_bundle(path, key=OLD)


def test_what_can_be_read_without_a_key_and_the_payload_stay_byte_by_byte(copied):
    path = copied("v1.tlt")
    header, payload = unseal(path.read_bytes(), key=OLD, where="old")

    reseal(path, old=OLD, new=NEW, cost=CHEAP)

    header_now, payload_now = unseal(path.read_bytes(), key=NEW, where="new")
    assert payload_now == payload
    assert (header_now.kind, header_now.public, header_now.chunk_size) == (
        header.kind,
        header.public,
        header.chunk_size,
    )
    assert header_now.salt != header.salt


def test_an_export_keeps_its_outer_name_and_a_checkpoint_its_state(copied):
    export, checkpoint = copied("v1.etlt"), copied("v1.checkpoint")

    for path in (export, checkpoint):
        reseal(path, old=OLD, new=NEW, cost=CHEAP)

    assert export.read_bytes()[:13] == b"\x07\0\0\0input_1" + b"\x89T"
    assert read_etlt(export, key=NEW).onnx == b"not a real ONNX, but bytes"
    assert read_checkpoint(checkpoint, key=NEW).state == {"epoch": 3, "step": 120, "best": float("inf")}


def test_a_wrong_old_key_changes_nothing(copied):
    path = copied("v1.tlt")

    with pytest.raises(WrongKeyError):
        reseal(path, old=NEW, new=OLD, cost=CHEAP)

    assert path.read_bytes() == (VECTORS / "v1.tlt").read_bytes()
    assert [one.name for one in path.parent.iterdir()] == ["v1.tlt"]


def test_a_damaged_file_changes_nothing(copied):
    path = copied("v1.tlt")
    damaged = path.read_bytes()[:-1] + b"\0"
    path.write_bytes(damaged)

    with pytest.raises(DamagedError):
        reseal(path, old=OLD, new=NEW, cost=CHEAP)

    assert path.read_bytes() == damaged


def test_another_output_leaves_the_file_as_it_is_and_a_link_stays_a_link(copied, tmp_path):
    path, link = copied("v1.tlt"), tmp_path / "link.tlt"
    link.symlink_to(path)

    reseal(path, old=OLD, new=NEW, output=tmp_path / "new" / "m.tlt", cost=CHEAP)
    assert read_bundle(path, key=OLD).task == read_bundle(tmp_path / "new" / "m.tlt", key=NEW).task

    reseal(link, old=OLD, new=NEW, cost=CHEAP)
    assert link.is_symlink()
    assert read_bundle(path, key=NEW).task == "detectnet"


def test_the_permissions_stay(copied):
    path = copied("v1.tlt")
    path.chmod(0o600)

    reseal(path, old=OLD, new=NEW, cost=CHEAP)

    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_not_sealed_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))

    with pytest.raises(ForeignError) as caught:
        reseal(path, old=OLD, new=NEW)

    assert str(caught.value).startswith(
        f"{path}: this is an HDF5 file, and a sealed file (.tlt, .etlt or checkpoint) is needed; "
    )


def test_one_file_with_another_old_key_and_none_of_them_is_changed(copied, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TAOLITE_KEY", raising=False)
    one, two = copied("v1.tlt"), copied("v1.etlt")
    reseal(two, old=OLD, new=NEW, cost=CHEAP)
    before = one.read_bytes(), two.read_bytes()

    assert main(["rekey", str(one), str(two), "-k", "tlt_encode", "--new", "x"]) == 1

    assert (one.read_bytes(), two.read_bytes()) == before
    assert capsys.readouterr().err == (
        f"error: {two}: the file is intact, but this is not the key it was sealed with; check -k\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--new", "x"], "the old key is needed; give -k KEY, -k @FILE, or set TAOLITE_KEY"),
        (["--old", "tlt_encode"], "the new key is needed; give --new KEY or --new @FILE"),
    ],
)
def test_a_missing_key_is_named(words, said, copied, capsys, monkeypatch):
    monkeypatch.delenv("TAOLITE_KEY", raising=False)
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115  (no terminal)

    assert main(["rekey", str(copied("v1.tlt")), *words]) == 1

    assert capsys.readouterr().err == f"error: {said}\n"


def test_the_command_says_what_it_did(copied, tmp_path, capsys):
    path, key = copied("v1.tlt"), tmp_path / "new.key"
    assert main(["key", "new", str(key)]) == 0
    capsys.readouterr()

    assert main(["rekey", str(path), "--old=tlt_encode", f"--new=@{key}"]) == 0

    seen = capsys.readouterr()
    assert (seen.out, seen.err) == (f"{path}: sealed with the new key\n", "")
    assert read_bundle(path, key=Key(key.read_text().strip())).task == "detectnet"
