"""Where a client really is: what its socket says, then a PROXY header, then a trusted proxy's own words."""

from __future__ import annotations

import socket
from ipaddress import IPv6Address

from proxy.backends import Ends
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.origin import Hop, Origin
from proxy.protocols.proxyheader import Proxied
from proxy.record import Record


class Whereabouts:
    """Both ends of one client's connection during its login; what is learnt of the client goes into its record.

    `ttl` is how many proxies a login that came straight to us may still pass through.
    """

    __slots__ = ("_local", "_record", "_ttl")

    def __init__(self, record: Record, ttl: int) -> None:
        self._record = record
        self._local: tuple[str, int] | None = None
        self._ttl = ttl

    def believe_header(self, proxied: Proxied) -> None:
        """Take the addresses of a PROXY header, if it names any."""
        if proxied.client is not None and proxied.server is not None:
            self._record.client, self._local = proxied.client, proxied.server

    def believe_hop(self, hop: Hop | None) -> None:
        """Take what a trusted proxy in front has said by ID or XCLIENT; raises `Failure` for a loop of proxies."""
        if hop is not None and hop.address is not None:
            self._record.client = (hop.address, hop.port or 0)
        if hop is not None and hop.session is not None:
            self._record.session = hop.session
        if hop is not None and hop.ttl is not None:
            self._ttl = hop.ttl - 1
        if self._ttl < 0:
            raise Failure(Kind.OWN_CONFIG, "proxies appear to be looping")

    def ends(self, sock: socket.socket) -> Ends:
        """Both ends; ours is the socket's own unless a PROXY header has named it."""
        if self._local is None:
            host, port, *_ = sock.getsockname()
            self._local = unmapped(host), port
        return Ends(self._record.client, self._local)

    def origin(self, ends: Ends, *, tls: bool) -> Origin:
        """What a backend may be told."""
        return Origin(
            address=ends.client[0],
            port=ends.client[1],
            local_address=ends.server[0],
            local_port=ends.server[1],
            session=self._record.session,
            ttl=self._ttl,
            tls=tls,
        )


def unmapped(host: str) -> str:
    """An IPv4 address that came as an IPv6 one, as a dual-stack socket gives it, is written as what it is."""
    if not host.startswith("::ffff:"):
        return host
    return str(IPv6Address(host).ipv4_mapped or host)
