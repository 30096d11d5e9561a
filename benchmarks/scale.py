"""The constants behind docs/scale.md: bytes and seconds a sample, and how well an order by shards is shuffled.

python benchmarks/scale.py [--samples 200000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import io
import platform
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taolite.data.order import Shards, epoch_order, shard_order
from taolite.formats.index_file import index_path
from taolite.formats.packed import pack
from taolite.formats.record_index import record_samples
from taolite.formats.tars import TarPictures, list_tars
from taolite.formats.tfrecord import Record, encode, write_payloads
from taolite.sample import Label, Sample


def samples(count: int, labels: int) -> Iterator[Sample]:
    """Pictures in one folder with names of 12 letters and sizes of their own, as COCO's."""
    rng = np.random.default_rng(1)
    for number in range(count):
        boxes = rng.uniform(0, 500, (labels, 4)).astype(np.float32).tolist()
        found = tuple(Label(f"class{at % 80}", tuple(box)) for at, box in enumerate(boxes, start=number))
        yield Sample(Path(f"/data/images/{number:012d}.jpg"), (400 + number % 97, 640), found)


def kept() -> None:
    for labels in (1, 3, 7):
        packed = pack(samples(20_000, labels))
        print(f"{labels} labels: {packed.nbytes / len(packed):.1f} bytes a sample")


def starting(folder: Path, count: int) -> None:
    path = folder / "records"
    payloads = (encode(Record(f"images/{one.image.stem}", one.size_hw, one.labels)) for one in samples(count, 3))
    write_payloads(path, payloads)
    for what in ("read and packed", "mapped"):
        began_s, began_cpu = time.perf_counter(), time.process_time()
        found = record_samples(path)
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu
        print(f"{count} records {what}: {took_s:.2f} s, {1e6 * cpu_s / count:.2f} us of processor time each")
    began_cpu = time.process_time()
    found.digest()
    found.name_counts()
    print(f"hash and counts, mapped: {1e6 * (time.process_time() - began_cpu) / count:.3f} us each")
    index_b, records_b = (one.stat().st_size / count for one in (index_path(path), path))
    print(f"bytes a sample: {index_b:.1f} of index in {len(found.blocks)} blocks, {records_b:.0f} of records")
    began_cpu = time.process_time()
    for index in range(0, count, max(1, count // 10_000)):
        found[index]
    print(f"a sample made: {1e6 * (time.process_time() - began_cpu) / 10_000:.1f} us")


def ordering() -> None:
    for count in (50_000, 1_000_000, 100_000_000):
        began_cpu = time.process_time()
        order = epoch_order(count, seed=1, epoch=0, batch_size=32)
        made_ms = 1e3 * (time.process_time() - began_cpu)
        began_cpu = time.process_time()
        for batch in range(1000):
            order[batch * 32 : batch * 32 + 32].tolist()
        batch_us = 1e3 * (time.process_time() - began_cpu)
        print(f"order of {count}: {made_ms:.2f} ms to make, {batch_us:.0f} us a batch of 32")


def listing(folder: Path) -> None:
    with tarfile.open(folder / "shard.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(5000):
            member = tarfile.TarInfo(f"images/{number:012d}.jpg")
            member.size = 20_000
            tar.addfile(member, io.BytesIO(bytes(20_000)))
    began_cpu = time.process_time()
    TarPictures(list_tars([str(folder / "shard.tar")]))
    print(f"members of a tar listed: {1e6 * (time.process_time() - began_cpu) / 5000:.0f} us each")
    began_cpu = time.process_time()
    TarPictures(list_tars([str(folder / "shard.tar")]))
    print(f"a listing mapped and sorted: {1e6 * (time.process_time() - began_cpu) / 5000:.2f} us each")


def sliding(shard_of: np.ndarray, buffer: int, seed: int) -> np.ndarray:
    """The usual shuffle of streams: files in random order, then out of a buffer at random, refilled from the stream."""
    rng = np.random.default_rng(seed)
    turn = rng.permutation(int(shard_of.max()) + 1)
    stream = np.argsort(turn[shard_of], kind="stable")
    held, out = stream[:buffer].copy(), np.empty_like(stream)
    picks = rng.integers(0, buffer, len(stream) - buffer)
    for at, pick in enumerate(picks.tolist()):
        out[at], held[pick] = held[pick], stream[buffer + at]
    out[len(stream) - buffer :] = rng.permutation(held)
    return out


def shuffling(count: int = 256_000, per_file: int = 1000, batch: int = 32) -> None:
    """The worst case: every file holds one class of ten alone."""
    shard_of = np.arange(count, dtype=np.uint32) // per_file
    shards = Shards.of(shard_of, count=count // per_file)
    print(f"{count} samples, {per_file} a file, each file of one class of ten; batches of {batch}:")
    orders = {"all at once": np.asarray(epoch_order(count, seed=1, epoch=0, batch_size=batch))}
    orders["no shuffle within files"] = np.asarray(shard_order(shards, buffer=1, seed=1, epoch=0, batch_size=batch))
    for buffer in (4096, 16384, 65536):
        orders[f"windows of {buffer}"] = np.asarray(
            shard_order(shards, buffer=buffer, seed=1, epoch=0, batch_size=batch)
        )
        orders[f"sliding buffer of {buffer}"] = sliding(shard_of, buffer, seed=1)
    for name, order in orders.items():
        files = shard_of[order].reshape(-1, batch)
        distinct = np.mean([len(np.unique(row)) for row in files])
        share = (files % 10 == 0).mean(axis=1)
        print(f"  {name}: {distinct:.1f} files in a batch, a class has {share.mean():.2f} +- {share.std():.3f} of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}")
    kept()
    with TemporaryDirectory(dir=options.folder) as folder:
        starting(Path(folder), options.samples)
        listing(Path(folder))
    ordering()
    shuffling()


if __name__ == "__main__":
    main()
