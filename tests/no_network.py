"""Run Python code in a process that has no network: `python no_network.py CODE`.

Linux ends the process with SIGSYS at the first socket of IPv4 or IPv6, whichever library, in whatever language, asks
for it (a filter of system calls, seccomp). A look-up from Python is named on stderr before. Exit code 77: this system
has no such filter.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

SOCKET = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # AUDIT_ARCH_*, the number of socket(2)
LOAD, EQUAL, END = 0x20, 0x15, 0x06
ALLOW, KILL = 0x7FFF0000, 0x80000000
UNREACHABLE = 0x00050000 | 101  # the call fails with ENETUNREACH
AF_INET, AF_INET6 = 2, 10
UNAVAILABLE = 77


def refuse(action: int = KILL) -> bool:
    """Install the filter for this thread, for its later threads and for their processes; False where this system has
    none. It cannot be removed."""
    arch, number = SOCKET.get(platform.machine(), (0, 0))
    if not arch or sys.platform != "linux":
        return False
    program = [  # (operation, jump if equal, jump if not, value)
        (LOAD, 0, 0, 4),
        (EQUAL, 0, 5, arch),
        (LOAD, 0, 0, 0),
        (EQUAL, 0, 3, number),
        (LOAD, 0, 0, 16),
        (EQUAL, 2, 0, AF_INET),
        (EQUAL, 1, 0, AF_INET6),
        (END, 0, 0, ALLOW),
        (END, 0, 0, action),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(head), 0, 0) == 0


def name_look_ups(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        print(f"NETWORK {event} {arguments[:2]}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if not refuse():
        sys.exit(UNAVAILABLE)
    sys.addaudithook(name_look_ups)
    code = sys.argv[1]
    del sys.argv[1:]
    exec(compile(code, "<no network>", "exec"), {"__name__": "__main__"})
