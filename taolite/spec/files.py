"""Reading the text of a spec file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taolite.errors import PathError, SpecError, SpecProblem, TaoliteError, reason

__all__ = ["own_errors", "read_text"]

_LARGEST = 1 << 21  # bytes; a spec has some thousand, and 400 a class


def read_text(path: Path | str) -> str:
    """The text of the spec at `path`. Raises PathError if it cannot be read, is empty, too large or not UTF-8."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:  # a pipe too, as in -e <(sed ... train.txt)
            data = stream.read(_LARGEST + 1)
    except FileNotFoundError as error:
        raise PathError(_missing(path)) from error
    except IsADirectoryError as error:
        raise PathError(f"{path}: this is a folder; name the spec file in it") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise PathError(f"{path}: the spec cannot be read ({why})") from error
    if len(data) > _LARGEST:
        raise PathError(f"{path}: larger than {_LARGEST >> 20} MiB, and so not a spec; check the path")
    if not data.strip():
        raise PathError(f"{path}: the file is empty; a spec has blocks such as `model_config {{ }}`")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PathError(f"{path}: not a text file (byte {error.start} is not UTF-8); a spec is plain text") from error
    return text if "\n" in text else text.replace("\r", "\n")  # line ends of an old Mac


@contextmanager
def own_errors(path: Path | str) -> Iterator[None]:
    """A `with` block that reads a spec: any exception inside becomes a SpecError of `path`."""
    try:
        yield
    except TaoliteError:
        raise
    except Exception as error:
        raise SpecError(
            path, [SpecProblem(0, 0, f"cannot be read ({reason(error)}); look for unusual values in it")]
        ) from error


def _missing(path: Path) -> str:
    head = f"Specfile not found at: {path}"
    if not path.parent.is_dir():
        return f"{head}; its folder {path.parent} does not exist either"
    return f"{head}; check the name, or look into {path.parent}"
