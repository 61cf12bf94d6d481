"""What every TCP connection of ours has set, whichever side has opened it."""

from __future__ import annotations

import socket

#: A dead peer is noticed after 5 minutes of silence and 5 unanswered probes; small answers are not held back.
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 300),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


def tune(sock: socket.socket) -> None:
    """Set them; connections accepted from a listening socket inherit its own, so that they cost no call."""
    for option in _OPTIONS:
        sock.setsockopt(*option)
