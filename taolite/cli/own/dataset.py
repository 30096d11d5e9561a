"""`taolite dataset convert | check | download | stats | view`: labels and images, before any training sees them."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.jetson import download
from taolite.errors import DataError, PathError, UsageError

if TYPE_CHECKING:
    from taolite.formats.check import CheckReport
    from taolite.formats.findings import Finding
    from taolite.formats.stats import DatasetStats
    from taolite.sample import Sample

__all__ = ["configure"]

_FORMATS = ("labelme", "kitti", "voc", "coco", "yolo")
_READ_ONLY = ("openimages", "ccpd", "folders")
_SPLIT = "a list that comes with the data (train -> ImageSets/Main/train.txt, train.txt), or a list file (.txt, .csv)"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `taolite dataset`."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], line: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=line, description=line)
        command.set_defaults(run=run)
        return command

    convert = add("convert", _convert, "labels and images of one format into another")
    convert.add_argument("source", type=Path, metavar="SRC", help="the folder (or label file) to read")
    convert.add_argument("target", type=Path, metavar="DST", help="the folder to make; it must not hold anything yet")
    convert.add_argument("--to", required=True, choices=_FORMATS, help="the format to write")
    _add_source(convert)
    convert.add_argument("--split", help=f"convert only these images: {_SPLIT}")
    convert.add_argument(
        "--val-split", type=float, metavar="PERCENT", help="write DST/train and DST/val instead of DST"
    )
    convert.add_argument("--seed", type=int, default=42, help="of --val-split; 42 where it is left out")
    convert.add_argument("--image-size", type=_size, metavar="WxH", help="resize images and boxes together")
    convert.add_argument("--image-format", choices=("jpg", "png"), help="encode all images as this")
    convert.add_argument("--images", choices=("copy", "link", "symlink"), default="copy", help="copy images, or link")
    convert.add_argument("--classes", type=_names, metavar="A,B", help="keep only these classes (names or a file)")
    convert.add_argument(
        "--rename", action="append", default=[], metavar="OLD=NEW", help="rename a class; may be repeated"
    )
    convert.add_argument("--skip-bad", action="store_true", help="leave out what cannot be read, with a warning each")

    check = add("check", _check, "say what is wrong in labels and images, by file and line; exit code 1 if anything is")
    check.add_argument("source", type=Path, metavar="PATH", help="the folder (or label file) to check")
    _add_source(check)
    check.add_argument(
        "--split", action="append", default=[], help=f"{_SPLIT}; repeated, no two lists may share a picture"
    )
    check.add_argument("--classes", type=_names, metavar="A,B", help="the classes that may occur (names or labels.txt)")
    check.add_argument("--against", type=Path, metavar="PATH", help="a data set that must share no picture with this")
    check.add_argument("--json", action="store_true", help="JSON on stdout")

    line = "fetch a public data set: openimages"
    download.configure(commands.add_parser("download", help=line, description=line))

    stats = add("stats", _stats, "count objects, and measure boxes and images")
    stats.add_argument("source", type=Path, metavar="PATH", help="the folder (or label file) to measure")
    _add_source(stats)
    stats.add_argument("--split", help=_SPLIT)
    stats.add_argument("--json", action="store_true", help="JSON on stdout")

    view = add("view", _view, "draw labelled images on one sheet")
    view.add_argument("source", type=Path, metavar="PATH", help="the folder (or label file) to look at")
    view.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.png", help="the picture to write")
    _add_source(view)
    view.add_argument("--split", help=_SPLIT)
    view.add_argument("--count", type=int, default=12, help="images on the sheet, evenly from the set; 12")
    view.add_argument("--columns", type=int, default=4, help="images in a row; 4")


def _add_source(parser: argparse.ArgumentParser) -> None:
    choices = (*_FORMATS, *_READ_ONLY)
    text = "the format to read, recognised if left out; folders (never recognised): one folder of pictures a class"
    parser.add_argument("--from", dest="format", choices=choices, help=text)


def _size(text: str) -> tuple[int, int]:
    """`WxH` -> (height, width)."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match or not all(int(side) for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT in pixels, for example 960x544")
    return int(match[2]), int(match[1])


def _names(text: str) -> list[str]:
    """Names separated by commas, or the lines of a file."""
    path = Path(text)
    if path.is_file():
        from taolite.formats.text import read_whole

        try:
            text = ",".join(read_whole(path).splitlines())
        except DataError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return [name.strip() for name in re.split(r"[,;]", text) if name.strip()]


def _convert(options: argparse.Namespace) -> int:
    from taolite import formats
    from taolite.cli.progress import Terminal
    from taolite.formats.split import parts_of, split_samples

    rename = dict(_pair(text) for text in options.rename)
    with Terminal() as listener:
        samples = formats.read(
            options.source, options.format, split=options.split, strict=not options.skip_bad, listener=listener
        )
        samples = formats.choose_classes(samples, classes=options.classes, rename=rename)
        parts = {"": samples}
        lists = parts_of(options.source, samples) if options.split is None else {}
        if options.val_split is not None:
            train, val = split_samples(samples, percent=options.val_split, seed=options.seed)
            parts = {"train": train, "val": val}
        reports = [
            formats.write(
                part,
                options.target / name,
                options.to,
                images=options.images,
                size_hw=options.image_size,
                extension=f".{options.image_format}" if options.image_format else None,
                lists={name: part} if name else lists,
                classes=options.classes,
                listener=listener,
            )
            for name, part in parts.items()
        ]
    for report in reports:
        counts = ", ".join(f"{name} {count}" for name, count in report.labels.items()) or "no labels"
        gone = f"; {report.left_out} without area left out" if report.left_out else ""
        print(f"{report.folder}: {_many(report.images, 'image')}, {counts}{gone}")
    return 0


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise UsageError(f"--rename {text}: OLD=NEW is needed, for example --rename 'traffic light=traffic_light'")
    return old, new


