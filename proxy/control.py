"""The private line between the supervisor and one worker: certificates down, "I accept" up.

The worker may not be able to read a certificate's key file any more, so it is sent what the supervisor has read.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from dataclasses import dataclass

from tls import CertificatePair

_LENGTH = struct.Struct("!I")
READY = b"R"


@dataclass(frozen=True, slots=True)
class Reload:
    """Use these certificates from now on, in the order of the configuration, and open the log file again."""

    certificates: tuple[CertificatePair, ...]


def send(line: socket.socket, order: Reload) -> None:
    """Give a worker an order; raises OSError when it is gone or has stopped reading."""
    message = pickle.dumps(order)
    line.sendall(_LENGTH.pack(len(message)) + message)


async def receive(reader: asyncio.StreamReader) -> Reload | None:
    """The next order, or None when the supervisor is gone."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        order = pickle.loads(await reader.readexactly(length))  # noqa: S301  (our parent's own words)
    except (asyncio.IncompleteReadError, OSError):
        return None
    return order if isinstance(order, Reload) else None
