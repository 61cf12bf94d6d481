"""Where a client is: its socket, then a PROXY header, then a trusted proxy's word; a loop of proxies is refused."""

from __future__ import annotations

import socket

import pytest

from proxy.backends import Ends
from proxy.counters import Counters
from proxy.families import families
from proxy.meters import Meters
from proxy.protocols.failures import Failure, Kind
from proxy.protocols.origin import Hop
from proxy.protocols.proxyheader import Proxied
from proxy.record import Record
from proxy.whereabouts import Whereabouts, unmapped

PEER = ("192.0.2.1", 40001)


def record() -> Record:
    table = families(protocols=["imap"], backends=["mb1"], outcomes=[], certificates=[])
    meters = Meters(Counters(table, 1).workers[0], "imap", ("mb1",))
    return Record("s1", "imap", PEER, meters, lambda: 0.0)


def test_without_other_word_the_socket_counts() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert Whereabouts(record(), 7).ends(sock) == Ends(PEER, sock.getsockname())


def test_a_header_with_addresses_replaces_both_ends_and_one_without_neither() -> None:
    kept = record()
    where = Whereabouts(kept, 7)
    where.believe_header(Proxied())
    assert kept.client == PEER
    where.believe_header(Proxied(("198.51.100.7", 5), ("203.0.113.1", 993)))
    with socket.socket() as sock:
        assert where.ends(sock) == Ends(("198.51.100.7", 5), ("203.0.113.1", 993))
    assert (kept.client, kept.peer) == (("198.51.100.7", 5), PEER)


def test_a_trusted_proxy_knows_better_and_its_session_id_goes_on() -> None:
    kept = record()
    where = Whereabouts(kept, 7)
    where.believe_hop(None)
    where.believe_hop(Hop("198.51.100.7", 5, "front-1", 3))
    origin = where.origin(Ends(kept.client, ("203.0.113.1", 993)), tls=True)
    assert (origin.address, origin.port, origin.session, origin.ttl) == ("198.51.100.7", 5, "front-1", 2)
    where.believe_hop(Hop(address="198.51.100.8"))
    assert kept.client == ("198.51.100.8", 0)


def test_a_login_that_has_gone_in_circles_is_refused_for_good() -> None:
    where = Whereabouts(record(), 7)
    for hop in (Hop(ttl=0), None):
        with pytest.raises(Failure) as raised:
            where.believe_hop(hop)
        assert raised.value.kind is Kind.OWN_CONFIG


def test_an_ipv4_address_on_a_dual_stack_socket_is_written_as_what_it_is() -> None:
    assert unmapped("::ffff:192.0.2.1") == "192.0.2.1"
    assert unmapped("::ffff:c000:201") == "192.0.2.1"
    assert unmapped("::ffff:1") == "::ffff:1"
    assert unmapped("2001:db8::1") == "2001:db8::1"
    assert unmapped("192.0.2.1") == "192.0.2.1"
