"""Two hosts, as far as one machine can have them: network namespaces with a cable between them, which is cut."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import write_spec
from .processes import checkpoints, command, finish, start, wait_for, weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sockets,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's"),
]

HOSTS = (f"taolite-{os.getpid()}-a", f"taolite-{os.getpid()}-b")
ADDRESSES = ("10.213.7.1", "10.213.7.2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[None]:
    """Two namespaces joined by a cable, each with an address."""
    if shutil.which("ip") is None:
        pytest.skip("the command ip is not here")
    made: list[str] = []
    try:
        for host in HOSTS:
            ip("netns", "add", host)
            made.append(host)
        ip("link", "add", "cable0", "netns", HOSTS[0], "type", "veth", "peer", "name", "cable0", "netns", HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", host, "address", "add", f"{address}/24", "dev", "cable0")
            for device in ("lo", "cable0"):
                ip("-n", host, "link", "set", device, "up")
    except subprocess.CalledProcessError as error:
        for host in made:
            ip("netns", "delete", host)
        pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
    yield
    for host in HOSTS:
        ip("netns", "delete", host)


def on(rank: int, spec: Path, results: Path, *words: object) -> list[str]:
    """The training's command on one of the hosts, each with a results folder of its own."""
    own = results / HOSTS[rank]
    nodes = ("--num_nodes", 2, "--node_rank", rank, "--master_addr", ADDRESSES[0], "--dist_timeout", 20)
    return ["ip", "netns", "exec", HOSTS[rank], *command(spec, own, *nodes, "--checkpoint_minutes", 0, *words)]


@pytest.mark.usefixtures("hosts")
def test_a_host_that_is_cut_off_is_named_and_when_it_comes_back_the_job_goes_on(tiny: Path):
    spec, whole, cut = write_spec(tiny, "hosts.txt", epochs=4), tiny / "uncut", tiny / "cut"
    both = [start(on(rank, spec, whole)) for rank in (0, 1)]
    for code, said in map(finish, both):
        assert code == 0, said
    first, second = (start(on(rank, spec, cut)) for rank in (0, 1))
    wait_for(lambda: checkpoints(cut / HOSTS[0]), first)

    ip("-n", HOSTS[1], "link", "set", "cable0", "down")
    code, said = finish(second)
    assert code == 1, said
    assert "error: 10.213.7.1:29400: machine 0 is out of reach; run the same command again to come back to it" in said
    ip("-n", HOSTS[1], "link", "set", "cable0", "up")
    second = start(on(1, spec, cut))

    code, said = finish(second)
    assert code == 0, said
    code, said = finish(first)
    assert code == 0, said
    assert "no sign of life of rank" in said
    assert "going on from the last checkpoint (restart 1 of 3)" in said
    assert weights(cut / HOSTS[0]) == weights(whole / HOSTS[0])
    assert not (cut / HOSTS[1]).exists(), "only the first host writes"


@pytest.mark.usefixtures("hosts")
def test_with_fewer_hosts_allowed_the_one_that_is_left_goes_on_with_the_same_batch(tiny: Path):
    spec, results = write_spec(tiny, "fewer.txt", epochs=4), tiny / "fewer"
    first, second = (start(on(rank, spec, results, "--min_nodes", 1)) for rank in (0, 1))
    wait_for(lambda: checkpoints(results / HOSTS[0]), first)
    manifest = json.loads((results / HOSTS[0] / "manifest.json").read_text())
    assert manifest["batch_size"] == 8, "both hosts were there from the beginning"

    ip("-n", HOSTS[1], "link", "set", "cable0", "down")
    code, said = finish(first)
    finish(second)

    assert code == 0, said
    assert "no sign of life of rank" in said
    assert "8 images a step; batch_size_per_gpu is 4" in said
    rows = [json.loads(line) for line in (results / HOSTS[0] / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "step" in row] == [2, 4, 6, 8]
