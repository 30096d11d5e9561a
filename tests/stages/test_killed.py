"""A training that is killed at random points, again and again, ends with the same bits as one that is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import classes, conftest, voc_set
from .processes import weights

Job = Callable[..., dict[str, int]]


@pytest.fixture(scope="module")
def job() -> Iterator[Job]:
    """job(task=, spec=, results=, workers=, event=, after_s=): see kill.py, which runs it."""
    script = Path(__file__).with_name("kill.py")
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[2])}
    words = [sys.executable, str(script)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ask, answers = server.stdin, server.stdout

        def run(*, event: int | None = None, after_s: float = 0.0, **words: Any) -> dict[str, int]:
            ask.write(json.dumps({**words, "event": event, "after_s": after_s}, default=str) + "\n")
            ask.flush()
            answer: dict[str, int] = json.loads(answers.readline())
            return answer

        yield run
        ask.close()


@pytest.fixture(scope="module")
def specs(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A spec of each task, for a tiny data set."""
    pictures, boxes = tmp_path_factory.mktemp("classes"), tmp_path_factory.mktemp("voc")
    classes.draw_classes(pictures)
    voc_set.draw_set(boxes)
    return {
        "detectnet": conftest.write_spec(tiny, "kill.txt", epochs=3),
        "classification": classes.write_spec(pictures, "kill.txt", epochs=3, more="mixup_alpha: 0.2"),
        "ssd": voc_set.write_spec(boxes, "kill.txt", epochs=3),
    }


def end_to_end(job: Job, task: str, spec: Path, folder: Path, *, kills: int, seed: int) -> None:
    """Compare a run that is left alone with runs that are killed, `kills` times in all."""
    rng = np.random.default_rng(seed)
    alone = job(task=task, spec=spec, results=folder / "alone", workers=1)
    assert alone["code"] == 0
    expected, killed, round_ = weights(folder / "alone"), 0, 0
    while killed < kills:
        results, code = folder / f"killed_{round_}", -signal.SIGKILL
        while code:
            event = int(rng.integers(1, alone["events"])) if killed < kills else None
            workers, after_s = int(rng.integers(1, 4)), float(rng.uniform(0, 0.2))
            code = job(task=task, spec=spec, results=results, workers=workers, event=event, after_s=after_s)["code"]
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
        assert weights(results) == expected
        round_ += 1


def test_a_detector_that_is_killed_goes_on_to_the_same_bits(job: Job, specs: dict[str, Path], tmp_path: Path):
    end_to_end(job, "detectnet", specs["detectnet"], tmp_path, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detectnet", "classification", "ssd"])
def test_twenty_random_kills_leave_no_trace(job: Job, specs: dict[str, Path], tmp_path: Path, task: str):
    end_to_end(job, task, specs[task], tmp_path, kills=20, seed=2)
