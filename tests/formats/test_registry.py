"""One row a format: adding one is its module and its row, and what nobody has is refused with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from taolite import formats
from taolite.cli.main import main
from taolite.errors import PathError, UsageError
from taolite.formats import registry
from taolite.formats.findings import Findings
from taolite.formats.layout import Named, Target, Writing, put
from taolite.formats.registry import Format
from taolite.sample import Label, Sample


def read_dots(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """A format of one file: `picture x y` a line, each a box of 10 pixels."""
    samples = []
    for line in (root / "all.dots").read_text().splitlines():
        name, x, y = line.split()
        box = (float(x), float(y), float(x) + 10, float(y) + 10)
        samples.append(Sample(root / name, (60, 80), (Label("dot", box),)))
    return samples


def write_dots(named: Named, target: Target) -> None:
    rows = [f"{name} {sample.labels[0].box[0]:g} {sample.labels[0].box[1]:g}\n" for name, sample in named]
    put(target.root / "all.dots", "".join(rows))


@pytest.fixture
def dots(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Format(
        "dots", (".dots",), lambda path: True, read_dots, lambda root: ("all",), Writing(write_dots, pictures="")
    )
    monkeypatch.setitem(registry.ROWS, "dots", row)


def test_a_format_is_added_by_its_row_and_every_command_knows_it(
    dots: None, tmp_path: Path, scene: list[Sample], capsys: pytest.CaptureFixture[str]
):
    house = Sample(scene[0].image, (60, 80), (Label("dot", (4, 5, 14, 15)),))
    formats.write([house], tmp_path / "set", "dots")

    assert (tmp_path / "set/all.dots").read_text() == "house.jpg 4 5\n"
    assert formats.detect(tmp_path / "set") == "dots"
    assert formats.read(tmp_path / "set")[0].labels == (Label("dot", (4, 5, 14, 15)),)
    assert main(["dataset", "convert", str(tmp_path / "set"), str(tmp_path / "kitti"), "--to", "kitti"]) == 0
    assert main(["dataset", "convert", str(tmp_path / "kitti"), str(tmp_path / "again"), "--to", "dots"]) == 0
    assert main(["dataset", "check", str(tmp_path / "again"), "--from", "dots"]) == 0
    assert (tmp_path / "again/all.dots").read_text() == "house.jpg 4 5\n"
    with pytest.raises(SystemExit):
        main(["dataset", "convert", "--help"])
    assert "dots" in capsys.readouterr().out


def test_an_unknown_format_comes_with_the_nearest_name(tmp_path: Path, scene: list[Sample]):
    with pytest.raises(UsageError) as caught:
        formats.read(tmp_path, "vco")
    assert str(caught.value) == (
        "no format is called `vco`; did you mean `voc`? formats: labelme, kitti, voc, coco, yolo, openimages, ccpd, "
        "folders"
    )
    with pytest.raises(UsageError) as caught:
        formats.write(scene, tmp_path / "out", "ccpd")
    assert str(caught.value) == (
        "format `ccpd` can be read and not written; formats to write: labelme, kitti, voc, coco, yolo"
    )


def test_the_command_line_names_the_nearest_format(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["dataset", "convert", "in", "out", "--to", "cocoo"])

    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("no format is called `cocoo`; did you mean `coco`? formats: labelme, kitti, voc, coco, yolo")


def test_a_folder_that_does_not_exist_is_told_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    for words in (["check", "none"], ["stats", "none"], ["convert", "none", "out", "--to", "voc"]):
        assert main(["dataset", *words]) == 1
        assert capsys.readouterr().err == "error: none: no such file or folder\n"
    with pytest.raises(PathError, match="none: no such file or folder"):
        formats.detect(Path("none"))
