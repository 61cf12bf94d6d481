"""What exists before the first fork and is inherited by every process: sockets, contexts, counters, the log."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import tls
from ldapmap import Memory
from proxy.counters import Counters
from proxy.families import families
from proxy.listening import bind
from proxy.log import Sink
from proxy.protocols.failures import Kind
from proxy.settings import Settings


@dataclass(frozen=True, slots=True)
class Estate:
    """Made once by the supervisor.

    `life` names this life of the node: another for each start of the daemon, and the same for all its processes.
    `sockets` has one tuple for each worker's slot, in the order of the listeners. `contexts` are those of the
    listeners; made before the fork, they have the same ticket keys in all workers, so that each resumes the others' TLS
    sessions.
    """

    settings: Settings
    life: str
    counters: Counters
    sink: Sink
    sockets: tuple[tuple[socket.socket, ...], ...]
    contexts: tuple[tls.ServerContexts | None, ...]
    memory: Memory | None

    def close_listening(self) -> None:
        """Nothing is accepted any more by this process."""
        for slot in self.sockets:
            for sock in slot:
                sock.close()


def prepare(settings: Settings, sink: Sink) -> Estate:
    """Raises OSError for an address that cannot be bound, `tls.CertificateFault` for an unusable certificate."""
    pairs = read_certificates(settings)
    contexts = tuple(
        None
        if listener.tls == "off"
        else tls.ServerContexts(pairs, alpn=listener.protocol, client_ca=listener.client_ca)
        for listener in settings.listener
    )
    table = families(
        protocols=settings.protocols,
        backends=[backend.name for backend in settings.backends],
        outcomes=[kind.value for kind in Kind],
        certificates=[str(files.chain) for files in settings.certificate],
        servers=settings.directory_servers,
    )
    counters = Counters(table, settings.node.worker_count)
    note_expiry(counters, pairs)
    slots = range(settings.node.worker_count)
    sockets = tuple(tuple(bind(listener) for listener in settings.listener) for _ in slots)
    life = f"{settings.node.name}/{os.urandom(4).hex()}"
    return Estate(settings, life, counters, sink, sockets, contexts, _memory(settings))


def _memory(settings: Settings) -> Memory | None:
    """What remembers passwords, if it shall."""
    remember = settings.directory.remember
    return Memory(remember, settings.node.worker_count) if remember.enabled else None


def read_certificates(settings: Settings) -> list[tls.CertificatePair]:
    """All certificates, checked; raises `tls.CertificateFault`."""
    return [tls.read_pair(files) for files in settings.certificate]


def note_expiry(counters: Counters, pairs: Sequence[tls.CertificatePair]) -> None:
    """Show in the metrics how long the certificates are valid."""
    for pair in pairs:
        gauge = counters.supervisor.gauge("certificate_expiry_timestamp_seconds", str(pair.files.chain))
        gauge.set(pair.not_after.timestamp())
