"""`--set` on a training: the run is that of a spec with the value in it. Classification is in cli/tao."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taolite.cli.main import main

from . import conftest, voc_set

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def weights_of(task: str, spec: Path, results: Path, *more: str) -> str:
    words = ["-e", str(spec), "-r", str(results), "-k", "tlt_encode", "--precision", "fp32", *more]
    assert main([task, "train", *words]) == 0
    return str(json.loads((results / "manifest.json").read_text())["weights_sha256"])


def test_a_detector_trains_with_the_values_of_set(tiny: Path, tmp_path: Path):
    long, short = (conftest.write_spec(tiny, f"set-{epochs}.txt", epochs=epochs) for epochs in (3, 1))

    found = weights_of("detectnet", long, tmp_path / "set", "--set", "training_config.num_epochs=1")

    assert found == weights_of("detectnet", short, tmp_path / "written")


def test_an_ssd_trains_with_the_values_of_set(tmp_path: Path):
    voc_set.draw_set(tmp_path)
    long, short = (voc_set.write_spec(tmp_path, f"{epochs}.txt", epochs=epochs) for epochs in (3, 1))

    found = weights_of("ssd", long, tmp_path / "set", "--set", "jetson_config.num_epochs=1")

    assert found == weights_of("ssd", short, tmp_path / "written")
