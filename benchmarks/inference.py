"""A folder of pictures through an export: the bare engine against the whole pipeline, and what each part takes.

python benchmarks/inference.py MODEL PICTURES [-k KEY] [--runtime NAME] [--count 120] [--rounds 5]

The bare engine gets inputs that are ready in memory: on one core, and on all. The pipeline reads, prepares, runs,
decodes, draws and writes pictures and labels into an empty folder, and brings them to the disk. Ways take turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from timing import in_turn, machine, ratio, table

from taolite.artifacts.etlt import read_model
from taolite.artifacts.keys import Key, find_key_if_given
from taolite.engines.base import Engine
from taolite.engines.opening import open_engine
from taolite.errors import EngineError
from taolite.media.frames import Frame
from taolite.media.sinks import KittiFolder, PictureFolder
from taolite.media.sources import Source, open_source
from taolite.sample import Detection
from taolite.stages.inference.infer import infer, planned
from taolite.stages.inference.listeners import Drawing, annotated_folder, labels
from taolite.stages.inference.look import Seen, find_in
from taolite.stages.inference.models import Computer, Model, open_model

T = TypeVar("T")

BOXES = (1, 15, 100, 760)


def some(folder: Path, most: int) -> Source:
    """The first pictures of a folder."""
    source = open_source(folder)
    paths = source.paths[:most]
    return replace(source, paths=paths, total=len(paths), frames=lambda: map(read_first, paths))


def read_first(path: Path) -> Frame:
    """The picture of a file."""
    return next(iter(open_source(path)))


def through(engine: Engine, inputs: list[NDArray[np.float32]]) -> Callable[[], object]:
    """All inputs through the engine, as many at once as it takes."""
    ((name, _),) = engine.inputs.items()

    def run() -> None:
        with ThreadPoolExecutor(engine.calls) as pool:
            list(pool.map(lambda pixels: engine.infer({name: pixels}), inputs))

    return run


def to_files(model: Model, source: Source) -> None:
    """As `taolite detectnet inference` does it."""
    model, drawing = planned(model, None)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        places = [annotated_folder(Path(folder) / "pictures", source, drawing, stack)]
        places.append(labels(Path(folder) / "labels", drawing))
        infer(model, source, places, drawing=drawing)


def rates(path: Path, key: Key | None, runtime: str | None, source: Source, rounds: int) -> str:
    """Milliseconds a picture of the bare engine and of the pipeline, in fp32 and where it can be in bf16."""
    onnx = read_model(path, key=key).onnx
    count, left_out = len(source.paths), []
    ways: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for precision in ("fp32", "bf16"):
            try:
                whole = open_model(path, key=key, runtime=runtime, computer=Computer(precision=precision, many=True))
            except EngineError as error:
                left_out.append(f"{precision} is left out: {error}")
                continue
            stack.callback(whole.close)
            inputs = [whole.preprocessing.apply(frame.image_hwc)[None] for frame in source]
            one = stack.enter_context(open_engine(onnx, runtime=runtime, threads=1, precision=precision))
            every = stack.enter_context(open_engine(onnx, runtime=runtime, many=True, precision=precision))
            ways[f"bare engine on one core, {precision}"] = through(one, inputs)
            ways[f"bare engine on all cores, {precision}"] = through(every, inputs)
            ways[f"folder to files, {precision}"] = partial(to_files, whole, source)
        wall = in_turn(ways, rounds)
        used = in_turn(ways, rounds, clock=time.process_time)
    base = "bare engine on one core, fp32"
    rows = [
        (name, f"{1e3 * median(wall[name]) / count:.2f}", f"{ratio(wall, name, base):.2f}",
         f"{1e3 * median(used[name]) / count:.2f}", f"{ratio(used, name, base):.2f}")
        for name in ways
    ]  # fmt: skip
    header = ("way", "ms a picture", "of the bare engine", "processor time, ms", "of the bare engine")
    return "\n\n".join([table(header, rows), *left_out])


def parts(path: Path, key: Key | None, runtime: str | None, source: Source) -> str:
    """Processor time of each part of the way of a picture, each alone in one thread."""
    taken: dict[str, list[float]] = {}

    def timed(part: str, work: Callable[[], T]) -> T:
        began_s = time.process_time()
        value = work()
        taken.setdefault(part, []).append(time.process_time() - began_s)
        return value

    with open_model(path, key=key, runtime=runtime) as opened, TemporaryDirectory() as folder:
        model, drawing = planned(opened, None)
        pictures, files = PictureFolder(Path(folder) / "pictures"), KittiFolder(Path(folder) / "labels")
        for frame in source:
            assert frame.path is not None, "pictures of a folder"
            timed("read", partial(read_first, frame.path))
            timed("prepare", partial(model.preprocessing.apply, frame.image_hwc))
            timed("engine", partial(model.predict, model.preprocessing.apply(frame.image_hwc)[None]))
            (found,) = timed("prepare, engine, decode", partial(find_in, model, [frame.image_hwc]))
            seen = Seen(frame, tuple(found), 0.0)
            picture = timed("draw", partial(drawing.draw, seen))
            timed("write the picture", partial(pictures.write, frame.name, picture))
            timed("write the labels", partial(files.write, frame.name, drawing.chosen(seen.found)))
    rows = [(name, f"{1e3 * median(taken_s):.2f}") for name, taken_s in taken.items()]
    return table(("part", "processor time, ms a picture"), rows)


def drawn(rounds: int) -> str:
    """Processor time of drawing a box with its name and score, on a picture of 640x480."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (480, 640, 3), dtype=np.uint8)
    drawing, rows = Drawing(("red", "white", "platelets")), []
    for count in BOXES:
        took = []
        for _ in range(rounds):
            begins, sides = rng.uniform(0, (520, 360), (count, 2)), rng.uniform(20, 120, (count, 2))
            boxes = np.concatenate([begins, begins + sides], axis=1).tolist()
            found = [
                Detection(drawing.classes[at % 3], tuple(box), score)
                for at, (box, score) in enumerate(zip(boxes, rng.uniform(0, 1, count).tolist(), strict=True))
            ]
            seen = Seen(Frame("picture", image, 0), tuple(found), 0.0)
            began_s = time.process_time()
            drawing.draw(seen)
            took.append(time.process_time() - began_s)
        rows.append((count, f"{1e3 * median(took):.2f}", f"{1e3 * median(took) / count:.3f}"))
    return table(("boxes", "ms a picture", "ms a box"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("-k", "--key", help="the key, or @FILE (default: TAOLITE_KEY)")
    parser.add_argument("--runtime")
    parser.add_argument("--count", type=int, default=120, help="pictures")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    key, source = find_key_if_given(options.key), some(options.pictures, options.count)
    print(f"{machine('numpy', 'opencv-python-headless', 'pillow', 'onnxruntime', 'openvino')}\n")
    print(rates(options.model, key, options.runtime, source, options.rounds), end="\n\n")
    print(parts(options.model, key, options.runtime, source), end="\n\n")
    print(drawn(options.rounds))


if __name__ == "__main__":
    main()
