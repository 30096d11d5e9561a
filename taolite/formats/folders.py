"""Class folders: `<root>/<class>/*`, the class of a picture is the folder it lies in.

Classes are numbered in code-point order of their folders' names (digits, `Z`, `a`), as Keras and torchvision number
them; `labels.txt` beside the split folders, and a classmap, say it once more and are held against the folders. Pictures
may lie deeper than one level, as both take them; what is hidden is not looked at. The one label of a picture covers it
whole. Sizes come from headers; a JPEG or PNG that does not end as one, and every file of another kind, is decoded, so
that a truncated one is found here and not in the middle of a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from taolite.errors import DataError, PathError, StreamError
from taolite.events import Listener, Notice, silent
from taolite.formats.findings import SHOWN, Finding, Findings, problems_error
from taolite.formats.places import files_below, is_hidden, measure
from taolite.formats.text import read_json, read_whole, show
from taolite.pictures import read_rgb
from taolite.sample import Label, Sample

__all__ = [
    "KERAS_EXTENSIONS",
    "SPLIT_FOLDERS",
    "TORCHVISION_EXTENSIONS",
    "check_class_names",
    "check_labels",
    "class_names",
    "collect_folders",
    "is_whole",
    "read_classmap",
    "read_folders",
    "settle",
    "subfolders",
    "whole_picture",
]

KERAS_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")
TORCHVISION_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
SPLIT_FOLDERS = {"train", "val", "valid", "validation", "test"}
_TAIL = 64  # bytes at the end of a file among which its end marker is looked for
_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}  # first two bytes of a JPEG, a PNG -> marker


def class_names(root: Path, *, least: int = 1) -> tuple[str, ...]:
    """The classes of a folder of class folders, in the order of their numbers.

    Raises PathError where there is no such folder; DataError where it holds fewer than `least` classes, or the splits
    of a data set instead of classes.
    """
    if not root.is_dir():
        raise PathError(f"{root}: no such folder; it needs to hold a folder of pictures for each class")
    folders = subfolders(root)
    names = [path.name for path in folders]
    deeper = set(names) <= SPLIT_FOLDERS and any(inner.is_dir() for path in folders for inner in path.iterdir())
    return check_class_names(str(root), names, deeper=deeper, least=least)


def check_class_names(root: str, names: Sequence[str], *, deeper: bool, least: int) -> tuple[str, ...]:
    """`names`, the sorted folders of `root`, if they can be classes; `deeper` says whether they hold folders.

    Raises DataError where they are fewer than `least`, or the splits of a data set.
    """
    if names and set(names) <= SPLIT_FOLDERS and deeper:
        if root.endswith(".tar"):
            raise DataError(f"{root}: holds the splits {_listed(names)}; make a tar file of each")
        raise DataError(f"{root}: holds the splits {_listed(names)}; name one of them, such as {root}/{names[0]}")
    if len(names) < least:
        found = f"no folder but {_listed(names)}" if names else "no folder"
        text = "one is needed for each class, and two classes at least" if least > 1 else "one is needed for each class"
        raise DataError(f"{root}: holds {found}; {text}")
    return tuple(names)


def subfolders(root: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))


def read_folders(
    root: Path | str,
    *,
    classes: Sequence[str] | None = None,
    leave_out_others: bool = False,
    extensions: tuple[str, ...] = TORCHVISION_EXTENSIONS,
    skip_corrupt: bool = False,
    listener: Listener = silent,
) -> list[Sample]:
    """The pictures of a folder of class folders, each with the one label that covers it whole.

    Args:
        root: the folder of one split.
        classes: the classes there should be (those of training, of a classmap); the folders' own where it is None.
        leave_out_others: folders of other classes are left out with a warning; otherwise they are an error.
        extensions: of pictures, in lower case; any case is taken.
        skip_corrupt: pictures that cannot be read are left out with a warning each; otherwise they are an error.
        listener: takes the warnings: classes without a picture, files that are no pictures.

    Returns:
        Samples by class folder, then by path.

    Raises:
        PathError: no such folder.
        DataError: no class or no picture, an unknown class, or all pictures that cannot be read.
    """
    root = Path(root)
    return settle(
        str(root),
        class_names(root),
        partial(collect_folders, root, extensions=extensions),
        place=root,
        classes=classes,
        leave_out_others=leave_out_others,
        extensions=extensions,
        skip_corrupt=skip_corrupt,
        listener=listener,
    )


def settle(
    root: str,
    there: Sequence[str],
    collect: Callable[..., list[Sample]],
    *,
    place: Path,
    classes: Sequence[str] | None,
    leave_out_others: bool,
    extensions: tuple[str, ...],
    skip_corrupt: bool,
    listener: Listener,
) -> list[Sample]:
    """What `read_folders` does with the classes that are `there` and with the samples and findings that
    `collect(without=, findings=)` gives; `place` is where notes say that they are of."""
    findings = Findings()
    others = [name for name in there if classes is not None and name not in classes]
    if others and not leave_out_others:
        text = f"the classes are {_listed(classes or ())}"
        raise DataError(f"{root}: has folders of no known class: {_listed(others)}; {text}; rename or remove them")
    if others:
        findings.note("other-class", place, f"folders of other classes are left out: {_listed(others)}")
    samples = collect(without=others, findings=findings)
    if findings.errors and not skip_corrupt:
        raise problems_error(root, findings.errors)
    if not samples:
        raise DataError(f"{root}: no picture ({', '.join(extensions)}) found in its class folders")
    found = {sample.labels[0].name for sample in samples}
    empty = [name for name in (there if classes is None else classes) if name not in found and name not in others]
    if empty:
        findings.note("empty-class", place, f"has no picture of {_listed(empty)}")
    for notes in (findings.errors, findings.notes):
        _tell(notes, root, listener)
    return samples


def collect_folders(
    root: Path,
    *,
    extensions: tuple[str, ...] = TORCHVISION_EXTENSIONS,
    without: Sequence[str] = (),
    findings: Findings,
) -> list[Sample]:
    """Like `read_folders`, but everything wrong goes to `findings`; raises as `class_names` does."""
    samples = []
    for name in class_names(root):
        if name in without:
            continue
        for path in files_below(root / name, extensions):
            size_hw = measure(path, findings)
            if size_hw is not None and is_whole(path, findings):
                samples.append(Sample(path, size_hw, (whole_picture(name, size_hw),)))
        _note_strangers(root / name, extensions, findings)
    beside = [
        path
        for path in root.iterdir()
        if path.suffix.lower() in extensions and path.is_file() and not is_hidden(path.name)
    ]
    if beside:
        text = f"pictures outside the class folders, without a class: {len(beside)}, such as {min(beside).name}"
        findings.note("no-class", root, text)
    return samples


def whole_picture(name: str, size_hw: tuple[int, int]) -> Label:
    """The label `name` on a whole picture of (height, width) pixels."""
    return Label(name, (0.0, 0.0, float(size_hw[1]), float(size_hw[0])))


def check_labels(path: Path, classes: Sequence[str], *, listener: Listener = silent) -> None:
    """Hold a `labels.txt`, one class a line, against the classes in the order of their numbers.

    A blank where the class has `_` is taken as it is meant, with a notice. Raises DataError with everything else that
    differs: a blank line, a name twice, a name without folder or a folder without name, another order.
    """
    lines = [line.strip() for line in read_whole(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    problems = [
        f"line {number} is blank, and every class after it has a wrong number"
        for number, line in enumerate(lines, start=1)
        if not line
    ]
    first = {line: number for number, line in reversed([*enumerate(lines, start=1)])}
    problems += [
        f"line {number} is {show(line)} for the second time"
        for number, line in enumerate(lines, start=1)
        if line and first[line] < number
    ]
    known = {name.replace("_", " "): name for name in classes}
    named = [line if line in classes else known.get(line.replace("_", " "), line) for line in lines if line]
    there = set(named)
    problems += [f"{show(name)} has no class folder" for name in dict.fromkeys(named) if name not in classes]
    problems += [f"the class folder {show(name)} has no line" for name in classes if name not in there]
    if not problems and named != list(classes):
        number = next(index for index, (a, b) in enumerate(zip(named, classes, strict=True)) if a != b)
        text = f"line {number + 1} is {show(named[number])}, and class {number} is {show(classes[number])}"
        problems.append(f"{text}: classes are numbered in the order of their folders' names")
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(f"{path}: {'; '.join(problems[:SHOWN])}{more}")
    blanks = [line for line, name in zip(lines, named, strict=True) if line != name]
    if blanks:
        listener(Notice(f"{path}: {_listed(blanks)} is read as the folder with `_`", "info"))


def read_classmap(path: Path) -> tuple[str, ...]:
    """The classes of a classmap, a JSON object {name: number}, in the order of their numbers.

    Raises DataError where it is none, or the numbers are not 0, 1, ... each once.
    """
    findings = Findings()
    found = read_json(path, read_whole(path), findings)
    if findings.errors:
        raise problems_error(path, findings.errors)
    if not isinstance(found, dict) or not found or any(type(number) is not int for number in found.values()):
        raise DataError(f'{path}: not a classmap; it needs to be like {{"cat": 0, "dog": 1}}')
    if sorted(found.values()) != list(range(len(found))):
        numbers = ", ".join(str(number) for number in sorted(found.values()))
        raise DataError(f"{path}: its numbers are {numbers}; they need to be 0 to {len(found) - 1}, each once")
    return tuple(sorted(found, key=found.__getitem__))


def is_whole(path: Path, findings: Findings, stream: IO[bytes] | None = None) -> bool:
    """Whether a picture ends as it should, or decodes all the same; otherwise the reason goes to `findings`. With
    `stream` the file's bytes come from there."""
    if stream is None:
        with open(path, "rb") as opened:
            return is_whole(path, findings, opened)
    stream.seek(0)
    marker = _ENDS.get(stream.read(2))
    stream.seek(-min(_TAIL, stream.seek(0, 2)), 2)
    if marker is not None and marker in stream.read():
        return True
    stream.seek(0)
    try:
        read_rgb(path, stream=stream)
    except StreamError:
        raise
    except DataError as error:
        findings.error("unreadable-image", path, str(error).removeprefix(f"{path}: "))
        return False
    return True


def _note_strangers(folder: Path, extensions: tuple[str, ...], findings: Findings) -> None:
    strangers = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() not in extensions)
    strangers = [path for path in strangers if not any(map(is_hidden, path.relative_to(folder).parts))]
    if strangers:
        text = f"files that are not pictures: {len(strangers)}, such as {strangers[0].name}"
        findings.note("no-picture", folder, text)


def _tell(notes: Sequence[Finding], root: str, listener: Listener) -> None:
    for finding in notes[:SHOWN]:
        listener(Notice(str(finding), "warning"))
    if len(notes) > SHOWN:
        listener(Notice(f"{root}: {len(notes) - SHOWN} more like these", "warning"))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(show(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
