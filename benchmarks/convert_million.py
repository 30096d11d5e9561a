"""What `dataset_convert` takes for a million labels: time, and the memory of all its processes together.

    python benchmarks/convert_million.py [--images 1000000] [--workers N] [--folder DIR]

Every image is a link to one small PNG and every label file a link to one of 1000, so that the disk holds little. The
largest resident memory of the parent and of a child is the kernel's own count (getrusage).
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from taolite import spec as specs
from taolite.cores import usable
from taolite.stages.convert.dataset_convert import dataset_convert
from taolite.tasks.detectnet.spec import DatasetExportSpec

SPEC = """
kitti_config {{ root_directory_path: "{root}" image_dir_name: "images" label_dir_name: "labels" image_extension: ".png"
  partition_mode: "random" num_partitions: 2 val_split: 10 num_shards: {shards} }}
"""


def make(root: Path, images: int) -> None:
    """A KITTI folder of `images` pictures with 0 to 5 objects, 2.5 on average."""
    rng = random.Random(1)
    for name in ("images", "labels", "texts"):
        (root / name).mkdir(parents=True)
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(root / "one.png")
    for number in range(1000):
        rows = []
        for _ in range(number % 6):
            x, y = rng.uniform(0, 60), rng.uniform(0, 40)
            rows.append(f"car 0.00 0 0.00 {x:.2f} {y:.2f} {x + 20:.2f} {y + 15:.2f} 0 0 0 0 0 0 0")
        (root / "texts" / f"{number}.txt").write_text("\n".join(rows))
    for number in range(images):  # without a Path for each, whose names the interpreter's own table would grow by
        os.symlink("../one.png", f"{root}/images/{number:07d}.png")  # noqa: PTH211
        os.symlink(f"../texts/{number % 1000}.txt", f"{root}/labels/{number:07d}.txt")  # noqa: PTH211


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=min(usable(), 8))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as folder:
        root = Path(folder)
        make(root / "data", options.images)
        spec = specs.loads(SPEC.format(root=root / "data", shards=max(1, options.images // 50_000)), DatasetExportSpec)
        before_s, before_cpu = time.perf_counter(), time.process_time()
        report = dataset_convert(spec, root / "out" / "kitti", workers=options.workers)
        took_s = time.perf_counter() - before_s
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cpu_s = time.process_time() - before_cpu + children.ru_utime + children.ru_stime
        size = sum(path.stat().st_size for path in report.files)
        print(
            f"{sum(report.images)} images, {sum(report.objects.values())} objects, {len(report.files)} files, "
            f"{size / 1e6:.1f} MB: {took_s:.0f} s, {cpu_s:.0f} s of processor time, {options.workers} processes; "
            f"resident at most: parent {own.ru_maxrss / 1024:.0f} MB, a child {children.ru_maxrss / 1024:.0f} MB "
            f"(Python {platform.python_version()}, {platform.machine()}, {usable()} processors)"
        )


if __name__ == "__main__":
    main()
