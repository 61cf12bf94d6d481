"""The classes of faults that broke systems like this one, shown over real sockets not to be here.

What concerns bytes alone is in tests/proxy/protocols/test_security_classes.py; docs/security-tests.md has them all.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import hashlib
import itertools
import os
import random
import re
import socket
import ssl
import tracemalloc
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import ldapmap
from ldapmap import Entry
from proxy.protocols.proxyheader import header
from proxy.settings import ProtocolName
from tests.proxy.front import PASSWORD, Certificates, Front, People, login, plain, site, two_shards
from tests.proxy.sockets import read, until, write
from tests.proxy.talk import Imap, Peer, Server, silent
from tls import ServerContexts, backend_context, read_pair

ROOT = Path(__file__).parents[2]
LOOPBACK = ip_network("127.0.0.0/8")
CONTROLS = [bytes([code]) for code in (*range(32), 127)]


def sasl(*parts: bytes) -> bytes:
    """A SASL PLAIN message in base64."""
    return base64.b64encode(b"\0".join(parts))


# --- parsers and memory ---


async def test_memory_growth_by_a_client_that_sends_while_it_logs_in(tmp_path: Path) -> None:
    """What is sent behind a login that is under way stays in the kernel, and the sender waits."""
    people, flood = People(), bytes(32_000_000)
    people.held.clear()
    async with Server(Imap()) as server, Front(site(server), tmp_path, people) as front:
        with socket.create_connection(front.address) as client:
            client.setblocking(False)
            await read(client)
            await write(client, login() + b"\r\n")
            await until(lambda: people.asked[-1:] and people.asked[-1][0] == "verify")
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            flooding = asyncio.create_task(write(client, flood))
            for _ in range(200):
                await asyncio.sleep(0)
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert not flooding.done()
            assert grown < 200_000
            flooding.cancel()


def test_memory_growth_by_server_names(tmp_path: Path) -> None:
    """Names that nobody has get the default certificate and leave nothing behind."""
    certificates = Certificates(tmp_path)
    other = certificates.authority.issue(tmp_path, "other", dns=("other.example",))
    contexts = ServerContexts([read_pair(certificates.files), read_pair(other)], alpn="imap")
    client = backend_context(None, False)

    def connect(name: str) -> None:
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = [client.wrap_bio(back, there, server_hostname=name), contexts.context.wrap_bio(there, back, True)]
        for end in ends * 2:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        assert ends[0].version() == "TLSv1.3"

    for number in range(20):
        connect(f"warm{number}.example")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(200):
        connect(f"stranger{number}.example")
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


async def test_one_bad_login_hurts_others(tmp_path: Path) -> None:
    """200 good logins at once all succeed while others send rubbish in every phase."""
    certificates = Certificates(tmp_path)
    listener = {"tls": "implicit"}
    async with (
        Server(Imap()) as server,
        Front(site(server, listener=listener), tmp_path, certificates=certificates) as front,
    ):
        context = certificates.client("imap")
        over = asyncio.Event()
        rubbish = random.Random(1)

        async def secured() -> Peer:
            client = await front.connect()
            await client.start_tls(context, host="localhost")
            await client.line()
            return client

        async def good(number: int) -> bytes:
            client = await secured()
            answer = await client.ask(login("alice" if number % 2 else "bob"))
            client.close()
            return answer

        async def bad() -> None:
            while not over.is_set():
                with suppress(EOFError, OSError):
                    if rubbish.random() < 0.3:
                        client = await front.connect()
                        await client.send(rubbish.randbytes(200))
                    else:
                        client = await secured()
                        await client.send(rubbish.choice(RUBBISH) + b"\r\n")
                    if rubbish.random() < 0.3:
                        client.reset()
                    else:
                        await client.send(b"x LOGOUT\r\n")
                        await client.rest()
                        client.close()

        fuzzers = [asyncio.create_task(bad()) for _ in range(8)]
        answers = await asyncio.gather(*(good(number) for number in range(200)))
        over.set()
        await asyncio.gather(*fuzzers)
        assert [answer for answer in answers if b"a OK" not in answer] == []
        assert front.failures().get("internal") is None


RUBBISH = [
    b"a AUTHENTICATE PLAIN ====",
    b"a AUTHENTICATE PLAIN " + b"\xff" * 50,
    b"a AUTHENTICATE PLAIN " + sasl(b"", b"\xc3\x28", b"x"),
    b"a AUTHENTICATE PLAIN " + sasl(b"", b"alice\0alice", b"x"),
    b"a LOGIN {5+}\r\nal\0ce x",
    b'a LOGIN "alice" "\xff\xfe"',
    b"a ID (" + b"(" * 500,
    b"a LOGIN {4294967296}",
    b"\0" * 100,
    b"a " * 2000,
    b"* BYE",
]


# --- injection ---


async def test_control_characters_into_the_backends_login(tmp_path: Path) -> None:
    """Through every form of login, with every control character in either value: nothing reaches the backend."""
    imap = Imap()
    async with Server(imap) as server, Front(site(server), tmp_path) as front:
        for control in CONTROLS:
            for user, password in ((b"al" + control + b"ice", b"secret"), (b"alice", b"sec" + control + b"ret")):
                quoted = b'a LOGIN "%b" "%b"' % (user, password)
                literal = b"a LOGIN {%d+}\r\n%b {%d+}\r\n%b" % (len(user), user, len(password), password)
                encoded = b"a AUTHENTICATE PLAIN " + sasl(b"", user, password)
                for command in (quoted, literal, encoded):
                    client = await front.greeted()
                    await client.send(command + b"\r\nz LOGOUT\r\n")
                    answer = await client.rest()
                    assert b"a OK" not in answer
                    client.close()
        assert imap.logins == []
        assert not server.peers
        assert front.people.asked == []


@pytest.mark.parametrize("password", ['a"b', "back\\slash", "{5}", "{5+}", "ünïcödé ☃", "a b  c ", ") (", "%s%n"])
async def test_odd_passwords_into_the_backends_login(tmp_path: Path, password: str) -> None:
    """What is allowed arrives as it was typed, as one login, in words or in SASL."""

    class Lenient(People):
        async def verify(self, entry: Entry, password: bytes) -> None:
            self.asked.append(("verify", entry.user, password))

    for mechanisms in (("PLAIN",), ()):
        imap = Imap(mechanisms=mechanisms)
        async with Server(imap) as server, Front(site(server), tmp_path, Lenient()) as front:
            client = await front.greeted()
            await client.send(b"a AUTHENTICATE PLAIN " + plain(password=password) + b"\r\n")
            assert b"a OK" in await client.answer(b"a")
            assert imap.logins == [("", "alice", password)]
            assert front.people.asked[-1] == ("verify", "alice", password.encode())
            client.close()


async def test_spoofing_of_the_client_address_through_a_load_balancer(tmp_path: Path) -> None:
    """A balancer is believed about addresses, its clients are not."""
    imap = Imap()
    listener: dict[str, Any] = {"tls": "off", "plaintext_auth": True}
    listener |= {"proxy_protocol_from": (LOOPBACK,), "forwarded_from": (LOOPBACK,)}
    async with Server(imap) as server, Front(site(server, listener=listener), tmp_path) as front:
        client = await front.connect()
        await client.send(header(("192.0.2.7", 5555), ("198.51.100.1", 993)))
        await client.line()
        await client.ask(b'i ID ("x-originating-ip" "203.0.113.66" "x-session-id" "forged" "x-proxy-ttl" "0")')
        assert b"a OK" in await client.ask(login())
        assert '"x-originating-ip" "192.0.2.7"' in imap.ids[0]
        assert "forged" not in imap.ids[0]
        client.close()
        line = await front.ended()
        assert (line["client"], line["via"], line["session"]) == ("192.0.2.7", "127.0.0.1", "session1")


# --- authentication logic ---


@pytest.mark.parametrize(
    ("protocol", "commands"),
    [
        ("imap", [b'a LOGIN alice ""', b"a LOGIN alice {0+}\r\n", b'a LOGIN alice "   "', b"a LOGIN alice {1+}\r\n\0"]),
        ("imap", [b"a AUTHENTICATE PLAIN " + sasl(b"", b"alice", word) for word in (b"", b" ", b"\0", b"\t", b"\0\0")]),
        ("imap", [b"a AUTHENTICATE LOGIN YWxpY2U=\r\n", b"a AUTHENTICATE PLAIN =", b'a LOGIN "" "x"']),
        ("pop3", [b"USER alice\r\nPASS ", b"USER alice\r\nPASS   ", b"USER alice\r\nPASS", b"USER alice\r\nPASS \0"]),
        ("pop3", [b"AUTH PLAIN " + sasl(b"", b"alice", b"")]),
        ("managesieve", [b'AUTHENTICATE "PLAIN" "' + sasl(b"", b"alice", word) + b'"' for word in (b"", b" ", b"\0")]),
    ],
)
async def test_unauthenticated_bind(tmp_path: Path, protocol: ProtocolName, commands: list[bytes]) -> None:
    """An empty, blank or NUL password is refused before the directory hears of it."""
    async with Server(silent) as server, Front(site(server, protocol=protocol), tmp_path) as front:
        for command in commands:
            client = await front.greeted()
            await client.send(
                command + b"\r\n" + {"imap": b"z LOGOUT", "pop3": b"QUIT"}.get(protocol, b"LOGOUT") + b"\r\n"
            )
            said = await client.rest()
            assert b"Logged in" not in said
            client.close()
        await front.ended()
        assert front.people.asked == []
        assert "ok" not in front.failures()
        assert not server.peers


WRONG = {
    "imap": b"a NO [AUTHENTICATIONFAILED] Authentication failed.",
    "pop3": b"-ERR [AUTH] Authentication failed.",
    "managesieve": b'NO "Authentication failed."',
}
AWAY = {"imap": b"a NO [UNAVAILABLE] ", "pop3": b"-ERR [SYS/TEMP] ", "managesieve": b"NO (TRYLATER) "}
EXPIRED = {"imap": b"a NO [EXPIRED] ", "pop3": b"-ERR [AUTH] The password has expired", "managesieve": b"NO "}
RESULTS: dict[type[ldapmap.DirectoryError], dict[str, bytes]] = {
    ldapmap.UnknownUser: WRONG,
    ldapmap.WrongPassword: WRONG,
    ldapmap.EmptyPassword: WRONG,
    ldapmap.InvalidName: WRONG,
    ldapmap.AccountLocked: WRONG,
    ldapmap.AccountDisabled: WRONG,
    ldapmap.AmbiguousUser: WRONG,
    ldapmap.PasswordExpired: EXPIRED,
    ldapmap.Unavailable: AWAY,
    ldapmap.ServerFault: AWAY,
    ldapmap.Misconfigured: AWAY,
    ldapmap.NoRoute: AWAY,
}


@pytest.mark.parametrize("protocol", ["imap", "pop3", "managesieve"])
async def test_ldap_result_confusion_and_user_enumeration(tmp_path: Path, protocol: ProtocolName) -> None:
    """A directory that is away is never a wrong password; whoever may not log in gets the same bytes as anybody."""
    people = People()
    async with Server(silent) as server, Front(site(server, protocol=protocol), tmp_path, people) as front:
        for question, (error, answers) in itertools.product(("find", "verify"), RESULTS.items()):
            people.trouble = {question: error("a reason for the log only")}
            client = await front.connect()
            answer = await try_to_log_in(client, protocol)
            expected = answers[protocol]
            assert answer == expected if answers is WRONG else answer.startswith(expected)
            assert b"reason" not in answer
            client.close()
        assert not server.peers


async def try_to_log_in(client: Peer, protocol: str) -> bytes:
    """The answer to a login of alice."""
    line = await client.line()
    if protocol == "imap":
        return await client.ask(login())
    if protocol == "pop3":
        await client.send(b"USER alice\r\n")
        await client.line()
        await client.send(b"PASS " + PASSWORD.encode() + b"\r\n")
        return await client.line()
    while not line.startswith(b"OK"):
        line = await client.line()
    await client.send(b'AUTHENTICATE "PLAIN" "' + plain() + b'"\r\n')
    return await client.line()


async def test_cache_and_route_poisoning(tmp_path: Path) -> None:
    """Logins of two users in every mixture: only the right password opens, and only the user's own server."""
    people = People(alice="s1", bob="s2")
    first, second = Imap(), Imap()
    async with (
        Server(first) as one,
        Server(second) as other,
        Front(two_shards(one, other), tmp_path, people) as front,
    ):
        words = [PASSWORD, "wrong", PASSWORD.lower(), PASSWORD + " "]
        attempts = list(itertools.product(("alice", "bob", "ALICE"), words)) * 4
        random.Random(2).shuffle(attempts)

        async def attempt(user: str, password: str) -> bool:
            client = await front.greeted()
            answer = await client.ask(login(user, password))
            client.close()
            return b"a OK" in answer

        succeeded = await asyncio.gather(*(attempt(*each) for each in attempts))
        assert list(succeeded) == [password == PASSWORD for _, password in attempts]
        assert set(first.logins) == {("", "alice", PASSWORD)}
        assert set(second.logins) == {("", "bob", PASSWORD)}


