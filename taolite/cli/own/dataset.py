"""`taolite dataset convert | check | download | stats | view`: work on labels and images before training."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli import download
from taolite.cli.own.sheet import CELL, draw_sheet, require_sheet
from taolite.cli.parsing import pixels_flag, whole
from taolite.errors import DataError, UsageError
from taolite.formats.registry import find_format, format_names
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.formats.check import CheckReport
    from taolite.formats.findings import Finding
    from taolite.formats.stats import DatasetStats
    from taolite.sample import Sample

__all__ = ["configure"]

_SPLIT = "a split of the data set (a list such as ImageSets/Main/train.txt, or a folder train/), or a list file"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the commands of `taolite dataset`."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], line: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=line, description=line)
        command.set_defaults(run=run)
        return command

    _configure_convert(add("convert", _convert, "convert labels and images to another format"))

    check = add(
        "check", _check, "list all problems of labels and images, by file and line; exit code 1 if there are any"
    )
    check.add_argument("source", type=Path, metavar="PATH", help="folder (or label file) to check")
    _add_source(check)
    check.add_argument(
        "--split", action="append", default=[], help=f"{_SPLIT}; repeatable: no two may share an image (default: all)"
    )
    check.add_argument("--classes", type=_names, metavar="A,B", help="allowed classes (names, or a labels.txt)")
    check.add_argument("--against", type=Path, metavar="PATH", help="another data set that must share no image with it")
    check.add_argument("--json", action="store_true", help="print JSON")

    line = "download a public data set: openimages"
    download.configure(commands.add_parser("download", help=line, description=line))

    stats = add("stats", _stats, "count objects, and measure boxes and images")
    stats.add_argument("source", type=Path, metavar="PATH", help="folder (or label file) to measure")
    _add_source(stats)
    stats.add_argument("--split", help=f"measure only these images: {_SPLIT} (default: all)")
    stats.add_argument("--json", action="store_true", help="print JSON")

    view = add("view", _view, "draw labelled images on one sheet")
    view.add_argument("source", type=Path, metavar="PATH", help="folder (or label file) to draw")
    view.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.png", help="picture to write")
    _add_source(view)
    view.add_argument("--split", help=f"draw only these images: {_SPLIT} (default: all)")
    view.add_argument("--count", type=int, default=12, help="number of images, spread over the data set (default: 12)")
    view.add_argument("--columns", type=int, default=4, help="images in a row (default: 4)")
    text = f"greatest width of an image (default: {CELL})"
    whole(view.add_argument("--size", type=int, default=CELL, metavar="PIXELS", help=text))


def _configure_convert(convert: argparse.ArgumentParser) -> None:
    convert.add_argument("source", type=Path, metavar="SRC", help="folder (or label file) to read")
    convert.add_argument("target", type=Path, metavar="DST", help="folder to write; it must be empty or not exist")
    names = ", ".join(format_names(written=True))
    convert.add_argument("--to", required=True, type=_written, metavar="FORMAT", help=f"format to write: {names}")
    _add_source(convert)
    convert.add_argument("--split", help=f"convert only these images: {_SPLIT} (default: all)")
    convert.add_argument(
        "--val-split", type=float, metavar="PERCENT", help="write DST/train and DST/val, with PERCENT of images in val"
    )
    convert.add_argument("--seed", type=int, default=42, help="seed of --val-split (default: 42)")
    convert.add_argument("--image-size", type=_size, metavar="WxH", help="resize images and boxes, in pixels")
    convert.add_argument("--image-format", choices=("jpg", "png"), help="encode all images in this format")
    convert.add_argument(
        "--images", choices=("copy", "link", "symlink"), default="copy", help="copy or link images (default: copy)"
    )
    convert.add_argument("--classes", type=_names, metavar="A,B", help="keep only these classes (names, or a file)")
    convert.add_argument("--rename", action="append", default=[], metavar="OLD=NEW", help="rename a class; repeatable")
    convert.add_argument(
        "--skip-bad", action="store_true", help="leave out unreadable labels and images, with warnings"
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    text = f"format to read (default: detected): {', '.join(format_names())}"
    parser.add_argument("--from", dest="format", type=_readable, metavar="FORMAT", help=text)
    text = "allow images that label files name outside PATH and its parent folder"
    whole(parser.add_argument("--allow-outside", dest="outside", action="store_true", help=text))
    pixels_flag(parser.add_argument)


def _readable(name: str) -> str:
    return _known(name, written=False)


def _written(name: str) -> str:
    return _known(name, written=True)


def _known(name: str, *, written: bool) -> str:
    try:
        return find_format(name, written=written).name
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> tuple[int, int]:
    """`WxH` -> (height, width)."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match or not all(int(side) for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT in pixels, for example 960x544")
    return int(match[2]), int(match[1])


