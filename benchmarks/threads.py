"""Images a second of a DetectNet training by threads and by how OpenMP's threads wait, beside busy neighbours or alone.

    python benchmarks/threads.py [--beside 0 1] [--steps 8] [--rounds 3]

Every rate is measured in a process of its own, as OpenMP reads its settings once: ways in turn, wall time, the median.
A neighbour is a process that counts, and nothing else. What else runs on the machine counts as a neighbour, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from timing import machine, table

WAITS = {
    "as OpenMP has it": {},
    "`OMP_WAIT_POLICY=passive`": {"OMP_WAIT_POLICY": "passive"},
    "`GOMP_SPINCOUNT=0`": {"GOMP_SPINCOUNT": "0"},
}


def rate(threads: int, waits: dict[str, str], steps: int) -> float:
    """Images a second in a process of its own."""
    settings = {"OMP_NUM_THREADS": str(threads), **waits}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, __file__, "--alone", "--steps", str(steps)]
    run = subprocess.run(command, env=kept | settings, capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def train(steps: int) -> None:
    """Print the images a second of some steps, after one that warms up."""
    from trainers import detectnet

    from taolite.stages.device import choose

    with TemporaryDirectory() as folder:
        bench = detectnet(Path(folder), choose())
        bench.step()
        began_s = time.perf_counter()
        for _ in range(steps):
            bench.step()
        print(steps * bench.batch_size / (time.perf_counter() - began_s))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", nargs="+", type=int, default=[0, 1], help="busy processes")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        train(options.steps)
        return
    print(f"{machine('torch')}, load {os.getloadavg()[0]:.1f} before\n")
    ways = [(count, name) for count in options.threads for name in WAITS]
    rows = []
    for beside in options.beside:
        rates: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
        with ExitStack() as stack:
            for _ in range(beside):
                busy = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
                stack.callback(busy.kill)
            for _ in range(options.rounds):
                for count, name in ways:
                    rates[count, name].append(rate(count, WAITS[name], options.steps))
        rows += [(beside, count, name, f"{median(rates[count, name]):.2f}") for count, name in ways]
    print(table(("busy neighbours", "threads", "waiting", "images a second"), rows))


if __name__ == "__main__":
    main()
