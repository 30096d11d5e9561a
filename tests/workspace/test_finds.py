"""finds.json: its bytes by hand, and files that are none."""

from __future__ import annotations

import pytest

from taolite.errors import PathError
from taolite.workspace.finds import Finds, Looked, Thing, read_finds, write_finds

BOX = (1.04, 2.06, 30.0, 40.5)
FINDS = Finds(
    ("cat", "dog"),
    7,
    (Looked("/data/1.png", (64, 96), (Thing(0, BOX, difficult=True),), (Thing(1, BOX, 0.98765), Thing(0, None, 1.5))),),
)
TEXT = (
    '{"version":1,"classes":["cat","dog"],"of":7,"floor":0.01,"pictures":[{"image":"/data/1.png","size_hw":[64,96],'
    '"truth":[[0,[1.0,2.1,30.0,40.5],1]],"finds":[[1,0.9877,[1.0,2.1,30.0,40.5]],[0,1.5,null]]}]}\n'
)


def test_the_file_is_compact_and_is_read_back(tmp_path):
    path = tmp_path / "finds.json"

    write_finds(path, FINDS)

    assert path.read_text() == TEXT
    box = (1.0, 2.1, 30.0, 40.5)
    (looked,) = read_finds(path).pictures
    assert looked.truth == (Thing(0, box, difficult=True),)
    assert looked.finds == (Thing(1, box, 0.9877), Thing(0, None, 1.5))
    assert (read_finds(path).classes, read_finds(path).of) == (("cat", "dog"), 7)


def test_a_name_that_is_not_unicode_is_kept(tmp_path):
    name = "/data/\udcff.png"  # as Python has the byte ff of a file name

    write_finds(tmp_path / "finds.json", Finds((), 1, (Looked(name, (1, 1), (), ()),)))

    assert read_finds(tmp_path / "finds.json").pictures[0].image == name


@pytest.mark.parametrize(
    ("was", "now", "reason"),
    [
        ('"version":1', '"version":2', "version 2 is not known here"),
        ('"of":7,', "", "`of` is missing"),
        ("[1,0.9877", "[2,0.9877", "2 is not the place of one of 2 classes"),
        ("0.9877", "NaN", "nan is not a number"),
        ("0.9877", '"1"', "'1' is not a number"),
        ("[64,96]", "[0,96]", "a picture has the size [0, 96]"),
        ('"/data/1.png"', "5", "5 is not a text"),
        ('"version":1,', "", "`version` is missing"),
    ],
)
def test_a_file_that_is_not_one_is_refused_with_the_reason(tmp_path, was, now, reason):
    path = tmp_path / "finds.json"
    path.write_text(TEXT.replace(was, now, 1))

    with pytest.raises(PathError) as caught:
        read_finds(path)

    way_out = "run evaluate again to write it anew"
    assert str(caught.value) == f"{path}: not the finds of a validation ({reason}); {way_out}"


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(PathError) as caught:
        read_finds(tmp_path / "finds.json")

    assert str(caught.value) == f"{tmp_path / 'finds.json'}: no such file"
