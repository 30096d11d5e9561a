"""A folder of pictures from the command to files: taolite against Ultralytics' `yolo predict`, start included.

python benchmarks/predict.py PICTURES MODEL ... [-k KEY] [--runtime NAME] [--yolo PROGRAM --weights FILE ...]

Each command writes a drawn picture and a label file for every picture that has boxes, into a new folder. MODEL: exports
of taolite; `MODEL:bf16` runs one with --engine-precision bf16. PROGRAM: `yolo` of an environment with Ultralytics.
FILE: its weights; only time is compared, so they need not be good. The table says how many boxes each way wrote.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from startup import TAOLITE, children_s
from timing import in_turn, machine, ratio, table

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import find_key_if_given
from taolite.engines.opening import open_engine


def command(
    words: Sequence[str], out: Path, environ: Mapping[str, str], used_s: list[float], boxes: list[int]
) -> Callable[[], None]:
    """Runs a command that writes into `out`; notes its processor time, and how many boxes its label files have."""

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        before_s = children_s()
        done = subprocess.run(words, env=environ, text=True, capture_output=True, check=False)
        used_s.append(children_s() - before_s)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
        boxes.append(sum(len(path.read_text().splitlines()) for path in out.rglob("labels/*.txt")))

    return run


def longer_side(model: str, key: str | None) -> int:
    """Pixels of the longer side of a model's input."""
    onnx = read_model(Path(model), key=find_key_if_given(key)).onnx
    with open_engine(onnx) as engine:
        ((_, _, *side_hw),) = engine.inputs.values()
    return max(side_hw)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("-k", "--key", help="the key, or @FILE (default: TAOLITE_KEY)")
    parser.add_argument("--runtime", default="openvino", help="taolite's runtime (default: openvino)")
    parser.add_argument("--yolo", type=Path, help="the program `yolo`")
    parser.add_argument("--weights", type=Path, nargs="+", default=[], help="weights for `yolo`")
    parser.add_argument(
        "--size", type=int, help="input of `yolo` in pixels (default: the longer side of the first MODEL's)"
    )
    parser.add_argument("--conf", type=float, default=0.25, help="threshold of `yolo` (default: 0.25)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    # A .pyc is written once and read by every later start; both programs get this.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    size = options.size or longer_side(options.models[0].partition(":")[0], options.key)
    ways: dict[str, Callable[[], None]] = {}
    used_s: dict[str, list[float]] = {}
    boxes: dict[str, list[int]] = {}
    with TemporaryDirectory() as folder:
        root = Path(folder)

        def add(name: str, words: Sequence[str | Path]) -> None:
            used_s[name], boxes[name] = [], []
            ways[name] = command([str(word) for word in words], root / "out", environ, used_s[name], boxes[name])

        for model in options.models:
            path, _, precision = model.partition(":")
            words = [
                sys.executable,
                *TAOLITE,
                "detectnet",
                "inference",
                "-m",
                path,
                "-i",
                options.pictures,
                "-o",
                root / "out",
            ]
            words += ["--runtime", options.runtime, *(["--engine-precision", precision] if precision else [])]
            words += ["-k", options.key] if options.key else []
            add(f"taolite, {'/'.join(Path(path).parts[-3:])} {precision}".strip(), words)
        for weights in options.weights if options.yolo else []:
            environ["YOLO_CONFIG_DIR"] = str(root)
            (root / "Ultralytics").mkdir(exist_ok=True)
            subprocess.run([options.yolo, "settings", "sync=False"], env=environ, check=True, capture_output=True)
            said = (f"model={weights}", f"source={options.pictures}", f"imgsz={size}", f"conf={options.conf}")
            put = ("device=cpu", "save=True", "save_txt=True", f"project={root / 'out'}", "name=run")
            add(f"yolo predict, {weights.stem}", [options.yolo, "predict", *said, *put])
        wall_s = in_turn(ways, options.rounds)
    base = next(iter(ways))
    after = {name: taken[-options.rounds :] for name, taken in used_s.items()}
    rows = [
        (name, boxes[name][-1], f"{median(wall_s[name]):.1f}", f"{ratio(wall_s, name, base):.2f}",
         f"{median(after[name]):.1f}", f"{ratio(after, name, base):.2f}")
        for name in ways
    ]  # fmt: skip
    print(f"{machine('openvino', 'onnxruntime', 'opencv-python-headless')}\n")
    print(table(("command", "boxes", "s", "of the first", "processor time, s", "of the first"), rows))
    if not options.yolo:
        print("\n`yolo predict` is skipped: no --yolo was given")


if __name__ == "__main__":
    main()
