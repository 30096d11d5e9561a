"""The whole life of each arch but ResNet's, as a user types it: trained, pruned, retrained, exported, scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.nn.archs import ARCHS

from .conftest import write_spec

pytestmark = pytest.mark.slow

KEY = "tlt_encode"


def detectnet(*words: object) -> int:
    return main(["detectnet", *map(str, words), "-k", KEY])


def spec_of(tiny: Path, name: str, arch: str, model: str = "") -> Path:
    path = write_spec(tiny, name, epochs=2, model=model)
    depth = f"num_layers: {min(ARCHS[arch])}" if ARCHS[arch] else ""
    path.write_text(path.read_text().replace('arch: "resnet" num_layers: 10', f'arch: "{arch}" {depth}'))
    return path


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if arch != "resnet"])
def test_a_life_ends_with_an_export_that_costs_what_its_model_costs(
    arch: str, tiny: Path, capsys: pytest.CaptureFixture[str]
):
    first, second, pruned, export = (tiny / f"{arch}_{name}" for name in ("first", "second", "p.tlt", "e.onnx"))
    model = "weights/plate.tlt"

    spec = spec_of(tiny, f"{arch}.txt", arch)
    assert detectnet("train", "-e", spec, "-r", first, "-n", "plate", "--precision", "fp32") == 0
    assert detectnet("prune", "-m", first / model, "-o", pruned, "--target", "0.6") == 0
    spec = spec_of(tiny, f"{arch}_again.txt", arch, f'pretrained_model_file: "{pruned}" load_graph: true')
    assert detectnet("train", "-e", spec, "-r", second, "-n", "plate", "--precision", "fp32") == 0
    assert detectnet("export", "-m", second / model, "-o", export) == 0

    capsys.readouterr()
    reports = []
    for path in (second / model, export):
        assert detectnet("evaluate", "-e", spec, "-m", path, "--json") == 0
        reports.append(json.loads(capsys.readouterr().out))
    # export compared the two in float32; torch ran in the processor's own type here, after two epochs
    assert reports[0]["cost"] == pytest.approx(reports[1]["cost"], rel=0.1)
    small, large = (read_bundle(run / model, key=Key(KEY)) for run in (second, first))
    assert small.architecture["network"] == arch
    assert sum(v.size for v in small.tensors.values()) < 0.7 * sum(v.size for v in large.tensors.values())
