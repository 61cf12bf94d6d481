"""Addresses and ports nobody else uses, so that any number of servers can run beside each other."""

from __future__ import annotations

import contextlib
import random
import socket


def unused_address() -> str:
    """A random loopback address outside of 127.0.0.0/16; Linux answers on all of them without configuration."""
    return f"127.{random.randint(1, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def free_ports(address: str, count: int) -> list[int]:
    """`count` different TCP ports that nobody listens on at `address` (IPv4 or IPv6)."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(_family(address))) for _ in range(count)]
        for each in sockets:
            each.bind((address, 0))
        return [each.getsockname()[1] for each in sockets]


def has_ipv6() -> bool:
    """Whether this machine has the address ::1."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def accepts(address: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1.0):
        return True
    return False


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
