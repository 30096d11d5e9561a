"""Pictures that cannot be decoded are found before training, and good ones are not decoded twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.data import decodable
from taolite.data.decodable import listed, undecodable, without
from taolite.data.examples import Examples, Source
from taolite.preprocessing import Preprocessing
from taolite.sample import Sample


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "taolite"


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Five JPEGs; the third is cut short by 20 bytes, the fifth is a web page."""
    paths = [tmp_path / f"{index}.jpg" for index in range(5)]
    for index, path in enumerate(paths):
        pixels = np.random.default_rng(index).integers(0, 256, (30, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:-20])
    paths[4].write_text("<html>")
    return paths


def examples_of(paths: list[Path]) -> Examples:
    samples = [Sample(path, (30, 40)) for path in paths]
    return Examples(
        [Source(samples[:3]), Source(samples[3:])], lambda name: None, Preprocessing((8, 8)), lambda t, w: {}
    )


def test_every_broken_picture_is_found_at_once_and_can_be_left_out(cache: Path, paths: list[Path]):
    broken = undecodable(examples_of(paths))

    assert list(broken) == [paths[2], paths[4]]
    assert all(str(path) in why for path, why in broken.items())
    kept = without(examples_of(paths), broken)
    assert [sample.image for sample in kept.samples] == [paths[0], paths[1], paths[3]]


def test_a_good_picture_is_decoded_again_only_once_it_has_changed(
    cache: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
):
    undecodable(examples_of(paths))
    looked_at: list[Path] = []
    read = decodable.read_rgb
    monkeypatch.setattr(decodable, "read_rgb", lambda path: (looked_at.append(path), read(path)))

    undecodable(examples_of(paths))
    assert sorted(looked_at) == [paths[2], paths[4]]

    looked_at.clear()
    os.utime(paths[0], ns=(1, 1))
    undecodable(examples_of(paths))
    assert sorted(looked_at) == [paths[0], paths[2], paths[4]]


@pytest.mark.parametrize("content", ["[]", "{", '{"x": "y"}', '{"x": [1]}', "\x00", "[" * 100_000])
def test_a_damaged_cache_is_made_anew(cache: Path, paths: list[Path], content: str):
    undecodable(examples_of(paths))
    (kept,) = cache.glob("pictures-*.json")
    before = json.loads(kept.read_text())
    kept.write_text(content)

    assert list(undecodable(examples_of(paths))) == [paths[2], paths[4]]
    after = json.loads(kept.read_text())
    assert {name: after[name] for name in before} == before


def test_a_split_of_more_pictures_than_the_bound_is_not_decoded(cache: Path, paths: list[Path]):
    assert undecodable(examples_of(paths), most=4) == {}


def test_of_many_reasons_the_first_are_listed_and_the_rest_counted():
    assert listed({index: f"reason {index}" for index in range(4)}, shown=2) == ["reason 0", "reason 1", "and 2 more"]