LDIF = f"""\
dn: uid=alice,dc=example
uid: alice
mailHost: s1
userPassword: {PASSWORD}

dn: uid=master,dc=example
uid: master
mailHost: s1
userPassword: {PASSWORD}
"""


async def test_user_name_normalisation(tmp_path: Path) -> None:
    """Every spelling the directory takes for a name is one user to the director, the log and the backend."""
    (tmp_path / "users.ldif").write_text(LDIF)
    settings = ldapmap.DirectorySettings(kind="ldif", file=tmp_path / "users.ldif")
    directory: Any = ldapmap.open_directory(settings, None)
    imap = Imap()
    async with Server(imap) as server, Front(site(server), tmp_path, directory) as front:
        for name in ("alice", "AlIcE", "ａｌｉｃｅ", "ＡＬＩＣＥ"):
            client = await front.greeted()
            assert b"a OK" in await client.ask(b"a AUTHENTICATE PLAIN " + plain(name))
            client.close()
            assert (await front.ended())["user"] == "alice"
        for name in ("alice.", "alice%00", "alice*master", "master*alice", "%u", "uid=alice", "alice@"):
            client = await front.greeted()
            assert b"a NO [AUTHENTICATIONFAILED]" in await client.ask(b"a AUTHENTICATE PLAIN " + plain(name)), name
            client.close()
        assert {user for _, user, _ in imap.logins} == {"alice"}
        assert set(front.director.users) == {"alice"}


