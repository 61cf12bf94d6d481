"""A mail server fails in all the ways in which real ones do; users go on at its partner, and return when it is well."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from director import ask

from .cluster import DIRECTOR
from .dovecot import Dovecot
from .logins import ACCEPTED, PROTOCOLS, UNAVAILABLE, answer_to, enter, logged_in
from .processes import children, title
from .site import Site, User, merged, new_dovecot, shard
from .vestibule import Vestibule
from .wait import wait_until

WORDS = b"* BYE [UNAVAILABLE] Your mail is being moved. Connect again.\r\n"

Fault = Callable[[Dovecot], AbstractContextManager[None]]


@pytest.fixture
def first(site: Site) -> Iterator[Dovecot]:
    """The server that is preferred."""
    with new_dovecot("first", site.folder, site.authority) as dovecot:
        yield dovecot


@pytest.fixture
def partner(site: Site) -> Iterator[Dovecot]:
    """The other server of the shard."""
    with new_dovecot("partner", site.folder, site.authority) as dovecot:
        yield dovecot


@pytest.fixture
def daemon(site: Site, first: Dovecot, partner: Dovecot) -> Iterator[Vestibule]:
    """A daemon that looks often and waits little; probes log in."""
    prober = site.user()
    secret = site.folder / "prober.secret"
    secret.write_text(prober.password)
    secret.chmod(0o644)
    health = {"every": 0.3, "timeout": 2.0, "probe": "login", "probe_user": prober.name, "probe_password_file": secret}
    changes = {
        "shard": [shard("s1", first, partner)],
        "timeouts": {"retry_pause": 0.05, "backend_connect": 2.0, "backend_greeting": 2.0, "backend_login": 3.0},
        "director": merged(DIRECTOR, {"health": health, "failback": {"failback_after": 1.0}, "redis": None}),
    }
    with site.vestibule(changes) as running:
        yield running


# --- faults ---


@contextmanager
def killed(server: Dovecot) -> Iterator[None]:
    """Gone with all sessions; connections are refused."""
    server.kill()
    yield
    server.start()


@contextmanager
def hanging_at_connect(server: Dovecot) -> Iterator[None]:
    """Gone, and connections are neither taken nor refused: the queues of the kernel are full."""
    server.kill()
    with ExitStack() as stack:
        for name in ("imap", "pop3", "sieve"):
            listening = stack.enter_context(socket.socket())
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((server.address, server.ports[name]))
            listening.listen(0)
            for _ in range(3):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex((server.address, server.ports[name]))
        yield
    server.start()


@contextmanager
def hanging(server: Dovecot) -> Iterator[None]:
    """All of it stands still, sessions as well; connections are taken by the kernel."""
    server.hang()
    yield
    server.go_on()


@contextmanager
def unable_to_log_in(server: Dovecot) -> Iterator[None]:
    """Who is logged in goes on; nobody else gets in."""
    master = int((server.home / "run" / "master.pid").read_text())
    logging_in = [pid for pid in children(master) if title(pid) == "auth"]
    assert logging_in
    for pid in logging_in:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in logging_in:
        os.kill(pid, signal.SIGCONT)


# --- what the node says ---


def asked(daemon: Vestibule, question: str, **more: object) -> list[dict[str, Any]]:
    """The rows of an answer, or the answer."""
    answers = list(ask(daemon.home / "control.sock", {"ask": question, **more}))
    return [row for answer in answers for row in answer["rows"]] if "rows" in answers[0] else answers


def standing(daemon: Vestibule, backend: str) -> str:
    return next(str(row["standing"]) for row in asked(daemon, "backends") if row["backend"] == backend)


def is_at(daemon: Vestibule, user: User, backend: str) -> bool:
    (answer,) = asked(daemon, "explain", user=user.name)
    record = answer["record"] or {}
    return record.get("backend") == backend and not record["target"]


def director_of(daemon: Vestibule) -> int:
    """The director's process id."""
    stat = Path(f"/proc/{daemon.workers()[0]}/stat").read_text()
    supervisor = int(stat.rpartition(") ")[2].split()[1])
    return next(pid for pid in children(supervisor) if title(pid) == "vestibule-dir")


