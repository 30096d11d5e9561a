"""A whole life without a network: nothing is looked up, and the home folder holds what is taolite's alone."""

from __future__ import annotations

from pathlib import Path

from .conftest import write_spec

LIFE = """
from pathlib import Path
from taolite.cli.main import main
from taolite.engines import runtimes

root, place = Path({root!r}), Path({place!r})

def run(*words):
    words = [str(word) for word in words]
    assert main([*words, "-k", "key"]) == 0, words

def detectnet(*words):
    run("detectnet", *words)

model, spec = place / "run/weights/plate.tlt", place / "train.txt"
detectnet("train", "-e", spec, "-r", place / "run", "-n", "plate", "--precision", "fp32")
detectnet("evaluate", "-e", spec, "-m", model)
detectnet("prune", "-m", model, "-o", place / "pruned.tlt", "--target", "0.5")
detectnet("train", "-e", place / "retrain.txt", "-r", place / "again", "-n", "plate", "--precision", "fp32")
model = place / "again/weights/plate.tlt"
detectnet("export", "-m", model, "-o", place / "plate.etlt", "--gen_ds_config")
words = ("--data_type", "int8", "--cal_cache_file", place / "cal.bin", "--batches", 2, "--batch_size", 4)
detectnet("export", "-m", model, "-o", place / "int8.etlt", "-e", spec, *words)
for runtime in runtimes.onnx_runners():
    if runtimes.find(runtime).is_installed():
        detectnet("evaluate", "-e", spec, "-m", place / "plate.etlt", "--runtime", runtime)
        detectnet("inference", "-i", root / "kitti/image_2", "-o", place / runtime, "-m", place / "plate.etlt",
                  "--runtime", runtime)
for backend in runtimes.builders():
    if runtimes.find(backend).is_installed():
        run("convert", place / "plate.etlt", "-t", "fp16", "-e", place / "plate.engine", "--backend", backend)
"""


def test_a_whole_life_looks_nothing_up_and_leaves_nothing_foreign_at_home(tiny: Path, tmp_path: Path, without_network):
    write_spec(tiny, "train.txt", epochs=2).rename(tmp_path / "train.txt")
    pruned = f'pretrained_model_file: "{tmp_path}/pruned.tlt" load_graph: true'
    write_spec(tiny, "retrain.txt", epochs=1, model=pruned).rename(tmp_path / "retrain.txt")

    left = without_network(LIFE.format(root=str(tiny), place=str(tmp_path)))

    assert [name for name in left if not name.startswith(".cache/taolite/")] == []
