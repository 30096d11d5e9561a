"""The folder of a run: files with TAO's names, and our own beside them. A folder has one run, a run has one process.

    weights/NAME.tlt   status.json   experiment_spec.txt   events.out.tfevents.*          TAO's
    manifest.json   metrics.jsonl   plots/   checkpoints/   .lock                          ours

TAO continues silently in a folder that was used before, whatever was trained there (reference/detectnet_v2.md 10.4).
Here the manifest records the identity of the run: task, resolved spec, classes, and the hash of its data. The same run
is resumed; another one is refused, and the folder is not changed. `num_epochs` and `n_epochs` are not part of the
identity, so that a finished run can be extended.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from taolite.errors import PathError, TrainingError, UsageError
from taolite.files import storage_error, sweep, write_text
from taolite.workspace.lock import drop_lock, take_lock
from taolite.workspace.manifest import read_manifest, write_manifest
from taolite.workspace.status import MetricsFile, StatusFile

__all__ = ["RunFolder", "RunIdentity"]

T = TypeVar("T")


@dataclass(frozen=True)
class RunIdentity:
    """The identity of a run.

    task: its name, as "detectnet". spec: text of the resolved spec. classes: names in order. data_hash: content hash of
    the data set (see `manifest.content_hash`), "" if unknown. parent: `weights_hash` of the model it starts from, "" if
    there is none (not the hash of the file, which changes when the model is sealed again). teacher: the same of the
    model that teaches it.
    """

    task: str
    spec: str
    classes: tuple[str, ...] = ()
    data_hash: str = ""
    parent: str = ""
    teacher: str = ""

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the spec without number of epochs, blank lines and indentation."""
        return hashlib.sha256("\n".join(_lines(self.spec)).encode("utf-8", "surrogatepass")).hexdigest()

    def differences(self, other: RunIdentity) -> list[str]:
        """The differences between this run (then) and `other` (now), in words. Empty for the same run."""
        found = []
        if self.task != other.task:
            found.append(f"the task was {self.task} and is {other.task}")
        if self.classes != other.classes:
            found.append(f"the classes were {', '.join(self.classes)} and are {', '.join(other.classes)}")
        if self.spec_hash != other.spec_hash:
            found.append(_first_difference(_lines(self.spec), _lines(other.spec)))
        if self.data_hash and other.data_hash and self.data_hash != other.data_hash:
            found.append(f"the data was {self.data_hash[:12]} and is {other.data_hash[:12]} (content hash)")
        if self.parent != other.parent:
            found.append(f"it started from {self.parent[:12] or 'nothing'}, not {other.parent[:12] or 'nothing'}")
        if self.teacher != other.teacher:
            found.append(f"its teacher was {self.teacher[:12] or 'no model'} and is {other.teacher[:12] or 'no model'}")
        return found


def check_model_name(name: str) -> None:
    """Raises UsageError for a model's name that is a path, or none."""
    if name.strip(".") == "" or Path(name).name != name:
        raise UsageError(f"-n {name}: a model's name has to be that of a file, without folders")