@pytest.mark.parametrize(
    ("auth", "name", "authzid", "answer"),
    [
        ({}, "alice", "bob", b"NO [AUTHORIZATIONFAILED]"),
        ({}, "bob*alice", "", b"NO [AUTHENTICATIONFAILED]"),
        ({"masters": ("alice",)}, "alice", "bob", b"OK"),
        ({"masters": ("alice",)}, "bob*alice", "", b"NO [AUTHENTICATIONFAILED]"),
        ({"masters": ("alice",), "master_separator": "*"}, "bob*alice", "", b"OK"),
        ({"masters": ("alice",), "master_separator": "*"}, "alice*bob", "", b"NO [AUTHORIZATIONFAILED]"),
        ({"masters": ("alice",), "masters_from": (ip_network("192.0.2.0/24"),)}, "alice", "bob", b"NO [AUTHORIZ"),
        ({"masters": ("alice",)}, "alice", "nobody", b"NO [AUTHORIZATIONFAILED]"),
        ({"masters": ("alice",)}, "bob", "alice", b"NO [AUTHORIZATIONFAILED]"),
    ],
)
async def test_sasl_authzid_and_master_user(
    tmp_path: Path, auth: dict[str, Any], name: str, authzid: str, answer: bytes
) -> None:
    """Only a master, from its networks, by its own password, acts for another; a separator is no way around."""
    imap = Imap()
    async with (
        Server(imap) as server,
        Front(site(server, auth={"masters_from": (LOOPBACK,), **auth}), tmp_path) as front,
    ):
        client = await front.greeted()
        assert b"a " + answer in await client.ask(b"a AUTHENTICATE PLAIN " + plain(name, authzid=authzid))
        assert imap.logins == ([("bob", "alice", PASSWORD)] if answer == b"OK" else [])


