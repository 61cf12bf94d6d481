"""Simulated mail servers, seen by the standard library's clients."""

from __future__ import annotations

import asyncio
import imaplib
import poplib
import ssl

import pytest

from loadtest.backends import Backend
from loadtest.content import first_recipes
from loadtest.mailbox import Mailboxes
from tls import ThrowawayAuthority


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    authority = ThrowawayAuthority()
    files = authority.issue(tmp_path_factory.mktemp("tls"), "server", ips=["127.0.0.1"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.chain, files.key)
    return server, ssl.create_default_context(cadata=authority.certificate_pem.decode())


async def test_imaplib_reads_the_welcome_message(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    def client(port: int) -> bytes:
        with imaplib.IMAP4("127.0.0.1", port) as imap:
            imap.starttls(contexts[1])
            imap.login("alice", "any")
            imap.select()
            data = imap.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT)])")[1][0]
            assert isinstance(data, tuple)
            return data[1]

    async with Backend("mb1a", tls="starttls", context=contexts[0]) as backend:
        assert await asyncio.to_thread(client, backend.ports["imap"]) == b"Subject: Welcome to mb1a\r\n\r\n"
        assert [login.user for login in backend.host.logins] == ["alice"]


async def test_poplib_reads_the_welcome_message(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    def client(port: int) -> list[bytes]:
        pop3 = poplib.POP3_SSL("127.0.0.1", port, context=contexts[1])
        pop3.user("alice")
        pop3.pass_("any")
        lines = pop3.retr(1)[1]
        pop3.quit()
        return lines

    async with Backend("mb1a", tls="implicit", context=contexts[0]) as backend:
        assert b"Subject: Welcome to mb1a" in await asyncio.to_thread(client, backend.ports["pop3"])


async def test_sessions_end_with_the_backend() -> None:
    async with Backend("mb1a", users=["alice"]) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.ports["managesieve"])
        await reader.readuntil(b"ready.")
    assert await reader.read() == b'"\r\n'
    writer.close()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", backend.ports["managesieve"])


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async with Backend("mb1a") as backend:
        second = Backend("mb1b", ports={"managesieve": backend.ports["imap"]})
        with pytest.raises(OSError):
            await second.__aenter__()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", second.ports["imap"])


async def said(backend: Backend, *lines: bytes) -> bytes:
    """What the IMAP server says to these lines until it closes."""
    reader, writer = await asyncio.open_connection(backend.address, backend.ports["imap"])
    writer.write(b"".join(line + b"\r\n" for line in lines))
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_backend_that_was_killed_resets_and_refuses_and_comes_back_where_it_was() -> None:
    seen: list[tuple[str, str, bool]] = []
    async with Backend("mb1a", watch=lambda *session: seen.append(session)) as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.ports["imap"])
        writer.write(b"a LOGIN alice x\r\n")
        await reader.readuntil(b"Logged in.\r\n")
        for _ in range(2):
            await backend.kill()
        assert seen == [("imap", "alice", True), ("imap", "alice", False)]
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        for port in backend.ports.values():
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        await backend.revive()
        assert (await said(backend, b"a LOGIN alice x", b"b LOGOUT")).endswith(b"b OK Bye.\r\n")


async def test_a_dead_backend_closes_as_well() -> None:
    async with Backend("mb1a") as backend:
        await backend.kill()
    with pytest.raises(ConnectionRefusedError):
        await said(backend)


async def test_backends_that_share_their_mailboxes_tell_each_others_clients() -> None:
    shared = Mailboxes(first_recipes)
    count = len(first_recipes("user0000001"))
    async with Backend("mb1a", mailboxes=shared) as first, Backend("mb1b", mailboxes=shared) as second:
        reader, writer = await asyncio.open_connection("127.0.0.1", first.ports["imap"])
        writer.write(b"a LOGIN user0000001 x\r\nb SELECT INBOX\r\nc IDLE\r\n")
        await reader.readuntil(b"+ idling\r\n")
        await said(second, b"a LOGIN user0000001 x", b"b APPEND INBOX {1+}\r\nx", b"c LOGOUT")
        assert await reader.readline() == b"* %d EXISTS\r\n" % (count + 1)
        writer.close()


async def test_a_port_that_is_taken_is_said_to_be() -> None:
    async with Backend("mb1a") as backend:
        with pytest.raises(OSError, match="in use"):
            async with Backend("mb1b", ports={"managesieve": backend.ports["imap"]}):
                pass
