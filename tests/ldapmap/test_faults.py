"""Whatever a server does wrong, nobody is told that the password is, the next user is served, and nothing is leaked."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ldapmap.client.ber import integer, octet_string, wrap
from ldapmap.entries import Entry
from ldapmap.errors import Unavailable, UnknownUser, WrongPassword
from ldapmap.ldap import LdapDirectory
from tests.ldapmap import oracle
from tests.ldapmap.conftest import OpenDirectory
from tests.ldapmap.fake import (
    ALICE,
    BIND,
    EXTENDED,
    SEARCH,
    Conversation,
    FakeServer,
    Request,
    bind_result,
    entry,
    extended_result,
    fake_server,
    farewell,
    ordinary,
    search_done,
)
from tls import CertificateFiles, ThrowawayAuthority, backend_context

USER = Entry("alice", ALICE, "s1")
Misdeed = Callable[[Request, Conversation], Awaitable[None]]


def answer(request: Request, code: int) -> bytes:
    return bind_result(request, code) if request.kind == BIND else search_done(request, code)


async def talks_http(request: Request, conversation: Conversation) -> None:
    conversation.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def answers_and_talks_http(request: Request, conversation: Conversation) -> None:
    conversation.send(answer(request, 0) + b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def says_nothing(request: Request, conversation: Conversation) -> None:
    pass


async def trickles_for_ever(request: Request, conversation: Conversation) -> None:
    conversation.send(b"\x30\x82\x0f\xff\x02\x01\x01")
    while not conversation.writer.transport.is_closing():
        conversation.send(b"\0")
        for _ in range(100):
            await asyncio.sleep(0)


async def dies_in_mid_answer(request: Request, conversation: Conversation) -> None:
    conversation.send(answer(request, 0)[:-3])
    conversation.writer.close()


async def dies_without_a_word(request: Request, conversation: Conversation) -> None:
    conversation.close()


async def takes_its_leave(request: Request, conversation: Conversation) -> None:
    conversation.send(farewell(52, "going down"))
    conversation.writer.close()


async def answers_with_an_unknown_code(request: Request, conversation: Conversation) -> None:
    conversation.send(answer(request, 4242))


async def refers_to_another(request: Request, conversation: Conversation) -> None:
    """With the address of a server in the result (RFC 4511 section 4.1.10) and, for a search, one before it."""
    elsewhere = octet_string(f"ldap://127.0.0.1:{DECOY}/dc=x".encode())
    if request.kind == SEARCH:
        conversation.send(wrap(b"\x30", integer(request.message_id) + wrap(b"\x73", elsewhere)))
    content = b"\x0a\x01\x0a\x04\x00\x04\x00" + wrap(b"\xa3", elsewhere)
    kind = b"\x65" if request.kind == SEARCH else b"\x61"
    conversation.send(wrap(b"\x30", integer(request.message_id) + wrap(kind, content)))


async def answers_somebody_else(request: Request, conversation: Conversation) -> None:
    conversation.send(answer(Request(0, request.message_id + 1000, request.kind, b""), 0))


async def answers_twice(request: Request, conversation: Conversation) -> None:
    conversation.send(answer(request, 52), answer(request, 0))


async def answers_too_much(request: Request, conversation: Conversation) -> None:
    conversation.send(b"\x30\x84\x7f\xff\xff\xff" + b"\0" * 1000)


async def answers_with_another_kind(request: Request, conversation: Conversation) -> None:
    conversation.send(extended_result(request, 0))


DECOY = 0
MISDEEDS: list[Misdeed] = [
    talks_http, answers_and_talks_http, says_nothing, trickles_for_ever, dies_in_mid_answer, dies_without_a_word,
    takes_its_leave, answers_with_an_unknown_code, refers_to_another, answers_somebody_else, answers_twice,
    answers_too_much, answers_with_another_kind,
]  # fmt: skip


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.asynccontextmanager
async def nothing_leaks() -> AsyncIterator[None]:
    """As many descriptors are open behind the block as before it, at once or when the other side has noticed."""
    before = descriptors()
    yield
    async with asyncio.timeout(5):
        while descriptors() > before:
            await asyncio.sleep(0)


def misbehaving(kind: int, misdeed: Misdeed, times: int) -> Callable[..., Any]:
    """A server that does this to the first requests of its kind about alice."""
    done: list[Request] = []

    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == kind and b"alice" in request and len(done) < times:
            done.append(request)
            await misdeed(request, conversation)
        else:
            await ordinary(request, conversation)

    return script


async def login(directory: LdapDirectory, password: bytes = b"secret") -> None:
    await directory.verify(await directory.find("alice"), password)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", [SEARCH, BIND], ids=["search", "bind"])
@pytest.mark.parametrize("misdeed", MISDEEDS, ids=lambda misdeed: misdeed.__name__)
async def test_a_fault_is_at_most_an_unavailability_of_one_login(
    directory_on: OpenDirectory, monkeypatch: pytest.MonkeyPatch, misdeed: Misdeed, kind: int, times: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as decoy:
        decoy.setblocking(False)
        monkeypatch.setattr("tests.ldapmap.test_faults.DECOY", decoy.getsockname()[1])
        async with nothing_leaks(), fake_server(misbehaving(kind, misdeed, times)) as server:
            changes: dict[str, Any] = {
                "operation_timeout": 0.1,
                "bind_connections": 1,
                "server_retry": 30.0,
                "message_limit": 8192,
            }
            async with directory_on(server, **changes) as directory:
                with contextlib.suppress(Unavailable):
                    await login(directory)  # a wrong password or an unknown user would not be suppressed
                for _ in range(times):
                    with contextlib.suppress(Unavailable):
                        await login(directory)
                await login(directory)
                with pytest.raises(WrongPassword):
                    await login(directory, b"wrong")
                with pytest.raises(UnknownUser):
                    await directory.find("bob")
                status = directory.status().servers[0]
                assert (status.down, status.bind_busy, status.searches) == (False, 0, 0)
                assert status.bind_open == 1
        with pytest.raises(BlockingIOError):
            decoy.accept()  # nobody followed a reference


async def test_a_server_that_greets_with_garbage_is_unavailable(directory_on: OpenDirectory) -> None:
    class Greeting(FakeServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await super().serve(reader, writer)

    greeting = Greeting(ordinary)
    async with nothing_leaks():
        listening = await asyncio.start_server(greeting.serve, "127.0.0.1", 0)
        url = f"ldap://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with directory_on(url, server_retry=30.0) as directory:
            for attempt in (directory.find("alice"), directory.verify(USER, b"secret")):
                with pytest.raises(Unavailable):
                    await attempt
        listening.close()
        await greeting.stop()


async def test_an_answer_that_trickles_in_is_an_answer(directory_on: OpenDirectory) -> None:
    async def script(request: Request, conversation: Conversation) -> None:
        if request.kind == SEARCH and b"\x04\x05alice" in request:
            answered = entry(request, ALICE, uid=b"alice", mailHost=b"s1") + search_done(request)
        else:
            answered = answer(request, 0)
        for octet in answered:
            conversation.send(bytes((octet,)))
            await asyncio.sleep(0)

    async with nothing_leaks(), fake_server(script) as server, directory_on(server) as directory:
        for _ in range(3):
            await login(directory)
        assert len(server.conversations) == 2


@pytest.mark.parametrize("password", [b"a\0b", b"\xff" * 65_536, b"\0" + b"x" * 65_535], ids=["NUL", "64K", "both"])
async def test_a_password_of_any_bytes_is_sent_as_it_is_and_judged_by_the_server(
    directory_on: OpenDirectory, password: bytes
) -> None:
    async with nothing_leaks(), fake_server(ordinary) as server, directory_on(server) as directory:
        with pytest.raises(WrongPassword):
            await login(directory, password)
        bind = server.of_kind(BIND)[-1]
        assert bind.raw == oracle.bind_request(bind.message_id, ALICE, password)
        await login(directory)


# --- TLS ---


@pytest.fixture(scope="module")
def authority() -> ThrowawayAuthority:
    return ThrowawayAuthority()


@pytest.fixture
def trusting(authority: ThrowawayAuthority, tmp_path: Path) -> ssl.SSLContext:
    return backend_context(authority.write_ca(tmp_path / "ca.pem"), True)


def good(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return authority.issue(at, "good", ips=["127.0.0.1"])


def of_another_name(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return authority.issue(at, "other", dns=["other.example"])


def expired(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    return authority.issue(at, "old", ips=["127.0.0.1"], not_after=datetime.now(UTC) - timedelta(minutes=5))


def of_a_stranger(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    """Vouched for by an authority that nobody knows."""
    return ThrowawayAuthority("stranger").issue(at, "strange", ips=["127.0.0.1"])


def self_signed(authority: ThrowawayAuthority, at: Path) -> CertificateFiles:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = CertificateFiles(chain=at / "self.pem", key=at / "self.key")
    files.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def serving(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context


@pytest.mark.parametrize("issue", [of_another_name, expired, of_a_stranger, self_signed])
async def test_a_certificate_that_does_not_fit_is_unavailable_and_hears_no_password(
    authority: ThrowawayAuthority,
    trusting: ssl.SSLContext,
    directory_on: OpenDirectory,
    tmp_path: Path,
    issue: Callable[[ThrowawayAuthority, Path], CertificateFiles],
) -> None:
    async with nothing_leaks(), fake_server(ordinary, context=serving(issue(authority, tmp_path))) as server:
        async with directory_on(server, context=trusting, server_retry=30.0) as directory:
            for attempt in (directory.find("alice"), directory.verify(USER, b"secret")):
                with pytest.raises(Unavailable, match="certificate"):
                    await attempt
        assert server.requests == []


async def test_a_handshake_that_never_ends_is_unavailable(
    trusting: ssl.SSLContext, directory_on: OpenDirectory
) -> None:
    async with nothing_leaks():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"ldaps://127.0.0.1:{silent.getsockname()[1]}"
            async with directory_on(url, context=trusting, connect_timeout=0.1, server_retry=30.0) as directory:
                with pytest.raises(Unavailable, match=r"not usable within 0\.1 s"):
                    await directory.verify(USER, b"secret")


@pytest.mark.parametrize("behind", [None, b"\x30", b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\x00\x04\x00\x04\x00"])
async def test_starttls_that_is_refused_or_tampered_with_is_unavailable(
    authority: ThrowawayAuthority,
    trusting: ssl.SSLContext,
    directory_on: OpenDirectory,
    tmp_path: Path,
    behind: bytes | None,
) -> None:
    ours = serving(good(authority, tmp_path))

    async def script(request: Request, conversation: Conversation) -> None:
        assert request.kind == EXTENDED
        if behind is None:
            conversation.send(extended_result(request, 2))
        else:
            conversation.send(extended_result(request, 0) + behind)
            with contextlib.suppress(OSError):
                await conversation.writer.start_tls(ours)

    async with nothing_leaks(), fake_server(script) as server:
        async with directory_on(server, context=trusting, starttls=True, server_retry=30.0) as directory:
            for attempt in (directory.find("alice"), directory.verify(USER, b"secret")):
                with pytest.raises(Unavailable):
                    await attempt
        assert {request.kind for request in server.requests} == {EXTENDED}


async def test_after_all_that_tls_works(
    authority: ThrowawayAuthority, trusting: ssl.SSLContext, directory_on: OpenDirectory, tmp_path: Path
) -> None:
    """The certificates above are refused for what is wrong with them and not for anything else."""
    async with (
        nothing_leaks(),
        fake_server(ordinary, context=serving(good(authority, tmp_path))) as server,
        directory_on(server, context=trusting) as directory,
    ):
        await login(directory)