# --- tests ---


@pytest.mark.parametrize("fault", [killed, hanging_at_connect, hanging, unable_to_log_in])
def test_users_go_on_at_the_partner_and_return_when_the_server_is_steady(
    site: Site, daemon: Vestibule, first: Dovecot, partner: Dovecot, fault: Fault
) -> None:
    user, stranger = site.user(), site.user()
    session = logged_in(daemon, site, user)
    first.wait_for_log(rf"Login: user=<{user.name}>")
    with fault(first):
        for protocol in PROTOCOLS:
            assert answer_to(daemon, site, user, protocol).startswith(ACCEPTED[protocol])
            partner.wait_for_log(rf"{protocol}-login: Info: Login: user=<{user.name}>")
        assert session.rest() in (b"", WORDS)
        assert standing(daemon, "first") == "out"
        assert answer_to(daemon, site, stranger).startswith(b"a OK")
        partner.wait_for_log(rf"Login: user=<{stranger.name}>")
        session = logged_in(daemon, site, user)
    assert session.rest() == WORDS, "it is taken home"
    wait_until(lambda: is_at(daemon, user, "first") and is_at(daemon, stranger, "first"), "their return")
    logins = len(first.logins(user.name))
    assert answer_to(daemon, site, user).startswith(b"a OK")
    wait_until(lambda: len(first.logins(user.name)) == logins + 1, "a login at the first server")


@pytest.mark.parametrize("fault", [killed, hanging])
def test_when_both_fail_clients_are_told_to_come_back_and_later_they_can(
    site: Site, daemon: Vestibule, first: Dovecot, partner: Dovecot, fault: Fault
) -> None:
    user, session = site.user(), None
    with fault(partner), fault(first):
        for protocol in PROTOCOLS:
            assert answer_to(daemon, site, user, protocol).startswith(UNAVAILABLE[protocol])
    wait_until(lambda: answer_to(daemon, site, user).startswith(b"a OK"), "logins to work again")
    wait_until(lambda: [standing(daemon, name) for name in ("first", "partner")] == ["up", "up"], "both")
    wait_until(lambda: is_at(daemon, user, "first"), "the return")
    session = logged_in(daemon, site, user)
    assert session.alive()


def test_a_killed_director_is_missed_by_nobody(site: Site, daemon: Vestibule, first: Dovecot) -> None:
    user, other = site.user(), site.user()
    sessions = [logged_in(daemon, site, user, protocol) for protocol in PROTOCOLS]
    os.kill(director_of(daemon), signal.SIGSTOP)
    waiting = enter(daemon, site)
    waiting.send(f'a LOGIN "{other.name}" "{other.password}"\r\n'.encode())
    daemon.kill_director()
    assert waiting.answer().startswith(b"a OK")
    assert all(session.alive() for session in sessions)
    wait_until(lambda: len(asked(daemon, "who", target=user.name)) == 3, "the books to be whole again")
    (moved,) = asked(daemon, "move", user=user.name, backend="partner", dry=False)
    assert moved["sessions"] == 3
    wait_until(lambda: is_at(daemon, user, "partner"), "the move")
    assert sessions[0].rest() == WORDS


def test_what_a_killed_worker_had_holds_nobody(site: Site, daemon: Vestibule, first: Dovecot) -> None:
    user, other = site.user(), site.user()
    lost = logged_in(daemon, site, user)
    victim = daemon.worker_of(lost.socket)
    kept = logged_in(daemon, site, other)
    while daemon.worker_of(kept.socket) == victim:
        kept = logged_in(daemon, site, other)
    daemon.kill_worker(victim)
    assert lost.rest() == b""
    assert kept.alive()
    wait_until(lambda: asked(daemon, "who", target=user.name) == [], "nobody to be left")
    asked(daemon, "move", user=user.name, backend="partner", dry=False)
    wait_until(lambda: is_at(daemon, user, "partner"), "the move")
    assert answer_to(daemon, site, user).startswith(b"a OK")
    assert kept.alive()
