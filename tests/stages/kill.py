"""Train in a process that is killed; a script of its own, so that no thread is there when processes are made of it.

Reads jobs from its input, a JSON object a line: {"task", "spec", "results", "workers", "event", "after_s"}. For each it
forks a process that trains, with a checkpoint after every step, and ends it with SIGKILL `after_s` seconds after its
`event`-th event (from 1); never where that is null. Answers with a line: {"events": how many there were, "code": how
the process ended}.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from taolite.artifacts.keys import Key
from taolite.events import Event
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.registry import find


def work(job: dict[str, Any], pipe: int) -> None:
    """Train; a byte for every event goes into `pipe`."""

    def hear(event: Event) -> None:
        os.write(pipe, b".")

    torch.set_num_threads(1)
    options = TrainOptions(precision="fp32", workers=job["workers"], checkpoint_minutes=0.0)
    experiment = find(job["task"]).read(Path(job["spec"])).model
    train(experiment, Path(job["results"]), name="m", key=Key("tlt_encode"), options=options, listener=hear)


def run(job: dict[str, Any]) -> dict[str, int]:
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(heard)
            work(job, told)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(told)
    events = 0
    while os.read(heard, 1):
        events += 1
        if events == job["event"]:
            time.sleep(job["after_s"])
            os.kill(child, signal.SIGKILL)
            break
    os.close(heard)
    return {"events": events, "code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


if __name__ == "__main__":
    for name in ("detectnet", "classification", "ssd"):
        find(name)  # imports it, once for all jobs
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
