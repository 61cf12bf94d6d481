"""What every TCP connection of ours has set, whichever side has opened it."""

from __future__ import annotations

import socket
from itertools import cycle

#: A dead peer is noticed after 5 minutes of silence and 5 unanswered probes; small answers are not held back.
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 300),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)

#: Seconds between two probes. Linux keeps time in steps that grow with the time (at 250 Hz 16 s for 5 minutes, 2 s for
#: half a minute), so thousands of connections send their first probe in the same instant, and a queue of packets drops
#: what is too much for it (loopback: beyond 1,000). Were they to repeat it together, or whenever others send theirs,
#: living peers would be taken for dead: of 50,000 sessions some 800 were, in 10 minutes. So they differ, and none is
#: about a multiple of 16 s.
_INTERVALS = cycle(range(17, 30))


def tune(sock: socket.socket) -> None:
    """Set them; connections accepted from a listening socket inherit its own, so that they cost less."""
    for option in _OPTIONS:
        sock.setsockopt(*option)
    spread(sock)


def spread(sock: socket.socket) -> None:
    """Keep the probes of an accepted connection from coming together with those of all others."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, next(_INTERVALS))
