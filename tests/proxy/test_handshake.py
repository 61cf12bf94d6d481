"""TLS on a descriptor, from either side: who is refused, and what a refusal looks like from outside."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from proxy.channel import Channel, Upgrade
from proxy.dispatcher import Dispatcher
from proxy.handshake import CertificateUser, client_upgrade, server_upgrade
from proxy.protocols.wire import EndOfStream, Expired, TlsFailure
from tests.proxy.front import Certificates
from tests.proxy.sockets import dispatching, tcp_pair
from tests.proxy.talk import Peer
from tls import backend_context

HTTP = b"GET / HTTP/1.1\r\nHost: mail.example\r\n\r\n"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def opened(dispatcher: Dispatcher, upgrade: Upgrade) -> tuple[Channel, Peer]:
    """A channel that can start TLS, and its peer."""
    ours, theirs = tcp_pair()
    channel = Channel(dispatcher, ours, deadline=dispatcher.now() + 60)
    channel.upgrade = upgrade
    return channel, await Peer.over(theirs)


# --- as a server ---


@pytest.mark.parametrize("offered", [(), ("imap",), ("h2", "imap")])
async def test_our_protocol_or_none_is_accepted(certificates: Certificates, offered: tuple[str, ...]) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(certificates.client(*offered), host="localhost")
        await starting
        assert channel.secure
        assert peer.alpn == ("imap" if offered else None)
        await peer.send(b"hello\r\n")
        assert await channel.line(100) == b"hello"


@pytest.mark.parametrize("offered", [("h2", "http/1.1"), ("pop3",), ("IMAP",)])
async def test_other_protocols_are_refused_with_the_alert_for_it(
    certificates: Certificates, offered: tuple[str, ...]
) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            await peer.start_tls(certificates.client(*offered), host="localhost")
        with pytest.raises(TlsFailure, match="ALPN"):
            await starting
        assert not channel.secure


@pytest.mark.parametrize("piece", [1, 2, 5, 7, 100])
async def test_a_clienthello_may_come_in_tiny_segments(certificates: Certificates, piece: int) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(certificates.client("imap"), host="localhost", piece=piece)
        await starting
        await channel.send(b"hello\r\n")
        assert await peer.line() == b"hello"


async def test_a_large_clienthello_is_read_whole(certificates: Certificates) -> None:
    context = certificates.client(*(f"protocol-{number:03}" for number in range(400)), "imap")
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(context, host="localhost", piece=1000)
        await starting
        assert peer.alpn == "imap"


@pytest.mark.parametrize("garbage", [HTTP, b"a1 LOGIN x y\r\n", b"\0" * 100, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"])
async def test_what_is_no_clienthello_is_refused_and_gets_not_one_byte(
    certificates: Certificates, garbage: bytes
) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        await peer.send(garbage)
        with pytest.raises(TlsFailure, match="no TLS ClientHello"):
            await channel.start_tls()
        channel.part()
        assert await peer.rest() == b""


@pytest.mark.parametrize("beginning", [b"", b"\x16", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\x02\x00" + b"x" * 100])
async def test_a_client_that_leaves_in_the_middle_of_its_hello_is_gone(
    certificates: Certificates, beginning: bytes
) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.send(beginning)
        peer.close()
        with pytest.raises(EndOfStream):
            await starting


async def test_a_client_that_resets_in_the_middle_of_its_hello_is_gone(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.send(b"\x16\x03")
        peer.reset()
        with pytest.raises(EndOfStream):
            await starting


@pytest.mark.parametrize("beginning", [b"", b"\x16", b"\x16\x03\x01\x02\x00" + b"x" * 100])
async def test_a_hello_that_does_not_end_expires(certificates: Certificates, beginning: bytes) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.send(beginning)
        await asyncio.sleep(0)
        channel.deadline = dispatcher.now()
        dispatcher.sweep()
        with pytest.raises(Expired):
            await starting


async def test_a_handshake_that_breaks_later_is_told_apart(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        stranger = ssl.create_default_context()
        with pytest.raises(ssl.SSLCertVerificationError):
            await peer.start_tls(stranger, host="localhost")
        with pytest.raises(TlsFailure):
            await starting


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_ends_in_a_failure(certificates: Certificates) -> None:
    context = certificates.client()
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        with pytest.raises(ssl.SSLError):
            await peer.start_tls(context, host="localhost")
        with pytest.raises(TlsFailure):
            await starting


# --- client certificates ---


@pytest.mark.parametrize(
    ("where", "name", "email", "user"),
    [
        ("cn", "alice", "", "alice"),
        ("email", "", "alice@example.org", "alice@example.org"),
        ("email", "alice", "", ""),
        ("cn", "alice\nadmin", "", ""),
    ],
)
async def test_a_verified_certificate_names_its_user(
    tmp_path: Path, where: CertificateUser, name: str, email: str, user: str
) -> None:
    certificates = Certificates(tmp_path, client_ca=True)
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap", where))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(certificates.client(name=name, email=email), host="localhost")
        await starting
        assert channel.certificate_user == user


async def test_a_certificate_that_nobody_asked_for_names_nobody(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(certificates.client(name="alice"), host="localhost")
        await starting
        assert channel.certificate_user == ""


async def test_a_certificate_of_a_stranger_ends_the_handshake(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, client_ca=True)
    (tmp_path / "other").mkdir()
    strange = Certificates(tmp_path / "other").client(name="alice")
    strange.load_verify_locations(certificates.ca_file)
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, server_upgrade(certificates.contexts, "imap"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(strange, host="localhost")  # with TLS 1.3 a client learns of it afterwards
        with pytest.raises(TlsFailure, match="certificate"):
            await starting
        assert not channel.secure


# --- as a client ---


async def test_a_backend_that_proves_its_name_is_believed(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, client_upgrade(certificates.trusting, "127.0.0.1"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(certificates.server(), server_side=True)
        await starting
        assert channel.secure
        await channel.send(b"hello\r\n")
        assert await peer.line() == b"hello"


async def test_a_backend_with_another_name_is_not_believed(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, client_upgrade(certificates.trusting, "mb1.example.org"))
        starting = asyncio.create_task(channel.start_tls())
        speaking = asyncio.create_task(peer.start_tls(certificates.server(), server_side=True))
        with pytest.raises(TlsFailure, match=r"^certificate: "):
            await starting
        channel.close()
        with pytest.raises((EOFError, ssl.SSLError)):
            await speaking
        assert not channel.secure


async def test_without_verification_every_backend_is_believed(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, client_upgrade(backend_context(None, False), "mb1.example.org"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.start_tls(certificates.server(), server_side=True)
        await starting
        assert channel.secure


async def test_a_backend_that_speaks_no_tls_is_refused(certificates: Certificates) -> None:
    async with dispatching() as dispatcher:
        channel, peer = await opened(dispatcher, client_upgrade(certificates.trusting, "127.0.0.1"))
        starting = asyncio.create_task(channel.start_tls())
        await peer.send(b"* OK ready\r\n")
        with pytest.raises(TlsFailure):
            await starting


async def test_a_backend_that_leaves_during_the_handshake_is_gone(certificates: Certificates) -> None:
    for leave in (Peer.close, Peer.reset):
        async with dispatching() as dispatcher:
            channel, peer = await opened(dispatcher, client_upgrade(certificates.trusting, "127.0.0.1"))
            starting = asyncio.create_task(channel.start_tls())
            await peer.exactly(5)
            leave(peer)
            with pytest.raises(EndOfStream):
                await starting
