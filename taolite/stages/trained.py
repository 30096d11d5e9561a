"""A trained model read from its file, for the stages that change it: prune, export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from taolite.artifacts.bundle import Bundle, read_bundle
from taolite.artifacts.keys import Key
from taolite.preprocessing import Preprocessing
from taolite.stages.agree import expect
from taolite.workspace.run import RunFolder

__all__ = ["Trained", "open_trained"]


@dataclass(frozen=True)
class Trained:
    """A trained model: its file, and the file's content."""

    source: Path
    bundle: Bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the network's outputs."""
        return self.bundle.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How a photo becomes the network's input."""
        return self.bundle.preprocessing


def open_trained(path: Path, *, key: Key | None, of: str | None = None) -> Trained:
    """Read the `.tlt` at `path`, or the finished model of the run in that folder. `of`: the task that the model must be
    of; None accepts any.

    Raises PathError, ArtifactError; ModelError where the model is of another task.
    """
    if path.is_dir():
        path = RunFolder.model_in(path)
    bundle = read_bundle(path, key=key)
    expect(of, bundle.task, path)
    return Trained(path, bundle)
