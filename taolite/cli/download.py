"""The flags of pytorch-ssd's open_images_downloader.py, and what it does: `taolite dataset download openimages` and
`taolite jetson open_images_downloader.py`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taolite.formats.openimages_download import Selection, SplitReport

__all__ = ["add_flags", "configure", "run"]

_NAMED = 10  # missing pictures of a split that are named


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the data sets that can be downloaded."""
    sets = parser.add_subparsers(dest="source", metavar="SOURCE", required=True)
    line = "Open Images pictures and boxes of some classes; a second run fetches what is missing"
    add_flags(sets.add_parser("openimages", help=line, description=line))
    sets.choices["openimages"].set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the downloader's flags."""
    add = parser.add_argument
    add("--class-names", required=True, metavar="A,B", help="classes, upper or lower case: 'Apple,Orange,Banana'")
    add("--root", "--data", type=Path, default=Path("data"), metavar="DIR", help="folder to write to (default: data)")
    add("--include-depiction", action="store_true", help="include drawings and depictions")
    add("--remove-overlapped", action="store_true", help="leave out single boxes inside the box of a group")
    text = "largest number of images, divided among the splits (default: -1, all)"
    add("--max-images", type=int, default=-1, metavar="N", help=text)
    text = "largest number of boxes of a class in each split (default: -1, all)"
    add("--max-annotations-per-class", type=int, default=-1, metavar="N", help=text)
    add("--stats-only", action="store_true", help="count images and boxes, then stop (downloads the tables, 1.2 GB)")
    add("--num-workers", type=int, default=10, metavar="N", help="downloads at the same time (default: 10)")
    add("--retry", type=int, default=10, metavar="N", help="attempts after a failed one (default: 10)")
    add("--tables-url", metavar="URL", help="mirror of the tables")
    add("--images-url", metavar="URL", help="mirror of the pictures")


def run(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.formats import openimages_download as download

    with Terminal() as listener:
        selection = download.select(
            options.root,
            options.class_names.split(","),
            include_depiction=options.include_depiction,
            remove_overlapped=options.remove_overlapped,
            max_images=options.max_images,
            max_annotations_per_class=options.max_annotations_per_class,
            tables_url=(options.tables_url or download.TABLES_URL).rstrip("/"),
            retries=options.retry,
            listener=listener,
        )
    print(_statistics(selection))
    if options.stats_only:
        return 0
    with Terminal() as listener:
        reports = download.download_images(
            selection,
            options.root,
            images_url=(options.images_url or download.IMAGES_URL).rstrip("/"),
            num_workers=max(1, options.num_workers),
            retries=options.retry,
            listener=listener,
        )
    print(_summary(reports))
    return 1 if any(report.failed for report in reports.values()) else 0


def _statistics(selection: Selection) -> str:
    from taolite.cli.render import table
    from taolite.formats.openimages import SPLITS

    counts = {split: selection.counts(split) for split in SPLITS}
    names = sorted({name for found in counts.values() for name in found})
    none = (0, 0)
    rows = [
        (name, *(f"{boxes} in {images}" for boxes, images in (counts[split].get(name, none) for split in SPLITS)))
        for name in names
    ]
    rows.append(("all", *(f"{len(selection.rows[split])} in {len(selection.images(split))}" for split in SPLITS)))
    return table(("boxes in images", *SPLITS), rows)


def _summary(reports: Mapping[str, SplitReport]) -> str:
    from taolite.cli.render import table

    rows = [
        (split, *map(str, (one.wanted, one.kept, one.fetched, len(one.missing), len(one.failed))))
        for split, one in reports.items()
    ]
    lines = [table(("split", "images", "were there", "fetched", "not on the server", "failed"), rows)]
    for split, one in reports.items():
        for word, names in (("not on the server", one.missing), ("failed", one.failed)):
            some = ", ".join(f"{name} ({one.reasons[name]})" for name in names[:_NAMED])
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            lines += [f"{split}, {word}: {some}{more}"] if names else []
    if any(one.failed for one in reports.values()):
        lines.append("run the same command again to fetch what failed; what is there is kept")
    return "\n".join(lines)
