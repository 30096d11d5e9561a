"""Two processes of one command: where they listen, how the key comes to them, what they tell each other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from taolite.cli.parsing import without_keys
from taolite.dist.launch import Cluster, launch
from taolite.dist.listening import bound
from taolite.dist.secret import SECRET, handed_over, offered
from taolite.errors import UsageError

from .launchers import LAUNCHERS, launcher

pytestmark = pytest.mark.sockets
ROOT = Path(__file__).parents[2]
SECRET_WORD = "open sesame"

PROCESS = """
import json, os, sys
from pathlib import Path

import numpy as np

from taolite.dist.secret import handed_over
from taolite.dist.world import joined
from taolite.sample import Truth


def listening(process):
    '''Addresses, in hexadecimal, at which a process listens.'''
    folder = Path(f"/proc/{process}")
    own = {os.readlink(link) for link in (folder / "fd").iterdir() if link.exists() or link.is_symlink()}
    found = []
    for name in ("tcp", "tcp6"):
        for line in (folder / "net" / name).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in own:
                found.append(words[1].split(":")[0])
    return found


with joined(60) as world:
    told = world.told(lambda: {"from": world.rank, "array": np.arange(3)})
    truth = Truth(np.full((world.rank, 4), world.rank, np.float32), np.arange(world.rank))
    collected = world.collected((world.rank, truth))
    facts = {
        "told": [told["from"], told["array"].tolist()],
        "collected": [[rank, one.boxes_n4.shape, one.classes_n.tolist()] for rank, one in collected],
        "secret": handed_over(),
        "words": Path("/proc/self/cmdline").read_bytes().decode().split(chr(0)),
        "environment": Path("/proc/self/environ").read_bytes().decode(),
        "listening": listening("self") + (listening(os.getppid()) if world.rank == 0 else []),
    }
    world.told(lambda: None)
Path(sys.argv[1], f"{world.rank}.json").write_text(json.dumps(facts))
"""


@pytest.fixture(scope="module", params=LAUNCHERS)
def facts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """What each of two processes has to say, with both launchers."""
    if sys.platform != "linux":
        pytest.skip("the system is asked through /proc")
    folder = tmp_path_factory.mktemp("facts")
    (folder / "process.py").write_text(PROCESS, encoding="utf-8")
    said: list[str] = []

    with launcher(request.param):
        launch(
            [sys.executable, str(folder / "process.py"), str(folder)],
            Cluster(gpus=2, restarts=0),
            warn=said.append,
            abandon=said.append,
            secret=SECRET_WORD,
        )

    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


def test_processes_of_one_machine_listen_on_loopback_alone(facts):
    addresses = [address for each in facts for address in each["listening"]]

    assert len(addresses) >= 1  # the processes' own store, and the meeting point of PyTorch's launcher
    assert set(addresses) == {"0100007F"}  # 127.0.0.1


MACHINE = """
import sys
sys.path.insert(0, sys.argv[6])
from taolite.dist.launch import Cluster, launch
from tests.dist.launchers import launcher

folder, rank, address, port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
cluster = Cluster(gpus=1, nodes=2, least_nodes=2, node_rank=rank, address=address, port=port, restarts=0)
with launcher(sys.argv[5]):
    launch([sys.executable, f"{folder}/process.py", folder], cluster, warn=print, abandon=print)
"""


@pytest.mark.parametrize("way", LAUNCHERS)
def test_processes_of_several_machines_listen_on_the_interface_of_the_master_alone(way: str, tmp_path: Path):
    address = own_address()
    (tmp_path / "process.py").write_text(PROCESS, encoding="utf-8")
    with bound(address, 0) as free:
        port = free.getsockname()[1]

    machines = [
        subprocess.Popen([sys.executable, "-c", MACHINE, *map(str, (tmp_path, rank, address, port, way, ROOT))])
        for rank in (0, 1)
    ]

    try:
        assert [machine.wait(300) for machine in machines] == [0, 0]
    finally:
        for machine in machines:
            machine.kill()
    facts = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    listening = {one for each in facts for one in each["listening"]}
    assert listening == {socket.inet_aton(address)[::-1].hex().upper()}


def own_address() -> str:
    """An address of this machine that is not loopback; the test is skipped where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of TEST-NET; nothing is sent
            address = str(probe.getsockname()[0])
        except OSError:
            address = "127.0.0.1"
    if sys.platform != "linux" or address.startswith("127."):
        pytest.skip("this machine has no network interface beside loopback")
    return address


def test_what_one_process_makes_all_have_and_what_all_have_the_writer_gets(facts):
    assert [each["told"] for each in facts] == [[0, [0, 1, 2]]] * 2
    assert facts[0]["collected"] == [[0, [0, 4], []], [1, [1, 4], [0]]]
    assert facts[1]["collected"] == []


def test_the_key_is_known_to_every_process_and_is_in_no_command_line_and_no_environment(facts):
    for each in facts:
        assert each["secret"] == SECRET_WORD
        assert SECRET_WORD not in " ".join(each["words"])
        assert SECRET_WORD not in each["environment"]


def test_a_key_is_offered_as_often_as_it_is_asked_for_and_gone_afterwards(monkeypatch):
    monkeypatch.delenv(SECRET, raising=False)

    with offered("鍵 \udcff"):
        assert [handed_over(), handed_over()] == ["鍵 \udcff"] * 2
        assert "鍵" not in json.dumps(dict(os.environ), ensure_ascii=False)
    assert (handed_over(), SECRET in os.environ) == (None, False)
    with offered(None):
        assert handed_over() is None


def test_a_key_is_told_even_where_temporary_files_have_long_names(monkeypatch, tmp_path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with offered("key"):
        assert handed_over() == "key"


@pytest.mark.parametrize(
    "words",
    ["-k K", "-kK", "--key K", "--key=K", "--ke K", "--k=K"],
)
def test_the_key_is_cut_from_a_command_line_and_nothing_else(words):
    rest = ["detectnet", "train", "-e", "K", "-n", "K", "--keep_checkpoints", "3", "--gpus", "2"]

    for at in (2, 6, 10):
        assert without_keys([*rest[:at], *words.split(), *rest[at:]]) == rest


@pytest.mark.parametrize("way", LAUNCHERS)
def test_a_taken_port_is_named(way):
    with bound("127.0.0.1", 0) as other, launcher(way):
        port = other.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            launch(
                [sys.executable, "-c", ""],
                Cluster(gpus=1, nodes=2, least_nodes=1, address="127.0.0.1", port=port),
                warn=print,
                abandon=print,
            )

    assert str(caught.value) == (
        f"--master_port {port}: this machine cannot listen there (Address already in use); choose a free port and give "
        "the same one on all machines"
    )


def test_a_listener_is_on_its_own_address_alone():
    with bound("127.0.0.1", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
        with socket.create_connection(listener.getsockname(), timeout=5):
            pass
