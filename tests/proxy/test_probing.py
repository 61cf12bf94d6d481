"""Probes over real sockets: each depth sees what it should, and each fault has words of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import tls
from director import Backend, HealthSettings
from proxy.dispatcher import Dispatcher
from proxy.probing import Prober, probe_protocol
from proxy.protocols.secret import Secret
from proxy.resolver import Resolver
from proxy.settings import ProtocolName
from tests.proxy.front import Certificates, Clock, site
from tests.proxy.sockets import until
from tests.proxy.talk import Imap, Server, Talk, gone, says, silent

DEPTHS = ("connect", "greeting", "tls", "login")
SECRET = "pr0be-secret"
GREETING = "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready"


class Bench:
    """A prober for one backend, and a clock that stands still."""

    def __init__(
        self, server: Server, folder: Path, certificates: Certificates | None, sections: dict[str, Any]
    ) -> None:
        self.clock = Clock()
        self.dispatcher = Dispatcher(asyncio.get_running_loop())
        self.dispatcher.now = self.clock
        self.password = folder / "probe.secret"
        self.password.write_text(f"{SECRET}\n")
        health: dict[str, Any] = {"probe_user": "probe", "probe_password_file": self.password, "timeout": 1.5}
        health |= sections.pop("health", {})
        settings = site(server, director={"health": HealthSettings(**health)}, **sections)
        context = certificates.trusting if certificates else tls.backend_context(None, True)
        self._prober = Prober(self.dispatcher, settings, context, Resolver(["127.0.0.1"]))
        self.backend = Backend("mb1a", "127.0.0.1", {"imap": server.port, "pop3": server.port})

    async def probe(self) -> str:
        """One probe."""
        return await self._prober.probe(self.backend)

    async def expires(self, server: Server) -> str:
        """What is said of a backend that hangs, when the time is over and not before."""
        probing = asyncio.create_task(self.probe())
        await until(lambda: server.peers)
        self.clock.add(1.49)
        self.dispatcher.sweep()
        await asyncio.sleep(0)
        assert not probing.done()
        self.clock.add(0.02)
        return await probing  # nobody but the prober sweeps


@asynccontextmanager
async def bench(
    talk: Talk, folder: Path, certificates: Certificates | None = None, **sections: Any
) -> AsyncIterator[tuple[Bench, Server]]:
    async with Server(talk) as server:
        bench = Bench(server, folder, certificates, sections)
        yield bench, server
        await server.finished()
        await until(lambda: not bench.dispatcher.timed)
        bench.dispatcher.stop()


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


# --- a backend that is well ---


@pytest.mark.parametrize("mode", ["off", "starttls", "implicit"])
@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_backend_that_is_well_is_well_at_every_depth(
    tmp_path: Path, certificates: Certificates, mode: str, depth: str
) -> None:
    imap = Imap(context=None if mode == "off" else certificates.server(), implicit=mode == "implicit")
    login = {"tls": mode}
    async with bench(imap, tmp_path, certificates, health={"probe": depth}, backend_login=login) as (way, server):
        assert await way.probe() == ""
        await server.finished()
        assert imap.logins == ([("", "probe", SECRET)] if depth == "login" else [])
        assert (b"LOGOUT" in server.heard) == (depth != "connect")
        assert (b"STARTTLS" in server.heard) == (mode == "starttls" and depth in ("tls", "login"))


async def test_a_probe_goes_no_further_than_it_should(tmp_path: Path) -> None:
    async with bench(silent, tmp_path, health={"probe": "connect"}) as (way, server):
        assert await way.probe() == ""
        await until(lambda: server.peers)
    async with bench(says("* OK Hello."), tmp_path) as (way, server):
        assert await way.probe() == ""
        await server.finished()
        assert server.heard == b"Q LOGOUT\r\n"


@pytest.mark.parametrize(
    ("protocol", "greeting", "farewell"), [("pop3", "+OK ready", b"QUIT\r\n"), ("managesieve", "OK", b"LOGOUT\r\n")]
)
async def test_other_protocols_are_probed_in_their_own_words(
    tmp_path: Path, protocol: ProtocolName, greeting: str, farewell: bytes
) -> None:
    async with bench(says(greeting), tmp_path, health={"protocol": protocol}) as (way, server):
        way.backend = Backend("mb1a", "127.0.0.1", {protocol: server.port})
        assert await way.probe() == ""
        await server.finished()
        assert server.heard == farewell


async def test_a_probe_behind_a_proxy_header_is_nobodys_connection(tmp_path: Path) -> None:
    login = {"tls": "off", "proxy_protocol": True}
    async with bench(says("* OK Hello."), tmp_path, backend_login=login) as (way, server):
        assert await way.probe() == ""
        await server.finished()
        assert server.heard == b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0Q LOGOUT\r\n"


async def test_a_backend_that_does_not_wait_for_our_farewell_is_well(tmp_path: Path) -> None:
    async def talk(peer: Any) -> None:
        await peer.send(b"* OK Hello.\r\n")
        peer.reset()

    async with bench(talk, tmp_path) as (way, _):
        assert await way.probe() in ("", "greeting: Connection reset by peer")


# --- logging in ---


@pytest.mark.parametrize(
    ("form", "login"), [("sasl", ("probe", "master", "m4ster")), ("separator", ("", "probe*master", "m4ster"))]
)
async def test_where_a_master_user_logs_users_in_he_does_so_for_the_probe(
    tmp_path: Path, form: str, login: tuple[str, ...]
) -> None:
    imap = Imap()
    master = {"master_user": "master", "master_form": form, "master_password": Secret(b"m4ster")}
    health = {"probe": "login", "probe_password_file": None}
    backend_login = {"mode": "master", "tls": "off", **master}
    async with bench(imap, tmp_path, health=health, backend_login=backend_login) as (way, _):
        assert await way.probe() == ""
        assert imap.logins == [login]


async def test_the_password_is_read_each_time(tmp_path: Path) -> None:
    imap = Imap()
    async with bench(imap, tmp_path, health={"probe": "login"}) as (way, _):
        await way.probe()
        way.password.write_text("new")
        await way.probe()
        assert [login[2] for login in imap.logins] == [SECRET, "new"]


async def test_a_user_who_is_refused_says_nothing_about_the_backend_and_the_operator_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = "NO [AUTHENTICATIONFAILED] no"
    imap = Imap(refusal, refusal, "OK in", refusal)
    with caplog.at_level(logging.WARNING):
        async with bench(imap, tmp_path, health={"probe": "login"}) as (way, _):
            for told in (1, 1, 1, 2):
                assert await way.probe() == ""
                assert len(caplog.messages) == told
    assert caplog.messages[0] == (
        "backend mb1a: the probe's user is refused: backend answered NO [AUTHENTICATIONFAILED]"
    )


async def test_without_the_password_a_probe_goes_as_far_as_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    imap = Imap()
    with caplog.at_level(logging.WARNING):
        async with bench(imap, tmp_path, health={"probe": "login"}) as (way, server):
            way.password.unlink()
            assert await way.probe() == ""
            assert imap.logins == []
            server.refuse()
            assert "refused" in await way.probe()
    assert caplog.messages == [
        "backend mb1a: the password of the probe's user cannot be read: No such file or directory"
    ]


# --- a backend that is not ---


@pytest.mark.parametrize("depth", DEPTHS)
async def test_a_backend_that_refuses_is_not_well(tmp_path: Path, depth: str) -> None:
    async with bench(Imap(), tmp_path, health={"probe": depth}) as (way, server):
        server.refuse()
        assert "refused" in await way.probe()


@pytest.mark.parametrize(
    ("talk", "problem"),
    [
        (gone, "greeting: the connection was closed"),
        (says("220 mail ESMTP"), "no IMAP greeting"),
        (says("* OK " + "x" * 9000), "greeting: a line without an end"),
        (says("* BYE too many"), "the backend greets with BYE"),
        (says("* PREAUTH hello"), "the backend greets with PREAUTH"),
        (says("* OK [CAPABILITY IMAP4rev1] ready"), "the backend does not offer STARTTLS"),
        (says("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready", "S BAD what"), "the backend refused STARTTLS"),
        (says("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready", "S OK\r\nx"), "TLS: bytes behind STARTTLS"),
    ],
)
async def test_what_is_wrong_with_a_backend_is_told_in_words(tmp_path: Path, talk: Talk, problem: str) -> None:
    async with bench(talk, tmp_path, health={"probe": "tls"}, backend_login={"tls": "starttls"}) as (way, _):
        assert await way.probe() == problem


async def test_a_wrong_certificate_is_told_in_words(tmp_path: Path, certificates: Certificates) -> None:
    imap = Imap(context=certificates.server(dns=("other.example",), ips=()))
    sections: dict[str, Any] = {"health": {"probe": "tls"}, "backend_login": {"tls": "starttls"}}
    async with bench(imap, tmp_path, certificates, **sections) as (way, _):
        assert (await way.probe()).startswith("TLS: certificate: ")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("NO [UNAVAILABLE] later", "backend answered NO [UNAVAILABLE]"),
        ("NO [SERVERBUG] oops", "backend answered NO [SERVERBUG]"),
        ("BAD what", "the backend took the login for a bad command"),
    ],
)
async def test_a_login_that_fails_by_the_backends_own_fault_is_told_in_words(
    tmp_path: Path, answer: str, problem: str
) -> None:
    async with bench(Imap(answer), tmp_path, health={"probe": "login"}) as (way, _):
        assert await way.probe() == problem


@pytest.mark.parametrize(
    ("talk", "depth", "problem"),
    [
        (silent, "greeting", "greeting: no answer in time"),
        (says("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready"), "tls", "TLS: no answer in time"),
        (says("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready", "S OK begin"), "tls", "TLS: no answer in time"),
    ],
)
async def test_a_backend_that_hangs_is_found_in_time(tmp_path: Path, talk: Talk, depth: str, problem: str) -> None:
    async with bench(talk, tmp_path, health={"probe": depth}, backend_login={"tls": "starttls"}) as (way, server):
        assert await way.expires(server) == problem


async def test_a_backend_whose_authentication_hangs_is_found_in_time(tmp_path: Path) -> None:
    async with bench(says(GREETING), tmp_path, health={"probe": "login"}) as (way, server):
        problem = await way.expires(server)
        assert problem == "login: no answer in time"
        assert SECRET not in problem


async def test_a_host_without_an_address_is_told(tmp_path: Path) -> None:
    async with bench(Imap(), tmp_path) as (way, _):
        way.backend = Backend("mb1a", "mb1.example.org")
        assert await way.probe() == "no address for mb1.example.org"


async def test_many_backends_are_probed_at_once(tmp_path: Path) -> None:
    async with bench(says("* OK Hello."), tmp_path) as (way, server):
        assert await asyncio.gather(*(way.probe() for _ in range(50))) == [""] * 50
        assert len(server.peers) == 50


# --- what is spoken ---


@pytest.mark.parametrize(
    ("listener", "wanted", "spoken"),
    [("pop3", "", "pop3"), ("managesieve", "", "managesieve"), ("pop3", "imap", "imap")],
)
def test_probes_speak_what_clients_speak_unless_they_are_told_otherwise(
    listener: ProtocolName, wanted: Any, spoken: ProtocolName
) -> None:
    settings = site(protocol=listener, director={"health": HealthSettings(protocol=wanted)})
    assert probe_protocol(settings) == spoken