def _check(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.formats.check import check

    with Terminal() as listener:
        report = check(
            options.source,
            options.format,
            splits=options.split,
            classes=options.classes,
            against=options.against,
            listener=listener,
        )
    print(json.dumps(_check_json(report), ensure_ascii=False, indent=1) if options.json else _check_text(report))
    return 1 if report.problems else 0


def _check_text(report: CheckReport) -> str:
    from taolite.formats.findings import count_by_kind

    rows = [str(finding) for finding in report.problems]
    rows += [f"note: {finding}" for finding in report.notes]
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(count_by_kind(report.problems).items()))
    found = f"{_many(len(report.problems), 'problem')} ({kinds})" if kinds else "no problems"
    notes = f", {_many(len(report.notes), 'note')}" if report.notes else ""
    what = f"{report.format}, {_many(report.images, 'image')}, {_many(report.labels, 'label')}"
    return "\n".join([*rows, f"{report.path}: {what}: {found}{notes}"])


def _check_json(report: CheckReport) -> dict[str, object]:
    def row(finding: Finding) -> dict[str, object]:
        return {"kind": finding.kind, "file": str(finding.path), "line": finding.line, "text": finding.text}

    return {
        "path": str(report.path),
        "format": report.format,
        "images": report.images,
        "labels": report.labels,
        "problems": [row(finding) for finding in report.problems],
        "notes": [row(finding) for finding in report.notes],
    }


def _stats(options: argparse.Namespace) -> int:
    from taolite.formats.stats import measure_dataset

    stats = measure_dataset(_read(options))
    if options.json:
        print(json.dumps(stats.to_json(), ensure_ascii=False, indent=1))
    else:
        _print_stats(options.source, stats)
    return 0


def _read(options: argparse.Namespace) -> list[Sample]:
    """Leniently: a look at the data does not fail for one bad file; `check` is for those."""
    from taolite import formats
    from taolite.cli.progress import Terminal

    with Terminal() as listener:
        return formats.read(options.source, options.format, split=options.split, strict=False, listener=listener)


def _print_stats(source: Path, stats: DatasetStats) -> None:
    from taolite.formats.stats import PERCENTILES

    per_image = f"{stats.per_image[0]:g} to {stats.per_image[-1]:g}, median {stats.per_image[3]:g}"
    print(f"{source}: {_many(stats.images, 'image')} ({stats.background} without labels), {stats.boxes} labels")
    print(f"labels in an image: {per_image}")
    sizes = ", ".join(f"{width}x{height} ({count})" for (height, width), count in stats.sizes[:5])
    more = f" and {len(stats.sizes) - 5} more" if len(stats.sizes) > 5 else ""
    print(f"image sizes: {sizes}{more}")
    print(f"percentiles {' / '.join(map(str, PERCENTILES))} of boxes, pixels; area in % of the image")
    head = ("class", "labels", "images", "no area", "width", "height", "area %")
    rows = [
        (
            entry.name,
            str(entry.boxes),
            str(entry.images),
            str(entry.without_area),
            " ".join(f"{value:.0f}" for value in entry.width),
            " ".join(f"{value:.0f}" for value in entry.height),
            " ".join(f"{100 * value:.2g}" for value in entry.area),
        )
        for entry in stats.classes
    ]
    _print_table(head, rows)


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """rich's table on a terminal, aligned columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*head)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _view(options: argparse.Namespace) -> int:
    from PIL import Image

    from taolite.files import open_atomic
    from taolite.formats.photo import read_photo
    from taolite.media.overlay import contact_sheet, draw_boxes, palette

    kind = Image.registered_extensions().get(options.output.suffix.lower())
    if kind is None:
        raise PathError(f"{options.output}: a picture is written; give it a name that ends in .png or .jpg")
    if options.count < 1 or options.columns < 1:
        raise UsageError("--count and --columns need to be 1 or more")
    samples = _read(options)
    names = sorted({label.name for sample in samples for label in sample.labels})
    colours = dict(zip(names, palette(len(names)), strict=True))
    step = max(1.0, len(samples) / options.count)
    chosen = [samples[int(index * step)] for index in range(min(options.count, len(samples)))]
    pictures = [
        draw_boxes(
            read_photo(sample),
            sample.boxes_n4,
            [label.name for label in sample.labels],
            [colours[label.name] for label in sample.labels],
        )
        for sample in chosen
    ]
    heading = f"{options.source}: {len(chosen)} of {_many(len(samples), 'image')}"
    titles = [sample.image.name for sample in chosen]
    sheet = contact_sheet(pictures, columns=options.columns, titles=titles, heading=heading)
    with open_atomic(options.output) as stream:
        Image.fromarray(sheet).save(stream, format=kind)
    print(f"{options.output}: {len(chosen)} of {_many(len(samples), 'image')}")
    return 0


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
