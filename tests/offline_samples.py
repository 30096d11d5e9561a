"""Tests that tests/test_offline.py runs in a process of their own; pytest does not collect this file by its name."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

ELSEWHERE = ("198.51.100.7", 9)  # of TEST-NET-2: a packet that left this machine would get nowhere


def child(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


def test_plain_connects_and_passes_over_the_error():
    with suppress(OSError), socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def test_plain_looks_up():
    with suppress(OSError):
        socket.getaddrinfo("example.org", 80)


def test_plain_binds():
    with suppress(OSError), socket.socket() as one:
        one.bind(("127.0.0.1", 0))


@pytest.fixture
def asking() -> None:
    with suppress(OSError):
        socket.gethostbyname("example.org")


def test_plain_has_a_fixture_that_looks_up(asking: None):
    pass


def test_plain_has_no_sockets_in_processes():
    assert "OSError: [Errno 101] Network is unreachable" in child("import socket; socket.socket()")
    assert child("import socket; socket.socket(socket.AF_UNIX)") == ""


def test_plain_has_unix_sockets(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))


@pytest.mark.sockets
def test_marked_connects_to_this_machine():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1])):
            pass
        assert child(f"import socket; socket.create_connection({server.getsockname()[:2]})") == ""


@pytest.mark.sockets
def test_marked_connects_elsewhere():
    with suppress(OSError), socket.socket() as one:
        one.settimeout(0.1)
        one.connect(ELSEWHERE)


@pytest.mark.sockets
def test_marked_looks_up():
    with suppress(OSError):
        socket.getaddrinfo("example.org", 80)


@pytest.mark.sockets
def test_marked_sends_elsewhere():
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"", ELSEWHERE)
