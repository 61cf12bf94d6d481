"""The daemon's processes: a death takes only its own sessions along, and an end is made in good order."""

from __future__ import annotations

import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from types import TracebackType

import pytest

from .addresses import unused_address
from .clients import open_socket
from .logins import Session, answer_to, enter, logged_in
from .site import ALICE, Site, certificate_table
from .vestibule import Vestibule
from .wait import wait_until


@pytest.fixture
def daemon(site: Site) -> Iterator[Vestibule]:
    """A daemon that a test may hurt."""
    with site.vestibule({"timeouts": {"drain": 1.0}}) as running:
        yield running


class Knocker:
    """Connects and hangs up, again and again, in a thread of its own."""

    def __init__(self, address: str, port: int) -> None:
        self._place = (address, port)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._knock)
        self.connected = 0
        self.refused: list[OSError] = []

    def __enter__(self) -> Knocker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def has_reached(self, count: int) -> bool:
        return self.connected >= count

    def _knock(self) -> None:
        while not self._ended.is_set():
            try:
                with socket.create_connection(self._place, 10.0):
                    self.connected += 1
            except OSError as error:
                self.refused.append(error)


def is_replaced(daemon: Vestibule, victim: int) -> bool:
    """Whether there are as many workers as before, a killed one not among them."""
    workers = daemon.workers()
    return len(workers) == 2 and victim not in workers


def presents_another(daemon: Vestibule, site: Site, worker: int, certificate: bytes) -> bool:
    """Whether a worker presents another certificate than this one."""
    return certificate_of(daemon, site, worker) != certificate


def one_session_in_each_worker(site: Site, daemon: Vestibule) -> dict[int, list[Session]]:
    """Sessions by the worker that holds them, at least one in each."""
    sessions: dict[int, list[Session]] = {pid: [] for pid in daemon.workers()}
    while not all(sessions.values()):
        session = logged_in(daemon, site, ALICE)
        sessions[daemon.worker_of(session.socket)].append(session)
    return sessions


def test_a_killed_worker_takes_only_its_own_sessions(site: Site, daemon: Vestibule) -> None:
    sessions = one_session_in_each_worker(site, daemon)
    victim = daemon.kill_worker()
    for pid, held in sessions.items():
        for session in held:
            assert session.alive() == (pid != victim)
    wait_until(partial(is_replaced, daemon, victim), "another worker")
    assert all(session.alive() for pid, held in sessions.items() if pid != victim for session in held)
    assert daemon.metrics()["vestibule_worker_restarts_total"] == 1


def test_nobody_is_turned_away_while_a_worker_dies(site: Site, daemon: Vestibule) -> None:
    logged_in(daemon, site, ALICE).close()
    with Knocker(daemon.address, daemon.ports["imap"]) as knocker:
        for _ in range(3):
            victim = daemon.kill_worker()
            wait_until(partial(is_replaced, daemon, victim), "another worker")
            wait_until(partial(knocker.has_reached, knocker.connected + 50), "more connections")
    assert knocker.refused == []
    assert answer_to(daemon, site, ALICE).startswith(b"a OK")


def test_being_told_to_end_it_greets_nobody_and_lets_sessions_finish_in_time(site: Site, daemon: Vestibule) -> None:
    session, waiting = logged_in(daemon, site, ALICE), enter(daemon, site)
    daemon.send_signal(signal.SIGTERM)
    assert b"* BYE" in waiting.rest()
    assert session.alive()
    with pytest.raises(OSError):
        open_socket(daemon.address, daemon.ports["imap"])
    assert session.rest().startswith(b"* BYE [UNAVAILABLE]")  # the drain time is over
    wait_until(lambda: daemon.exit_code() is not None, "the daemon to end")
    assert daemon.exit_code() == 0
    assert daemon.session(user=ALICE.name)["closed_by"] == "shutdown"


def test_without_sessions_it_ends_at_once(site: Site) -> None:
    with site.vestibule({"timeouts": {"drain": 3600.0}}) as daemon:
        logged_in(daemon, site, ALICE).close()
        daemon.session(user=ALICE.name)
        daemon.send_signal(signal.SIGTERM)
        wait_until(lambda: daemon.exit_code() is not None, "the daemon to end")
        assert daemon.exit_code() == 0


def test_a_new_certificate_is_served_while_old_sessions_live_on(site: Site) -> None:
    address = unused_address()
    files, renewed = site.certificate(address), site.certificate(address)
    with site.vestibule({"certificate": [certificate_table(files)]}, address=address) as daemon:
        sessions = one_session_in_each_worker(site, daemon)
        old = certificate_of(daemon, site)
        for source, target in ((renewed.chain, files.chain), (renewed.key, files.key)):
            target.write_bytes(source.read_bytes())
        daemon.send_signal(signal.SIGHUP)
        for pid in sessions:
            wait_until(partial(presents_another, daemon, site, pid, old), "the new certificate")
        assert set(sessions) == set(daemon.workers())
        assert all(session.alive() for held in sessions.values() for session in held)


def test_a_certificate_that_cannot_be_used_changes_nothing(site: Site) -> None:
    address = unused_address()
    files = site.certificate(address)
    with site.vestibule({"certificate": [certificate_table(files)]}, address=address) as daemon:
        old = certificate_of(daemon, site)
        files.chain.write_text("no certificate\n")
        daemon.send_signal(signal.SIGHUP)
        daemon.wait_for_log("certificates are not reloaded")
        assert certificate_of(daemon, site) == old
        assert answer_to(daemon, site, ALICE).startswith(b"a OK")


def certificate_of(daemon: Vestibule, site: Site, worker: int = 0) -> bytes:
    """What the daemon, or a certain worker of it, presents now."""
    while True:
        with open_socket(daemon.address, daemon.ports["imaps"], site.trusting()) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            presented = connection.getpeercert(binary_form=True)
            assert presented is not None
            if worker in (0, daemon.worker_of(connection)):
                return presented


def test_the_admin_pages_say_how_it_is(daemon: Vestibule) -> None:
    wait_until(lambda: daemon.get("/healthz") == "ok\n")
    wait_until(lambda: daemon.get("/readyz") == "ok\n")
    assert daemon.metrics()["vestibule_draining"] == 0