async def test_delays_as_a_resource(tmp_path: Path) -> None:
    """Who waits for the answer to a wrong password holds nothing that others need, and no routing state."""
    people = People()
    async with Server(Imap()) as server, Front(site(server, auth={"failure_delay": 60.0}), tmp_path, people) as front:
        waiting = [await front.greeted() for _ in range(100)]
        for number, client in enumerate(waiting):
            await client.send(login("alice" if number % 2 else f"nobody{number}", "wrong") + b"\r\n")
        await until(lambda: sum(question[0] == "find" for question in people.asked) == 100)
        assert not front.director.users
        assert not server.peers
        await front.logged_in_as("bob")
        assert all(b"NO" not in client.heard for client in waiting)
        for client in waiting:
            client.reset()
        await until(lambda: len(front.sessions) == 1)  # and a client that leaves does not have to wait


# --- TLS and connections ---


async def test_slow_and_half_open_handshakes(tmp_path: Path) -> None:
    """200 clients that never finish their handshake hinder nobody, and are gone when its time is over."""
    certificates = Certificates(tmp_path)
    listener = {"tls": "implicit"}
    async with (
        Server(Imap()) as server,
        Front(site(server, listener=listener), tmp_path, certificates=certificates) as front,
    ):
        slow = [await front.connect() for _ in range(200)]
        for number, client in enumerate(slow):
            await client.send(b"\x16\x03\x01\x02\x00\x01"[: number % 7])
        await until(lambda: len(front.sessions) == 200)
        client = await front.connect()
        await client.start_tls(certificates.client("imap"), host="localhost")
        await client.line()
        assert b"a OK" in await client.ask(login())
        front.pass_time(16)
        for each in slow:
            assert await each.rest() == b""
        await client.send(b"alive\r\n")
        assert await client.line() == b"echo alive"


