"""`taolite experiment sweep SPEC --set PATH={A,B} ... -r DIR`: the product of some values, one run each.

Each run is the training command of its own, in a process of its own, with its words in DIR/NAME.log. The same command
goes on: finished runs are skipped, stopped ones continue. `--ray` puts the runs on the machines of a Ray cluster.
`--slurm` writes a script instead, whose jobs call this command for one run each.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.cli.parsing import TaoParser, mount_flag
from taolite.errors import UsageError
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.cli.own.ray_runs import RayRun
    from taolite.stages.experiments.grid import Point, ResultRow

__all__ = ["LINE", "configure", "run", "slurm_script"]

LINE = "train one spec with several values of some fields, one run each, and compare the scores"
_STOPPED = 75  # exit code of a training that was told to stop and has saved its state
_TOLD = (_STOPPED, -15)  # SIGTERM reached it before it had begun
_POLL_S = 0.2


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite experiment sweep`."""
    parser.mixed = True  # the words behind `--` belong to train
    add = parser.add_argument
    add("spec", type=Path, metavar="SPEC", help="training spec of a task")
    text = "a field and its values: training_config.batch_size_per_gpu={4,8}; may be repeated"
    add("--set", action="append", default=[], dest="axes", metavar="PATH={A,B}", help=text)
    add("-r", "--results_dir", type=Path, required=True, metavar="DIR", help="folder for the runs, one inside it each")
    add("-k", "--key", metavar="KEY", help="key of the models: KEY, @FILE, or the variable TAOLITE_KEY")
    add("--at-once", type=int, default=1, metavar="N", help="train N runs at the same time (default: 1)")
    text = "train on a Ray cluster: its address, auto for that of this machine, local for a new one (default: no Ray)"
    add("--ray", metavar="ADDRESS", help=text)
    add("--slurm", type=Path, metavar="FILE", help="write a SLURM array script to FILE, and train nothing")
    add("--only", type=int, metavar="N", help="train run N alone, counted from 0, as the SLURM script does")
    add("--list", action="store_true", dest="listed", help="print the runs and what came of them; train nothing")
    mount_flag(add)
    add("--json", action="store_true", help="print JSON")
    add("words", nargs="*", metavar="-- FLAG", help="flags of train, behind `--`: -- --precision fp32")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from taolite.spec.files import read_text
    from taolite.stages.experiments.grid import grid_of, open_sweep, results_of
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    spec, folder = mounts.resolve(options.spec), mounts.resolve(options.results_dir)
    if options.at_once < 1:
        raise UsageError(f"--at-once {options.at_once}: 1 or more is needed")
    task, points = _task_of(spec), grid_of(options.axes)
    if options.only is not None and not 0 <= options.only < len(points):
        raise UsageError(f"--only {options.only}: this sweep has the runs 0 to {len(points) - 1}")
    if options.slurm is not None:
        from taolite.files import write_text

        write_text(options.slurm, slurm_script(options, len(points)))
        print(f"{options.slurm}: an array of {counted(len(points), 'job')}; start it with: sbatch {options.slurm}")
        return 0
    if options.only is None:
        open_sweep(folder, points, task=task, spec=read_text(spec))
    code = 0 if options.listed else _train(options, task, spec, folder, points)
    if options.only is not None:
        return code
    rows = results_of(folder, points)
    _report(options, folder, rows)
    return code


def _task_of(spec: Path) -> str:
    from taolite import spec as specs

    names = {specs.Kind.DETECTNET: "detectnet", specs.Kind.CLASSIFICATION: "classification", specs.Kind.SSD: "ssd"}
    if (kind := specs.identify(spec)) not in names:
        raise UsageError(
            f"{spec}: a spec for {kind.value}; a training spec of DetectNet_v2, classification or SSD is needed"
        )
    return names[kind]


