"""A new workspace: specs/, data/, commands/, results/, the mounts map, and a README with the next steps.

The layout is that of the tutorials' repository. Its files are written from texts here, so an installed wheel is enough.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from taolite.errors import PathError
from taolite.files import storage_error, write_text
from taolite.workspace.mounts import MOUNTS_FILE

__all__ = ["Made", "lay_out"]

CONTAINER = "/workspace/tao-experiments"
FOLDERS = ("specs", "data", "commands", "results")

_MOUNTS = {"Mounts": [{"source": ".", "destination": CONTAINER}]}

_README = f"""# A workspace for experiments

| Folder | What |
|---|---|
| `specs/` | what to do: a spec file for each kind of run |
| `data/` | labelled pictures, weights to start from |
| `commands/` | how to run it: a script for each step; change them as you like |
| `results/` | what came out: a folder for each run |
| `{MOUNTS_FILE}` | lets specs and scripts say `{CONTAINER}/...`, the folder's name in TAO's container |

The scripts take the key that seals models from the variable `TAOLITE_KEY`. Without it they use `tlt_encode`, which is
published and protects nothing; `taolite key new my.key` makes a key for `export TAOLITE_KEY=@$PWD/my.key`.

## The next three steps

1. **Data.** Put labelled pictures into `data/pictures` (labelme, VOC, COCO, YOLO or KITTI labels) and look at them with
   `taolite dataset check data/pictures`. Then let the specs be written: `commands/new.sh detectnet data/pictures first`
   (or `ssd`; or `classification`, for a folder with a folder for each class). It prints the commands that follow: an
   SSD and a DetectNet_v2 need the lines with `dataset_convert`.
2. **Train.** `commands/train.sh specs/first/train.txt first` trains into `results/first`. After an interruption the
   same command goes on.
3. **Compare.** Change one field of the spec, train into another folder, and look at both:
   `commands/train.sh specs/first/train.txt second`, then `taolite experiment compare results/first results/second`.

After that: `commands/prune.sh first 0.3 OUT`, where OUT is the model that `specs/first/retrain.txt` starts from, then
`commands/train.sh specs/first/retrain.txt small` and `commands/export.sh small`. `taolite experiment list results`
shows all runs, and `taolite experiment lineage results` what was made of what.
"""

_COMMON = """# shellcheck shell=bash
# shellcheck disable=SC2034  # used by those who source this
# Sourced by every command here: the workspace (here), the key, and the task of a spec.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
export TAOLITE_KEY=${TAOLITE_KEY:-tlt_encode}

# need COUNT "$@": the comment at the top of the calling script, and the end, where there are fewer words.
need() {
  if [ "$#" -gt "$1" ]; then return; fi
  sed -n '2,4s/^# \\{0,1\\}//p' "$0" >&2
  exit 2
}

# The task that a spec is for: detectnet, classification or ssd.
task_of() {
  local said
  said=$(taolite spec check "$1") || { printf '%s\\n' "$said" >&2; return 1; }
  case "$said" in
    *"a DetectNet_v2 experiment spec"*) echo detectnet ;;
    *"a classification spec"*) echo classification ;;
    *"an SSD spec"*) echo ssd ;;
    *) printf '%s: no training spec\\n' "$1" >&2; return 1 ;;
  esac
}
"""

_HEAD = """#!/usr/bin/env bash
# {what}
#
#   commands/{name}.sh {words}
set -euo pipefail
. "$(dirname "${{BASH_SOURCE[0]}}")/common.sh"
need {least} "$@"
"""

# name -> (what it does, its words, the least number of them, its commands)
_SCRIPTS = {
    "new": (
        "Write the specs of an experiment from labelled pictures, into specs/NAME.",
        "TASK PICTURES NAME    (TASK is detectnet, classification or ssd)",
        3,
        'taolite spec new "$1" "$2" -o "$here/specs/$3"\n',
    ),
    "train": (
        "Train a model into results/RUN, or go on with it.",
        "SPEC RUN [FLAG...]    (a FLAG goes to train, as --precision fp32)",
        2,
        'spec=$1 run=$2 task=$(task_of "$1")\nshift 2\ntaolite "$task" train -e "$spec" -r "$here/results/$run" "$@"\n',
    ),
    "evaluate": (
        "Score the model of results/RUN on the validation pictures of its spec.",
        "RUN",
        1,
        'spec=$here/results/$1/experiment_spec.txt task=$(task_of "$here/results/$1/experiment_spec.txt")\n'
        'taolite "$task" evaluate -e "$spec" -m "$here/results/$1"\n',
    ),
    "prune": (
        "Remove the weakest channels of results/RUN: OUT (results/RUN-pruned.tlt) keeps a SHARE of its parameters.",
        "RUN SHARE [OUT]    (SHARE from 0 to 1, as 0.3)",
        2,
        'task=$(task_of "$here/results/$1/experiment_spec.txt")\n'
        'taolite "$task" prune -m "$here/results/$1" \\\n'
        '  -o "${3:-$here/results/$1-pruned.tlt}" --target "$2"\n',
    ),
    "export": (
        "Export the model of results/RUN as results/RUN.etlt, for TensorRT, OpenVINO and ONNX Runtime.",
        "RUN",
        1,
        'spec=$here/results/$1/experiment_spec.txt task=$(task_of "$here/results/$1/experiment_spec.txt")\n'
        'taolite "$task" export -m "$here/results/$1" -e "$spec" -o "$here/results/$1.etlt"\n',
    ),
}


@dataclass(frozen=True)
class Made:
    """written: files that are new; kept: files that were there already."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def lay_out(folder: Path) -> Made:
    """Make the workspace in `folder`; what is there already stays. Raises PathError, StorageError."""
    for name in FOLDERS:
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise PathError(
                f"{folder / name}: a file is where a folder is needed; move it, or name another DIR"
            ) from error
        except OSError as error:
            raise storage_error(folder / name, error) from error
    written, kept = [], []
    for name, text in _files().items():
        path = folder / name
        if os.path.lexists(path):  # also a link that leads nowhere
            kept.append(path)
            continue
        write_text(path, text)
        if path.suffix == ".sh":
            path.chmod(0o755)
        written.append(path)
    return Made(tuple(written), tuple(kept))


def _files() -> dict[str, str]:
    """The text of each file by its path in the workspace."""
    scripts = {
        f"commands/{name}.sh": _HEAD.format(what=what, name=name, words=words, least=least) + body
        for name, (what, words, least, body) in _SCRIPTS.items()
    }
    ignored = "# results, data and keys are large, or secret\n/results/\n/data/\n*.key\n"
    return {
        "README.md": _README,
        MOUNTS_FILE: json.dumps(_MOUNTS, indent=2) + "\n",
        ".gitignore": ignored,
        "commands/common.sh": _COMMON,
        **scripts,
    }
