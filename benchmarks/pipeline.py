"""The live pipeline against the bare engine: frames a second on the same model and frames, one picture, and memory.

python benchmarks/pipeline.py MODEL FRAMES [-k KEY] [--frames 60] [--rounds 5] [--runtime NAME] [--loops 20]

FRAMES is a folder of pictures or a video. The bare engine gets inputs that are ready in memory, one frame at a time. Each
round measures everything once, so that a busy machine slows all of it; the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taolite.artifacts.keys import find_key_if_given
from taolite.media.sources import Frame, InputOptions, Source, open_source
from taolite.media.videos import VideoFile
from taolite.stages.inference.look import find_in, look
from taolite.stages.inference.opening import Ready, open_ready
from taolite.stages.inference.tally import Tally
from taolite.stages.inference.watch import Viewing, watch


def measured(work: Callable[[], int]) -> float:
    """Frames a second of `work`, which returns the number of its frames."""
    began_s = time.perf_counter()
    return work() / (time.perf_counter() - began_s)


def frames_a_second(ready: Ready, place: str, count: int, rounds: int, folder: Path) -> None:
    model = ready.model
    frames = list(islice(cycle(open_source(place)), count))  # decoded once, for the bare engine
    side = min(len(frames), 16)
    inputs = [model.preprocessing.apply(frame.image_hwc)[None] for frame in frames[:side]]
    viewing = Viewing(ready.threshold)

    def bare() -> int:
        for pixels in islice(cycle(inputs), count):
            model.predict(pixels)
        return count

    def in_memory() -> int:
        return sum(1 for _ in look(model, frames))

    def from_disk() -> int:
        return sum(1 for _ in islice(watch(model, endless(place), viewing), count))

    def to_video() -> int:
        with ExitStack() as stack:
            video = stack.enter_context(VideoFile(folder / "out.mp4", fps=25.0))
            for seen in islice(watch(model, endless(place), viewing, drawing=ready.drawing), count):
                assert seen.picture is not None
                video.write(np.ascontiguousarray(seen.picture[:480, :640]))
        return count

    ways = {"prepared in memory": in_memory, "read and shown": from_disk}
    if len({frame.image_hwc.shape for frame in frames}) == 1:
        ways["read, drawn, and written as a video"] = to_video
    rates: dict[str, list[float]] = {name: [] for name in ("bare engine", *ways)}
    bare()
    for _ in range(rounds):
        rates["bare engine"].append(measured(bare))
        for name, way in ways.items():
            rates[name].append(measured(way))
    base = np.array(rates["bare engine"])
    for name, values in rates.items():
        print(f"{name}: {np.median(values):.1f} frames a second, {np.median(np.array(values) / base):.2f} of the bare engine")


def one_picture(ready: Ready, place: str, rounds: int) -> None:
    model, frame = ready.model, next(iter(open_source(place)))
    pixels = model.preprocessing.apply(frame.image_hwc)[None]
    ratios = []
    for _ in range(8 * rounds):
        began_s = time.perf_counter()
        model.predict(pixels)
        middle_s = time.perf_counter()
        find_in(model, [frame.image_hwc])
        ratios.append((time.perf_counter() - middle_s) / (middle_s - began_s))
    size = "x".join(map(str, frame.image_hwc.shape[1::-1]))
    print(f"one picture of {size}: {np.median(ratios):.2f} times the bare engine's time")


def memory(ready: Ready, place: str, loops: int) -> None:
    source = open_source(place, options=InputOptions(loop=loops))
    tally, at, start_mb, number = Tally(), [], 0.0, 0
    for number, seen in enumerate(watch(ready.model, source, Viewing(ready.threshold), drawing=ready.drawing), start=1):
        tally.add(seen)
        if number % max(1, (source.total or 100) // 4) == 0:
            at.append(resident_mb())
    quarter = len(at) // 4
    print(
        f"memory over {number} frames: {np.median(at[quarter : 2 * quarter]):.1f} MB in the second quarter, "
        f"{np.median(at[-quarter:]):.1f} MB in the last"
    )
