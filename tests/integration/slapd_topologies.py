"""Several OpenLDAP servers that replicate: a provider with its replica, and three providers of equal rank."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import ldap3

from .slapd import BASE, ROOT_DN, ROOT_PASSWORD, Slapd
from .wait import wait_until

RETRY_SECONDS = 1
"""How long a replica waits before it connects to its provider again; slapd counts in whole seconds."""


@contextlib.contextmanager
def provider_and_replica(*, checkpoint: str = "1 1") -> Iterator[tuple[Slapd, Slapd]]:
    """A provider, and a replica that holds the same entries and can be followed itself; writes belong to the former."""
    with Slapd(provider=True, checkpoint=checkpoint) as provider:
        replica = Slapd(provider=True)
        replica.populated = False
        replica.replication = syncrepl(provider, 101) + f"updateref {provider.ldap}\n"
        with replica:
            wait_until(lambda: in_step((provider, replica)), "the replica's first load")
            yield provider, replica


@contextlib.contextmanager
def three_way() -> Iterator[tuple[Slapd, Slapd, Slapd]]:
    """Three providers that each accept writes and send them to the two others."""
    nodes = (Slapd(provider=True), Slapd(provider=True), Slapd(provider=True))
    for node in nodes:
        node.node = "".join(f"serverID {number} {each.ldap}/\n" for number, each in enumerate(nodes, 1))
        peers = [syncrepl(peer, 200 + number) for number, peer in enumerate(nodes, 1) if peer is not node]
        node.replication = "".join(peers) + "multiprovider on\n"
        node.populated = node is nodes[0]
    with contextlib.ExitStack() as running:
        for node in nodes:
            running.enter_context(node)
        wait_until(lambda: in_step(nodes), "the first load of the other providers")
        yield nodes


def syncrepl(provider: Slapd, number: int) -> str:
    """The lines that make a server follow `provider` with everything it holds, passwords included."""
    return (
        f'syncrepl rid={number} provider={provider.ldap} type=refreshAndPersist retry="{RETRY_SECONDS} +"\n'
        f'  searchbase="{BASE}" bindmethod=simple binddn="{ROOT_DN}" credentials="{ROOT_PASSWORD}"\n'
        "  keepalive=10:3:5 timeout=5 network-timeout=2\n"
    )


def in_step(servers: Sequence[Slapd]) -> bool:
    """Whether all of them have made the same changes."""
    first, *others = [context_csn(server) for server in servers]
    return bool(first) and all(other == first for other in others)


def context_csn(server: Slapd) -> frozenset[str]:
    """The last change of every provider that this server knows of; empty: it holds nothing yet, or does not answer."""
    with contextlib.suppress(ldap3.core.exceptions.LDAPException), _connected(server) as connection:
        connection.search(BASE, "(objectClass=*)", ldap3.BASE, attributes=["contextCSN"])
        values = connection.response[0]["raw_attributes"].get("contextCSN", []) if connection.response else []
        return frozenset(value.decode() for value in values)
    return frozenset()


@contextlib.contextmanager
def _connected(server: Slapd) -> Iterator[ldap3.Connection]:
    address = ldap3.Server(server.ldap, get_info=ldap3.NONE, connect_timeout=5)
    connection = ldap3.Connection(
        address, ROOT_DN, ROOT_PASSWORD, auto_bind=True, auto_referrals=False, check_names=False, receive_timeout=5
    )
    try:
        yield connection
    finally:
        connection.unbind()
