"""The live pipeline against the bare engine: frames a second on the same model and frames, one picture, and memory.

python benchmarks/pipeline.py MODEL FRAMES [-k KEY] [--frames 60] [--rounds 5] [--runtime NAME] [--loop 2000]

FRAMES is a folder of pictures or a video. The bare engine gets inputs that are ready in memory, one frame at a time.
Each round measures everything once, so that a busy machine slows all of it; the ratios are medians over the rounds.

On a processor the engine shares its cores with the rest. So everything is measured a second time with a stand-in for an
engine on a device of its own: it waits as long as the engine took, and gives the engine's answer.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from taolite.artifacts.keys import find_key_if_given
from taolite.media.sources import InputOptions, open_source
from taolite.media.videos import VideoFile
from taolite.stages.inference.look import find_in, look
from taolite.stages.inference.opening import Ready, open_ready
from taolite.stages.inference.tally import Tally
from taolite.stages.inference.watch import Viewing, watch


def measured(work: Callable[[], int]) -> float:
    """Frames a second of `work`, which returns the number of its frames."""
    began_s = time.perf_counter()
    return work() / (time.perf_counter() - began_s)


def frames_a_second(ready: Ready, place: str, count: int, rounds: int, folder: Path) -> float:
    """Print the rates; the seconds that the bare engine takes for a frame."""
    model, viewing = ready.model, Viewing(ready.threshold, max_frames=count)
    frames = list(islice(open_source(place, options=InputOptions(loop=-1)), count))
    inputs = [model.preprocessing.apply(frame.image_hwc)[None] for frame in frames[:16]]

    def bare() -> int:
        for pixels in islice(cycle(inputs), count):
            model.predict(pixels)
        return count

    def in_memory() -> int:
        return sum(1 for _ in look(model, frames))

    def from_disk() -> int:
        return sum(1 for _ in watch(model, open_source(place, options=InputOptions(loop=-1)), viewing))

    def to_video() -> int:
        source = open_source(place, options=InputOptions(loop=-1))
        with VideoFile(folder / "out.mp4", fps=25.0) as video:
            for seen in watch(model, source, viewing, drawing=ready.drawing):
                assert seen.picture is not None, "a drawing was given"
                video.write(seen.picture)
        return count

    ways = {"prepare and decode": in_memory, "read, prepare and decode": from_disk}
    if len({frame.image_hwc.shape for frame in frames}) == 1:
        ways["read, prepare, decode, draw and write a video"] = to_video
    rates: dict[str, list[float]] = {name: [] for name in ("bare engine", *ways)}
    bare()
    for _ in range(rounds):
        rates["bare engine"].append(measured(bare))
        for name, way in ways.items():
            rates[name].append(measured(way))
    base = np.array(rates["bare engine"])
    for name, values in rates.items():
        ratio = np.median(np.array(values) / base)
        print(f"  {name}: {np.median(values):.1f} frames a second, {ratio:.2f} of the bare engine's")
    return float(1 / np.median(base))


def on_a_device(ready: Ready, place: str, takes_s: float) -> Ready:
    """The same model with a stand-in for its engine, which waits and uses no processor."""
    model, frame = ready.model, next(iter(open_source(place)))
    answer = model.predict(model.preprocessing.apply(frame.image_hwc)[None])

    def predict(pixels_nchw: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        time.sleep(takes_s * len(pixels_nchw))
        return tuple(output.repeat(len(pixels_nchw), axis=0) for output in answer)

    return replace(ready, model=replace(model, predict=predict))


def one_picture(ready: Ready, place: str, count: int) -> None:
    model, frame = ready.model, next(iter(open_source(place)))
    pixels = model.preprocessing.apply(frame.image_hwc)[None]
    ratios = []
    for _ in range(count):
        began_s = time.perf_counter()
        model.predict(pixels)
        middle_s = time.perf_counter()
        find_in(model, [frame.image_hwc])
        ratios.append((time.perf_counter() - middle_s) / (middle_s - began_s))
    size = "x".join(map(str, frame.image_hwc.shape[1::-1]))
    print(f"one picture of {size}: {np.median(ratios):.2f} times the bare engine's time")


def memory(ready: Ready, place: str, count: int) -> None:
    """Resident memory while a source is looped; the first quarter fills caches."""
    source, tally, resident = open_source(place, options=InputOptions(loop=-1)), Tally(), []
    for seen in watch(ready.model, source, Viewing(ready.threshold, max_frames=count), drawing=ready.drawing):
        tally.add(seen)
        resident.append(resident_mb())
    quarter = count // 4
    print(
        f"memory over {tally.report().frames} frames of a loop: {np.median(resident[quarter : 2 * quarter]):.1f} MB in "
        f"the second quarter, {np.median(resident[-quarter:]):.1f} MB in the last"
    )


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{len(os.sched_getaffinity(0))} cores of {name}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("place", metavar="FRAMES")
    parser.add_argument("-k", "--key")
    parser.add_argument("--runtime")
    parser.add_argument("--frames", type=int, default=60, help="frames of each measurement (default: 60)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--loop", type=int, default=2000, help="frames over which memory is measured (default: 2000)")
    options = parser.parse_args()
    ready = open_ready(options.model, key=find_key_if_given(options.key), runtime=options.runtime)
    height, width = ready.model.preprocessing.input_hw
    print(f"{processor()}; Python {platform.python_version()}, NumPy {np.__version__}, {ready.model.runs_on}")
    print(f"{Path(options.model).name}: {ready.model.use.title}, input {width}x{height}")
    with TemporaryDirectory() as folder:
        takes_s = frames_a_second(ready, options.place, options.frames, options.rounds, Path(folder))
        print(f"with a stand-in that waits {1000 * takes_s:.1f} ms, as an engine on a device of its own:")
        stand_in = on_a_device(ready, options.place, takes_s)
        frames_a_second(stand_in, options.place, options.frames, options.rounds, Path(folder))
    one_picture(ready, options.place, options.frames)
    memory(ready, options.place, options.loop)
    ready.model.close()


if __name__ == "__main__":
    main()
