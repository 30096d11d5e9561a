"""Sockets that listen on one interface: on loopback where all processes are on this machine, otherwise on the interface
that the other machines reach. PyTorch's own stores would listen on all of them."""

from __future__ import annotations

import socket

__all__ = ["bound", "interface_of"]


def bound(address: str, port: int) -> socket.socket:
    """A socket that listens at `address` (IPv4) and nowhere else; port 0 takes a free one. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def interface_of(address: str) -> str:
    """The name of the network interface that has `address`; "" where the system does not tell."""
    try:
        import fcntl
    except ImportError:  # Windows
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(probe, 0x8915, name.encode().ljust(40, b"\0"))  # SIOCGIFADDR
            except OSError:  # an interface without an address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return ""
