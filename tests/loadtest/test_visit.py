"""Visits to simulated servers, as if a proxy stood between."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from loadtest import visit as module
from loadtest.backends import Backend
from loadtest.visit import SCRIPTS, VisitFailed, visit
from tls import ThrowawayAuthority

Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    """A server's, for localhost, and a client's."""
    authority = ThrowawayAuthority()
    files = authority.issue(tmp_path_factory.mktemp("tls"), "server", dns=["localhost"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.chain, files.key)
    return server, ssl.create_default_context(cadata=authority.certificate_pem.decode())


@pytest.mark.parametrize("protocol", SCRIPTS)
async def test_a_visitor_learns_which_backend_it_is(contexts: Contexts, protocol: str) -> None:
    async with Backend("north-a", users=["alice"], tls="implicit", context=contexts[0]) as backend:
        port = backend.ports[protocol]
        assert await visit(protocol, port, contexts[1], "alice", 'a "quoted" \\ secret') == "north-a"
        with pytest.raises(VisitFailed, match="Nobody of that name"):
            await visit(protocol, port, contexts[1], "mallory", "secret")


async def serving(contexts: Contexts, talk: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    async def converse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(writer)

    return await asyncio.start_server(converse, "127.0.0.1", 0, ssl=contexts[0])


async def test_a_server_that_says_something_else_is_no_success(contexts: Contexts) -> None:
    async def closes(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def babbles(writer: asyncio.StreamWriter) -> None:
        writer.write(b"x\r\n" * 1000)

    for talk, complaint in ((closes, "EndOfStream"), (babbles, "says too much")):
        async with await serving(contexts, talk) as server:
            with pytest.raises(VisitFailed, match=complaint):
                await visit("imap", server.sockets[0].getsockname()[1], contexts[1], "alice", "secret")


async def test_a_silent_server_is_not_waited_for_forever(contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def waits(writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    monkeypatch.setattr(module, "PATIENCE", 0.05)
    async with await serving(contexts, waits) as server:
        with pytest.raises(VisitFailed, match="no answer within"):
            await visit("imap", server.sockets[0].getsockname()[1], contexts[1], "alice", "secret")
        ended.set()


async def test_nobody_listening_is_a_failure_and_so_is_a_strange_certificate(
    contexts: Contexts, tmp_path: Path
) -> None:
    async with Backend("north-a", tls="implicit", context=contexts[0]) as backend:
        port = backend.ports["imap"]
        with pytest.raises(VisitFailed, match="SSLCertVerificationError"):
            await visit("imap", port, ssl.create_default_context(), "alice", "secret")
    with pytest.raises(VisitFailed, match="ConnectionRefusedError"):
        await visit("imap", port, contexts[1], "alice", "secret")


async def test_a_backend_need_not_tell_its_name(contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCRIPTS, "pop3", module.Script(SCRIPTS["pop3"].steps, "never said"))
    async with Backend("north-a", tls="implicit", context=contexts[0]) as backend:
        assert "does not tell" in await visit("pop3", backend.ports["pop3"], contexts[1], "alice", "secret")
