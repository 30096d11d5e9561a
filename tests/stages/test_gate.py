"""The gate of an export: scores beside the trained model, a limit, layers that go back to float, and what is left."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts.etlt import read_etlt
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.engines import onnx_graph
from taolite.quant.cache import parse_cache
from taolite.stages.evaluate import evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.validation import open_validation
from taolite.tasks.registry import find

from .conftest import write_spec
from .fitted import write_fitted

KEY = "tlt_encode"
BLOCKS = ("relu", "relu_2", "relu_4", "relu_6")  # tensors that two convolutions of a block read

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def spec(tiny: Path) -> Path:
    return write_spec(tiny, "gated.txt")


@pytest.fixture(scope="module")
def model(tiny: Path, spec: Path) -> Path:
    """A detector that finds every plate, in a folder like that of a run."""
    path = write_fitted(spec, tiny / "fitted/weights/plate.tlt", key=KEY)
    (tiny / "fitted/manifest.json").write_text('{"name": "plate", "exports": {"older.etlt": {}}}')
    return path


@pytest.fixture(scope="module")
def good(model: Path, spec: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a calibration with training images; `good.etlt` beside it is the export."""
    folder = tmp_path_factory.mktemp("good")
    code = export(
        model, folder / "good.etlt", folder / "cal.bin", "-e", spec, "--batches", 3, "--batch_size", 4, "--max-drop", 1
    )
    assert code == 0
    return folder / "cal.bin"


def export(model: Path, output: Path, cache: Path, *words: object, precision: str = "int8") -> int:
    given = ["detectnet", "export", "-m", model, "-o", output, "--data_type", precision, "-k", KEY]
    return main([*map(str, given), "--cal_cache_file", str(cache), *map(str, words)])


@pytest.fixture
def bad(good: Path, tmp_path: Path) -> Callable[..., Path]:
    """bad(factor, names): the good cache with these ranges, or all, times a factor."""

    def write(factor: float, names: Sequence[str] | None = None) -> Path:
        head, *rows = good.read_text().splitlines()
        changed = []
        for row in rows:
            name, digits = row.split(": ")
            (scale,) = struct.unpack(">f", bytes.fromhex(digits.zfill(8)))
            scale *= factor if names is None or name in names else 1
            changed.append(f"{name}: {struct.pack('>f', scale).hex()}")
        path = tmp_path / "bad.bin"
        path.write_text("\n".join([head, *changed]) + "\n")
        (tmp_path / "bad.bin.json").write_text(Path(f"{good}.json").read_text())
        return path

    return write


def test_an_export_that_is_good_tells_both_scores_and_keeps_them(model, spec, good, capsys):
    code = export(model, good.parent / "again.etlt", good, "-e", spec, "--gate-images", 3)

    said = capsys.readouterr().out.splitlines()
    assert code == 0
    (line,) = [row for row in said if row.startswith("mAP on")]
    runs_on = json.loads((good.parent / "again.etlt.gate.json").read_text())["runs_on"]
    assert line == (
        "mAP on 3 of 4 validation images of gated.txt: trained model (float32) 100.00 %, export (int8, "
        f"{runs_on}) 100.00 %: no drop"
    )
    assert said[-1] == f"score and differences: {good.parent / 'again.etlt.gate.json'}"
    assert not any("to measure the cost in mAP" in row for row in said)

    etlt = read_etlt(good.parent / "again.etlt", key=Key(KEY))
    stored = etlt.meta["gate"]
    assert onnx_graph.describe(etlt.onnx)["gate"] == etlt.meta["lineage"][-1]["gate"] == stored
    assert (stored["metric"], stored["trained"], stored["exported"], stored["drop"]) == ("mAP", 1.0, 1.0, 0.0)
    assert (stored["images"], stored["of"], stored["source"], stored["passed"]) == (3, 4, "gated.txt", True)
    exports = json.loads((model.parents[1] / "manifest.json").read_text())["exports"]
    assert exports["older.etlt"] == {}
    assert exports["again.etlt"] == {
        **stored,
        "precision": "int8",
        "onnx_sha256": onnx_graph.sha256(etlt.onnx),
    }

    assert main(["show", str(good.parent / "again.etlt"), "-k", KEY]) == 0
    assert (
        "  scored      mAP 100.00 %, the trained model 100.00 % (3 validation images of gated.txt)"
        in capsys.readouterr().out.splitlines()
    )