def _names(text: str) -> list[str]:
    """Names separated by commas, or the lines of a file."""
    from taolite.formats.places import is_file

    path = Path(text)
    if is_file(path):
        from taolite.formats.text import read_whole

        try:
            text = ",".join(read_whole(path).splitlines())
        except DataError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return [name.strip() for name in re.split(r"[,;]", text) if name.strip()]


def _convert(options: argparse.Namespace) -> int:
    from taolite import formats
    from taolite.cli.progress import Terminal
    from taolite.formats.holdout import split_samples
    from taolite.formats.printing import printable
    from taolite.formats.split import parts_of

    rename = dict(_pair(text) for text in options.rename)
    with Terminal() as listener:
        samples = formats.read(
            options.source,
            options.format,
            split=options.split,
            strict=not options.skip_bad,
            outside=options.outside,
            listener=listener,
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
                skip_bad=options.skip_bad,
                listener=listener,
            )
            for name, part in parts.items()
        ]
    for report in reports:
        counts = ", ".join(f"{printable(name)} {count}" for name, count in report.labels.items()) or "no labels"
        gone = f"; {counted(report.left_out, 'label')} without area left out" if report.left_out else ""
        print(f"{report.folder}: {counted(report.images, 'image')}, {counts}{gone}")
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
            outside=options.outside,
            listener=listener,
        )
    print(_json(_check_json(report)) if options.json else _check_text(report))
    return 1 if report.problems else 0


def _check_text(report: CheckReport) -> str:
    from taolite.formats.findings import count_by_kind

    rows = [str(finding) for finding in report.problems]
    rows += [f"note: {finding}" for finding in report.notes]
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(count_by_kind(report.problems).items()))
    found = f"{counted(len(report.problems), 'problem')} ({kinds})" if kinds else "no problems"
    notes = f", {counted(len(report.notes), 'note')}" if report.notes else ""
    what = f"{report.format}, {counted(report.images, 'image')}, {counted(report.labels, 'label')}"
    return "\n".join([*rows, f"{report.path}: {what}: {found}{notes}"])


def _json(value: object) -> str:
    """JSON to print; lone surrogates, which no stream accepts, are escaped."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace").decode()


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
        print(_json(stats.to_json()))
    else:
        _print_stats(options.source, stats)
    return 0


def _read(options: argparse.Namespace) -> list[Sample]:
    """The samples that can be read; a bad file is a warning here, and `check` lists all of them."""
    from taolite import formats
    from taolite.cli.progress import Terminal

    with Terminal() as listener:
        return formats.read(
            options.source,
            options.format,
            split=options.split,
            strict=False,
            outside=options.outside,
            listener=listener,
        )


def _print_stats(source: Path, stats: DatasetStats) -> None:
    from taolite.formats.printing import printable
    from taolite.formats.stats import PERCENTILES

    per_image = f"{stats.per_image[0]:g} to {stats.per_image[-1]:g}, median {stats.per_image[3]:g}"
    background = f"({stats.background} without labels)"
    print(f"{source}: {counted(stats.images, 'image')} {background}, {counted(stats.boxes, 'label')}")
    print(f"labels in an image: {per_image}")
    sizes = ", ".join(f"{width}x{height} ({count})" for (height, width), count in stats.sizes[:5])
    more = f" and {len(stats.sizes) - 5} more" if len(stats.sizes) > 5 else ""
    print(f"image sizes: {sizes}{more}")
    print(f"percentiles {' / '.join(map(str, PERCENTILES))} of boxes, pixels; area in % of the image")
    head = ("class", "labels", "images", "no area", "width", "height", "area %")
    rows = [
        (
            printable(entry.name),
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
    """Print a rich table on a terminal, aligned columns elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(*head)
        for row in rows:
            table.add_row(*map(escape, row))
        Console().print(table)
        return
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _view(options: argparse.Namespace) -> int:
    size = {"count": options.count, "columns": options.columns, "size": options.size}
    require_sheet(options.output, **size)
    drawn, of = draw_sheet(_read(options), options.output, title=str(options.source), **size)
    print(f"{options.output}: {drawn} of {counted(of, 'image')}")
    return 0