async def test_one_clients_bytes_in_anothers_stream(tmp_path: Path) -> None:
    """Many sessions at once, in TLS, both ways, some slow, some killed: everybody gets what is theirs, unchanged."""
    certificates = Certificates(tmp_path)

    class Mirror(Imap):
        @staticmethod
        async def _echo(peer: Peer) -> None:
            while True:
                await peer.send(await peer.line() + b"\r\n")

    users = [f"user{number}" for number in range(24)]
    people = People(**dict.fromkeys(users, "s1"))
    async with (
        Server(Mirror(behind=b"* hello\r\n")) as server,
        Front(site(server, listener={"tls": "implicit"}), tmp_path, people, certificates) as front,
    ):

        async def session(number: int) -> tuple[str, str]:
            generator = random.Random(number)
            client = await front.connect()
            await client.start_tls(certificates.client("imap"), host="localhost")
            await client.line()
            await client.ask(login(users[number]))
            assert await client.line() == b"* hello"
            lines = [generator.randbytes(generator.randrange(1, 3000)).hex().encode() for _ in range(60)]
            sent, heard = hashlib.sha256(), hashlib.sha256()

            async def speak() -> None:
                for line in lines:
                    sent.update(line)
                    await client.send(line + b"\r\n")
                    await asyncio.sleep(0)

            speaking = asyncio.create_task(speak())
            for position in range(len(lines)):
                if number % 6 == 5 and position == 20:
                    client.reset()  # killed in the middle
                    speaking.cancel()
                    return "", ""
                heard.update(await client.line())
                for _ in range(number % 3):  # some are slow
                    await asyncio.sleep(0)
            await speaking
            client.close()
            return sent.hexdigest(), heard.hexdigest()

        for sent, heard in await asyncio.gather(*map(session, range(len(users)))):
            assert sent == heard


# --- the list ---


def listed() -> list[str]:
    """The tests that docs/security-tests.md names."""
    return re.findall(r"`(tests/[\w/]+\.py::\w+)`", (ROOT / "docs" / "security-tests.md").read_text())


def names_in(file: Path) -> set[str]:
    """The names of the test functions in a file."""
    tree = ast.parse(file.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_in_the_list_of_classes_exists() -> None:
    names = listed()
    assert len(names) > 50
    missing = []
    for name in dict.fromkeys(names):
        file, _, test = name.partition("::")
        if not (ROOT / file).exists() or test not in names_in(ROOT / file):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("file", [Path(__file__), Path(__file__).parent / "protocols" / "test_security_classes.py"])
def test_every_class_that_is_tested_is_in_the_list(file: Path) -> None:
    path = os.path.relpath(file, ROOT)
    tested = {f"{path}::{name}" for name in names_in(file) if name.startswith("test_") and "_the_list" not in name}
    assert tested - set(listed()) == set()
