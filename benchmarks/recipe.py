"""What the specs of `taolite spec new` reach on real photographs, and what each part of the recipe is worth.

    python benchmarks/recipe.py DATA OUT [--sets raccoon bccd cat_dog_det ccpd] [--seeds 42 43 44]
    python benchmarks/recipe.py DATA OUT --sets raccoon bccd --held-out --without all

DATA is the folder that holds the sets and pretrained/resnet18.safetensors. Without `--held-out` a model is trained on
the set's training part and scored on its test part, which nothing was chosen on. With it, a fifth of the training part
is scored (BCCD: its val part): for choices. `--views N` trains for about N pictures seen, for a quick comparison.

A run that was interrupted goes on when the same command is given again, and finished ones are not repeated. The
figures are PASCAL VOC's mAP (IoU 0.5, all points) and TAO's, in percent, after the last epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

from taolite.cli.render import table

SETS = {
    "raccoon": ("raccoon", {"train": "train", "test": "test"}),
    "bccd": ("bccd", {"train": "trainval", "test": "test", "choose": "train"}),
    "cat_dog_det": ("cat_dog_det", {"train": "train", "test": "test"}),
    "ccpd": ("ccpd_mini/images", {}),  # 16 pictures without parts: a fifth is held out and scored
}
PARTS = {
    "keep_aspect": (r"keep_aspect: true", "keep_aspect: false"),
    "views": (r"\n  views \{[^}]*\}", ""),
    "mosaics": (r"mosaic_probability: [\d.]+", "mosaic_probability: 0.0"),
    "loss": (r"\n  loss \{[^}]*\}", ""),
    "average": (r"average: 0\.\d+", "average: 0.0"),
    "fitting": (r"\n  fitting \{[^}]*\}", ""),
}
"""What is left out of a training spec, as changes of its text: without views and fitting, TAO's own are used."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--without", nargs="+", choices=[*PARTS, "all"], default=[], help="one part at a time")
    parser.add_argument("--held-out", action="store_true", help="score a cut of the training part, not the test part")
    parser.add_argument("--views", type=int, help="pictures seen in a training (default: as spec new chooses)")
    options = parser.parse_args()
    left_out = [None, *(PARTS if "all" in options.without else options.without)]
    rows = []
    for name in options.sets:
        folder = options.out.resolve() / (f"{name}-held-out" if options.held_out else name)
        specs = new_specs(options.data.resolve(), name, folder, held_out=options.held_out)
        for part in left_out:
            scores = [train(specs, folder, part=part, seed=seed, views=options.views) for seed in options.seeds]
            rows.append((name, f"without {part}" if part else "the recipe", *figures(scores)))
            print("  ".join(rows[-1]), flush=True)
    print(table(("set", "training", "VOC mAP %", "of each seed", "TAO's mAP %", "minutes"), rows))


def new_specs(data: Path, name: str, folder: Path, *, held_out: bool) -> Path:
    """The training spec of the set, with its records, made by the commands that a user gives."""
    source, parts = SETS[name]
    spec = folder / "specs" / "train.txt"
    if not (folder / "specs" / "done").exists():
        chosen = []
        if parts:
            chosen = ["--train", parts.get("choose", parts["train"]) if held_out else parts["train"]]
            chosen += [] if held_out else ["--val", parts["test"]]
        weights = data / "pretrained" / "resnet18.safetensors"
        run("taolite", "spec", "new", "detectnet", data / source, "-o", spec.parent, "--pretrained", weights, *chosen)
        for conversion in spec.parent.glob("tfrecords_*.txt"):
            part = conversion.stem.removeprefix("tfrecords_")
            run("detectnet_v2", "dataset_convert", "-d", conversion, "-o", spec.parent / "tfrecords" / part)
        (folder / "specs" / "done").touch()
    return spec


def train(spec: Path, folder: Path, *, part: str | None, seed: int, views: int | None) -> dict[str, float]:
    """Train one model and score it: mAPs in percent, and the minutes of the training where it was not interrupted."""
    results = folder / "-".join(
        [f"without_{part}" if part else "recipe", *([f"{views}views"] if views else []), f"{seed}"]
    )
    found = results / "benchmark.json"
    if found.exists():
        return dict(json.loads(found.read_text()))
    text = re.sub(r"random_seed: \d+", f"random_seed: {seed}", spec.read_text())
    if views:
        count = int(re.findall(r"num_epochs: \d+  # (\d+)", text)[0])
        epochs = max(round(views / count), 1)
        text = re.sub(r"num_epochs: \d+", f"num_epochs: {epochs}", text)
        text = re.sub(r"checkpoint_interval: \d+", f"checkpoint_interval: {epochs}", text)
        text = re.sub(r"(validation_period_during_training|first_validation_epoch): \d+", rf"\1: {epochs}", text)
    if part:
        pattern, instead = PARTS[part]
        text, times = re.subn(pattern, instead, text)
        if times != 1:
            sys.exit(f"{spec}: {pattern} is there {times} times; 1 is needed")
    own, whole = results.with_suffix(".txt"), not results.exists()
    results.parent.mkdir(parents=True, exist_ok=True)
    own.write_text(text)
    began = time.monotonic()
    run("detectnet_v2", "train", "-e", own, "-r", results, "-n", "detector")
    minutes = (time.monotonic() - began) / 60 if whole else float("nan")
    said = run("detectnet_v2", "evaluate", "-e", own, "-m", results / "weights" / "detector.tlt", "--json")
    card = json.loads(said)["card"]
    figures = {"voc": 100 * card["beside"]["VOC"]["value"], "tao": 100 * card["main"]["value"], "minutes": minutes}
    found.write_text(json.dumps(figures))
    return figures


def figures(scores: list[dict[str, float]]) -> tuple[str, str, str, str]:
    """Mean and spread of the seeds, each of them, TAO's mean, and the minutes."""
    voc = [run["voc"] for run in scores]
    spread = f" ± {stdev(voc):.2f}" if len(voc) > 1 else ""
    minutes = ", ".join(f"{run['minutes']:.0f}" for run in scores)
    return (
        f"{mean(voc):.2f}{spread}",
        ", ".join(f"{value:.2f}" for value in voc),
        f"{mean(run['tao'] for run in scores):.2f}",
        minutes,
    )


def run(*words: str | Path) -> str:
    """What a command prints; the end of the program where it fails."""
    environment = {"TAOLITE_KEY": "benchmark", **os.environ}
    done = subprocess.run(
        [str(word) for word in words], env=environment, text=True, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        print(done.stdout[-2000:], file=sys.stderr)
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
