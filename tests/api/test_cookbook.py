"""The code of docs/cookbook/python.md runs as it is printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from taolite.media.videos import VideoFile
from tests.stages.classes import draw_classes, write_spec

from .detector import picture, write_detector

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cookbook" / "python.md"


def test_the_page_runs(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TAOLITE_NETWORKS", str(shared_data / "pretrained"))
    write_detector(tmp_path / "detector.etlt", key="nvidia_tlt")
    Image.fromarray(picture()).save("street.jpg", quality=100, subsampling=0)
    with VideoFile(tmp_path / "film.avi", fps=10) as film:
        for _ in range(2):
            film.write(picture())
    shutil.copy(shared_data / "jetson_images" / "black_bear.jpg", "bear.jpg")
    draw_classes(tmp_path)
    write_spec(tmp_path, "spec.txt", epochs=2)
    names: dict[str, object] = {}

    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)

    said = capsys.readouterr().out
    assert len(blocks) == 5
    assert said.startswith("detectnet ('red', 'green') (64, 96)\nred ")
    assert "\n1 0.1 ['red', 'green']\n" in said
    assert "\nAmerican black bear\n<Result 800x656: American black bear 0.010, " in said
    assert Path("found.jpg").is_file()
    assert Path("run/weights/stripes.tlt").is_file()
