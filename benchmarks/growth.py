"""How time and memory grow: a step with pixels, an epoch with pictures, a score with boxes; a table and a picture.

    python benchmarks/growth.py [--picture growth.png]

Every point is a process of its own, with one thread: seconds are processor time, memory is the most it had resident.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from timing import machine, table

from taolite.report.paper import BLUE, GREY, INK, drawing, dress

_BATCH = 4
_IMAGES = 50  # of each score


@dataclass(frozen=True)
class Work:
    """One kind of work. sizes: what is measured; amount: what a size comes to, in `unit`; of: what is timed."""

    of: str
    unit: str
    sizes: tuple[int, ...]
    amount: Callable[[int], float]


WORKS = {
    "step": Work(
        "a step of DetectNet_v2, ResNet-18, batch 4",
        "million pixels an image",
        (256, 384, 512, 768, 1024),
        lambda width: width * width * 3 / 4 / 1e6,
    ),
    "epoch": Work("an epoch at 256x192", "pictures", (32, 64, 128, 256, 512), float),
    "score": Work(f"TAO's mAP of {_IMAGES} images", "objects an image", (40, 80, 160, 320, 640, 1280), float),
}


def alone(kind: str, size: int, folder: Path) -> tuple[float, float]:
    """Processor seconds of the work, the median of 3, and the most MiB that this process had resident."""
    work = {"step": step, "epoch": epoch, "score": scoring}[kind](size, folder)
    work()
    taken_s = []
    for _ in range(3 if kind != "epoch" else 1):
        began_s = time.process_time()
        work()
        taken_s.append(time.process_time() - began_s)
    return median(taken_s), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step(width: int, folder: Path) -> Callable[[], object]:
    from trainers import detectnet

    from taolite.stages.device import choose

    return detectnet(folder, choose(), size_hw=(width * 3 // 4, width), batch_size=_BATCH).step


def epoch(pictures: int, folder: Path) -> Callable[[], object]:
    from trainers import detectnet

    from taolite.stages.device import choose

    return detectnet(folder, choose(), size_hw=(192, 256), pictures=pictures).trainer.run_epoch


def scoring(objects: int, folder: Path) -> Callable[[], object]:
    from metrics import scene

    from taolite.metrics import score

    truths, finds = scene(_IMAGES, objects, classes=3, side=1000)
    return partial(score, truths, finds, names=("a", "b", "c"), mode="INTEGRATE")


def measured(kind: str, size: int) -> tuple[float, float]:
    """`alone` in a process of its own."""
    command = [sys.executable, __file__, "--alone", kind, str(size)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, mib = run.stdout.split()[-2:]
    return float(seconds), float(mib)


def exponent(amounts: list[float], values: list[float]) -> float:
    """The power of the amount by which values grow: the slope between logarithms, by least squares."""
    return float(np.polyfit(np.log(amounts), np.log(values), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, default=Path("growth.png"))
    parser.add_argument("--alone", nargs=2, metavar=("KIND", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        with TemporaryDirectory() as folder:
            print(*alone(options.alone[0], int(options.alone[1]), Path(folder)))
        return
    print(f"{machine('torch')}, load {os.getloadavg()[0]:.1f} before\n")
    with drawing((10.0, 5.6), options.picture) as (figure, _):
        axes = figure.subplots(2, len(WORKS), squeeze=False)
        for column, (kind, work) in enumerate(WORKS.items()):
            amounts = [work.amount(size) for size in work.sizes]
            seconds, mib = map(list, zip(*(measured(kind, size) for size in work.sizes), strict=True))
            power = exponent(amounts, seconds)
            rows = [[f"{a:g}", f"{s:.3g}", f"{m:.0f}"] for a, s, m in zip(amounts, seconds, mib, strict=True)]
            print(table([work.unit, f"{work.of}, seconds", "MiB"], rows))
            print(f"\nseconds grow by the power {power:.2f}; one is linear\n", flush=True)
            each_s = sum(seconds) / sum(amounts)
            for row, values, title in ((0, seconds, "seconds"), (1, mib, "MiB resident at most")):
                here = axes[row][column]
                if row == 0:
                    line = [0, amounts[-1]]
                    here.plot(line, [each_s * amount for amount in line], color=GREY, linewidth=1, label="linear")
                    here.set_title(f"{work.of}\npower {power:.2f}", fontsize=9, color=INK)
                else:
                    here.set_xlabel(work.unit, color=INK)
                here.plot(amounts, values, color=BLUE, marker="o", markersize=3.5, linewidth=2)
                here.set_xlim(left=0)
                here.set_ylim(bottom=0, top=1.15 * max(values))
                dress(here, title if column == 0 else "", place="lower right" if row == 0 else None)
        figure.tight_layout()


if __name__ == "__main__":
    main()