def test_the_scores_and_differences_are_those_of_evaluate_and_of_the_outputs(model, spec, good):
    record = json.loads((good.parent / "good.etlt.gate.json").read_text())

    for name, path in (("trained", model), ("exported", good.parent / "good.etlt")):
        with open_model(path, key=Key(KEY)) as opened:
            card = evaluate(find("detectnet").read(spec).model, opened).card
        assert record[name] == card.main.value
    examples = find("detectnet").read(spec).model.examples("val")
    pixels = np.stack(
        [np.moveaxis(examples.preprocessing.normalise(examples.example(i).pixels), -1, 0) for i in range(4)]
    )
    outputs = []
    for path in (model, good.parent / "good.etlt"):
        with open_model(path, key=Key(KEY)) as opened:
            outputs.append(opened.predict(pixels))
    for name, one, other in zip(("output_cov/Sigmoid", "output_bbox/BiasAdd"), *outputs, strict=True):
        apart = np.abs(one - other)
        assert record["differences"][name]["largest"] == pytest.approx(apart.max(), rel=1e-3)
        assert record["differences"][name]["mean"] == pytest.approx(apart.mean(), rel=1e-3)
        assert record["differences"][name]["size"] == pytest.approx(np.abs(one).max(), rel=1e-3)


def test_a_black_calibration_set_is_told_without_a_limit_and_fails_with_one(model, spec, tmp_path, capsys):
    black, cache, output = tmp_path / "black", tmp_path / "cal.bin", tmp_path / "m.etlt"
    black.mkdir()
    for number in range(4):
        Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(black / f"{number}.png")
    words = ("-e", spec, "--cal_image_dir", black, "--batches", 1, "--batch_size", 4)

    assert export(model, output, cache, *words) == 0

    told = capsys.readouterr().out
    record = json.loads(Path(f"{output}.gate.json").read_text())
    drop, score = record["drop"], 100 * record["exported"]
    assert drop > 20
    assert f" {score:.2f} %: {drop:.2f} points less\n" in told
    earlier = output.read_bytes()

    assert export(model, output, cache, *words, "--max-drop", 1, "--force") == 1

    (message,) = [row for row in capsys.readouterr().err.splitlines() if row.startswith("error")]
    kept = tmp_path / "m.rejected.etlt"
    factor = 127 / max(abs(_inputs(spec)).max(), 1e-9)  # a range of 0 counts as 127
    assert message == (
        f"error: the int8 export loses {drop:.2f} points of mAP, from 100.00 % to {score:.2f} % on 4 validation images "
        f"of gated.txt, and --max-drop allows 1. The calibration does not fit these images: their values are "
        f"1/{factor:.3g} of its ranges. It is kept as {kept}. Calibrate on other images (remove {cache} first), try "
        "--int8-calibrator entropy, or train with enable_qat"
    )
    assert output.read_bytes() == earlier  # what was there before stays
    assert json.loads(Path(f"{kept}.gate.json").read_text())["passed"] is False
    assert main(["show", str(kept), "-k", KEY]) == 0
    assert "; rejected by --max-drop 1\n" in capsys.readouterr().out


def _inputs(spec: Path) -> np.ndarray:
    examples = find("detectnet").read(spec).model.examples("val")
    return examples.preprocessing.normalise(np.stack([examples.example(index).pixels for index in range(4)]))


def test_nothing_appears_under_the_final_name_where_ranges_are_a_hundred_times_too_large(
    model, spec, bad, tmp_path, capsys
):
    output = tmp_path / "m.onnx"

    assert export(model, output, bad(100), "-e", spec, "--max-drop", 0.5, "--gen_ds_config") == 1

    assert "their values are 1/" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bad.bin",
        "bad.bin.json",
        "m.rejected.onnx",
        "m.rejected.onnx.gate.json",
    ]