def _train(options: argparse.Namespace, task: str, spec: Path, folder: Path, points: Sequence[Point]) -> int:
    """Train what is not finished. Returns 0, 1 where a run failed, or `_STOPPED`."""
    from taolite.cli import keys
    from taolite.stages.experiments.grid import results_of

    key = keys.sealing_key(options.key)  # asked for, and refused, before anything is trained
    if options.only is not None:
        waiting = [points[options.only]]
    else:
        waiting = [row.point for row in results_of(folder, points) if row.state != "finished"]
    if len(waiting) < len(points) and options.only is None:
        print(f"{counted(len(points) - len(waiting), 'run')} of {len(points)} finished already", file=sys.stderr)
    failed: list[str] = []
    running: dict[str, subprocess.Popen[bytes] | RayRun] = {}
    stopped = False
    ray = None
    if options.ray is not None:
        from taolite.cli.own.ray_runs import connect

        ray = connect(options.ray)
    with _children(running):
        while waiting or running:
            while waiting and len(running) < options.at_once and not stopped:
                point = waiting.pop(0)
                running[point.name] = _begun(options, task, spec, folder, point, key, ray)
                print(f"{point.name}: begun", file=sys.stderr)
            for name in [name for name, child in running.items() if child.poll() is not None]:
                child = running.pop(name)
                stopped |= child.returncode in _TOLD
                said = "finished" if child.returncode == 0 else "stopped"
                if child.returncode not in (0, *_TOLD):
                    failed.append(name)
                    said = f"failed; see {folder / name}.log"
                print(f"{name}: {said}", file=sys.stderr)
            if stopped and not running:
                break
            time.sleep(_POLL_S if running else 0)
    return _STOPPED if stopped else 1 if failed else 0


def _begun(
    options: argparse.Namespace, task: str, spec: Path, folder: Path, point: Point, key: Key, ray: Any
) -> subprocess.Popen[bytes] | RayRun:
    """The process of one run; its words go to a log."""
    from taolite.artifacts.keys import KEY_VARIABLE

    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "taolite", task, "train", "-e", str(spec), "-r", str(folder / point.name)]
    for setting in point.settings:
        words += ["--set", setting]
    for mount in options.mount:
        words += ["--mount", mount]
    environment = {**os.environ, KEY_VARIABLE: os.fsdecode(key.reveal())}
    words += options.words
    log = folder / f"{point.name}.log"
    if ray is not None:
        from taolite.cli.own.ray_runs import RayRun

        return RayRun(ray, words, log=log, environment=environment)
    with open(log, "ab") as stream:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # a Ctrl-C comes once, as the SIGTERM of `_children`
        )


@contextmanager
def _children(running: dict[str, subprocess.Popen[bytes] | RayRun]) -> Iterator[None]:
    """SIGTERM and Ctrl-C go to the processes too, which save their state; this process waits for them."""
    import signal

    def tell(number: int, frame: object) -> None:
        for child in running.values():
            child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for child in running.values():
            child.terminate()
            child.wait()


def _report(options: argparse.Namespace, folder: Path, rows: Sequence[ResultRow]) -> None:
    """The table, the best first, and the picture."""
    from taolite.cli.own.experiment_text import columns, score
    from taolite.report.grid import grid_png
    from taolite.stages.experiments.compare import seconds_of

    ranked = sorted(
        rows, key=lambda row: (row.run is None or row.run.score is None, -((row.run and row.run.score) or 0))
    )
    scored = [
        (row.point.name, row.run.score, row.run.metric) for row in ranked if row.run and row.run.score is not None
    ]
    if options.json:
        print(json.dumps([row.to_json() for row in ranked], ensure_ascii=False, indent=2))
    else:
        paths = list(rows[0].point.values)
        head = (*(path.rsplit(".", 1)[-1] for path in paths), "state", "epoch", "score", "time", "run")
        lines = [head]
        for row in ranked:
            run, epoch = row.run, "{}/{}".format(*row.run.epoch) if row.run else "-"
            shown = score(run.score, run.metric) if run else "-"
            seconds = seconds_of(run) if run else None
            taken = "-" if seconds is None else f"{seconds:.0f} s"
            lines.append((*row.point.values.values(), row.state, epoch, shown, taken, row.point.name))
        print("\n".join(columns(lines)))
    if scored:
        grid_png(scored, folder / "sweep.png")
        print(f"picture: {folder / 'sweep.png'}", file=sys.stderr)


def slurm_script(options: argparse.Namespace, count: int) -> str:
    """An array job: each job trains one run, and goes back into the queue where its time is over."""
    words = ["taolite", "experiment", "sweep", str(options.spec), "-r", str(options.results_dir)]
    for setting in options.axes:
        words += ["--set", setting]
    for mount in options.mount:
        words += ["--mount", mount]
    behind = f" -- {shlex.join(options.words)}" if options.words else ""
    return f"""#!/usr/bin/env bash
#SBATCH --job-name=sweep
#SBATCH --array=0-{count - 1}%{options.at_once}
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@300
#SBATCH --open-mode=append

# The key comes from the environment that called sbatch: export TAOLITE_KEY=...
srun {shlex.join(words)} --only "$SLURM_ARRAY_TASK_ID"{behind}
code=$?
if [ "$code" -eq {_STOPPED} ]; then scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"; fi
exit "$code"
"""
