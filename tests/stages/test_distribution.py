"""One training in several processes: the same training as in one, and what happens when a process is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from taolite.cli.main import main
from taolite.dist.launch import Cluster, launch
from taolite.dist.world import World
from taolite.errors import UsageError

from .classes import draw_classes
from .conftest import write_spec
from .processes import KEY, checkpoints, command, finish, rows, start, wait_for, weights, worker
from .voc import draw_voc

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture(scope="module")
def one(tiny: Path) -> Path:
    """The run folder of 3 epochs in this process, 8 images a step."""
    results = tiny / "one_process"
    words = ["-n", "m", "-k", KEY, "--precision", "fp32", "--workers", "1", "--global_batch_size", "8"]
    spec = write_spec(tiny, "one.txt", epochs=3)
    assert main(["detectnet", "train", "-e", str(spec), "-r", str(results), *words]) == 0
    return results


@pytest.fixture(scope="module")
def two(tiny: Path) -> Path:
    """The run folder of 3 epochs in two processes, 4 images each a step as the spec says, that nothing happens to."""
    results = tiny / "two_processes"
    code, said = finish(start(command(write_spec(tiny, "two.txt", epochs=3), results, "--gpus", 2)))
    assert code == 0, said
    return results


def test_two_processes_train_as_one_does(one: Path, two: Path):
    assert json.loads((two / "manifest.json").read_text())["batch_size"] == 8

    assert rows(two, "step") == rows(one, "step") == {1: 2, 2: 4, 3: 6}
    # the sums of a step are taken in another order; Adam makes of a slope near 0 a whole step of either sign, so that
    # costs part from epoch to epoch (docs/decisions/0005-distribution.md has how far)
    assert rows(two, "loss")[1] == pytest.approx(rows(one, "loss")[1], rel=1e-4)
    assert list(rows(two, "loss").values()) == pytest.approx(list(rows(one, "loss").values()), rel=3e-2)


def test_a_run_goes_on_in_one_process_with_the_batch_it_had_in_two(two: Path, tiny: Path, capsys):
    results = tiny / "two_then_one"
    code, said = finish(start(command(write_spec(tiny, "short.txt", epochs=1), results, "--gpus", 2)))
    assert code == 0, said
    spec = write_spec(tiny, "long.txt", epochs=3)

    words = ["-n", "m", "-k", KEY, "--precision", "fp32", "--workers", "1"]
    assert main(["detectnet", "train", "-e", str(spec), "-r", str(results), *words]) == 0

    said = capsys.readouterr().err
    assert "8 images a step; batch_size_per_gpu is 4" in said
    assert "going on after epoch 1 of 3" in said
    assert rows(results, "step") == {1: 2, 2: 4, 3: 6}


def test_a_process_that_is_killed_is_named_and_all_go_on_to_the_same_bits(two: Path, tiny: Path):
    results = tiny / "killed"
    words = command(tiny / "two.txt", results, "--gpus", 2, "--checkpoint_minutes", 0, "--dist_timeout", 120)
    process = start(words)
    wait_for(lambda: checkpoints(results), process)
    victim = worker(process.pid, 1)

    os.kill(victim, signal.SIGKILL)
    code, said = finish(process)

    assert code == 0, said
    name = f"rank 1 on {socket.gethostname()} (process {victim})"
    assert f"warning: {name} was ended by SIGKILL; going on from the last checkpoint (restart 1 of 3)" in said
    assert "this folder holds this run already; going on after" in said
    assert weights(results) == weights(two)


@pytest.mark.slow
def test_a_process_that_hangs_is_named_within_the_time_limit_and_all_go_on(two: Path, tiny: Path):
    results = tiny / "hanging"
    words = command(tiny / "two.txt", results, "--gpus", 2, "--checkpoint_minutes", 0, "--dist_timeout", 20)
    process = start(words)
    wait_for(lambda: checkpoints(results), process)
    victim = worker(process.pid, 1)

    os.kill(victim, signal.SIGSTOP)
    code, said = finish(process)

    assert code == 0, said
    assert f"rank 1 on {socket.gethostname()} (process {victim})" in said
    assert "(restart 1 of 3)" in said
    assert weights(results) == weights(two)


@pytest.mark.slow
def test_sigterm_to_the_command_has_all_processes_finish_their_step_and_save(two: Path, tiny: Path):
    results = tiny / "terminated"
    words = command(tiny / "two.txt", results, "--gpus", 2, "--checkpoint_minutes", 0)
    process = start(words)
    wait_for(lambda: checkpoints(results), process)

    process.send_signal(signal.SIGTERM)
    code, said = finish(process)

    assert code == 75, said
    assert said.count("stopped: after epoch") == 1
    code, said = finish(start(words))
    assert code == 0, said
    assert weights(results) == weights(two)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["classification", "ssd"])
def test_the_commands_without_a_spec_train_in_two_processes_as_in_one(network: str, tmp_path: Path):
    words = [sys.executable, "-m", "taolite", network, "train", "--epochs=2", "--batch-size=4"]
    if network == "classification":
        draw_classes(tmp_path / "data")
        words += ["--no-pretrained", "-a", "resnet18", "--resolution=64", "-p", "1", str(tmp_path / "data")]
    else:
        draw_voc(tmp_path / "data")
        words += ["--dataset-type=voc", "--net=mb1-ssd-lite", "--resolution=64", "--debug-steps=1"]
        words += [f"--data={tmp_path / 'data'}"]

    steps, first_costs = [], []
    for gpus in (1, 2):
        results = tmp_path / f"run_{gpus}"
        code, said = finish(start([*words, f"--model-dir={results}", f"--gpus={gpus}"]))
        assert code == 0, said
        assert said.lower().count("next: ") == 1, said
        steps.append(rows(results, "step"))
        first_costs += [float(re.findall(r"Loss:? +([\d.e+-]+)", said)[0])]

    assert steps[0] == steps[1]
    assert first_costs[1] == pytest.approx(first_costs[0], rel=2e-2)  # of bfloat16


def torchrun(words: list[str], *flags: object) -> list[str]:
    """The command `words` of `python -m taolite`, started by PyTorch's launcher in two processes."""
    return [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", *map(str, flags), *words[1:]]


@pytest.mark.slow
def test_plain_torchrun_trains_to_the_bits_of_our_own_launcher_through_a_restart_too(two: Path, tiny: Path):
    results = tiny / "torchrun"
    words = torchrun(command(tiny / "two.txt", results, "--checkpoint_minutes", 0), "--max-restarts=1")
    process = start(words)
    wait_for(lambda: checkpoints(results), process)

    os.kill(worker(process.pid, 1), signal.SIGKILL)
    code, said = finish(process)

    assert code == 0, said
    assert "this folder holds this run already; going on after" in said
    assert weights(results) == weights(two)


@pytest.mark.slow
def test_torchrun_tells_what_is_wrong_with_the_data(tiny: Path):
    spec = write_spec(tiny, "wrong_torchrun.txt")
    spec.write_text(spec.read_text().replace("records/tiny-*", "records/none-*"))

    code, said = finish(start(torchrun(command(spec, tiny / "wrong_torchrun"))))

    assert code == 1
    assert "none-*" in said


@pytest.mark.slow
def test_what_is_wrong_with_the_data_of_all_processes_is_one_message_and_no_restart(tiny: Path):
    spec = write_spec(tiny, "wrong.txt")
    spec.write_text(spec.read_text().replace("records/tiny-*", "records/none-*"))

    code, said = finish(start(command(spec, tiny / "wrong", "--gpus", 2)))

    assert code == 1
    assert said.count("error: ") == 1
    assert "restart" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        (Cluster(1, nodes=2, least_nodes=2), "--num_nodes 2: give --master_addr, the address of machine 0"),
        (Cluster(1, nodes=2, node_rank=2, address="h"), "--node_rank 2: machines are counted from 0 to 1"),
        (Cluster(2, nodes=1, least_nodes=2), "--min_nodes 2 is more than --num_nodes 1"),
    ],
)
def test_machines_that_cannot_be_meant_are_refused_before_anything_starts(cluster: Cluster, text: str):
    with pytest.raises(UsageError, match=text):
        launch(["false"], cluster, warn=lambda text: None, abandon=lambda text: None)


@pytest.mark.parametrize(("count", "size"), [(8, 1), (8, 2), (8, 4), (7, 3), (4, 4)])
def test_processes_share_a_batch_without_gap_or_overlap_and_about_evenly(count: int, size: int):
    shares = [World(rank, size).share(count) for rank in range(size)]

    assert [place for share in shares for place in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.slow
def test_more_processes_than_images_a_step_are_refused(tiny: Path, capsys):
    spec = write_spec(tiny, "few.txt")
    code, said = finish(start(command(spec, tiny / "few", "--gpus", 2, "--global_batch_size", 1)))

    assert code == 1
    assert "1 images a step cannot be shared by 2 processes" in said