class RunFolder:
    """The folder of one run, locked from `open` to `close`. A context manager."""

    def __init__(self, root: Path, identity: RunIdentity, *, resumed: bool) -> None:
        self.root = root
        self.identity = identity
        self.resumed = resumed
        self.status = StatusFile(root / "status.json")
        self.metrics = MetricsFile(root / "metrics.jsonl")

    @staticmethod
    def open(root: Path, identity: RunIdentity) -> RunFolder:
        """Make the folder, or resume the run in it; `resumed` says which of the two.

        The resolved spec is written to experiment_spec.txt, the identity to manifest.json.

        Raises:
            TrainingError: the folder has another run, or another process is using it.
            PathError, StorageError: the folder cannot be made or written to.
        """
        root = Path(os.path.abspath(root))  # noqa: PTH100  (links stay as the user wrote them)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise PathError(f"{root}: this is a file; a folder is needed for the results; move it") from error
        except OSError as error:
            raise storage_error(root, error) from error
        take_lock(root)
        for part in ("", "weights", "checkpoints", "plots"):
            sweep(root / part)
        try:
            folder = RunFolder(root, identity, resumed=_same_run(root, identity))
            write_text(folder.spec, identity.spec)
            folder.record()
        except BaseException:
            drop_lock(root)
            raise
        return folder

    @property
    def spec(self) -> Path:
        """experiment_spec.txt: the resolved spec."""
        return self.root / "experiment_spec.txt"

    @property
    def manifest(self) -> Path:
        """manifest.json."""
        return self.root / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints. It is made when the first one is written."""
        return self.root / "checkpoints"

    @property
    def plots(self) -> Path:
        """Folder of the plots."""
        return self.root / "plots"

    def weights(self, name: str) -> Path:
        """weights/NAME.tlt, the finished model. Raises UsageError as `check_model_name`."""
        check_model_name(name)
        return self.root / "weights" / (name if name.endswith(".tlt") else f"{name}.tlt")

    @staticmethod
    def model_in(root: Path) -> Path:
        """The finished model of the run in the folder `root`, as its manifest names it.

        Raises PathError where the folder holds no run, or a run that has not finished.
        """
        if not (root / "manifest.json").is_file():
            raise PathError(f"{root}: this folder holds no run; name a model, or the results folder of a training")
        folder = RunFolder(root, RunIdentity("", "", (), "", ""), resumed=True)
        path = folder.weights(str(folder.recorded("name", str) or "model"))
        if not path.is_file():
            raise PathError(f"{root}: the run in this folder has not finished: {path} is not there yet")
        return path

    def record(self, **facts: Any) -> None:
        """Add `facts` to manifest.json: JSON values, as versions, hardware, seeds, metrics; never a key."""
        before = read_manifest(self.manifest) if self.manifest.exists() else {}
        identity = {
            "task": self.identity.task,
            "spec": self.identity.spec,
            "spec_hash": self.identity.spec_hash,
            "classes": list(self.identity.classes),
            "data_hash": self.identity.data_hash or before.get("run", {}).get("data_hash", ""),
            "parent": self.identity.parent,
            **({"teacher": self.identity.teacher} if self.identity.teacher else {}),
        }
        write_manifest(self.manifest, {**before, **facts, "run": identity})

    def recorded(self, name: str, kind: type[T]) -> T | None:
        """The value of `name` in manifest.json, None if it is missing. Raises PathError if it is not a `kind`."""
        fact = read_manifest(self.manifest).get(name)
        if fact is None or (isinstance(fact, kind) and not isinstance(fact, bool)):
            return fact
        raise PathError(f"{self.manifest}: not a manifest ({name} is {fact!r}); move this folder away and run again")

    def close(self) -> None:
        """Release the lock. All files stay."""
        drop_lock(self.root)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _same_run(root: Path, identity: RunIdentity) -> bool:
    """True if the folder has this run, False if it has none. Raises TrainingError if it has another run."""
    path = root / "manifest.json"
    if not path.exists():
        return False
    then = _identity(read_manifest(path).get("run"))
    if then is None:
        raise TrainingError(f"{root}: its manifest.json is not of a run; choose another folder (-r, --model-dir)")
    differences = then.differences(identity)
    if differences:
        raise TrainingError(
            f"{root}: this folder holds another run: {'; '.join(differences)}. "
            "Choose another folder (-r, --model-dir), or remove this one to start over"
        )
    return True


def _identity(run: Any) -> RunIdentity | None:
    """The identity in the entry `run` of a manifest; None if it is not one."""
    if not isinstance(run, dict):
        return None
    texts = {name: run.get(name, "") for name in ("task", "spec", "data_hash", "parent", "teacher")}
    classes = run.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(text, str) for text in (*classes, *texts.values())):
        return None
    return RunIdentity(**texts, classes=tuple(classes))


def _lines(spec: str) -> list[str]:
    """The lines of the spec that are part of the identity."""
    stripped = (line.strip() for line in spec.splitlines())
    return [line for line in stripped if line and not re.fullmatch(r"(?:num|n)_epochs\s*:\s*\d+\s*;?,?", line)]


def _first_difference(then: list[str], now: list[str]) -> str:
    """The first line that differs, as it was and as it is."""
    import difflib

    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(a=then, b=now, autojunk=False).get_opcodes():
        if tag != "equal":
            was, is_now = " ".join(then[i1:i2][:1]), " ".join(now[j1:j2][:1])
            return f"the spec had `{was or 'nothing'}` and has `{is_now or 'nothing'}`"
    raise AssertionError("called for specs that differ")
