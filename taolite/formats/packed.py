"""Compact samples: a sequence of samples stored as columns instead of objects.

A block holds up to 4 096 samples as arrays. A sample costs 8 bytes, its image path below the shared folder, and its
size where sizes differ; a label costs 17 bytes (33 where a coordinate needs a double). A column whose values are all
equal costs nothing; any other column uses the narrowest type that loses nothing. `nbytes` gives the total.

Everything that training and scoring use is kept: image, size, source, and of a label its name, box, difficult and line.
The other fields of a `Label` come back as defaults.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from taolite.sample import Label, Sample

__all__ = ["BLOCK", "Block", "Column", "PackedSamples", "Texts", "pack", "packed_blocks"]

BLOCK = 1 << 12  # samples; packing a block holds that many sample objects in memory

Column = NDArray[Any]


@dataclass(frozen=True)
class Texts:
    """N texts as UTF-8: their common beginning, then the rest of each text, concatenated in `bytes_b` (B,) uint8. Text
    i ends at `ends_n[i + 1]` (N + 1,)."""

    shared: str
    bytes_b: Column
    ends_n: Column

    @classmethod
    def of(cls, texts: Sequence[str]) -> Texts:
        """Store texts. Paths share only whole folders; texts that are all equal are stored once."""
        shared = os.path.commonprefix(texts)  # noqa: RUF071 (cut at a slash below)
        if any(text != shared for text in texts):
            shared = shared[: shared.rfind("/") + 1]
        rests = [os.fsencode(text[len(shared) :]) for text in texts]
        return cls(shared, np.frombuffer(b"".join(rests), np.uint8), narrow([0, *accumulate(map(len, rests))]))

    def __getitem__(self, index: int) -> str:
        return self.shared + os.fsdecode(self.bytes_b[self.ends_n[index] : self.ends_n[index + 1]].tobytes())


@dataclass(frozen=True)
class Block:
    """N samples with L labels in all. Every image path is `folder`, its own part, and `suffix`. `sources` is None if no
    sample has a source; an empty text in it means no source. Columns, with shapes that end in n for samples and l for
    labels:

    heights_n, widths_n, label_ends_n (N + 1,); kinds_l: indices in `names`; boxes_l4, difficult_l, lines_l.
    """

    images: Texts
    sources: Texts | None
    names: tuple[str, ...]
    columns: Mapping[str, Column]
    folder: str = ""
    suffix: str = ""
    known_digest: str = ""  # the digest, if it was computed before

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Block:
        """Pack samples; at least one is needed."""
        labels = [label for sample in samples for label in sample.labels]
        sources = [str(sample.source or "") for sample in samples]
        return cls.of_columns(
            [str(sample.image) for sample in samples],
            [sample.size_hw for sample in samples],
            [len(sample.labels) for sample in samples],
            [label.name for label in labels],
            [label.box for label in labels],
            difficult=[label.difficult for label in labels],
            lines=[label.line for label in labels],
            sources=sources if any(sources) else None,
        )

    @classmethod
    def of_columns(
        cls,
        images: Sequence[str],
        sizes_hw: Sequence[tuple[int, int]],
        counts: Sequence[int],
        names: Sequence[str],
        boxes: Sequence[tuple[float, float, float, float]],
        *,
        difficult: Sequence[bool] | None = None,
        lines: Sequence[int] | None = None,
        sources: Sequence[str] | None = None,
    ) -> Block:
        """Pack columns: of each sample its image, size, number of labels and source ("" for none), of each label its
        name, box, and whether it is difficult and its line (None: none is, 0)."""
        kinds = {name: kind for kind, name in enumerate(dict.fromkeys(names))}
        nothing = [0] * len(names)
        return cls(
            Texts.of(images),
            Texts.of(sources) if sources else None,
            tuple(kinds),
            {
                "heights_n": narrow([height for height, _ in sizes_hw]),
                "widths_n": narrow([width for _, width in sizes_hw]),
                "label_ends_n": narrow([0, *accumulate(counts)]),
                "kinds_l": narrow([kinds[name] for name in names]),
                "boxes_l4": narrow(boxes, floats=True).reshape(-1, 4),
                "difficult_l": narrow(difficult or nothing),
                "lines_l": narrow(lines or nothing),
            },
        )

    def __len__(self) -> int:
        return len(self.columns["heights_n"])

    @property
    def nbytes(self) -> int:
        """Bytes of all columns and texts."""
        texts = [column for text in (self.images, self.sources) if text for column in (text.bytes_b, text.ends_n)]
        return sum(stored_bytes(column) for column in (*self.columns.values(), *texts))

    def sample(self, index: int) -> Sample:
        """Sample `index` of this block, from 0."""
        column = self.columns
        here = slice(int(column["label_ends_n"][index]), int(column["label_ends_n"][index + 1]))
        rows = zip(*(column[name][here].tolist() for name in _OF_LABELS), strict=True)
        labels = tuple(
            Label(self.names[kind], (*box,), difficult=bool(difficult), line=line)
            for kind, box, difficult, line in rows
        )
        source = self.sources[index] if self.sources else ""
        return Sample(
            Path(self.folder, self.images[index] + self.suffix),
            (int(column["heights_n"][index]), int(column["widths_n"][index])),
            labels,
            Path(source) if source else None,
        )

    def name_counts(self) -> Counter[str]:
        """How many labels have each name."""
        counts = np.bincount(self.columns["kinds_l"], minlength=len(self.names)).tolist()
        return Counter(dict(zip(self.names, counts, strict=True)))

    @cached_property
    def digest(self) -> str:
        """64 hex digits: a hash of image names without folder and `suffix`, sizes and labels, in order."""
        if self.known_digest:
            return self.known_digest
        column, digest = self.columns, hashlib.sha256()
        names = (self.images[index].rpartition("/")[2] for index in range(len(self)))
        digest.update(json.dumps([self.names, list(names)]).encode())
        for name, kind in _DIGESTED.items():
            digest.update(np.ascontiguousarray(column[name], dtype=kind).tobytes())
        return digest.hexdigest()


_OF_LABELS = ("kinds_l", "boxes_l4", "difficult_l", "lines_l")
_DIGESTED = {
    "heights_n": "<i8",
    "widths_n": "<i8",
    "label_ends_n": "<i8",
    "kinds_l": "<i8",
    "boxes_l4": "<f8",
    "difficult_l": "<i8",
}


class PackedSamples(Sequence[Sample]):
    """A sequence of blocks of samples; a `Sample` object is made only when it is asked for."""

    def __init__(self, blocks: Iterable[Block] = ()) -> None:
        self.blocks = tuple(block for block in blocks if len(block))
        self._ends = list(accumulate(map(len, self.blocks)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(index, slice):
            return [self[one] for one in range(len(self))[index]]
        index = range(len(self))[index]
        block = bisect.bisect_right(self._ends, index)
        return self.blocks[block].sample(index - (self._ends[block - 1] if block else 0))

    def __iter__(self) -> Iterator[Sample]:
        return (block.sample(index) for block in self.blocks for index in range(len(block)))

    @property
    def nbytes(self) -> int:
        """Bytes of memory, or of mapped files, that the samples take."""
        return sum(block.nbytes for block in self.blocks)

    def sizes_n2(self) -> NDArray[np.int64]:
        """(N, 2) height and width of each picture."""
        sides = [np.stack([block.columns["heights_n"], block.columns["widths_n"]], axis=1) for block in self.blocks]
        return np.concatenate([np.zeros((0, 2), np.int64), *sides])

    def name_counts(self) -> Counter[str]:
        """How many labels have each name, in order of first occurrence."""
        return sum((block.name_counts() for block in self.blocks), Counter[str]())

    def digest(self) -> str:
        """64 hex digits: a hash of image names, sizes and labels, in order, and of the block boundaries."""
        digests = [[block.digest, block.suffix] for block in self.blocks]
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()

    def placed(self, folder: Path, suffix: str) -> PackedSamples:
        """The same samples, with images at `folder / (image + suffix)`."""
        return PackedSamples(replace(block, folder=str(folder), suffix=suffix) for block in self.blocks)


def pack(samples: Iterable[Sample]) -> PackedSamples:
    """Pack samples as they arrive; samples that are already packed stay as they are."""
    return samples if isinstance(samples, PackedSamples) else PackedSamples(packed_blocks(samples))


def packed_blocks(samples: Iterable[Sample]) -> Iterator[Block]:
    """Blocks of `BLOCK` samples, the last one smaller; each is given as soon as its samples have arrived."""
    upcoming = iter(samples)
    return (Block.of([first, *islice(upcoming, BLOCK - 1)]) for first in upcoming)


def narrow(values: Sequence[Any], *, floats: bool = False) -> Column:
    """Values as a column of the narrowest type that holds them all; if all rows are equal, one is stored."""
    if floats:
        wide = np.array(values, np.float64)
        with np.errstate(over="ignore"):
            half = wide.astype(np.float32)
        made: Column = half if np.array_equal(half, wide, equal_nan=True) else wide
    else:
        made = np.array(values, np.int64)
        low, high = int(made.min(initial=0)), int(made.max(initial=0))
        made = made.astype(np.result_type(np.min_scalar_type(low), np.min_scalar_type(high)))
    if len(made) > 1 and made.ndim == 1 and (made == made[0]).all():
        return np.broadcast_to(made[:1], made.shape)
    return made


def stored_bytes(column: Column) -> int:
    """The bytes that a column takes; a column that repeats one row takes the bytes of that row."""
    return column.itemsize if column.ndim and column.strides[0] == 0 else column.nbytes
