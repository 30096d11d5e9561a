"""The text of a spec file, or one message that says why there is none."""

from __future__ import annotations

from pathlib import Path

from taolite.errors import PathError

__all__ = ["read_text"]


def read_text(path: Path | str) -> str:
    """The text of the file at `path`. Raises PathError with the way out."""
    path = Path(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise PathError(_missing(path)) from error
    except IsADirectoryError as error:
        raise PathError(f"{path}: this is a folder; name the spec file in it") from error
    except UnicodeDecodeError as error:
        raise PathError(f"{path}: not a text file (byte {error.start} is no UTF-8); a spec is plain text") from error
    except OSError as error:
        raise PathError(f"{path}: the spec cannot be read ({error.strerror})") from error


def _missing(path: Path) -> str:
    head = f"Specfile not found at: {path}"
    if not path.parent.is_dir():
        return f"{head}; its folder {path.parent} does not exist either"
    return f"{head}; check the name, or look into {path.parent}"
