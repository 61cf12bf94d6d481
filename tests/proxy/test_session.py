"""One login, from accept to close, over real sockets: who may come, what is said, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import struct
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from director.wire import Announce, Attempt, Connected, Embargo, Failed, Passed
from ldapmap import Entry, Unavailable
from loadtest.backends import Backend as SimulatedBackend
from proxy.farewell import QUIET
from proxy.protocols.imap.preauth import ImapPreauth
from proxy.protocols.proxyheader import header
from proxy.protocols.secret import Secret
from proxy.session import Session
from proxy.settings import Settings
from tests.proxy.front import PASSWORD, Certificates, Front, People, login, plain, site, two_shards
from tests.proxy.sockets import read, tcp_pair, until
from tests.proxy.talk import Imap, Peer, Server, silent

LOOPBACK = ip_network("127.0.0.0/8")
ELSEWHERE = ip_network("192.0.2.0/24")
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 5555 993\r\n"
V2 = header(("192.0.2.7", 5555), ("198.51.100.1", 993))
MOVED = b"* BYE [UNAVAILABLE] Your mail is being moved. Connect again.\r\n"

PLAIN_TEXT: dict[str, Any] = {"tls": "off", "plaintext_auth": True}


def external_site(server: Server, certificates: Certificates) -> Settings:
    """Clients prove by certificate who they are; the backend knows a master user only."""
    return site(
        server,
        listener={"tls": "implicit", "client_ca": certificates.ca_file},
        auth={"mechanisms": ("PLAIN", "EXTERNAL")},
        backend_login={"mode": "master", "master_user": "proxy", "master_password": Secret(b"master's")},
    )


async def asked_for_password(people: People) -> None:
    """Wait until the directory has been asked to verify a password."""
    await until(lambda: people.asked and people.asked[-1][0] == "verify")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


# --- the whole story ---


async def test_a_login_ends_in_a_session_with_the_users_backend(tmp_path: Path) -> None:
    imap = Imap()
    async with Server(imap) as server, Front(site(server), tmp_path) as front:
        client = await front.logged_in_as("alice")
        assert imap.logins == [("", "alice", PASSWORD)]
        await client.send(b"hello\r\n")
        assert await client.line() == b"echo hello"
        await client.send(b"b LOGOUT\r\n")
        assert await client.rest() == b""
        line = await front.ended()
        assert (line["user"], line["shard"], line["backend"], line["closed_by"]) == ("alice", "s1", "mb1a", "backend")


@pytest.mark.parametrize("mode", ["implicit", "starttls"])
async def test_a_login_in_tls_ends_in_a_session(tmp_path: Path, certificates: Certificates, mode: str) -> None:
    async with (
        Server(Imap()) as server,
        Front(site(server, listener={"tls": mode}), tmp_path, certificates=certificates) as front,
    ):
        client = await front.connect()
        if mode == "starttls":
            await client.line()
            assert await client.ask(b"s STARTTLS") == b"s OK Begin TLS negotiation now."
        await client.start_tls(certificates.client(), host="localhost")
        if mode == "implicit":
            await client.line()
        assert b"a OK" in await client.ask(login())
        await client.send(b"hello\r\n")
        assert await client.line() == b"echo hello"
        client.close()
        line = await front.ended()
        assert (line["tls"], line["closed_by"]) == ("TLSv1.3", "client")
        assert line["cipher"].startswith("TLS_")
        assert line["tls_seconds"] >= 0


async def test_the_client_hears_ok_only_when_the_backend_has_said_so(tmp_path: Path) -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        await until(lambda: imap.logins)
        assert client.heard.count(b"\r\n") == 1
        imap.held.set()
        assert b"a OK" in await client.answer(b"a")


async def test_what_is_sent_behind_the_login_and_its_answer_is_carried_over_byte_for_byte(
    tmp_path: Path,
) -> None:
    behind = b"* 3 EXISTS\r\n\x00\xff raw {3}\r\n"
    async with Server(Imap(behind=behind)) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        pipelined = b"b SELECT inbox\r\nc \x00\x01\xff\r\n"
        await client.send(login() + b"\r\n" + pipelined)
        await client.answer(b"a")
        assert await client.exactly(len(behind)) == behind
        assert await client.line() == b"echo b SELECT inbox"
        assert await client.line() == b"echo c \x00\x01\xff"
        assert server.heard.endswith(b"\r\n" + pipelined)


async def test_what_arrives_while_the_login_is_under_way_is_carried_over_too(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        await asked_for_password(people)
        await client.send(b"b NOOP\r\n")
        people.held.set()
        await client.answer(b"a")
        assert await client.line() == b"echo b NOOP"


async def test_pipelined_bytes_in_tls_are_carried_over(tmp_path: Path, certificates: Certificates) -> None:
    async with (
        Server(Imap()) as server,
        Front(site(server, listener={"tls": "implicit"}), tmp_path, certificates=certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client(), host="localhost")
        await client.line()
        await client.send(login() + b"\r\n" + b"b NOOP\r\n" * 3)
        await client.answer(b"a")
        for _ in range(3):
            assert await client.line() == b"echo b NOOP"


async def test_nothing_runs_while_a_session_is_relayed(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        clients = [await front.logged_in_as("alice") for _ in range(5)]
        assert [session.task for session in front.sessions] == [None] * len(clients)
        assert not front.dispatcher.timed


# --- the PROXY header ---


@pytest.mark.parametrize("head", [V1, V2], ids=["version 1", "version 2"])
async def test_a_proxy_header_from_a_listed_peer_tells_the_client(tmp_path: Path, head: bytes) -> None:
    listener = PLAIN_TEXT | {"proxy_protocol_from": (LOOPBACK,), "allow_from": (ELSEWHERE,)}
    imap = Imap()
    async with Server(imap) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.connect()
        await client.send(head + login() + b"\r\n")
        await client.line()
        assert b"a OK" in await client.answer(b"a")
        client.close()
        line = await front.ended()
        assert (line["client"], line["port"], line["via"]) == ("192.0.2.7", 5555, "127.0.0.1")
        assert line["proxy_header_seconds"] >= 0
        assert '"x-originating-ip" "192.0.2.7" "x-originating-port" "5555"' in imap.ids[0]
        assert '"x-connected-ip" "198.51.100.1" "x-connected-port" "993"' in imap.ids[0]


@pytest.mark.parametrize("head", [V1, V2], ids=["version 1", "version 2"])
async def test_a_header_and_the_clienthello_may_share_a_segment(
    tmp_path: Path, certificates: Certificates, head: bytes
) -> None:
    listener = {"tls": "implicit", "proxy_protocol_from": (LOOPBACK,)}
    async with (
        Server(Imap()) as server,
        Front(site(server, listener=listener), tmp_path, certificates=certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client("imap"), host="localhost", ahead=head)
        await client.line()
        assert b"a OK" in await client.ask(login())


async def test_a_peer_that_is_not_listed_is_dropped_whatever_it_sends(tmp_path: Path) -> None:
    listener = PLAIN_TEXT | {"proxy_protocol_from": (ELSEWHERE,)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        for head in (V1, V2, b"a NOOP\r\n"):
            client = await front.connect()
            await client.send(head)
            assert await client.rest() == b""
        line = await front.ended()
        assert (line["failure"], line["client"], line["phase"]) == ("bad_input", "127.0.0.1", "arrival")


@pytest.mark.parametrize("head", [b"a1 LOGIN alice secret\r\n", V2[:14] + b"\xff\xff" + V2[16:], b"\x16\x03\x01" * 10])
async def test_what_is_no_header_is_dropped_without_a_word(tmp_path: Path, head: bytes) -> None:
    listener = PLAIN_TEXT | {"proxy_protocol_from": (LOOPBACK,)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.connect()
        await client.send(head)
        assert await client.rest() == b""


async def test_a_header_that_does_not_come_is_waited_for_three_seconds(tmp_path: Path) -> None:
    listener = PLAIN_TEXT | {"proxy_protocol_from": (LOOPBACK,)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.connect()
        await client.send(V1[:-1])
        await until(lambda: front.dispatcher.timed)
        front.pass_time(2.9)
        assert front.sessions
        front.pass_time(0.2)
        assert await client.rest() == b""
        assert (await front.ended())["failure"] == "login_timeout"


async def test_after_a_header_the_login_has_its_whole_time(tmp_path: Path) -> None:
    listener = PLAIN_TEXT | {"proxy_protocol_from": (LOOPBACK,)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.connect()
        await client.send(V1)
        await client.line()
        front.pass_time(100)
        assert b"a OK" in await client.ask(login())


async def test_a_balancer_that_ends_the_tls_makes_passwords_welcome(tmp_path: Path) -> None:
    ssl_tlv = b"\x20\x00\x05\x01\x00\x00\x00\x00"
    secured = V2[:14] + struct.pack("!H", 12 + len(ssl_tlv)) + V2[16:] + ssl_tlv
    listener = {"tls": "off", "proxy_protocol_from": (LOOPBACK,)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        for head, answer in ((V2, b"NO [PRIVACYREQUIRED]"), (secured, b"OK")):
            client = await front.connect()
            await client.send(head)
            assert (b"LOGINDISABLED" in await client.line()) == (head == V2)
            assert b"a " + answer in await client.ask(login())


# --- who is let in ---


async def test_only_allowed_networks_come_in(tmp_path: Path) -> None:
    listener = PLAIN_TEXT | {"allow_from": (ip_network("127.0.0.1/32"),)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        assert (await (await front.connect()).line()).startswith(b"* OK")
        stranger = await Peer.connect(front.address, source="127.0.0.2")
        assert await stranger.rest() == b""


async def test_allowed_networks_are_judged_by_the_proxied_address(tmp_path: Path) -> None:
    listener = PLAIN_TEXT | {"proxy_protocol_from": (LOOPBACK,), "allow_from": (LOOPBACK,)}
    async with Server(Imap()) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.connect()
        await client.send(V1)
        assert await client.rest() == b""


# --- TLS ---


async def test_garbage_in_place_of_tls_ends_the_connection_and_nothing_is_reflected(
    tmp_path: Path, certificates: Certificates
) -> None:
    async with (
        Server(Imap()) as server,
        Front(site(server, listener={"tls": "implicit"}), tmp_path, certificates=certificates) as front,
    ):
        for garbage in (b"GET / HTTP/1.1\r\nHost: mail\r\n\r\n", b"a NOOP\r\n", b"\x16\x03\x01\x00\x05hello"):
            client = await front.connect()
            await client.send(garbage)
            assert await client.rest() == b""
        line = await front.ended()
        assert (line["failure"], line["phase"]) == ("bad_input", "arrival")


async def test_the_handshake_has_a_deadline_of_its_own(tmp_path: Path, certificates: Certificates) -> None:
    async with (
        Server(Imap()) as server,
        Front(site(server, listener={"tls": "implicit"}), tmp_path, certificates=certificates) as front,
    ):
        client = await front.connect()
        await client.send(b"\x16\x03")
        await until(lambda: front.dispatcher.timed)
        front.pass_time(14)
        assert front.sessions
        front.pass_time(2)
        assert await client.rest() == b""
        assert (await front.ended())["failure"] == "login_timeout"


async def test_after_the_handshake_the_login_has_its_whole_time(tmp_path: Path, certificates: Certificates) -> None:
    async with (
        Server(Imap()) as server,
        Front(site(server, listener={"tls": "implicit"}), tmp_path, certificates=certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client(), host="localhost")
        await client.line()
        front.pass_time(100)
        assert b"a OK" in await client.ask(login())


@pytest.mark.parametrize(
    ("protocol", "command", "behind"),
    [
        ("imap", b"a STARTTLS\r\n", b"b NOOP\r\n"),
        ("pop3", b"STLS\r\n", b"CAPA\r\n"),
        ("managesieve", b"STARTTLS\r\n", b'NOOP "x"\r\n'),
    ],
)
async def test_bytes_behind_starttls_are_never_answered(
    tmp_path: Path, protocol: Any, command: bytes, behind: bytes
) -> None:
    certificates = Certificates(tmp_path, alpn=protocol)
    async with (
        Server(silent) as server,
        Front(
            site(server, protocol=protocol, listener={"tls": "starttls"}), tmp_path, certificates=certificates
        ) as front,
    ):
        for apart in (False, True):
            client = await front.connect()
            await client.send(command if apart else command + behind)
            if apart:
                while not any(mark in client.heard for mark in (b"Begin TLS", b"TLS negotiation")):
                    await client.line()
                await client.send(behind)
            said = await client.rest()
            assert b"b OK" not in said
            assert b"TOP" not in said
            assert b"TAG" not in said
            assert (client.heard.count(b"negotiation"), client.heard.endswith(b"\r\n")) == (1, True)


# --- time and ends ---


async def test_who_does_not_log_in_in_time_is_told_so(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        await until(lambda: front.dispatcher.timed)
        front.pass_time(181)
        assert await client.rest() == b"* BYE No login in time.\r\n"
        line = await front.ended()
        assert (line["failure"], line["phase"], line["closed_by"]) == ("login_timeout", "preauth", "vestibule")


@pytest.mark.parametrize(
    ("protocol", "farewell"),
    [("pop3", b"-ERR No login in time.\r\n"), ("managesieve", b'BYE "No login in time."\r\n')],
)
async def test_every_protocol_has_its_farewell(tmp_path: Path, protocol: Any, farewell: bytes) -> None:
    async with Server(silent) as server, Front(site(server, protocol=protocol), tmp_path) as front:
        client = await front.greeted()
        front.pass_time(181)
        assert (await client.rest()).endswith(farewell)


async def test_a_login_that_is_under_way_when_the_time_is_over_is_answered_first(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        await client.send(login(password="wrong") + b"\r\n")
        await asked_for_password(people)
        front.pass_time(181)
        people.held.set()
        assert b"a NO [AUTHENTICATIONFAILED]" in await client.answer(b"a")
        front.pass_time(0)
        assert await client.rest() == b"* BYE No login in time.\r\n"


async def test_a_client_that_is_gone_cancels_its_login_and_the_lease_goes_back(tmp_path: Path) -> None:
    people = People()
    async with Server(silent) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        await until(lambda: server.peers)  # the lease is held: the backend is being waited for
        client.reset()
        line = await front.ended()
        assert (line["failure"], line["closed_by"], line["user"]) == ("disconnected", "client", "alice")
        await server.finished()
        await until(lambda: not front.director.leases)


async def test_a_client_that_is_gone_during_the_bind_cancels_it(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        await asked_for_password(people)
        client.reset()
        assert (await front.ended())["failure"] == "disconnected"
        assert not server.peers


async def test_a_clients_quiet_end_during_the_login_ends_the_session_with_it(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        await asked_for_password(people)
        client.close()
        people.held.set()
        assert (await front.ended())["closed_by"] == "client"


async def test_a_session_whose_backend_is_down_ends_and_the_next_is_at_the_partner(tmp_path: Path) -> None:
    async with Server(Imap()) as first, Server(Imap()) as second, Front(site(first, second), tmp_path) as front:
        client = await front.logged_in_as("alice")
        front.director.fail("mb1a")
        assert await client.rest() == MOVED
        assert (await front.ended())["closed_by"] == "backend down"
        again = await front.logged_in_as("alice")
        assert (len(first.peers), len(second.peers)) == (1, 1)
        again.close()


async def test_a_session_within_a_command_ends_without_a_word_when_its_backend_is_down(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.logged_in_as("alice")
        await client.send(b"half a line")
        await until(lambda: server.heard.endswith(b"half a line"))
        front.director.fail("mb1a")
        assert await client.rest() == b""


async def test_a_session_that_is_moved_ends_between_two_responses(tmp_path: Path) -> None:
    async with Server(Imap()) as first, Server(Imap()) as second, Front(site(first, second), tmp_path) as front:
        client = await front.logged_in_as("alice")
        front.director.move("alice", "mb1b")
        await client.send(b"hello\r\n")
        assert await client.line() == b"echo hello"
        assert front.sessions
        await until(lambda: front.dispatcher.timed)
        front.pass_time(QUIET)
        front.pass_time(QUIET)
        assert await client.rest() == MOVED
        assert (await front.ended())["closed_by"] == "moved"
        again = await front.logged_in_as("alice")
        assert len(second.peers) == 1
        again.close()


async def test_a_login_of_a_user_who_is_being_moved_waits_and_succeeds_at_the_new_place(tmp_path: Path) -> None:
    imap = Imap()
    imap.held.clear()
    async with Server(imap) as first, Server(Imap()) as second, Front(site(first, second), tmp_path) as front:
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        await until(lambda: imap.logins)
        front.director.move("alice", "mb1b")
        assert b"a OK" in await client.answer(b"a")
        client.close()
        line = await front.ended()
        assert (line["backend"], line["closed_by"]) == ("mb1b", "client")
        assert "failed_logins" not in line
        assert len(second.peers) == 1
        imap.held.set()


async def test_a_director_that_is_replaced_is_told_of_the_sessions_and_nobody_else_notices(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.logged_in_as("alice")
        front.director.hang_up()
        await until(lambda: front.director.calls == 2 and front.director.leases)
        await client.send(b"hello\r\n")
        assert await client.line() == b"echo hello"
        (announced,) = front.director.all(Announce)
        assert (announced.user, announced.backend, announced.session) == ("alice", "mb1a", "session1")
        client.close()
        await until(lambda: not front.director.leases)


async def test_a_user_whose_route_has_changed_never_has_sessions_in_both_places(tmp_path: Path) -> None:
    people = People()
    async with Server(Imap()) as first, Server(Imap()) as second:
        settings = two_shards(first, second)
        async with Front(settings, tmp_path, people) as front:
            old, busy = await front.logged_in_as("alice"), await front.logged_in_as("alice")
            await busy.send(b"half a line")
            await until(lambda: first.heard.endswith(b"half a line"))
            people.entries["alice"] = Entry("alice", "uid=alice,dc=example", "s2")
            new = await front.logged_in_as("alice")
            assert await old.rest() == MOVED
            assert await busy.rest() == b""
            assert front.lines()[-1]["closed_by"] == "user is on another backend"
            await new.send(b"still here\r\n")
            assert await new.line() == b"echo still here"


async def test_a_kick_ends_a_session_in_any_state(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        waiting = await front.greeted()
        (session,) = front.sessions
        session.kick("operator")
        assert await waiting.rest() == b""
        line = await front.ended()
        assert (line["failure"], line["detail"], line["closed_by"]) == ("shutdown", "operator", "vestibule")
        client = await front.logged_in_as("alice")
        (session,) = front.sessions
        session.kick("operator")
        assert await client.rest() == b""
        assert (await front.ended())["closed_by"] == "operator"


@pytest.mark.parametrize(
    ("protocol", "commands", "farewell"),
    [
        ("imap", (login(),), b"* BYE [UNAVAILABLE] "),
        ("pop3", (b"USER alice", b"PASS " + PASSWORD.encode()), b"-ERR [SYS/TEMP] "),
        ("managesieve", (b'AUTHENTICATE "PLAIN" "%b"' % plain(),), b"BYE (TRYLATER) "),
    ],
)
async def test_who_is_dismissed_hears_the_farewell_of_the_protocol(
    tmp_path: Path, protocol: Any, commands: tuple[bytes, ...], farewell: bytes
) -> None:
    async with SimulatedBackend("mb1a") as backend, Server(silent) as unused:
        settings = site(unused, protocol=protocol)
        (shard,) = settings.shard
        only = replace(shard.backend[0], ports=backend.ports)
        settings = replace(settings, shard=(replace(shard, backend=(only,)),))
        async with Front(settings, tmp_path) as front:
            client = await front.connect()
            for command in commands:
                await client.send(command + b"\r\n")
            await until(lambda: [session for session in front.sessions if session.task is None])
            (session,) = front.sessions
            session.dismiss("operator")
            assert front.sessions
            front.pass_time(QUIET)
            await client.rest()
            assert client.heard.splitlines()[-1].startswith(farewell)
            assert (await front.ended())["closed_by"] == "operator"


async def test_a_login_that_is_dismissed_ends_at_once(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        waiting = await front.greeted()
        (session,) = front.sessions
        session.dismiss("operator")
        assert await waiting.rest() == b""
        assert (await front.ended())["detail"] == "operator"


async def test_a_session_that_is_kicked_before_it_has_begun_leaves_nothing_behind(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        ours, theirs = tcp_pair()
        front.admit(ours, theirs.getsockname())
        (session,) = front.sessions
        session.kick("operator")
        assert (await front.ended())["detail"] == "operator"
        assert await read(theirs) == b""
        theirs.close()
        await until(lambda: ours.fileno() < 0)


async def test_who_has_not_begun_a_login_is_told_of_the_end_and_who_has_goes_on(tmp_path: Path) -> None:
    people = People()
    people.held.clear()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        waiting, busy = await front.greeted(), await front.greeted()
        await busy.send(login() + b"\r\n")
        await asked_for_password(people)
        for session in front.sessions:
            session.shut_down()
        assert await waiting.rest() == b"* BYE [UNAVAILABLE] The mail proxy is restarting. Try again.\r\n"
        people.held.set()
        assert b"a OK" in await busy.answer(b"a")


async def test_a_clients_half_close_is_told_to_the_keeper(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.logged_in_as("alice")
        client.half_close()
        await until(lambda: front.half_closes)
        assert await client.rest() == b""
        assert front.half_closes == 1


# --- refusals ---


async def test_a_wrong_password_is_answered_late_and_like_an_unknown_user(tmp_path: Path) -> None:
    people = People()
    loop = asyncio.get_running_loop()
    async with Server(Imap()) as server, Front(site(server, auth={"failure_delay": 0.2}), tmp_path, people) as front:
        client = await front.greeted()
        answers = []
        for user, password in (("alice", "wrong"), ("nobody", "wrong"), ("alice", " "), ("bad\\\\name", PASSWORD)):
            began = loop.time()
            answers.append(await client.ask(login(user, password)))
            assert loop.time() - began >= 0.2
        assert answers == [b"a NO [AUTHENTICATIONFAILED] Authentication failed."] * 4
        assert not server.peers


async def test_other_refusals_are_answered_at_once(tmp_path: Path) -> None:
    people = People()
    people.trouble["find"] = Unavailable("no server answers")
    loop = asyncio.get_running_loop()
    async with Server(Imap()) as server, Front(site(server, auth={"failure_delay": 60.0}), tmp_path, people) as front:
        client = await front.greeted()
        began = loop.time()
        assert b"a NO [UNAVAILABLE]" in await client.ask(login())
        assert loop.time() - began < 60


async def test_a_client_may_try_again_after_a_refusal_and_only_the_count_remembers(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        assert b"a NO" in await client.ask(login(password="wrong"))
        assert b"a NO" in await client.ask(login("nobody"))
        assert b"a OK" in await client.ask(login())
        client.close()
        line = await front.ended()
        assert line["failed_logins"] == 2
        assert "failure" not in line
        assert "detail" not in line
        assert front.failures() == {"ok": 1, "bad_credentials": 2}


async def test_a_client_that_gives_up_after_a_wrong_password_has_closed_the_session(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        await client.ask(login(password="wrong"))
        client.close()
        line = await front.ended()
        assert (line["failure"], line["phase"], line["closed_by"]) == ("bad_credentials", "login", "client")


async def test_an_unexpected_error_in_the_directory_ends_this_session_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    people = People()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        other = await front.logged_in_as("bob")
        people.trouble["verify"] = ZeroDivisionError("a mistake of ours")
        client = await front.greeted()
        await client.send(login() + b"\r\n")
        said = await client.rest()
        assert said == b"a NO [SERVERBUG] Internal error.\r\n* BYE Internal error.\r\n"
        assert "ZeroDivisionError" in caplog.text
        await until(lambda: len(front.sessions) == 1)
        assert front.lines()[-1]["failure"] == "internal"
        await other.send(b"alive\r\n")
        assert await other.line() == b"echo alive"
        people.trouble.clear()
        await front.logged_in_as("alice")


async def test_an_error_of_ours_between_logins_says_goodbye(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: ImapPreauth) -> None:
        raise ZeroDivisionError

    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        monkeypatch.setattr(ImapPreauth, "attempt", broken)
        client = await front.connect()
        assert (await client.rest()).endswith(b"* BYE [UNAVAILABLE] Internal error.\r\n")
        assert (await front.ended())["failure"] == "internal"
        assert "ended by an error of ours" in caplog.text


# --- failed logins that make others wait ---


async def test_who_has_to_wait_holds_nothing_but_the_connection(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        front.director.beware("alice")
        front.director.waits = [60.0]
        await client.send(login("Alice") + b"\r\n")
        await until(lambda: front.director.all(Attempt))
        (asked,) = front.director.all(Attempt)
        assert (asked.name, asked.address) == ("alice", "127.0.0.1")
        (session,) = front.sessions
        assert not session.busy
        assert not front.people.asked
        other = await front.logged_in_as("bob")
        assert not server.peers[1:]
        client.reset()
        await until(lambda: len(front.sessions) == 1)
        other.close()


async def test_who_has_waited_is_asked_about_again_until_the_way_is_free(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        front.director.beware("", "127.0.0.1")
        front.director.waits = [0.1, 0.1, 0.0]
        began = asyncio.get_running_loop().time()
        assert b"a OK" in await client.ask(login())
        assert asyncio.get_running_loop().time() - began >= 0.2
        assert len(front.director.all(Attempt)) == 3


async def test_who_waits_too_long_runs_out_of_time_like_anybody_else(tmp_path: Path) -> None:
    timeouts = {"login": 0.2, "login_budget": 0.1}
    async with Server(Imap()) as server, Front(site(server, timeouts=timeouts), tmp_path) as front:
        client = await front.greeted()
        front.director.beware("alice")
        front.director.waits = [60.0]
        await client.send(login() + b"\r\n")
        await until(lambda: front.director.all(Attempt))
        front.clock.add(1.0)
        assert await client.rest() == b"* BYE No login in time.\r\n"
        assert (await front.ended())["failure"] == "login_timeout"
        assert not front.people.asked


async def test_a_wrong_password_is_told_to_the_director_and_answered_as_late_as_it_says(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with Server(Imap()) as server, Front(site(server, auth={"failure_delay": 0.1}), tmp_path) as front:
        client = await front.greeted()
        front.director.penalty = 0.3
        for user, password in (("ALICE", "wrong"), ("nobody+lists", "wrong"), ("alice", " "), ("a@b@c", PASSWORD)):
            began = loop.time()
            assert b"a NO [AUTHENTICATIONFAILED]" in await client.ask(login(user, password))
            assert loop.time() - began >= 0.3
        assert [failed.name for failed in front.director.all(Failed)] == ["alice", "nobody", "", ""]
        assert {failed.address for failed in front.director.all(Failed)} == {"127.0.0.1"}
        assert not front.director.all(Passed)


async def test_a_good_login_is_told_to_the_director_and_other_failures_are_not(tmp_path: Path) -> None:
    people = People()
    async with Server(Imap("NO [LIMIT] full")) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        assert b"a NO [LIMIT]" in await client.ask(login("Alice"))
        people.trouble["verify"] = Unavailable("no server answers")
        assert b"a NO [UNAVAILABLE]" in await client.ask(login("Alice"))
        people.trouble.clear()
        assert not front.director.all(Passed)
        assert b"a OK" in await client.ask(login("Alice"))
        await until(lambda: front.director.all(Passed) == [Passed("alice", "127.0.0.1")])
        assert not front.director.all(Failed)


async def test_a_limit_of_sessions_is_told_with_its_code_and_logged_with_its_count(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        front.director.refusals["alice"] = "limit_pair", "30 sessions of alice from 127.0.0.1, 30 may be"
        client = await front.greeted()
        assert await client.ask(login()) == b"a NO [LIMIT] Too many connections for this user or address."
        client.close()
        line = await front.ended()
        assert (line["failure"], line["detail"]) == ("limit", "30 sessions of alice from 127.0.0.1, 30 may be")


async def test_behind_a_balancer_the_clients_own_address_is_told_and_shut_out(
    tmp_path: Path, certificates: Certificates
) -> None:
    listener = {"tls": "implicit", "proxy_protocol_from": (LOOPBACK,)}
    async with (
        Server(Imap()) as server,
        Front(site(server, listener=listener), tmp_path, certificates=certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client("imap"), host="localhost", ahead=V1)
        await client.line()
        await until(lambda: front.director.all(Connected))
        assert front.director.all(Connected) == [Connected("192.0.2.7")]
        front.director.say(Embargo("192.0.2.7", 3600.0))
        await until(lambda: not front.client.connected("192.0.2.7"))
        late = await front.connect()
        await late.send(V1)
        assert await late.rest() == b""
        await until(lambda: len(front.sessions) == 1)
        line = front.lines()[-1]
        assert (line["failure"], line["client"], line["phase"]) == ("limit", "192.0.2.7", "arrival")
        client.close()


# --- a user whom the backend does not accept ---


async def test_when_the_backend_refuses_whom_the_directory_accepts_the_route_is_read_once_more(tmp_path: Path) -> None:
    people = People()
    imap = Imap("NO [AUTHENTICATIONFAILED] no")
    async with Server(imap) as server, Front(site(server), tmp_path, people) as front:
        client = await front.greeted()
        assert await client.ask(login()) == (
            b"a NO [CONTACTADMIN] The mail server does not accept this account. Contact your administrator."
        )
        assert [question[0] for question in people.asked] == ["find", "verify", "find"]
        assert len(imap.logins) == 1  # the route is the same: asking again would get the same answer


async def test_a_user_who_has_just_been_moved_is_found_at_the_new_place(tmp_path: Path) -> None:
    people = People()
    async with Server(Imap("NO gone")) as first, Server(Imap()) as second:
        settings = two_shards(first, second)
        async with Front(settings, tmp_path, people) as front:
            client = await front.greeted()
            people.held.clear()
            await client.send(login() + b"\r\n")
            await asked_for_password(people)
            people.entries["alice"] = Entry("alice", "uid=alice,dc=example", "s2")
            people.held.set()
            assert b"a OK" in await client.answer(b"a")
            client.close()
            line = await front.ended()
            assert (line["shard"], line["backend"]) == ("s2", "mb2a")


async def test_a_refused_token_is_challenged_and_then_an_authentication_failure(
    tmp_path: Path,
) -> None:
    people = People()
    imap = Imap("NO [AUTHENTICATIONFAILED] expired", mechanisms=("XOAUTH2",))
    async with Server(imap) as server:
        settings = site(server, auth={"mechanisms": ("PLAIN", "XOAUTH2")})
        async with Front(settings, tmp_path, people) as front:
            client = await front.greeted()
            await client.send(b"a AUTHENTICATE XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciB0b2tlbgEB\r\n")
            assert (await client.line()).startswith(b"+ ey")
            await client.send(b"\r\n")
            assert await client.line() == b"a NO [AUTHENTICATIONFAILED] Authentication failed."
            assert imap.logins == [("XOAUTH2", "user=alice\x01auth=Bearer token\x01\x01")]
            assert [question[0] for question in people.asked] == ["find"]


# --- what the backend is told of the client ---


async def test_a_trusted_proxys_word_on_the_client_is_believed(tmp_path: Path) -> None:
    imap = Imap()
    listener = PLAIN_TEXT | {"forwarded_from": (LOOPBACK,)}
    async with Server(imap) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.greeted()
        said = b'("x-originating-ip" "192.0.2.9" "x-originating-port" "4444" "x-session-id" "outer" "x-proxy-ttl" "5")'
        await client.ask(b"i ID " + said)
        assert b"a OK" in await client.ask(login())
        assert '"x-session-id" "outer" "x-originating-ip" "192.0.2.9" "x-originating-port" "4444"' in imap.ids[0]
        assert '"x-proxy-ttl" "4"' in imap.ids[0]
        client.close()
        line = await front.ended()
        assert (line["client"], line["port"], line["via"]) == ("192.0.2.9", 4444, "127.0.0.1")
        assert line["session"] == "outer"


async def test_a_login_that_has_passed_too_many_proxies_is_refused_as_a_loop_however_often_it_is_tried(
    tmp_path: Path,
) -> None:
    imap = Imap()
    listener = PLAIN_TEXT | {"forwarded_from": (LOOPBACK,)}
    async with Server(imap) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.greeted()
        await client.ask(b'i ID ("x-originating-ip" "192.0.2.9" "x-proxy-ttl" "0")')
        for _ in range(2):
            assert b"a NO [SERVERBUG]" in await client.ask(login())
        assert imap.logins == []
        client.close()
        assert "looping" in (await front.ended())["detail"]


async def test_a_client_whom_nobody_trusts_is_not_believed(tmp_path: Path) -> None:
    imap = Imap()
    async with Server(imap) as server, Front(site(server), tmp_path) as front:
        client = await front.greeted()
        await client.ask(b'i ID ("x-originating-ip" "192.0.2.9" "x-session-id" "mine" "x-proxy-ttl" "0" "name" "Mutt")')
        assert b"a OK" in await client.ask(login())
        assert '"x-originating-ip" "127.0.0.1"' in imap.ids[0]
        assert '"x-proxy-ttl" "7"' in imap.ids[0]
        assert "Mutt" not in imap.ids[0]
        assert "mine" not in imap.ids[0]
        client.close()
        line = await front.ended()
        assert (line["client"], line["client_id"]) == ("127.0.0.1", "Mutt")
        assert "via" not in line


@pytest.mark.parametrize(("trusted", "seen"), [(True, "192.0.2.9"), (False, "127.0.0.1")])
async def test_xclient_is_believed_from_trusted_proxies_only(tmp_path: Path, trusted: bool, seen: str) -> None:
    listener = PLAIN_TEXT | ({"forwarded_from": (LOOPBACK,)} if trusted else {})
    async with Server(silent) as server, Front(site(server, protocol="pop3", listener=listener), tmp_path) as front:
        client = await front.connect()
        assert (await client.line()).startswith(b"+OK [XCLIENT]" if trusted else b"+OK Vestibule")
        await client.send(b"XCLIENT ADDR=192.0.2.9 PORT=4444\r\n")
        assert await client.line() == b"+OK Updated."
        await client.send(b"USER alice\r\n")
        await client.line()
        await client.send(b"PASS wrong\r\n")
        assert await client.line() == b"-ERR [AUTH] Authentication failed."
        client.close()
        assert (await front.ended())["client"] == seen


async def test_a_backend_need_not_be_told_of_the_client(tmp_path: Path) -> None:
    imap = Imap()
    async with Server(imap) as server, Front(site(server, backend_login={"forward_client": False}), tmp_path) as front:
        await front.logged_in_as("alice")
        assert imap.ids == []


# --- certificates ---


async def test_a_clients_certificate_logs_it_in_as_its_name(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, client_ca=True)
    imap = Imap()
    async with (
        Server(imap) as server,
        Front(external_site(server, certificates), tmp_path, None, certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client("imap", name="alice"), host="localhost")
        assert b"AUTH=EXTERNAL" in await client.line()
        assert b"a OK" in await client.ask(b"a AUTHENTICATE EXTERNAL =")
        assert imap.logins == [("alice", "proxy", "master's")]
        assert [question[0] for question in front.people.asked] == ["find"]


async def test_a_certificate_does_not_let_its_user_be_somebody_else(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, client_ca=True)
    imap = Imap()
    async with (
        Server(imap) as server,
        Front(external_site(server, certificates), tmp_path, None, certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client("imap", name="alice"), host="localhost")
        await client.line()
        assert b"a NO [AUTHORIZATIONFAILED]" in await client.ask(b"a AUTHENTICATE EXTERNAL Ym9i")
        assert b"b OK" in await client.ask(b"b AUTHENTICATE EXTERNAL YWxpY2U=")
        assert imap.logins == [("alice", "proxy", "master's")]


async def test_without_a_certificate_external_is_not_there(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, client_ca=True)
    async with (
        Server(Imap()) as server,
        Front(external_site(server, certificates), tmp_path, None, certificates) as front,
    ):
        client = await front.connect()
        await client.start_tls(certificates.client("imap"), host="localhost")
        assert b"EXTERNAL" not in await client.line()
        assert b"a NO" in await client.ask(b"a AUTHENTICATE EXTERNAL =")


# --- what is left behind ---


async def test_ended_sessions_leave_no_descriptor_and_no_object_behind(tmp_path: Path) -> None:
    async with Server(Imap()) as server, Front(site(server), tmp_path) as front:
        for _ in range(3):
            client = await front.logged_in_as("alice")
            client.close()
            failed = await front.greeted()
            await failed.ask(login(password="wrong"))
            await failed.send(b"b LOGOUT\r\n")
            await failed.rest()
            failed.close()
        await front.ended()
        await until(lambda: not front.dispatcher.timed)
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Session)]
