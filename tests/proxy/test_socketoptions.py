"""Keepalive and no delay, on connections that we open and on those that we accept."""

from __future__ import annotations

import socket

from proxy.socketoptions import spread, tune


def options(sock: socket.socket) -> list[int]:
    tcp = [socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_NODELAY]
    keepalive = sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return [keepalive, *(sock.getsockopt(socket.IPPROTO_TCP, option) for option in tcp)]


def test_an_accepted_connection_inherits_what_the_listening_socket_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        tune(listening)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            assert options(accepted) == options(listening) == [1, 300, 5, 1]


def test_connections_do_not_repeat_their_probes_together() -> None:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        tune(first)
        tune(second)
        spread(third)
        intervals = [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) for sock in (first, second, third)]
    assert len(set(intervals)) == 3
    assert all(17 <= interval <= 29 for interval in intervals)
