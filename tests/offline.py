"""No test reaches a network: pytest's hooks that refuse sockets.

| mark      | in this process                              | in the processes that it starts                  |
|-----------|----------------------------------------------|--------------------------------------------------|
| (none)    | no connection, no look-up, no bound port     | no socket of IPv4 or IPv6 (Linux; no_network.py) |
| `sockets` | this machine alone                           | not watched                                      |
| `install` | everything: a package index is needed        | everything                                       |

Unix sockets are files, and always allowed. In this process an audit hook of Python's watches: a library in C that opens
sockets by itself passes it. A test fails also where the code that it tests passes over the refusal.
"""

from __future__ import annotations

import ipaddress
import multiprocessing.util
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any, Literal

import pytest
import urllib3  # noqa: F401  (binds ::1 when it is first imported, to see whether there is IPv6)

from .no_network import UNREACHABLE, refuse

CONNECTING = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
LOOKING_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
PROBE = ipaddress.ip_network("192.0.2.0/24")  # TEST-NET: no machine has such an address; tells a route

allowed: Literal["nothing", "here", "everything"] = "everything"
refused: list[str] = []
asking = threading.local()


class SocketRefusedError(OSError):
    """A test that may not open a socket did."""


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what the running test may not do."""
    if allowed == "everything" or not event.startswith("socket.") or getattr(asking, "now", False):
        return
    if event in CONNECTING:
        where = arguments[1]
        if not isinstance(where, tuple) or arguments[0].family not in (socket.AF_INET, socket.AF_INET6):
            return
        host = where[0]
    elif event in LOOKING_UP:
        host = arguments[0]
    else:
        return
    if allowed == "here" and is_here(host):
        return
    may = "tests with the mark `sockets` may, on this machine" if allowed == "nothing" else "it is not this machine"
    refused.append(f"{event} {host}: no test reaches a network; {may}")
    raise SocketRefusedError(refused[-1])


def is_here(host: Any) -> bool:
    """Whether a name or an address is this machine's own."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if name in ("", "localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address in PROBE:
        return True
    asking.now = True
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((name, 0))
    except OSError:
        return False
    finally:
        asking.now = False
    return True


sys.addaudithook(audit)
spawner = ThreadPoolExecutor(1, "no-network", initializer=refuse, initargs=(UNREACHABLE,))


def watched(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start`, which makes a process: in a test without a mark, by a thread that has no sockets to pass on."""

    @wraps(start)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        if allowed != "nothing":
            return start(*arguments, **options)
        return spawner.submit(start, *arguments, **options).result()

    return wrapper


subprocess.Popen.__init__ = watched(subprocess.Popen.__init__)  # type: ignore[method-assign]
multiprocessing.util.spawnv_passfds = watched(multiprocessing.util.spawnv_passfds)  # type: ignore[attr-defined]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Decide what this test may, its fixtures included."""
    global allowed
    marks = {mark.name for mark in item.iter_markers()}
    allowed = "everything" if "install" in marks else "here" if "sockets" in marks else "nothing"
    try:
        return (yield)
    finally:
        allowed = "everything"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test whose fixtures were refused a socket."""
    return (yield from failing_if_refused())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that was refused a socket."""
    return (yield from failing_if_refused())


def failing_if_refused() -> Generator[None, Any, Any]:
    refused.clear()
    result = yield
    if refused:
        pytest.fail("\n".join(refused), pytrace=False)
    return result