def test_the_costliest_layers_go_back_to_float_until_the_drop_is_allowed(model, spec, bad, tmp_path, capsys):
    output, cache = tmp_path / "m.etlt", bad(1000, BLOCKS[:1])

    assert export(model, output, cache, "-e", spec, "--max-drop", 1) == 0

    said = capsys.readouterr()
    told = [row for row in said.err.splitlines() if row.startswith("int8 with")]
    layers = [row.split()[2] for row in told]
    assert sorted(layers) == ["block_1a_conv_1", "block_1a_conv_shortcut"]  # the two that read it
    assert told[-1] == f"int8 with {layers[1]} in float: the drop is 0.00 points, 1 allowed"
    record = json.loads(Path(f"{output}.gate.json").read_text())
    assert (record["floats"], record["drop"], record["passed"]) == (layers, 0.0, True)
    assert f"in float to stay within --max-drop (the drop was {record['drop_before']:.2f} points): " in said.out
    etlt = read_etlt(output, key=Key(KEY))
    assert etlt.meta["calibration"]["excluded"][-2:] == layers
    assert "int8" in onnx_graph.element_types(etlt.onnx)

    by_hand = tmp_path / "by_hand.etlt"
    assert export(model, by_hand, cache, "-e", spec, "--int8-float-layers", *layers, "--max-drop", 1) == 0
    same = json.loads(Path(f"{by_hand}.gate.json").read_text())
    assert {name: same["differences"][name] for name in same["differences"]} == record["differences"]


def test_where_half_of_the_layers_are_not_enough_the_export_fails(model, spec, bad, tmp_path, capsys):
    output = tmp_path / "m.etlt"

    assert export(model, output, bad(1000, BLOCKS), "-e", spec, "--max-drop", 1) == 1

    err = capsys.readouterr().err.splitlines()
    tried = [row.split()[2] for row in err if row.startswith("int8 with")]
    assert len(tried) == 6  # of 13 layers, without the heads
    record = json.loads((tmp_path / "m.rejected.etlt.gate.json").read_text())
    assert err[-1] == (
        f"error: the int8 export loses {record['drop']:.2f} points of mAP, from 100.00 % to "
        f"{100 * record['exported']:.2f} % on 4 validation images of gated.txt, and --max-drop allows 1, with "
        f"{', '.join(tried)} in float already ({record['drop_before']:.2f} without). It is kept as "
        f"{tmp_path / 'm.rejected.etlt'}. Calibrate on other images (remove {tmp_path / 'bad.bin'} first), try "
        "--int8-calibrator entropy, or train with enable_qat"
    )


def test_the_names_of_the_bad_tensors_are_those_of_the_cache(good):
    assert set(BLOCKS) <= set(parse_cache(good.read_text()).ranges)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_without_data_the_gate_is_skipped_and_a_limit_is_refused(model, tmp_path, precision, capsys):
    lines = {"fp32": [], "fp16": ["no spec (-e) names validation images"]}[precision]

    assert export(model, tmp_path / "m.onnx", tmp_path / "c", precision=precision) == 0

    begins = "the export is not scored beside the trained model: "
    said = [row for row in capsys.readouterr().err.splitlines() if row.startswith(begins)]
    assert said == [f"{begins}{line}" for line in lines]
    assert not (tmp_path / "m.onnx.gate.json").exists()

    assert export(model, tmp_path / "n.onnx", tmp_path / "c", "--max-drop", 1, precision=precision) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: --max-drop 1: the export cannot be scored: no spec (-e) names validation images; give the training "
        "spec with -e, or leave --max-drop out"
    ]
    assert not (tmp_path / "n.onnx").exists()


def test_a_spec_whose_images_are_gone_skips_the_gate_in_one_line(model, spec, tmp_path, capsys):
    moved = tmp_path / "moved.txt"
    moved.write_text(spec.read_text().replace("/kitti", "/gone"))

    assert export(model, tmp_path / "m.onnx", tmp_path / "c", "-e", moved, precision="fp16") == 0

    (line,) = [row for row in capsys.readouterr().err.splitlines() if "not scored" in row]
    assert line == (
        f"the export is not scored beside the trained model: {spec.parent / 'gone'}: this image folder is missing "
        f"(image_directory_path: {str(spec.parent / 'gone')!r})"
    )


def test_a_drop_needs_images(model, spec, tmp_path, capsys):
    assert export(model, tmp_path / "m.onnx", tmp_path / "c", "-e", spec, "--max-drop", 1, "--gate-images", 0) == 1

    assert capsys.readouterr().err == (
        "error: --gate-images 0 with --max-drop: a drop is measured on images; leave out one of them\n"
    )


def test_of_many_pictures_some_are_taken_at_even_distances(spec):
    experiment = find("detectnet").read(spec).model

    whole, part = (open_validation(experiment, most=most) for most in (4, 2))

    assert (len(whole), whole.of, len(part), part.of) == (4, 4, 2, 4)
    names = [sample.image.name for sample in whole.examples.samples]
    assert [sample.image.name for sample in part.examples.samples] == [names[0], names[2]]
