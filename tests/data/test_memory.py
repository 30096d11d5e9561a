"""What the data side of a training holds in memory, in a process of its own: flat, but for the bytes stated."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from taolite.formats import tfrecord
from taolite.formats.record_index import index_path
from taolite.sample import Label

from ..tasks.detectnet.test_spec import LEAST, SOURCE

STATED = 8 + 11 + 4 + 17 * 2  # offsets, name, size; two labels: bytes a sample

DATA_SIDE = """
import gc, json, sys
from pathlib import Path
from taolite import spec
from taolite.data.loading import batches
from taolite.tasks.detectnet.examples import spec_examples
from taolite.tasks.detectnet.spec import DetectNetSpec

examples = spec_examples(spec.loads(sys.argv[1], DetectNetSpec), "train", resolve=Path, augment=True, grid_hw=(4, 6))
assert examples.label_counts()[0][0] > 0
examples.content_hash()
for epoch in range(2):
    order = examples.order(epoch, batch_size=4)
    for start in (0, len(order) // 2 // 4 * 4):
        for batch in batches(examples, order[start : start + 20], batch_size=4, epoch=epoch):
            assert batch.pixels.shape == (4, 3, 64, 96)
    for index in order[:1000]:
        examples.truth(index)
gc.collect()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
rss, peak = (int(status[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
print(json.dumps([rss, peak, examples.samples.nbytes, len(examples)]))
"""


class Measured(NamedTuple):
    resident: int
    peak: int
    stated: int
    samples: int


def measure(folder: Path) -> Measured:
    """What a process that prepares batches of `folder`'s records holds."""
    source = f"data_sources {{ tfrecords_path: '{folder}/records' image_directory_path: '{folder}' }}"
    text = LEAST.replace(SOURCE, source).replace('"jpg"', '"png"')
    done = subprocess.run([sys.executable, "-c", DATA_SIDE, text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Measured(*json.loads(done.stdout))


def make(folder: Path, count: int) -> Path:
    """`count` records of 16 pictures, each under 11 letters of its own as far as the index can tell."""
    (folder / "images").mkdir(parents=True)
    for number in range(16):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 120, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number:011d}.png")
    labels = (Label("cat", (20.0, 10.0, 60.0, 40.0)), Label("dog", (1.5, 2.5, 33.0, 44.0)))
    payloads = [
        tfrecord.encode(tfrecord.Record(f"images/{number:011d}", (80, 120), labels[: 1 + number % 2] * 2))
        for number in range(16)
    ]
    tfrecord.write_payloads(folder / "records", (payloads[number % 16] for number in range(count)))
    return folder


def compare(tmp_path: Path, count: int) -> tuple[Measured, list[Measured]]:
    """A set of 1 000, and one of `count`, read from its records and then from the index beside them."""
    small = measure(make(tmp_path / "small", 1000))
    large = make(tmp_path / "large", count)
    read = measure(large)
    assert index_path(large / "records").is_file()
    return small, [read, measure(large)]


def test_memory_is_flat_from_a_thousand_to_a_hundred_thousand_samples(tmp_path: Path):
    small, found = compare(tmp_path, 100_000)

    for one in found:
        assert one.samples == 100_000
        assert one.stated <= 100_000 * (STATED + 17)  # every second sample has four labels
        assert one.resident - one.stated <= 1.05 * small.resident
        assert one.peak - one.stated <= 1.05 * small.peak


@pytest.mark.slow
def test_memory_is_flat_from_a_thousand_to_a_million_samples(tmp_path: Path):
    small, found = compare(tmp_path, 1_000_000)

    for one in found:
        assert one.samples == 1_000_000
        assert one.resident - one.stated <= 1.05 * small.resident
        assert one.peak - one.stated <= 1.05 * small.peak
    print(f"\nRSS {small.resident / 1e6:.1f} MB of 1 000; {[one.resident / 1e6 for one in found]} MB of 1 000 000")
